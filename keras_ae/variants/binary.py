"""The binary autoencoder: hash codes of images."""

from __future__ import annotations

import keras
import numpy as np

from keras_ae.hashing import hamming_neighbours
from keras_ae.layers import BinaryBottleneck
from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class Binary(DenseAutoencoder):
    """A code of bits, to look images up by: alike images have codes that differ in few bits.

    Training passes a sigmoid of the code with noise on it, which drives it to 0 and 1; everything
    else, validation included, uses the rounded bits (`BinaryBottleneck`). After A. Geron,
    "Hands-On Machine Learning", chapter 17, exercise on hashing, and Salakhutdinov and Hinton,
    "Semantic hashing" (2009), whose noise on the code units' input it is.

    Args:
        noise_stddev: Standard deviation of the noise, >= 0.
        **network: See `DenseAutoencoder`.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 16,
        *,
        noise_stddev: float = 4.0,
        seed: int | None = None,
        **network,
    ):
        bottleneck = BinaryBottleneck(noise_stddev, seed, dtype="float32", name="bottleneck")
        super().__init__(image_shape, latent_dim, bottleneck=bottleneck, seed=seed, **network)
        self.noise_stddev = noise_stddev

    def get_config(self) -> dict:
        return {**super().get_config(), "noise_stddev": self.noise_stddev}

    def hash_codes(self, images) -> np.ndarray:
        """The bits of images, eight in a byte: `(N, ceil(latent_dim / 8))`, uint8.

        The first bit is the highest of the first byte; `numpy.unpackbits(codes, axis=1,
        count=latent_dim)` is `encode(images)`.
        """
        return np.packbits(np.asarray(self.encode(images)) > 0.5, axis=1)

    def neighbours(self, images, references, num_neighbours: int = 10):
        """The references nearest to each image by their bits: see `hamming_neighbours`.

        Args:
            images: `(N, *image_shape)`.
            references: `(M, *image_shape)`.
            num_neighbours: From 1 to M.

        Returns:
            Indices into `references` and the distances in bits, `(N, num_neighbours)` each.
        """
        return hamming_neighbours(
            self.hash_codes(images), self.hash_codes(references), num_neighbours
        )
