"""Validation of arguments and images: a ValueError says what was received and what to do."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_ae.stored_images import StoredImages

ROUNDING = 1e-6  # an excess beyond the range of pixels that is clipped without a word
OVERSHOOT = 0.05  # an excess of this size comes from filters, not from another range


def check_images(
    images: Any,
    image_shape: Sequence[int] | None = None,
    *,
    name: str = "images",
    pixel_range: tuple[float, float] = (0.0, 1.0),
) -> Any:
    """Validate images: returns them as float32, or raises a ValueError.

    Args:
        images: Array of shape `(N, *image_shape)` of numbers in `pixel_range`, N >= 1.
        image_shape: Required shape of one image, `(height, width)` or `(height, width, channels)`.
            None, the default, accepts every such shape.
        name: Name of the array in the error message.
        pixel_range: Lowest and highest pixel value allowed.

    Returns:
        Contiguous float32 array of the same shape. Pixels that exceed the range by at most 1e-6,
        as rounding makes them, are clipped. `StoredImages` themselves, which are in [0, 1].

    Raises:
        ValueError: the images are not numeric, empty, of another shape, or have pixels that are
            NaN, infinite or outside `pixel_range`.
    """
    if isinstance(images, StoredImages):
        check_images(images[:1], image_shape, name=name, pixel_range=pixel_range)
        return images
    try:
        images = np.asarray(images)
    except ValueError:  # a list of images of different sizes
        images = np.empty(len(images), dtype=object)
    if images.dtype == object or images.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be numbers; received dtype {images.dtype}. "
            "Resize images of different sizes to one size first."
        )
    if image_shape is None:
        if images.ndim not in (3, 4):
            raise ValueError(
                f"{name} must have the shape (N, height, width) or (N, height, width, channels); "
                f"received {images.shape}."
            )
    elif images.shape[1:] != tuple(image_shape) or images.ndim != 1 + len(tuple(image_shape)):
        expected = ", ".join(["N", *map(str, image_shape)])
        raise ValueError(
            f"{name} must have the shape ({expected}); received {images.shape}. "
            "Reshape the images, or create the model with their image_shape."
        )
    if images.size == 0:
        raise ValueError(f"{name} must hold at least one image; received the shape {images.shape}.")
    lowest, highest = float(images.min()), float(images.max())
    if problem := pixel_problem(name, lowest, highest, pixel_range):
        raise ValueError(problem)
    images = np.ascontiguousarray(images, dtype=np.float32)
    if lowest < pixel_range[0] or highest > pixel_range[1]:
        images = np.clip(images, *pixel_range)
    return images


def usual_range(lowest: float, highest: float) -> tuple[float, float] | None:
    """The range that pixels from `lowest` to `highest` are usually stored in, or None.

    (0, 1), (-1, 1) or (0, 255). A range that is left by a little, as sharpening or resampling does,
    is not taken for a larger one: pixels from 0 to 1.03 are not those of 0..255.
    """
    if lowest >= -ROUNDING and highest <= 1 + ROUNDING:
        return 0.0, 1.0
    if -1 - ROUNDING <= lowest < -OVERSHOOT and 0 < highest <= 1 + ROUNDING:
        return -1.0, 1.0
    if lowest >= 0 and 32 < highest <= 255:  # the brightest of many bytes is brighter than 32
        return 0.0, 255.0
    return None


def range_advice(lowest: float, highest: float, pixel_range: tuple[float, float]) -> str:
    """How to bring pixels from `lowest` to `highest` into `pixel_range`, in one sentence."""
    a, b = pixel_range
    received = usual_range(lowest, highest)
    if received == (-1.0, 1.0):
        return "Compute (images + 1) / 2."
    if received == (0.0, 255.0):
        return "Divide them by 255." if a == 0 else "Compute images / 127.5 - 1."
    if lowest >= a - OVERSHOOT and highest <= b + OVERSHOOT:
        return f"Clip them with numpy.clip(images, {a:g}, {b:g})."
    if lowest >= 0 and 255 < highest < 2**16:
        scaled = "Divide them by 65535" if a == 0 else "Compute images / 32767.5 - 1"
        return f"{scaled} if they have 16 bits."
    return "Rescale them to that range."


def pixel_problem(
    name: str, lowest: float, highest: float, pixel_range: tuple[float, float]
) -> str | None:
    """What is wrong with images whose pixels lie between two values, or None.

    Args:
        name: Name of the images in the message.
        lowest, highest: The extreme pixels; NaN where a pixel is NaN.
        pixel_range: Lowest and highest pixel value allowed.
    """
    interval = f"[{pixel_range[0]:g}, {pixel_range[1]:g}]"
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        what = "NaN" if math.isnan(lowest) or math.isnan(highest) else "infinite"
        return f"{name} must have pixels in {interval}; received {what} pixels."
    if pixel_range[0] - ROUNDING <= lowest and highest <= pixel_range[1] + ROUNDING:
        return None
    return (
        f"{name} must have pixels in {interval}; received pixels from {lowest:g} to {highest:g}. "
        f"{range_advice(lowest, highest, pixel_range)}"
    )


def check_labels(labels: Any, num_images: int, num_classes: int) -> np.ndarray:
    """Validate class labels: returns them as int32, or raises a ValueError.

    Args:
        labels: Whole numbers in `range(num_classes)`, of any numeric type, `(num_images,)`.
        num_images: Number of images.
        num_classes: Number of classes.

    Raises:
        ValueError: the labels are None, not numeric, of another shape, or not class indices.
    """
    if labels is None:
        raise ValueError(
            "labels must be given, one per image; received None. Call fit(images, labels)."
        )
    labels = np.asarray(labels)
    if labels.shape != (num_images,):
        raise ValueError(
            f"labels must have the shape ({num_images},), one per image; received {labels.shape}."
        )
    if labels.dtype.kind not in "iuf":
        raise ValueError(f"labels must be numbers; received dtype {labels.dtype}.")
    known = (labels >= 0) & (labels < num_classes) & (labels == np.floor(labels))
    if not known.all():
        raise ValueError(
            f"labels must be whole numbers from 0 to {num_classes - 1}; received "
            f"{labels[~known][0]}."
        )
    return labels.astype(np.int32)


def check_size(name: str, value: Any) -> int:
    """Validate a size: returns `value` as an int, or raises a ValueError unless it is >= 1."""
    try:
        whole = not isinstance(value, bool) and int(value) == value and value >= 1
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ValueError(f"{name} must be a whole number >= 1; received {value!r}.")
    return int(value)


def check_sizes(
    name: str, values: int | Iterable[int], lengths: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Validate several sizes: returns them as a tuple, or raises a ValueError.

    A single whole number is a tuple of one: `hidden_units=16` means one hidden layer.

    Args:
        name: Name of the argument in the error message.
        values: Whole numbers >= 1.
        lengths: The numbers of values that are allowed. None, the default, allows any.
    """
    form = "whole numbers >= 1 in a tuple or list"
    if lengths is None:
        form = "a whole number >= 1 or " + form
    try:
        listed = values if isinstance(values, Iterable) else [values]
        sizes = tuple(check_size(name, value) for value in listed)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {form}; received {values!r}.") from None
    if lengths is not None and len(sizes) not in lengths:
        words = " or ".join(map(str, lengths))
        raise ValueError(f"{name} must be {words} {form}; received {values!r}.")
    return sizes


def check_filters(filters: int | Iterable[int], name: str = "filters") -> tuple[int, ...]:
    """Validate numbers of filters, at least one: returns a tuple, or raises a ValueError."""
    sizes = check_sizes(name, filters)
    if not sizes:
        raise ValueError(f"{name} must hold at least one number; received {filters!r}.")
    return sizes


def check_number(name: str, value: Any, minimum: float = 0.0, maximum: float = math.inf) -> float:
    """Validate a number: returns a finite float in [minimum, maximum], or raises a ValueError."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not (minimum <= number <= maximum and math.isfinite(number)):
        upper = "" if maximum == math.inf else f" and <= {maximum:g}"
        raise ValueError(f"{name} must be a number >= {minimum:g}{upper}; received {value!r}.")
    return number


def check_flag(name: str, value: Any) -> bool:
    """Validate a flag: returns a bool, or raises a ValueError unless it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; received {value!r}.")
    return bool(value)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Validate a choice: returns `value`, or raises a ValueError unless it is in `choices`."""
    if value not in list(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}; received {value!r}.")
    return value


def check_expansion(path: Any, limit: int) -> None:
    """Validate the decompressed size of a zip archive: a ValueError above `limit` bytes."""
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > limit:
        raise ValueError(f"it decompresses to {size:,} bytes; at most {limit:,} are expected")


def one_line(error: BaseException) -> str:
    """The first line of an error message, without the prefixes of TensorFlow and urllib."""
    text = re.sub(r"^\{\{.*?\}\}\s*|^<urlopen error |>$", "", str(error).strip())
    return text.splitlines()[0][:200] if text else type(error).__name__
