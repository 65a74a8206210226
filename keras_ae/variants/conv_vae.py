"""The convolutional variational autoencoder."""

from __future__ import annotations

from typing import Any

from keras_ae.checks import check_filters
from keras_ae.networks import (
    check_kernel_size,
    convolutional_decoder,
    convolutional_encoder,
    default_filters,
)
from keras_ae.variants.base import check_activation
from keras_ae.variants.convolutional import OldKernels
from keras_ae.variants.documentation import variant
from keras_ae.variants.variational import Variational, gaussian_bottleneck


@variant
class ConvVAE(Variational, OldKernels):
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

    _xla_on_cpu = False
    _steps_per_call = 16

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
            latent_dim,
            seed,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            **kwargs,
        )
        self.filters = check_filters(
            default_filters(self.image_shape) if filters is None else filters
        )
        self.activation = check_activation(activation)
        self.kernel_size = check_kernel_size(kernel_size, self.image_shape)
        with self._dtype_scope():
            self.encoder = convolutional_encoder(
                self.image_shape, self.filters, 2 * self.latent_dim, activation=self.activation
            )
            self.decoder = convolutional_decoder(
                self.latent_dim,
                self.filters,
                self.image_shape,
                activation=self.activation,
                kernel_size=self.kernel_size,
            )
        self.bottleneck = gaussian_bottleneck(beta, kl_warmup_epochs, seed)
        self._finalize()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": self.activation,
            "kernel_size": self.kernel_size,
        }
