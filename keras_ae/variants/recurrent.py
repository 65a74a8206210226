"""The recurrent autoencoder."""

from __future__ import annotations

from typing import Any

from keras_ae.checks import check_size
from keras_ae.networks import recurrent_decoder, recurrent_encoder
from keras_ae.variants.base import Autoencoder
from keras_ae.variants.documentation import variant


@variant
class Recurrent(Autoencoder):
    """Recurrent autoencoder (LSTM): reads and writes an image row by row.

    Sequence to vector, vector to sequence, each with two LSTMs: `units`, then `latent_dim` for the
    code; `units`, then one dense layer for every row. After A. Geron, "Hands-On Machine Learning",
    chapter 17, "Recurrent Autoencoders".

    Args:
        latent_dim: Size of the latent code, >= 1. Its values lie in (-1, 1).
        units: Units of the LSTMs next to the code, >= 1.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    _steps_per_call = 32

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 30,
        *,
        units: int = 100,
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
        self.units = check_size("units", units)
        with self._dtype_scope():
            self.encoder = recurrent_encoder(self.image_shape, self.units, self.latent_dim)
            self.decoder = recurrent_decoder(self.latent_dim, self.units, self.image_shape)
        self._finalize()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
