"""The variational autoencoder and, by its beta, the beta-VAE."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_size
from keras_ae.layers import GaussianBottleneck
from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class VAE(DenseAutoencoder):
    """A Gaussian code, pulled towards N(0, I); new images come from N(0, I).

    Kingma and Welling (arXiv 1312.6114); `beta` after Higgins et al. (ICLR 2017). Training
    samples the code; `evaluate`, `predict` and `encode` use its mean, so they are deterministic.

    Args:
        beta: Factor on the KL divergence, >= 0: 1 is the evidence lower bound.
        **network: See `DenseAutoencoder`.
    """

    can_sample = True

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        beta: float = 1.0,
        seed: int | None = None,
        **network,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            bottleneck=GaussianBottleneck(beta, seed, dtype="float32", name="bottleneck"),
            code_units=2 * check_size("latent_dim", latent_dim),
            seed=seed,
            **network,
        )
        self.beta = beta

    def get_config(self) -> dict:
        return {**super().get_config(), "beta": self.beta}

    def sample_latents(self, num_samples, seed) -> tf.Tensor:
        return tf.random.stateless_normal((num_samples, self.latent_dim), seed)
