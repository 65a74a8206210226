"""Data that arrives in batches: tf.data, PyDataset, generators, PyTorch's DataLoader.

Every batch is checked before the model sees it. Arrays are checked once, in `trainer.py`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import ROUNDING, pixel_problem

# Marks an assertion of ours in the message of a TensorFlow error.
_PIXELS = "keras_ae pixels"
_MESSAGE = "keras_ae message"


def is_source(data: Any) -> bool:
    """Whether data arrives in batches that can be checked one by one."""
    return (
        isinstance(data, (tf.data.Dataset, keras.utils.PyDataset))
        or hasattr(data, "__next__")
        or _is_data_loader(data)
    )


def _is_data_loader(data: Any) -> bool:
    return any(
        kind.__module__.startswith("torch.utils.data") and kind.__name__ == "DataLoader"
        for kind in type(data).__mro__
    )


def num_batches(source: Any) -> int | None:
    """The number of batches of a source; None where it is unknown or infinite.

    Raises:
        ValueError: a DataLoader without a length.
    """
    if isinstance(source, tf.data.Dataset):
        number = int(source.cardinality())
        return number if number > 0 else None
    if isinstance(source, keras.utils.PyDataset):
        return source.num_batches
    return _length(source) if _is_data_loader(source) else None


def _length(loader: Any) -> int:
    try:
        return len(loader)
    except TypeError as error:
        raise ValueError(
            "A DataLoader must have a length; received one of an IterableDataset. Pass a generator "
            "of its batches, with steps_per_epoch."
        ) from error


def batches_of(source: Any) -> Iterator[Any]:
    """The batches of a source, once, as NumPy arrays.

    Raises:
        ValueError: the source has no batches.
    """
    batches: Any = source
    if isinstance(source, keras.utils.PyDataset):
        batches = (source[index] for index in range(num_batches(source) or 0))
    empty = True
    for batch in batches:
        empty = False
        yield as_arrays(batch)
    if empty:
        raise ValueError(f"A {type(source).__name__} must have batches of images; it has none.")


def as_arrays(batch: Any) -> Any:
    """Tensors of TensorFlow and PyTorch as NumPy arrays, also within dicts and tuples."""
    if isinstance(batch, dict):
        return {name: as_arrays(part) for name, part in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(map(as_arrays, batch))
    detach = getattr(batch, "detach", None)  # of a PyTorch tensor
    if detach is not None:
        batch = detach().cpu()
    return None if batch is None else np.asarray(batch)


def checked(source: Any, check: Callable[[Any], tuple], guard: Callable[..., Any]) -> Any:
    """A source of the same batches that checks each of them.

    The first batch of a dataset is read twice, the first time for a clearer error.

    Args:
        source: Where `is_source`.
        check: Takes a batch of arrays and returns it ready for Keras; ValueError if it cannot be
            used.
        guard: The same for the tensors of a `tf.data.Dataset`, within its graph.
    """
    if isinstance(source, tf.data.Dataset):
        for batch in source.take(1):  # its errors say more than those of the graph
            check(as_arrays(batch))
        return source.map(guard, num_parallel_calls=tf.data.AUTOTUNE)
    if isinstance(source, keras.utils.PyDataset):
        return _CheckedPyDataset(source, check)
    if _is_data_loader(source):
        return _CheckedDataLoader(source, check)
    return (check(as_arrays(batch)) for batch in source)


class _CheckedPyDataset(keras.utils.PyDataset):
    """A PyDataset whose batches are checked."""

    def __init__(self, source: keras.utils.PyDataset, check: Callable):
        super().__init__(
            workers=source.workers,
            use_multiprocessing=source.use_multiprocessing,
            max_queue_size=source.max_queue_size,
        )
        self._source, self._check = source, check

    def __getitem__(self, index: int) -> tuple:
        return self._check(as_arrays(self._source[index]))

    @property
    def num_batches(self) -> int | None:
        return self._source.num_batches

    def on_epoch_begin(self) -> None:
        self._source.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._source.on_epoch_end()


class _CheckedDataLoader(keras.utils.PyDataset):
    """A PyTorch DataLoader whose batches are checked, read in its own order."""

    def __init__(self, source: Any, check: Callable):
        super().__init__()
        self._source, self._check = source, check
        self._batches: Iterator = iter(())

    def __getitem__(self, index: int) -> tuple:
        if index == 0:
            self._batches = iter(self._source)
        return self._check(as_arrays(next(self._batches)))

    @property
    def num_batches(self) -> int | None:
        return _length(self._source)


# ---- assertions within a graph ----


def assert_pixels(images: Any, pixel_range: tuple[float, float]) -> tf.Operation | None:
    """Assert that all pixels are in `pixel_range`; `plain_errors` words the error."""
    pixels = tf.cast(images, tf.float32)
    lowest, highest = tf.reduce_min(pixels), tf.reduce_max(pixels)
    inside = (lowest >= pixel_range[0] - ROUNDING) & (highest <= pixel_range[1] + ROUNDING)
    return tf.debugging.Assert(inside, [_PIXELS, lowest, highest])


def assert_message(condition: Any, message: str) -> tf.Operation | None:
    """Assert that a condition holds; `plain_errors` raises a ValueError with the message."""
    return tf.debugging.Assert(condition, [_MESSAGE, message])


@contextlib.contextmanager
def plain_errors(pixel_range: tuple[float, float]) -> Iterator[None]:
    """Turn a failed assertion of this module into a ValueError of one line."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if found := re.search(rf"\[{_PIXELS}\] \[(\S+?)\] \[(\S+?)\]", str(error)):
            lowest, highest = map(float, found.groups())
            problem = pixel_problem("images", lowest, highest, pixel_range)
            raise ValueError(problem or f"images {found.group(0)}") from None
        if found := re.search(rf"\[{_MESSAGE}\] \[(.*?)\]\s", f"{error}\n"):
            raise ValueError(found.group(1)) from None
        raise
