"""The recurrent autoencoder."""

from __future__ import annotations

import keras

from keras_ae.checks import check_size
from keras_ae.networks import recurrent_decoder, recurrent_encoder
from keras_ae.variants.base import Autoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class Recurrent(Autoencoder):
    """Reads an image row by row, and writes it row by row.

    Sequence to vector, vector to sequence, each with LSTMs: `units`, then `latent_dim` for the
    code; `units`, then one dense layer for every row (A. Geron, "Hands-On Machine Learning",
    chapter 17, "Recurrent Autoencoders").

    Args:
        image_shape, latent_dim, seed: See `Autoencoder`. The code lies in (-1, 1).
        units: Of the LSTMs beside the code, >= 1.
    """

    steps_per_call = 32

    def __init__(
        self, image_shape=(28, 28), latent_dim: int = 30, *, units: int = 100, seed=None, **kwargs
    ):
        super().__init__(image_shape, latent_dim, seed, **kwargs)
        self.units = check_size("units", units)
        with self.own_precision():
            self.encoder = recurrent_encoder(self.image_shape, self.units, self.latent_dim)
            self.decoder = recurrent_decoder(self.latent_dim, self.units, self.image_shape)
        self.finish()

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}
