"""The binary autoencoder: hash codes of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ae.checks import check_number
from keras_ae.hashing import hamming_neighbors
from keras_ae.layers import BinaryBottleneck
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant
from keras_ae.variants.settings import layer_setting


@variant
class Binary(DenseAutoencoder):
    """Binary autoencoder (semantic hashing): similar images get codes that differ in few bits.

    In training the code is a sigmoid with noise on its input, which drives it to 0 and 1.
    Elsewhere, validation included, it is rounded to bits (`BinaryBottleneck`). After A. Geron,
    "Hands-On Machine Learning", chapter 17, exercise on hashing, and Salakhutdinov and Hinton,
    "Semantic hashing" (2009), section 2.2.

    Args:
        latent_dim: Number of bits of the code, >= 1.
        noise_stddev: Standard deviation of the noise, >= 0. Can be set later.

    Example:
        model = keras_ae.Binary(latent_dim=16)
        model.compile()
        model.fit(images, epochs=20)
        indices, distances = model.neighbors(queries, images, num_neighbors=5)

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    noise_stddev = layer_setting(
        "bottleneck.stddev", "Standard deviation of the noise on the code in training, >= 0."
    )

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 16,
        *,
        noise_stddev: float = 4.0,
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
        bottleneck = BinaryBottleneck(noise_stddev, seed, dtype="float32", name="bottleneck")
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
        self._build(bottleneck=bottleneck)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "noise_stddev": self.noise_stddev}

    def hash_codes(self, images: Any) -> np.ndarray:
        """The codes of images as packed bits, eight per byte.

        The first bit is the highest of the first byte; `numpy.unpackbits(codes, axis=1,
        count=latent_dim)` is `encode(images)`.

        Args:
            images: `(N, *image_shape)`.

        Returns:
            uint8, `(N, ceil(latent_dim / 8))`.
        """
        return np.packbits(np.asarray(self.encode(images)) > 0.5, axis=1)

    def neighbors(
        self, images: Any, references: Any, num_neighbors: int = 10
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest references of each image by Hamming distance: see `hamming_neighbors`.

        Args:
            images: `(N, *image_shape)`.
            references: `(M, *image_shape)`.
            num_neighbors: From 1 to M.

        Returns:
            Indices into `references` and distances in bits, `(N, num_neighbors)` each.
        """
        return hamming_neighbors(
            self.hash_codes(images), self.hash_codes(references), num_neighbors
        )
