"""Shared code of both quantizers: nearest search, losses and codebook statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ae.metrics import CodebookUsage

CODES_PER_CALL = 2000


def first_smallest(distances: Any) -> tf.Tensor:
    """The index of the smallest number along the last axis, int32; ties go to the first index.

    Two reductions take a third of the time of an argmin in a compiled step.
    """
    smallest = tf.reduce_min(distances, axis=-1, keepdims=True)
    last = distances.shape[-1] - 1  # the index where all distances are NaN
    return tf.reduce_min(tf.where(distances == smallest, tf.range(last + 1), last), axis=-1)


def squared_error(one: Any, other: Any) -> tf.Tensor:
    """The squared difference summed over all axes but the batch: `(batch,)`."""
    return tf.reduce_sum(tf.square(one - other), axis=list(range(1, one.shape.rank)))


def codebook_statistics(quantizer: Any, encoded: Any, num_codebooks: int) -> dict[str, float]:
    """`perplexity` and `codes_used` (see `CodebookUsage`) of the codes of N images."""
    usage = CodebookUsage(num_codebooks, quantizer.num_embeddings)
    encoded = np.asarray(encoded)
    for start in range(0, len(encoded), CODES_PER_CALL):
        usage.update_state(quantizer.indices(encoded[start : start + CODES_PER_CALL]))
    result = usage.result()
    return {
        "perplexity": float(result["perplexity"]),
        "codes_used": float(result["codebook_usage"]),
    }
