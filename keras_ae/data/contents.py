"""The content of data files: `Contents`, and checks shared by all formats."""

from __future__ import annotations

import math
import os
import sys
import warnings
from gzip import GzipFile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from keras_ae.checks import check_images, one_line
from keras_ae.data.image_set import DataError

_MAX_GB = 8.0
_CHUNK_BYTES = 2**20


class Contents(NamedTuple):
    """Images and labels as read from files.

    Attributes:
        images: `(N, H, W)` or `(N, H, W, C)`, uint8 or float32 in [0, 1].
        labels: `(N,)` int64 indices into `class_names`, or None without labels.
        class_names: One name per class; empty without labels.
        test_images: As `images`; None without separate test images.
        test_labels: As `labels`; None where those or the test images are.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    test_images: np.ndarray | None = None
    test_labels: np.ndarray | None = None


def pixels(array: np.ndarray, source: str) -> np.ndarray:
    """Convert an array of images to uint8, or to float32 in [0, 1], and check its shape and range.

    Args:
        array: `(N, H, W)`, `(N, H, W, C)`, or `(N, k * k)` for square images, of bool, whole
            numbers within 0..255, or floats in [0, 1]. A last axis of one channel is dropped.
        source: What to call the array in an error.

    Raises:
        DataError: the array does not hold images.
    """
    if array.dtype.kind not in "biuf":
        raise DataError(f"{source} must hold numbers; received dtype {array.dtype}.")
    if array.size == 0:
        raise DataError(f"{source} holds no images; received the shape {array.shape}.")
    side = round(array.shape[1] ** 0.5) if array.ndim == 2 else 0
    if array.ndim == 2 and side * side == array.shape[1]:
        array = array.reshape(-1, side, side)
    if array.ndim not in (3, 4):
        raise DataError(
            f"{source} must have the shape (N, height, width), (N, height, width, channels), or "
            f"(N, k * k) for square images; received {array.shape}."
        )
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3, 4):
        raise DataError(
            f"{source} must have its channels last, (N, height, width, channels); "
            f"received {array.shape}. Move them with numpy.moveaxis(images, 1, -1)."
        )
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        try:
            return check_images(array, name=source)
        except ValueError as error:
            raise DataError(str(error)) from error
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest > 255:
        raise DataError(
            f"{source} must have pixels from 0 to 255 where they are whole numbers; "
            f"received pixels from {lowest} to {highest}."
        )
    if highest == 1:
        warnings.warn(
            f"{source} holds only the whole numbers 0 and 1, read as nearly black images of "
            "0..255. If it is a binary mask, store it as bool.",
            stacklevel=2,
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def refuse_beyond_limit(num_bytes: int, source: str) -> None:
    """Raise a DataError for images that need more memory than `$KERAS_AE_MAX_GB`, 8 by default."""
    text = os.environ.get("KERAS_AE_MAX_GB", "")
    try:
        limit = float(text or _MAX_GB)
    except ValueError:
        limit = math.nan
    if not limit > 0:
        raise DataError(f"KERAS_AE_MAX_GB must be a number of gigabytes > 0; received {text!r}.")
    if num_bytes > limit * 1e9:
        raise DataError(
            f"{source} is refused: it expands to {num_bytes / 1e9:,.1f} GB, more than the limit of "
            f"{limit:g} GB. Set KERAS_AE_MAX_GB to raise the limit, if this size is right."
        )


def with_class_names(
    source: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    test_images: np.ndarray | None,
    test_labels: np.ndarray | None,
) -> Contents:
    """Check that arrays fit together, and turn labels into indices of sorted class names."""
    images = pixels(images, f"The images of {source}")
    if test_images is not None:
        test_images = pixels(test_images, f"The test images of {source}")
        if test_images.shape[1:] != images.shape[1:]:
            raise DataError(
                f"The test images of {source} must have the shape of the training images, "
                f"{images.shape[1:]}; received {test_images.shape[1:]}."
            )
        if (labels is None) != (test_labels is None):
            raise DataError(
                f"{source} must have labels for both its training and its test images, or for "
                f"neither; the {'training' if labels is None else 'test'} labels are missing."
            )
    if labels is None:
        return Contents(images, test_images=test_images)
    labels = _plain_labels(labels, len(images), f"The labels of {source}")
    if test_images is None or test_labels is None:
        names, indices = np.unique(labels, return_inverse=True)
        return Contents(images, indices.astype(np.int64), tuple(map(str, names.tolist())))
    test_labels = _plain_labels(test_labels, len(test_images), f"The test labels of {source}")
    if labels.dtype.kind != test_labels.dtype.kind:
        raise DataError(
            f"The training and test labels of {source} must be of one kind; "
            f"received {labels.dtype} and {test_labels.dtype}."
        )
    names, indices = np.unique(np.concatenate([labels, test_labels]), return_inverse=True)
    train_indices, test_indices = np.split(indices.astype(np.int64), [len(labels)])
    class_names = tuple(map(str, names.tolist()))
    return Contents(images, train_indices, class_names, test_images, test_indices)


def _plain_labels(labels: np.ndarray, num_images: int, source: str) -> np.ndarray:
    """Labels as int64 or strings, `(num_images,)`."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (num_images,):
        raise DataError(
            f"{source} must be one for each of the {num_images} images, of the shape "
            f"({num_images},); received {labels.shape}."
        )
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{source} are not UTF-8 text: {one_line(error)}.") from error
    if labels.dtype.kind == "U":
        # NumPy would make strings of invalid code points.
        codes = np.ascontiguousarray(labels).view(f"{labels.dtype.str[0]}u4")
        if ((codes > sys.maxunicode) | (codes >> 11 == 0xD800 >> 11)).any():
            raise DataError(f"{source} are not text: they hold code points that are no characters.")
        return labels
    if labels.dtype.kind not in "biuf":
        raise DataError(f"{source} must be whole numbers or text; received dtype {labels.dtype}.")
    whole = labels.dtype.kind != "f" or ((np.abs(labels) < 2**63) & (labels == np.rint(labels)))
    if not np.all(whole):
        raise DataError(
            f"{source} must be whole numbers or text; received fractions, NaN or numbers beyond "
            "64 bits."
        )
    return labels.astype(np.int64)


def read_at_most(file: IO[bytes] | GzipFile, num_bytes: int) -> bytearray:
    """Read up to `num_bytes` in chunks into one buffer.

    The buffer grows with the data read, so a header that claims more costs no memory.
    """
    content = bytearray()
    while chunk := file.read(min(_CHUNK_BYTES, num_bytes - len(content))):
        content += chunk
    return content


def visible_files(folder: Path) -> list[Path]:
    """The files and folders in `folder`, sorted by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
