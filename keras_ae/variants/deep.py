"""The plain ("vanilla") autoencoder with dense layers."""

from __future__ import annotations

from typing import Any

from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant


@variant
class Deep(DenseAutoencoder):
    """Deep autoencoder: dense layers, no constraint on the code.

    The plain ("vanilla") autoencoder: three dense layers each way, with the default `hidden_units`.

    Example:
        model = keras_ae.Deep(image_shape=(28, 28), latent_dim=20)
        model.compile()
        model.fit(images, epochs=20)
        codes = model.encode(images)

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
            hidden_units=hidden_units,
            activation=activation,
            batch_normalization=batch_normalization,
            tied=tied,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            seed=seed,
            **kwargs,
        )
        self._build()
