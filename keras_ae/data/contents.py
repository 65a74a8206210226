"""The content of data files: `Contents`, and checks shared by all formats."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from gzip import GzipFile
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from keras_ae.checks import check_images, one_line, usual_range
from keras_ae.data.image_set import DataError

_MAX_GB = 8.0
_CHUNK_BYTES = 2**20


class Contents(NamedTuple):
    """Images and labels as read from files.

    Attributes:
        images: `(N, H, W)` or `(N, H, W, C)`, uint8 or float32 in [0, 1], or `StoredImages`.
        labels: `(N,)` int64 indices into `class_names`, or None without labels.
        class_names: One name per class; empty without labels.
        test_images: As `images`; None without separate test images.
        test_labels: As `labels`; None where those or the test images are.
        validation_images: As `images`; None without separate validation images.
        validation_labels: As `labels`; None where those or the validation images are.
        notices: One line for each thing that the user should know.
        test_masks: `(N, H, W)` bool, where a test image is anomalous; None without masks.
        names, test_names, validation_names: `(N,)` str: the path of each image relative to the
            folder; None for images from arrays.
    """

    images: Any
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    test_images: Any = None
    test_labels: np.ndarray | None = None
    validation_images: Any = None
    validation_labels: np.ndarray | None = None
    notices: tuple[str, ...] = ()
    test_masks: np.ndarray | None = None
    names: np.ndarray | None = None
    test_names: np.ndarray | None = None
    validation_names: np.ndarray | None = None


class Pixels(NamedTuple):
    """What `pixels` returns: the images of each array, in order, and notices."""

    images: list[np.ndarray]
    notices: tuple[str, ...] = ()


class Part(NamedTuple):
    """Images and labels (or None) of one part of a data set, as a file holds them."""

    images: np.ndarray
    labels: np.ndarray | None = None


def pixels(arrays: Mapping[str, np.ndarray]) -> Pixels:
    """Convert arrays of images to uint8, or to float32 in [0, 1], and check shapes and ranges.

    Floats in [-1, 1] or from 0 to 255 are scaled, by the range of all arrays together, and a notice
    says so.

    Args:
        arrays: By what to call each in an error: `(N, H, W)`, `(N, H, W, C)` with 1, 3 or 4
            channels, or `(N, k * k)` for square images, of bool, whole numbers within 0..255, or
            floats. A last axis of one channel is dropped.

    Raises:
        DataError: an array does not hold images.
    """
    shaped = {source: with_image_axes(array, source) for source, array in arrays.items()}
    floats = {source: array for source, array in shaped.items() if array.dtype.kind == "f"}
    rescale, notice = _rescaling(floats)
    images = []
    for source, array in shaped.items():
        if source in floats:
            array = rescale(array)
            try:
                images.append(check_images(array, name=source))
            except ValueError as error:
                raise DataError(str(error)) from error
        else:
            images.append(_whole_numbers(array, source))
    return Pixels(images, (notice,) if notice else ())


def converter(
    source: str, dtype: np.dtype, lowest: float, highest: float
) -> tuple[Callable[[np.ndarray], np.ndarray], str | None]:
    """How `pixels` converts an array that is read in parts, from its smallest and largest value.

    Returns:
        The function that converts a part with image axes, and a notice or None.

    Raises:
        DataError: an array with these values does not hold images.
    """
    extremes = np.array([[[lowest, highest]]], dtype)
    _, notices = pixels({source: extremes})
    if dtype.kind == "f":
        rescale, _ = _rescaling({source: extremes})
        notice = notices[0] if notices else None
        return lambda part: np.clip(rescale(part), 0, 1).astype(np.float32), notice
    if dtype.kind == "b":
        return lambda part: part.astype(np.uint8) * np.uint8(255), None
    return lambda part: np.ascontiguousarray(part, np.uint8), None


def with_image_axes(array: np.ndarray, source: str) -> np.ndarray:
    """An array with the shape `(N, H, W)` or `(N, H, W, C)`."""
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
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4):
        if array.shape[1] in (1, 3):
            raise DataError(
                f"{source} must have its channels last, (N, height, width, channels); "
                f"received {array.shape}. Move them with numpy.moveaxis(images, 1, -1)."
            )
        raise DataError(
            f"{source} must have 1 channel (gray), 3 (red, green, blue) or 4 (with transparency); "
            f"received {array.shape[3]}. Choose channels, such as images[..., :1]."
        )
    return array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array


def _whole_numbers(array: np.ndarray, source: str) -> np.ndarray:
    """Bools and whole numbers as uint8."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest > 255:
        advice = ""
        if lowest >= 0 and highest < 2**16:
            advice = ' For 16 bits use (images // 257).astype("uint8").'
        raise DataError(
            f"{source} must have pixels from 0 to 255 where they are whole numbers; "
            f"received pixels from {lowest} to {highest}.{advice}"
        )
    if highest == 1:
        warnings.warn(
            f"{source} holds only the whole numbers 0 and 1, read as nearly black images of "
            "0..255. If it is a binary mask, store it as bool.",
            stacklevel=2,
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def _rescaling(
    floats: Mapping[str, np.ndarray],
) -> tuple[Callable[[np.ndarray], np.ndarray], str | None]:
    """The function that scales floats of a usual range to [0, 1], and the notice about it.

    One function for all arrays of a data set: the test images alone may have a smaller range.
    """
    if floats:
        lowest = min(float(array.min()) for array in floats.values())
        highest = max(float(array.max()) for array in floats.values())
        named = f"{next(iter(floats))}: floats from {lowest:g} to {highest:g}"
        kind = usual_range(lowest, highest)
        if kind == (-1.0, 1.0):
            notice = f"{named}, taken as [-1, 1] and scaled to [0, 1] by (x + 1) / 2"
            return lambda array: (np.asarray(array, np.float32) + 1) / 2, notice
        if kind == (0.0, 255.0):
            notice = f"{named}, taken as 0..255 and divided by 255"
            return lambda array: np.asarray(array, np.float32) / 255, notice
    return lambda array: array, None


def printable(name: str) -> str:
    """A file name that can be printed and stored, also one that is not valid UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


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


def with_class_names(source: str, parts: Mapping[str, Part]) -> Contents:
    """Check that arrays fit together, and turn labels into indices of sorted class names.

    Args:
        source: The file or folder, for errors.
        parts: "training" and, where there are any, "validation" and "test" images with labels.

    Raises:
        DataError: an array is none of images or labels, or they do not fit together.
    """
    titles = {part: "" if part == "training" else f"{part} " for part in parts}
    converted = pixels(
        {f"The {titles[part]}images of {source}": each.images for part, each in parts.items()}
    )
    images = dict(zip(parts, converted.images, strict=True))
    labels: dict[str, np.ndarray] = {}
    for part, each in parts.items():
        if images[part].shape[1:] != images["training"].shape[1:]:
            raise DataError(
                f"The {part} images of {source} must have the shape of the training images, "
                f"{images['training'].shape[1:]}; received {images[part].shape[1:]}."
            )
        if (each.labels is None) != (parts["training"].labels is None):
            missing = part if each.labels is None else "training"
            raise DataError(
                f"{source} must have labels for both its training and its {part} images, or for "
                f"neither; the {missing} labels are missing."
            )
        if each.labels is not None:
            title = f"The {titles[part]}labels of {source}"
            labels[part] = _plain_labels(each.labels, len(images[part]), title)
    names: tuple[str, ...] = ()
    indices: dict[str, np.ndarray] = {}
    if labels:
        for part, each in labels.items():
            if each.dtype.kind != labels["training"].dtype.kind:
                raise DataError(
                    f"The training and {part} labels of {source} must be of one kind; "
                    f"received {labels['training'].dtype} and {each.dtype}."
                )
        found, flat = np.unique(np.concatenate(list(labels.values())), return_inverse=True)
        names = tuple(map(str, found.tolist()))
        ends = np.cumsum([len(each) for each in labels.values()])[:-1]
        indices = dict(zip(labels, np.split(flat.astype(np.int64), ends), strict=True))
    return Contents(
        images["training"],
        indices.get("training"),
        names,
        images.get("test"),
        indices.get("test"),
        images.get("validation"),
        indices.get("validation"),
        converted.notices,
    )


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
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(visible, key=lambda path: path.name)
