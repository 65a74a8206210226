"""What may enter a model: one clear line for each kind of unusable image array."""

from __future__ import annotations

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
