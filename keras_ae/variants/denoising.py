"""The denoising autoencoder."""

from __future__ import annotations

import keras

from keras_ae.checks import check_number
from keras_ae.layers import GaussianCorruption
from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class Denoising(DenseAutoencoder):
    """Rebuilds the clean image from `clip(x + noise_stddev * N(0, 1), 0, 1)`.

    The noise is there in training only; the target is always the clean image (Vincent et al.,
    "Stacked Denoising Autoencoders", JMLR 2010).

    Args:
        noise_stddev: Standard deviation of the noise, in units of the pixel range.
        **network: See `DenseAutoencoder`.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        noise_stddev: float = 0.5,
        seed: int | None = None,
        **network,
    ):
        check_number("noise_stddev", noise_stddev)
        corruption = GaussianCorruption(noise_stddev, seed=seed, name="corruption")
        super().__init__(image_shape, latent_dim, corruption=corruption, seed=seed, **network)
        self.noise_stddev = noise_stddev

    def get_config(self) -> dict:
        return {**super().get_config(), "noise_stddev": self.noise_stddev}
