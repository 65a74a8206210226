"""Images in memory or on disk for multi-step execution, and the order of the images in an epoch.

`StoredImages` that have bytes are fed as bytes; `as_floats` makes floats of them within a step.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.stored_images import PART_BYTES, StoredImages, as_float, bytes_or_floats
from keras_ae.training.arguments import num_items


def epoch_order(num_images: int, seed: int, epoch: int) -> tf.Tensor:
    """The order of the images in one epoch: a permutation that depends on (seed, epoch) only."""
    return tf.random.experimental.stateless_shuffle(  # pyright: ignore[reportAttributeAccessIssue]
        tf.range(num_images), seed=[seed % 2**31, epoch]
    )


_ALIGNMENT = 64  # bytes, of a tensor's memory
_FLOATS = as_float(np.arange(256, dtype=np.uint8))


def as_floats(part: tf.Tensor) -> tf.Tensor:
    """Bytes as float32 in [0, 1]; other tensors as they are.

    A table, because XLA would replace the division by a multiplication, which rounds differently.
    """
    return tf.gather(_FLOATS, tf.cast(part, tf.int32)) if part.dtype == tf.uint8 else part


def stored_tensor(images: StoredImages) -> tf.Tensor:
    """All images as one tensor, uint8 or float32, without a second copy in between."""
    first = bytes_or_floats(images, slice(0, 1))
    num_bytes = len(images) * first.nbytes
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array = memory[start : start + num_bytes].view(first.dtype).reshape(images.shape)
    for part in images.parts():
        array[part] = bytes_or_floats(images, part)
    if tf.config.list_physical_devices("GPU"):
        return tf.convert_to_tensor(array)
    # tf.convert_to_tensor would take twice the memory of the array.
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


class MemoryFeed:
    """Images in memory and the current position in an epoch, in steps.

    `completed` counts the steps already run, `requested` those that Keras has requested. The
    second is smaller when an interrupted epoch is resumed.

    Args:
        images: Inputs, `(N, ...)`, or a nested structure of such arrays; `StoredImages` in memory
            among them become tensors of bytes where they have bytes.
        targets: Targets of the same shape, or None where they are the inputs.
        sample_weight: Shape `(N,)`, or None.
        batch_size: Images per step; the last step of an epoch takes the rest.
        seed: Seed of the epochs' orders; None keeps the stored order.
    """

    def __init__(self, images, targets, sample_weight, batch_size: int, seed: int | None):
        targets = None if targets is images else targets
        self.data = self._loaded((images, targets, sample_weight))
        self.num_images = num_items(images)
        self.batch_size = batch_size
        self.seed = seed
        self.num_full = self.num_images // batch_size
        self.num_steps = -(-self.num_images // batch_size)
        self.begin(0)

    def _loaded(self, parts: tuple) -> tuple:
        return on_arrays(
            lambda part: (
                stored_tensor(part)
                if isinstance(part, StoredImages)
                else tf.convert_to_tensor(part)
            ),
            parts,
        )

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

    def most_steps_per_call(self) -> int:
        """The most steps whose images one compiled call can have."""
        return self.num_steps

    def full_steps(self, start: int, stop: int) -> tuple:
        """The arguments of a compiled call that runs the steps from `start` to `stop`.

        They are the data, the indices of each step's images in them, and which of those steps.
        """
        return self.data, self.batches, tf.constant(start), tf.constant(stop)

    def last_step(self) -> tuple:
        """The data and the indices of the images of the short last step."""
        return self.data, self.last_batch

    def close(self) -> None:
        """Called after the training."""

    def placeholder(self) -> tf.data.Dataset:
        """A dataset for Keras to count steps with; the steps themselves read `data`."""
        return tf.data.Dataset.from_tensors(0).repeat()


class DiskFeed(MemoryFeed):
    """Images that stay on disk, in the same order as those of a `MemoryFeed`.

    A compiled call gets a window: the images of its steps alone, at most 64 MiB. The next window is
    read while a call runs.

    Args:
        images, targets, sample_weight, batch_size, seed: As in `MemoryFeed`; `StoredImages` among
            them are read in parts.
    """

    def __init__(self, images, targets, sample_weight, batch_size: int, seed: int | None):
        self._reader = ThreadPoolExecutor(1)
        self._next: tuple[tuple[int, int], Future] | None = None
        self._window_steps = 0
        super().__init__(images, targets, sample_weight, batch_size, seed)

    def _loaded(self, parts: tuple) -> tuple:
        return parts

    def begin(self, epoch: int) -> None:
        super().begin(epoch)
        self._next = None
        self._order = np.concatenate([np.ravel(self.batches), np.ravel(self.last_batch)])

    def most_steps_per_call(self) -> int:
        stored = [part for part in tf.nest.flatten(self.data) if isinstance(part, StoredImages)]
        step_bytes = self.batch_size * sum(
            bytes_or_floats(part, slice(1)).nbytes for part in stored
        )
        return max(1, min(self.num_steps, PART_BYTES // step_bytes))

    def full_steps(self, start: int, stop: int) -> tuple:
        # All windows have one shape, so that one compiled function serves them.
        self._window_steps = max(self._window_steps, stop - start)
        if self._next is None or self._next[0] != (start, stop):
            self._read_ahead(start, stop)
        assert self._next
        window = self._next[1].result()
        if stop < self.num_full:
            self._read_ahead(stop, min(stop + self._window_steps, self.num_full))
        indices = tf.range(self._window_steps * self.batch_size)
        batches = tf.reshape(indices, (self._window_steps, self.batch_size))
        data = on_arrays(tf.convert_to_tensor, window)
        return data, batches, tf.constant(0), tf.constant(stop - start)

    def last_step(self) -> tuple:
        rest = self._order[self.num_full * self.batch_size :]
        data = on_arrays(lambda part: tf.convert_to_tensor(bytes_or_floats(part, rest)), self.data)
        return data, tf.range(len(rest))

    def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)

    def _read_ahead(self, start: int, stop: int) -> None:
        rows = self._order[start * self.batch_size : stop * self.batch_size]
        length = self._window_steps * self.batch_size

        def padded(part: Any) -> np.ndarray:
            read = bytes_or_floats(part, rows)
            window = np.zeros((length, *part.shape[1:]), read.dtype)
            window[: len(rows)] = read
            return window

        self._next = (start, stop), self._reader.submit(on_arrays, padded, self.data)


def feed_of(
    images: Any, targets: Any, sample_weight: Any, batch_size: int, seed: int | None
) -> MemoryFeed:
    """A `DiskFeed` where any of the images stay on disk, else a `MemoryFeed`."""
    parts = tf.nest.flatten((images, targets))
    on_disk = any(isinstance(part, StoredImages) and part.on_disk for part in parts)
    return (DiskFeed if on_disk else MemoryFeed)(images, targets, sample_weight, batch_size, seed)


def stored_batches(parts: tuple, batch_size: int) -> tf.data.Dataset:
    """Batches in order of inputs, targets and weights, some of which stay on disk.

    Args:
        parts: Inputs, and targets and weights where there are any.
        batch_size: Images per batch; the last one has the rest.
    """
    num_images = num_items(parts)
    structure = on_arrays(lambda part: part[:1], parts)
    kinds = [tf.as_dtype(part.dtype) for part in tf.nest.flatten(structure)]

    def read(start: np.ndarray) -> list[np.ndarray]:
        rows = slice(int(start), min(int(start) + batch_size, num_images))
        return tf.nest.flatten(on_arrays(lambda part: part[rows], parts))

    def batch(start: tf.Tensor) -> Any:
        tensors = tf.numpy_function(read, [start], kinds, stateful=False)
        for tensor, part in zip(tensors, tf.nest.flatten(structure), strict=True):
            tensor.set_shape((None, *part.shape[1:]))
        return tf.nest.pack_sequence_as(structure, tensors)

    starts = tf.data.Dataset.range(0, num_images, batch_size)
    return starts.map(batch, num_parallel_calls=1).prefetch(2)


def on_arrays(function: Any, parts: tuple) -> tuple:
    """`function` of each array in a tuple of nested structures; None stays None."""
    return tuple(None if part is None else tf.nest.map_structure(function, part) for part in parts)


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
