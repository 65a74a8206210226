"""Images in memory for multi-step execution, and the order of the images in each epoch."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.training.arguments import num_items


def epoch_order(num_images: int, seed: int, epoch: int) -> tf.Tensor:
    """The order of the images in one epoch: a permutation that depends on (seed, epoch) only."""
    return tf.random.experimental.stateless_shuffle(  # pyright: ignore[reportAttributeAccessIssue]
        tf.range(num_images), seed=[seed % 2**31, epoch]
    )


class MemoryFeed:
    """Images in memory and the current position in an epoch, in steps.

    `completed` counts the steps already run, `requested` those that Keras has requested. The
    second is smaller when an interrupted epoch is resumed.

    Args:
        images: Inputs, `(N, ...)`, or a nested structure of such arrays.
        targets: Targets of the same shape, or None where they are the inputs.
        sample_weight: Shape `(N,)`, or None.
        batch_size: Images per step; the last step of an epoch takes the rest.
        seed: Seed of the epochs' orders; None keeps the stored order.
    """

    def __init__(self, images, targets, sample_weight, batch_size: int, seed: int | None):
        targets = None if targets is images else targets
        self.data: tuple[Any, ...] = tuple(
            None if part is None else tf.nest.map_structure(tf.convert_to_tensor, part)
            for part in (images, targets, sample_weight)
        )
        self.num_images = num_items(images)
        self.batch_size = batch_size
        self.seed = seed
        self.num_full = self.num_images // batch_size
        self.num_steps = -(-self.num_images // batch_size)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Start an epoch."""
        if self.seed is None:
            order = tf.range(self.num_images)
        else:
            order = epoch_order(self.num_images, self.seed, epoch)
        cut = self.num_full * self.batch_size
        self.batches = tf.reshape(order[:cut], (self.num_full, self.batch_size))
        self.last_batch = order[cut:]
        self.completed = self.requested = 0

    def placeholder(self) -> tf.data.Dataset:
        """A dataset for Keras to count steps with; the steps themselves read `data`."""
        return tf.data.Dataset.from_tensors(0).repeat()


class EpochClock(keras.callbacks.Callback):
    """Callback: tell the feed which epoch begins, also after a callback moved the first one."""

    def __init__(self, feed: MemoryFeed):
        super().__init__()
        self.feed = feed

    def on_epoch_begin(self, epoch, logs=None):
        self.feed.begin(epoch)


def needs_every_batch(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback must be called after each batch rather than after each compiled call.

    A callback opts out with an attribute `every_batch` of False.
    """
    kind = type(callback)
    if not getattr(callback, "every_batch", True):
        return False
    if getattr(callback, "save_freq", None) == "epoch":
        return False
    if getattr(callback, "update_freq", None) == "epoch" and not getattr(
        callback, "_should_trace", False
    ):
        return False
    if kind.__module__.startswith("keras.") and kind.__name__ in {
        "ProgbarLogger",
        "TerminateOnNaN",
    }:
        return False
    base = keras.callbacks.Callback
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    return any(
        getattr(callback, hook, None) is not None
        and getattr(getattr(callback, hook), "__func__", None) is not getattr(base, hook)
        for hook in hooks
    )
