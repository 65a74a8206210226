"""The baseline: one layer each way."""

from __future__ import annotations

import keras

from keras_ae.networks import dense_decoder, dense_encoder
from keras_ae.variants.base import Autoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class Shallow(Autoencoder):
    """ReLU code, sigmoid output, nothing between: PCA's non-linear cousin.

    Args:
        image_shape, latent_dim, seed: See `Autoencoder`.
        activation: Of the code.
    """

    def __init__(
        self, image_shape=(28, 28), latent_dim: int = 20, *, activation="relu", seed=None, **kwargs
    ):
        super().__init__(image_shape, latent_dim, seed, **kwargs)
        self.activation = activation
        with self.own_precision():
            self.encoder = dense_encoder(
                self.image_shape, (), self.latent_dim, code_activation=activation
            )
            self.decoder = dense_decoder(self.latent_dim, (), self.image_shape)
        self.finish()

    def get_config(self) -> dict:
        return {**super().get_config(), "activation": self.activation}
