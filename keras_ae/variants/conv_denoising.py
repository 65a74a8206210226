"""The convolutional denoising autoencoder with Gaussian noise."""

from __future__ import annotations

from typing import Any

from keras_ae.checks import check_number
from keras_ae.layers import GaussianCorruption
from keras_ae.variants.convolutional import ConvolutionalAutoencoder
from keras_ae.variants.documentation import variant
from keras_ae.variants.settings import layer_setting


@variant
class ConvDenoising(ConvolutionalAutoencoder):
    """Denoising autoencoder with convolutions: reconstructs the clean image from a noisy one.

    The networks are those of `Convolutional`, the noise is that of `Denoising`: the input is
    `clip(x + noise_stddev * N(0, 1))` in training only; the target is always the clean image.

    Args:
        latent_dim: As in `Convolutional`.
        noise_stddev: Standard deviation of the noise, >= 0, in the units of the pixels. Can be set
            later.
        filters: As in `Convolutional`.
        kernel_size: As in `Convolutional`.

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
        latent_dim: int | None = None,
        *,
        noise_stddev: float = 0.5,
        filters=None,
        activation="relu",
        kernel_size: int | None = None,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_number("noise_stddev", noise_stddev)
        super().__init__(
            image_shape,
            latent_dim,
            filters=filters,
            activation=activation,
            kernel_size=kernel_size,
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
