"""Keras metrics of latent codes: codebook usage and active units."""

from __future__ import annotations

import keras
import tensorflow as tf


class CodebookUsage(keras.metrics.Metric):
    """Codebook usage of a quantized code, over all images since the last reset.

    `result()` is a dict of two scalars, both averaged over the codebooks:

    - `perplexity`: the exponential of the entropy of the code frequencies, between 1 and
      num_embeddings.
    - `codebook_usage`: the share of the codebook that was chosen at least once, in [0, 1].

    Args:
        num_dims: Number of codebooks: one for each latent dimension, or 1 for a shared one.
        num_embeddings: Scalars or vectors in each codebook.
    """

    def __init__(self, num_dims: int, num_embeddings: int, name: str = "usage", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_embeddings = num_embeddings
        self.counts = self.add_variable(
            (num_dims, num_embeddings), initializer="zeros", name="counts"
        )

    def update_state(self, indices) -> None:
        """Count chosen indices, int32 `(batch, num_dims)`; of any shape with one codebook."""
        num_dims = self.counts.shape[0]
        indices = tf.reshape(indices, (-1, num_dims))
        flat = tf.reshape(indices + tf.range(num_dims) * self.num_embeddings, [-1])
        counts = tf.math.unsorted_segment_sum(
            tf.ones_like(flat, tf.float32), flat, num_dims * self.num_embeddings
        )
        self.counts.assign_add(tf.reshape(counts, self.counts.shape))

    def result(self) -> dict:
        counts = tf.convert_to_tensor(self.counts)
        share = tf.math.divide_no_nan(counts, tf.reduce_sum(counts, axis=1, keepdims=True))
        entropy = -tf.reduce_sum(tf.math.xlogy(share, share), axis=1)
        return {
            "perplexity": tf.reduce_mean(tf.exp(entropy)),
            "codebook_usage": tf.reduce_mean(tf.cast(counts > 0.0, tf.float32)),
        }


class ActiveUnits(keras.metrics.Metric):
    """Number of active units of a Gaussian code, over all images since the last reset.

    A unit is active if the variance of its posterior mean over the images exceeds `threshold`
    (Burda et al., arXiv 1509.00519, section 5.2). `result()` is a scalar. 0 means posterior
    collapse.

    Args:
        latent_dim: Units of the code.
        threshold: Smallest variance of an active unit, >= 0, in squared units of the code.
    """

    def __init__(
        self, latent_dim: int, threshold: float = 0.01, name: str = "active_units", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.threshold = threshold
        # Sums, which tf.distribute adds over the replicas.
        self.num_images = self.add_variable((), initializer="zeros", name="num_images")
        self.sums = self.add_variable((latent_dim,), initializer="zeros", name="sums")
        self.squares = self.add_variable((latent_dim,), initializer="zeros", name="squares")

    def update_state(self, z_mean) -> None:
        """Add the posterior means of a batch, `(batch, latent_dim)`."""
        z_mean = tf.cast(z_mean, self.sums.dtype)
        self.num_images.assign_add(tf.cast(tf.shape(z_mean)[0], self.num_images.dtype))
        self.sums.assign_add(tf.reduce_sum(z_mean, axis=0))
        self.squares.assign_add(tf.reduce_sum(tf.square(z_mean), axis=0))

    def result(self):
        num_images = tf.convert_to_tensor(self.num_images)
        mean = tf.math.divide_no_nan(tf.convert_to_tensor(self.sums), num_images)
        square = tf.math.divide_no_nan(tf.convert_to_tensor(self.squares), num_images)
        active = square - tf.square(mean) > self.threshold
        return tf.reduce_sum(tf.cast(active, tf.float32))
