"""The vector-quantised autoencoder of the bake-off."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.layers import VectorQuantizer
from keras_ae.metrics import CodebookUsage
from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class VQVAE(DenseAutoencoder):
    """A discrete code: each of the `latent_dim` coordinates is one of `num_embeddings` scalars.

    After van den Oord et al. (arXiv 1711.00937), with a codebook of scalars for each dimension as
    in the bake-off. Logs `perplexity` and `codebook_usage` (see `CodebookUsage`). The prior is
    uniform over the learned scalars, as published.

    Args:
        num_embeddings: Scalars per dimension, >= 2.
        commitment_cost: Factor on the commitment loss, >= 0.
        **network: See `DenseAutoencoder`.
    """

    can_sample = True

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        num_embeddings: int = 512,
        commitment_cost: float = 1.0,
        seed: int | None = None,
        **network,
    ):
        quantizer = VectorQuantizer(
            num_embeddings, commitment_cost, seed, dtype="float32", name="bottleneck"
        )
        super().__init__(image_shape, latent_dim, bottleneck=quantizer, seed=seed, **network)
        self.num_embeddings = num_embeddings
        self.commitment_cost = commitment_cost

    def finish(self) -> None:
        # Here, since Keras takes no further state once a model is built.
        self.usage = CodebookUsage(self.latent_dim, self.bottleneck.num_embeddings)
        super().finish()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "commitment_cost": self.commitment_cost,
        }

    def observe(self, outputs: dict) -> None:
        self.usage.update_state(self.bottleneck.indices(outputs["encoded"]))

    def sample_latents(self, num_samples, seed) -> tf.Tensor:
        indices = tf.random.stateless_uniform(
            (num_samples, self.latent_dim), seed, maxval=self.num_embeddings, dtype=tf.int32
        )
        return self.bottleneck.lookup(indices)
