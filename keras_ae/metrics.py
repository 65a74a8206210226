"""Metrics that a Keras log line can carry."""

from __future__ import annotations

import keras
import tensorflow as tf


class CodebookUsage(keras.metrics.Metric):
    """How much of its codebooks a quantised code uses, over all images since the last reset.

    `result()` is a dict: `perplexity`, the exponential of the entropy of a dimension's code
    frequencies, between 1 and num_embeddings, averaged over the dimensions; `codebook_usage`, the
    share of scalars chosen at least once, in [0, 1].

    Args:
        num_dims: Codebooks, one for each latent dimension.
        num_embeddings: Scalars in each.
    """

    def __init__(self, num_dims: int, num_embeddings: int, name: str = "usage", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_embeddings = num_embeddings
        self.counts = self.add_variable(
            (num_dims, num_embeddings), initializer="zeros", name="counts"
        )

    def update_state(self, indices) -> None:
        """Counts chosen indices, int32 `(batch, num_dims)`."""
        num_dims = self.counts.shape[0]
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
