"""The denoising autoencoder with dropout noise."""

from __future__ import annotations

from typing import Any

from keras_ae.checks import check_number
from keras_ae.layers import DropoutCorruption
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant
from keras_ae.variants.settings import layer_setting


@variant
class DenoisingDropout(DenseAutoencoder):
    """Denoising autoencoder with dropout: reconstructs an image from a part of its pixels.

    Pixels are dropped in training only; the target is always the whole image. After A. Geron,
    "Hands-On Machine Learning", chapter 17, "Denoising Autoencoders"; the masking noise of Vincent
    et al. (JMLR 2010, section 3.3), scaled (see `DropoutCorruption`).

    Args:
        dropout_rate: Share of the pixels that is dropped, >= 0 and < 1. Can be set later.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    dropout_rate = layer_setting(
        "encoder.corruption.rate", "Share of the pixels that is dropped, >= 0 and < 1."
    )

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        dropout_rate: float = 0.5,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        if check_number("dropout_rate", dropout_rate, 0.0, 1.0) == 1.0:
            raise ValueError(f"dropout_rate must be >= 0 and < 1; received {dropout_rate!r}.")
        corruption = DropoutCorruption(dropout_rate, seed=seed, name="corruption")
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
        self._build(corruption=corruption)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dropout_rate": self.dropout_rate}
