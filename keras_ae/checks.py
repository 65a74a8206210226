"""What may enter a model: one clear line for each kind of unusable argument or image array."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np


def check_images(
    images: np.ndarray,
    image_shape: Sequence[int] | None = None,
    *,
    name: str = "images",
) -> np.ndarray:
    """Returns `images` as float32 in [0, 1], or says what is wrong with them.

    Args:
        images: Array of shape `(N, *image_shape)`: numbers in [0, 1], N >= 1.
        image_shape: The shape one image must have, `(height, width)` or
            `(height, width, channels)`. Without it any such shape is accepted.
        name: What to call the array in an error.

    Raises:
        ValueError: not numeric, empty, of the wrong rank or shape, with NaN or infinite pixels,
            or with pixels outside [0, 1].
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
    lowest, highest = images.min(), images.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        what = "NaN" if np.isnan(lowest) or np.isnan(highest) else "infinite"
        raise ValueError(f"{name} must have pixels in [0, 1]; received {what} pixels.")
    if lowest < 0 or highest > 1:
        advice = (
            "Divide them by 255."
            if lowest >= 0 and highest <= 255
            else "Rescale them to that range."
        )
        raise ValueError(
            f"{name} must have pixels in [0, 1]; received pixels from {lowest:g} to {highest:g}. "
            + advice
        )
    return np.ascontiguousarray(images, dtype=np.float32)


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


def one_line(error: BaseException) -> str:
    """The first line of an error's message, without what TensorFlow and urllib wrap around it."""
    text = re.sub(r"^\{\{.*?\}\}\s*|^<urlopen error |>$", "", str(error).strip())
    return text.splitlines()[0][:200] if text else type(error).__name__
