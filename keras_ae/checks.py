"""What may enter a model: one clear line for each kind of unusable argument or image array."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Sequence

import numpy as np


def check_images(
    images: np.ndarray,
    image_shape: Sequence[int] | None = None,
    *,
    name: str = "images",
    pixel_range: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Returns `images` as float32 in `pixel_range`, or says what is wrong with them.

    Args:
        images: Array of shape `(N, *image_shape)`: numbers in `pixel_range`, N >= 1.
        image_shape: The shape one image must have, `(height, width)` or
            `(height, width, channels)`. Without it any such shape is accepted.
        name: What to call the array in an error.
        pixel_range: The lowest and the highest pixel there may be.

    Raises:
        ValueError: not numeric, empty, of the wrong rank or shape, with NaN or infinite pixels,
            or with pixels outside `pixel_range`.
    """
    try:
        images = np.asarray(images)
    except ValueError:  # a list of images of different sizes
        images = np.empty(len(images), dtype=object)
    if images.dtype == object or images.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be numbers; received dtype {images.dtype}. "
            "Images of different sizes have to be brought to one size first."
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
            "Reshape them, or build the model with the image_shape they have."
        )
    if images.size == 0:
        raise ValueError(f"{name} must hold at least one image; received the shape {images.shape}.")
    interval = f"[{pixel_range[0]:g}, {pixel_range[1]:g}]"
    lowest, highest = images.min(), images.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        what = "NaN" if np.isnan(lowest) or np.isnan(highest) else "infinite"
        raise ValueError(f"{name} must have pixels in {interval}; received {what} pixels.")
    if lowest < pixel_range[0] or highest > pixel_range[1]:
        from_bytes = pixel_range == (0.0, 1.0) and lowest >= 0 and highest <= 255
        advice = "Divide them by 255." if from_bytes else "Rescale them to that range."
        raise ValueError(
            f"{name} must have pixels in {interval}; received pixels from {lowest:g} to "
            f"{highest:g}. {advice}"
        )
    return np.ascontiguousarray(images, dtype=np.float32)


def check_labels(labels, num_images: int, num_classes: int) -> np.ndarray:
    """Returns `labels` as int32, or says what is wrong with them.

    Args:
        labels: Whole numbers in `range(num_classes)`, of any numeric type, `(num_images,)`.

    Raises:
        ValueError: none given, not numeric, of another shape, or not among the classes.
    """
    if labels is None:
        raise ValueError("labels must be given, one an image: fit(images, labels); received None.")
    labels = np.asarray(labels)
    if labels.shape != (num_images,):
        raise ValueError(
            f"labels must have the shape ({num_images},), one an image; received {labels.shape}."
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


def check_size(name: str, value) -> int:
    """`value` as an int, or a ValueError unless it is a whole number >= 1."""
    try:
        whole = not isinstance(value, bool) and int(value) == value and value >= 1
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ValueError(f"{name} must be a whole number >= 1; received {value!r}.")
    return int(value)


def check_sizes(name: str, values, lengths: Sequence[int] | None = None) -> tuple[int, ...]:
    """`values` as a tuple of sizes, or a ValueError; `lengths` are the lengths it may have."""
    form = "whole numbers >= 1 in a tuple or list"
    try:
        sizes = tuple(check_size(name, value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {form}; received {values!r}.") from None
    if lengths is not None and len(sizes) not in lengths:
        words = " or ".join(map(str, lengths))
        raise ValueError(f"{name} must be {words} {form}; received {values!r}.")
    return sizes


def check_filters(filters, name: str = "filters") -> tuple[int, ...]:
    """`filters` as a tuple of sizes, one at least, or a ValueError."""
    sizes = check_sizes(name, filters)
    if not sizes:
        raise ValueError(f"{name} must hold one number at least; received {filters!r}.")
    return sizes


def check_number(name: str, value, minimum: float = 0.0, maximum: float = math.inf) -> float:
    """`value` as a finite float in [minimum, maximum], or a ValueError."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not (minimum <= number <= maximum and math.isfinite(number)):
        upper = "" if maximum == math.inf else f" and <= {maximum:g}"
        raise ValueError(f"{name} must be a number >= {minimum:g}{upper}; received {value!r}.")
    return number


def check_flag(name: str, value) -> bool:
    """`value` itself, or a ValueError unless it is True or False: "no" would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; received {value!r}.")
    return bool(value)


def check_choice(name: str, value, choices: Sequence[str]) -> str:
    """`value` itself, or a ValueError unless it is one of `choices`."""
    if value not in list(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}; received {value!r}.")
    return value


def check_unfolded(path, limit: int) -> None:
    """Raises a ValueError where a zip archive unfolds to more than `limit` bytes."""
    with zipfile.ZipFile(path) as archive:
        unfolded = sum(info.file_size for info in archive.infolist())
    if unfolded > limit:
        raise ValueError(f"it unfolds to {unfolded:,} bytes; at most {limit:,} make sense")


def one_line(error: BaseException) -> str:
    """The first line of an error's message, without what TensorFlow and urllib wrap around it."""
    text = re.sub(r"^\{\{.*?\}\}\s*|^<urlopen error |>$", "", str(error).strip())
    return text.splitlines()[0][:200] if text else type(error).__name__
