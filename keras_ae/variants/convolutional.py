"""The convolutional autoencoder."""

from __future__ import annotations

import math
from typing import Any

from keras_ae.checks import check_filters, check_sizes
from keras_ae.networks import convolutional_decoder, convolutional_encoder, feature_map_shape
from keras_ae.variants.base import Autoencoder, check_activation
from keras_ae.variants.documentation import variant


@variant
class Convolutional(Autoencoder):
    """Convolutional autoencoder: convolutions and max pooling, transposed convolutions back.

    After A. Geron, "Hands-On Machine Learning", chapter 17, "Convolutional Autoencoders". Images
    of every size work (see `convolutional_encoder`).

    Args:
        latent_dim: Size of a dense code, >= 1. None makes the last feature map the code, 3x3x64
            for 28x28 images; the attribute `latent_dim` is then its size, 576.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    _xla_on_cpu = False
    _steps_per_call = 16

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int | None = None,
        *,
        filters=(16, 32, 64),
        activation="relu",
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        image_shape = check_sizes("image_shape", image_shape, lengths=(2, 3))
        filters = check_filters(filters)
        size = math.prod(feature_map_shape(image_shape, filters))
        super().__init__(
            image_shape,
            size if latent_dim is None else latent_dim,
            seed,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            **kwargs,
        )
        self.filters = filters
        self.activation = check_activation(activation)
        self._code_units = None if latent_dim is None else self.latent_dim
        with self._dtype_scope():
            self.encoder = convolutional_encoder(
                image_shape, filters, self._code_units, activation=self.activation
            )
            self.decoder = convolutional_decoder(
                self._code_units, filters, image_shape, activation=self.activation
            )
        self._finalize()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "latent_dim": self._code_units,
            "filters": self.filters,
            "activation": self.activation,
        }
