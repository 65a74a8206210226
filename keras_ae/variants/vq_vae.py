"""The vector-quantised autoencoder on dense nets: that of the bake-off, and with vectors."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_size
from keras_ae.layers import ScalarQuantizer, VectorQuantizer
from keras_ae.metrics import CodebookUsage
from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class VQVAE(DenseAutoencoder):
    """A discrete code: each of the `latent_dim` coordinates is one of `num_embeddings` scalars.

    After van den Oord et al. (arXiv 1711.00937), with a codebook of scalars for each dimension as
    in the bake-off. With `embedding_dim` > 1 the code is cut into `latent_dim / embedding_dim`
    vectors, which share one codebook of `num_embeddings` vectors, as in the paper; vectors that
    100 training steps did not use are revived (see `VectorQuantizer`).

    Logs `perplexity` and `codebook_usage` (see `CodebookUsage`). The prior is uniform over the
    codebook, as published.

    Args:
        embedding_dim: Length of a codebook vector; must divide `latent_dim`. 1 for scalars, with a
            codebook for each dimension.
        num_embeddings: Scalars per dimension, or vectors in the codebook, >= 2.
        commitment_cost: Factor on the commitment loss, >= 0.
        **network: See `DenseAutoencoder`.

    Raises:
        ValueError: an argument outside its range, or an embedding_dim that does not divide.
    """

    can_sample = True

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        embedding_dim: int = 1,
        num_embeddings: int = 512,
        commitment_cost: float = 1.0,
        seed: int | None = None,
        **network,
    ):
        if check_size("latent_dim", latent_dim) % check_size("embedding_dim", embedding_dim):
            raise ValueError(
                f"embedding_dim must divide the latent_dim {latent_dim}; received {embedding_dim}."
            )
        quantizer = {"seed": seed, "dtype": "float32", "name": "bottleneck"}
        if embedding_dim == 1:
            bottleneck = ScalarQuantizer(num_embeddings, commitment_cost, **quantizer)
        else:
            bottleneck = VectorQuantizer(
                num_embeddings, embedding_dim, commitment_cost, revive_after=100, **quantizer
            )
        super().__init__(image_shape, latent_dim, bottleneck=bottleneck, seed=seed, **network)
        self.embedding_dim = int(embedding_dim)
        self.num_embeddings = num_embeddings
        self.commitment_cost = commitment_cost

    def finish(self) -> None:
        # Here, since Keras takes no further state once a model is built.
        shared = isinstance(self.bottleneck, VectorQuantizer)
        num_codebooks = 1 if shared else self.latent_dim
        self.usage = CodebookUsage(num_codebooks, self.bottleneck.num_embeddings)
        super().finish()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "embedding_dim": self.embedding_dim,
            "num_embeddings": self.num_embeddings,
            "commitment_cost": self.commitment_cost,
        }

    def observe(self, outputs: dict) -> None:
        self.usage.update_state(self.bottleneck.indices(outputs["encoded"]))

    def sample_latents(self, num_samples, seed) -> tf.Tensor:
        indices = tf.random.stateless_uniform(
            (num_samples, self.latent_dim // self.embedding_dim),
            seed,
            maxval=self.num_embeddings,
            dtype=tf.int32,
        )
        return self.bottleneck.lookup(indices)
