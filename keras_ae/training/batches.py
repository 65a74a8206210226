"""Shuffled batches for small networks that are trained with plain Keras."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def default_batch_size(num_items: int) -> int:
    """256 from 10,000 items on; 64, or all items where there are fewer, below that."""
    return 256 if num_items >= 10_000 else min(64, num_items)


def shuffled_batches(
    inputs: np.ndarray, targets: np.ndarray, batch_size: int, num_steps: int, *, seed: int
) -> tf.data.Dataset:
    """`num_steps` full batches, taken from one shuffled pass over the data after another.

    Args:
        inputs, targets: Arrays of one length N.
        batch_size: At most N.
        num_steps: Number of batches in total.
        seed: The batches depend on it alone, not on TensorFlow's global seed.
    """
    random = np.random.default_rng(seed)
    num_batches = len(inputs) // batch_size
    orders = [
        random.permutation(len(inputs))[: num_batches * batch_size].reshape(num_batches, batch_size)
        for _ in range(-(-num_steps // num_batches))
    ]
    indices = np.concatenate(orders)[:num_steps]
    tensors = tf.constant(inputs), tf.constant(targets)
    return (
        tf.data.Dataset.from_tensor_slices(indices)
        .map(lambda chosen: tuple(tf.gather(tensor, chosen) for tensor in tensors))
        .prefetch(2)
    )
