"""Base class of the variants with dense networks."""

from __future__ import annotations

from typing import Any

import keras

from keras_ae.checks import check_flag, check_sizes
from keras_ae.networks import bake_off_hidden_units, dense_decoder, dense_encoder
from keras_ae.variants.base import Autoencoder, check_activation
from keras_ae.variants.documentation import document


@document
class DenseAutoencoder(Autoencoder):
    """Dense autoencoder base class: hidden layers, a linear code, logits.

    A subclass creates its own bottleneck or corruption in its constructor and passes them to
    `_build`. They are made from the subclass's arguments, which its `get_config` returns, so they
    come back when the model is loaded:

        @keras.saving.register_keras_serializable(package="mine")
        class Noisy(DenseAutoencoder):
            def __init__(self, image_shape=(28, 28), latent_dim=20, *, stddev=1.0, **kwargs):
                super().__init__(image_shape, latent_dim, **kwargs)
                self.stddev = stddev
                self._build(corruption=keras_ae.GaussianCorruption(stddev))

            def get_config(self):
                return {**super().get_config(), "stddev": self.stddev}

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
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
        if hidden_units is None:
            hidden_units = bake_off_hidden_units(self.latent_dim)
        self.hidden_units = check_sizes("hidden_units", hidden_units)
        self.activation = check_activation(activation)
        self.batch_normalization = check_flag("batch_normalization", batch_normalization)
        self.tied = check_flag("tied", tied)

    def _build(
        self,
        *,
        bottleneck: keras.layers.Layer | None = None,
        corruption: keras.layers.Layer | None = None,
        code_units: int | None = None,
    ) -> None:
        """Create the networks around a bottleneck; a constructor calls it last.

        Args:
            bottleneck: The layer between encoder and decoder; None for none.
            corruption: A layer that corrupts the encoder's input in training.
            code_units: Width of the encoder's output, `latent_dim` by default.

        Raises:
            ValueError: the kernels cannot be tied.
        """
        code_units = code_units or self.latent_dim
        if self.tied and code_units != self.latent_dim:
            raise ValueError(
                f"tied must be False for {type(self).__name__}, which cannot be tied: its encoder "
                f"ends in {code_units} units and its decoder starts with {self.latent_dim}."
            )
        style = {"activation": self.activation, "batch_normalization": self.batch_normalization}
        with self._dtype_scope():
            self.encoder = dense_encoder(
                self.image_shape, self.hidden_units, code_units, corruption=corruption, **style
            )
            self.decoder = dense_decoder(
                self.latent_dim,
                self.hidden_units,
                self.image_shape,
                tied_to=self.encoder if self.tied else None,
                **style,
            )
        if bottleneck is not None:
            self.bottleneck = bottleneck
        self._finalize()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "batch_normalization": self.batch_normalization,
            "tied": self.tied,
        }
