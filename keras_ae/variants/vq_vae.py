"""The vector-quantized autoencoder with dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ae.checks import check_size
from keras_ae.layers import ScalarQuantizer, VectorQuantizer
from keras_ae.metrics import CodebookUsage
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant
from keras_ae.variants.settings import layer_setting, layer_value


@variant
class VQVAE(DenseAutoencoder):
    """Vector-quantized autoencoder (VQ-VAE) with dense layers: a discrete code.

    Each of the `latent_dim` coordinates is one of `num_embeddings` scalars, with a codebook for
    each dimension, as in the autoencoder bake-off. With `embedding_dim` > 1 the code is cut into
    `latent_dim / embedding_dim` vectors, which share one codebook of `num_embeddings` vectors, as
    in van den Oord et al. (arXiv 1711.00937); vectors unused for 100 training steps are replaced
    (see `VectorQuantizer`).

    Logs `perplexity` and `codebook_usage` (see `CodebookUsage`). `sample` draws codes uniformly
    from the codebook, as published.

    Args:
        embedding_dim: Length of a codebook vector, >= 1; must divide `latent_dim`. 1 for scalars,
            with a codebook for each dimension.
        num_embeddings: Scalars per dimension, or vectors in the codebook, >= 2.
        commitment_cost: Weight of the commitment loss, >= 0. Can be set later.

    Raises:
        ValueError: an argument outside its range, or `embedding_dim` does not divide `latent_dim`.
        TypeError: an unknown argument.
    """

    can_sample = True

    commitment_cost = layer_setting(
        "bottleneck.commitment_cost", "Weight of the commitment loss, >= 0."
    )
    num_embeddings = layer_value(
        "bottleneck.num_embeddings", "Scalars per dimension, or vectors in the codebook."
    )

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        embedding_dim: int = 1,
        num_embeddings: int = 512,
        commitment_cost: float = 1.0,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        if check_size("latent_dim", latent_dim) % check_size("embedding_dim", embedding_dim):
            raise ValueError(
                f"embedding_dim must divide the latent_dim {latent_dim}; received {embedding_dim}."
            )
        quantizer: dict[str, Any] = {"seed": seed, "dtype": "float32", "name": "bottleneck"}
        if embedding_dim == 1:
            bottleneck = ScalarQuantizer(num_embeddings, commitment_cost, **quantizer)
        else:
            bottleneck = VectorQuantizer(
                num_embeddings, embedding_dim, commitment_cost, revive_after=100, **quantizer
            )
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
        self.embedding_dim = int(embedding_dim)
        self._build(bottleneck=bottleneck)

    def _finalize(self) -> None:
        # Here, since Keras takes no further state once a model is built.
        num_codebooks = self.latent_dim if self.embedding_dim == 1 else 1
        self._usage = CodebookUsage(num_codebooks, self.num_embeddings)
        super()._finalize()

    @property
    def code_size(self) -> int:
        return super().code_size // self.embedding_dim

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "embedding_dim": self.embedding_dim,
            "num_embeddings": self.num_embeddings,
            "commitment_cost": self.commitment_cost,
        }

    @property
    def scalar_codebooks(self) -> np.ndarray | None:
        if self.embedding_dim > 1:
            return None
        return np.asarray(self.bottleneck.embeddings.numpy())

    def _update_metrics(self, outputs: dict) -> None:
        self._usage.update_state(self.bottleneck.indices(outputs["encoded"]))

    def _sample_latents(self, num_samples, seed) -> tf.Tensor:
        indices = tf.random.stateless_uniform(
            (num_samples, self.latent_dim // self.embedding_dim),
            seed,
            maxval=self.num_embeddings,
            dtype=tf.int32,
        )
        return self.bottleneck.lookup(indices)
