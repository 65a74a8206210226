"""The shallow autoencoder: one layer each way."""

from __future__ import annotations

from typing import Any

from keras_ae.networks import dense_decoder, dense_encoder
from keras_ae.variants.base import Autoencoder, check_activation
from keras_ae.variants.documentation import variant


@variant
class Shallow(Autoencoder):
    """Shallow autoencoder: one dense layer each way, a ReLU code and a sigmoid output.

    The non-linear relative of principal component analysis, and the baseline of the autoencoder
    bake-off.

    Args:
        activation: Activation of the code: the name of a Keras activation.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        activation="relu",
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
        self.activation = check_activation(activation)
        with self._dtype_scope():
            self.encoder = dense_encoder(
                self.image_shape, (), self.latent_dim, code_activation=self.activation
            )
            self.decoder = dense_decoder(self.latent_dim, (), self.image_shape)
        self._finalize()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}
