"""What the variants on the bake-off's dense nets share."""

from __future__ import annotations

import keras

from keras_ae.checks import check_flag, check_sizes
from keras_ae.networks import bake_off_hidden_units, dense_decoder, dense_encoder
from keras_ae.variants.base import Autoencoder


class DenseAutoencoder(Autoencoder):
    """Dense nets around a bottleneck: hidden blocks, a linear code, logits.

    Args:
        image_shape, latent_dim, seed: See `Autoencoder`.
        hidden_units: Widths of the encoder's hidden blocks, outermost first; the decoder mirrors
            them. None for the bake-off's: (341, 113) at 20 dimensions, (146, 20) at 2.
        activation: Of the hidden blocks: a name, such as "relu" or "selu".
        batch_normalization: Whether the hidden blocks normalise.
        tied: Whether the decoder uses the encoder's kernels, transposed.
        bottleneck: The layer between encoder and decoder; none by default.
        code_units: Width of the encoder's output, `latent_dim` by default.
        corruption: A layer that spoils the encoder's input in training.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        bottleneck: keras.layers.Layer | None = None,
        code_units: int | None = None,
        corruption: keras.layers.Layer | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, seed, **kwargs)
        if hidden_units is None:
            hidden_units = bake_off_hidden_units(self.latent_dim)
        self.hidden_units = check_sizes("hidden_units", hidden_units)
        self.activation = activation
        self.batch_normalization = check_flag("batch_normalization", batch_normalization)
        self.tied = check_flag("tied", tied)
        code_units = code_units or self.latent_dim
        if tied and code_units != self.latent_dim:
            raise ValueError(
                f"{type(self).__name__} cannot be tied: its encoder ends in {code_units} units and "
                f"its decoder starts with {self.latent_dim}."
            )
        style = {"activation": activation, "batch_normalization": batch_normalization}
        with self.own_precision():
            self.encoder = dense_encoder(
                self.image_shape, self.hidden_units, code_units, corruption=corruption, **style
            )
            self.decoder = dense_decoder(
                self.latent_dim,
                self.hidden_units,
                self.image_shape,
                tied_to=self.encoder if tied else None,
                **style,
            )
        if bottleneck is not None:
            self.bottleneck = bottleneck
        self.finish()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "batch_normalization": self.batch_normalization,
            "tied": self.tied,
        }
