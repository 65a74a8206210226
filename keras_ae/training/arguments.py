"""Arguments of `fit` and `evaluate`: what kind of input it is, and checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_size
from keras_ae.stored_images import StoredImages, selected

BATCH_SIZE = 256


def is_array(x: Any) -> bool:
    """Whether the inputs are in memory: an array or a dict of arrays."""
    if isinstance(x, dict):
        return any(map(is_array, x.values()))
    return isinstance(x, (np.ndarray, tf.Tensor, list)) or hasattr(x, "__array__")


def is_stored(inputs: Any) -> bool:
    """Whether images, or a part of a nested structure, are `StoredImages`."""
    return any(isinstance(part, StoredImages) for part in tf.nest.flatten(inputs))


def num_items(inputs: Any) -> int:
    """The length of an array, or of the arrays in a nested structure."""
    return len(tf.nest.flatten(inputs)[0])


def check_batch_size(batch_size: int | None, num_images: int) -> int:
    """`batch_size` as an int, 256 for None; at most the number of images.

    Raises:
        ValueError: it is not a whole number >= 1.
    """
    if batch_size is None:
        batch_size = BATCH_SIZE
    return min(check_size("batch_size", batch_size), num_images)


def check_sample_weight(sample_weight: Any, num_images: int) -> np.ndarray | None:
    """`sample_weight` as float32 of the shape `(num_images,)`; None stays None.

    Raises:
        ValueError: another shape, or a weight that is NaN or infinite.
    """
    if sample_weight is None:
        return None
    sample_weight = np.asarray(sample_weight, dtype=np.float32)
    if sample_weight.shape != (num_images,) or not np.isfinite(sample_weight).all():
        raise ValueError(
            f"sample_weight must have the shape ({num_images},), one finite weight for each image; "
            f"received {sample_weight.shape}."
        )
    return sample_weight


def prepend_callbacks(first: list[keras.callbacks.Callback], callbacks: Any) -> Any:
    """The callbacks given to `fit` with `first` before them: a list or a CallbackList."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        for callback in first:
            callbacks.append(callback)  # pyright: ignore[reportAttributeAccessIssue]
        return callbacks
    given = callbacks if isinstance(callbacks, Iterable) else [callbacks]
    return [*first, *(callback for callback in given if callback is not None)]


def split_validation(arrays: tuple, fraction: float) -> tuple[tuple, tuple]:
    """Split off the last `fraction` of each array, as Keras's `validation_split` does.

    Args:
        arrays: Arrays, nested structures of arrays, or None, all of one length.
        fraction: Between 0 and 1, exclusive.

    Returns:
        The first and the last part of each.

    Raises:
        ValueError: `fraction` is out of range or leaves an empty part.
    """
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"validation_split must be between 0 and 1; received {fraction!r}.")
    num_images = num_items(arrays[0])
    num = int(np.floor(num_images * (1.0 - fraction)))
    if num == 0 or num == num_images:
        raise ValueError(
            f"validation_split={fraction} of {num_images} images leaves an empty part; use more "
            "images or another fraction."
        )

    def part(where: slice) -> tuple:
        return tuple(
            None
            if array is None
            else tf.nest.map_structure(lambda each: selected(each, where), array)
            for array in arrays
        )

    return part(slice(None, num)), part(slice(num, None))
