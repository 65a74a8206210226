"""The denoising autoencoder with Gaussian noise."""

from __future__ import annotations

from typing import Any

from keras_ae.checks import check_number
from keras_ae.layers import GaussianCorruption
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant
from keras_ae.variants.settings import layer_setting


@variant
class Denoising(DenseAutoencoder):
    """Denoising autoencoder: reconstructs the clean image from a noisy one.

    The input is `clip(x + noise_stddev * N(0, 1))` in training only; the target is always the
    clean image (Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 3.3).

    Args:
        noise_stddev: Standard deviation of the noise, >= 0, in the units of the pixels. Can be set
            later.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    noise_stddev = layer_setting(
        "encoder.corruption.stddev", "Standard deviation of the noise added to the input, >= 0."
    )

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        noise_stddev: float = 0.5,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_number("noise_stddev", noise_stddev)
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
        self._build(
            corruption=GaussianCorruption(noise_stddev, seed, self.pixel_range, name="corruption")
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "noise_stddev": self.noise_stddev}
