"""The denoising autoencoder whose noise is dropout."""

from __future__ import annotations

import keras

from keras_ae.layers import DropoutCorruption
from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class DenoisingDropout(DenseAutoencoder):
    """Rebuilds an image from those of its pixels that dropout leaves.

    Pixels are dropped in training only; the target is always the whole image. After A. Geron,
    "Hands-On Machine Learning", chapter 17, "Denoising Autoencoders"; the masking noise of Vincent
    et al. (JMLR 2010, section 3.3), scaled (see `DropoutCorruption`).

    Args:
        dropout_rate: Share of the pixels that is dropped, >= 0 and < 1.
        **network: See `DenseAutoencoder`.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        dropout_rate: float = 0.5,
        seed: int | None = None,
        **network,
    ):
        corruption = DropoutCorruption(dropout_rate, seed=seed, name="corruption")
        super().__init__(image_shape, latent_dim, corruption=corruption, seed=seed, **network)
        self.dropout_rate = dropout_rate

    def get_config(self) -> dict:
        return {**super().get_config(), "dropout_rate": self.dropout_rate}
