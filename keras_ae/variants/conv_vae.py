"""The convolutional variational autoencoder."""

from __future__ import annotations

from typing import Any

from keras_ae.checks import check_size
from keras_ae.variants.convolutional import ConvolutionalAutoencoder
from keras_ae.variants.documentation import variant
from keras_ae.variants.variational import Variational, gaussian_bottleneck


@variant
class ConvVAE(Variational, ConvolutionalAutoencoder):
    """Variational autoencoder (VAE) with convolutions.

    The encoder's last feature map (3x3x64 for 28x28 images) is flattened; one dense layer maps
    it to `latent_dim` means and as many log-variances. The decoder starts with a dense layer that
    maps the code to such a feature map. Losses and sampling are those of `VAE`.

    Args:
        filters: As in `Convolutional`.
        kernel_size: As in `Convolutional`.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 576,
        *,
        filters=None,
        activation="relu",
        kernel_size: int | None = None,
        beta: float = 1.0,
        kl_warmup_epochs: float = 0,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            image_shape,
            check_size("latent_dim", latent_dim),
            filters=filters,
            activation=activation,
            kernel_size=kernel_size,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            seed=seed,
            **kwargs,
        )
        self._build(
            bottleneck=gaussian_bottleneck(beta, kl_warmup_epochs, seed),
            code_units=2 * self.latent_dim,
        )
