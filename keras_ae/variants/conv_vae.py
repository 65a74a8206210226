"""The convolutional variational autoencoder."""

from __future__ import annotations

import keras

from keras_ae.checks import check_filters
from keras_ae.networks import convolutional_decoder, convolutional_encoder
from keras_ae.variants.base import Autoencoder
from keras_ae.variants.variational import Variational, gaussian_bottleneck


@keras.saving.register_keras_serializable(package="keras_ae")
class ConvVAE(Variational, Autoencoder):
    """The convolutional autoencoder with a Gaussian code; new images come from N(0, I).

    The encoder's last feature map (3x3x64 of 28x28 images) is flattened; one dense layer makes
    `latent_dim` means and as many log-variances of it. The decoder starts with a dense layer that
    makes such a map of the code. The losses and the sampling are those of `VAE`.

    Args:
        image_shape, latent_dim, seed: See `Autoencoder`.
        filters: See `Convolutional`.
        activation: Of every layer but the code and the last.
        beta: Factor on the KL divergence, >= 0: 1 is the evidence lower bound.
        kl_warmup_epochs: See `VAE`.
    """

    xla_on_cpu = False
    steps_per_call = 16

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 576,
        *,
        filters=(16, 32, 64),
        activation="relu",
        beta: float = 1.0,
        kl_warmup_epochs: float = 0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, seed, **kwargs)
        self.filters = check_filters(filters)
        self.activation = activation
        with self.own_precision():
            self.encoder = convolutional_encoder(
                self.image_shape, self.filters, 2 * self.latent_dim, activation=activation
            )
            self.decoder = convolutional_decoder(
                self.latent_dim, self.filters, self.image_shape, activation=activation
            )
        self.bottleneck = gaussian_bottleneck(beta, kl_warmup_epochs, seed)
        self.finish()

    def get_config(self) -> dict:
        return {**super().get_config(), "filters": self.filters, "activation": self.activation}
