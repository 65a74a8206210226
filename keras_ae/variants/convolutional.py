"""The convolutional autoencoder."""

from __future__ import annotations

import math

import keras

from keras_ae.checks import check_filters, check_sizes
from keras_ae.networks import convolutional_decoder, convolutional_encoder, feature_map_shape
from keras_ae.variants.base import Autoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class Convolutional(Autoencoder):
    """Convolutions and max pooling down to a small feature map, transposed convolutions back.

    After A. Geron, "Hands-On Machine Learning", chapter 17, "Convolutional Autoencoders".

    Args:
        image_shape, seed: See `Autoencoder`. Every shape will do: see `convolutional_encoder`.
        latent_dim: Width of a dense code. None for the last feature map itself as the code, 3x3x64
            of 28x28 images; `model.latent_dim` then is its size, 576.
        filters: Of each convolution, outermost first, at least one.
        activation: Of every layer but the last: a name, such as "relu" or "selu".
    """

    xla_on_cpu = False
    steps_per_call = 16

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int | None = None,
        *,
        filters=(16, 32, 64),
        activation="relu",
        seed: int | None = None,
        **kwargs,
    ):
        image_shape = check_sizes("image_shape", image_shape, lengths=(2, 3))
        filters = check_filters(filters)
        size = math.prod(feature_map_shape(image_shape, filters))
        super().__init__(image_shape, size if latent_dim is None else latent_dim, seed, **kwargs)
        self.filters = filters
        self.activation = activation
        self.code_units = None if latent_dim is None else self.latent_dim
        with self.own_precision():
            self.encoder = convolutional_encoder(
                image_shape, filters, self.code_units, activation=activation
            )
            self.decoder = convolutional_decoder(
                self.code_units, filters, image_shape, activation=activation
            )
        self.finish()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "latent_dim": self.code_units,
            "filters": self.filters,
            "activation": self.activation,
        }
