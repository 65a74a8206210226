"""Small images and arrays as text, for the interactive parts of the report."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np

MAX_SIDE = 64  # pixels of a thumbnail
WEBP_QUALITY = 60


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images at most 64 pixels high and wide, as bytes.

    Args:
        images: `(N, H, W)`, `(N, H, W, 1)` or `(N, H, W, 3)` in [0, 1]; values beyond are clipped.

    Returns:
        uint8 `(N, h, w)`, or `(N, h, w, 3)` in color. Larger images lose whole rows and columns
        of pixels: every k-th is kept, the mean of the block in between where k divides the side.
    """
    images = np.asarray(images, np.float32)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    step = -(-max(images.shape[1:3]) // MAX_SIDE)
    if step > 1:
        height, width = (side // step * step for side in images.shape[1:3])
        cut = images[:, :height, :width]
        blocks = cut.reshape(len(cut), height // step, step, width // step, step, *cut.shape[3:])
        images = blocks.mean(axis=(2, 4))
    return np.round(255 * np.clip(images, 0.0, 1.0)).astype(np.uint8)


def sheet(images: np.ndarray, *, lossless: bool = True) -> dict[str, Any]:
    """Many small images as one, row by row.

    Args:
        images: uint8 `(N, h, w)` or `(N, h, w, 3)`, as of `thumbnails`; N >= 1.
        lossless: A PNG file; else WebP with losses, a third of the size of reconstructions.

    Returns:
        `source`, a data URL; `columns`, the images in a row; `width` and `height` of each.
    """
    from PIL import Image, features

    num, height, width = images.shape[:3]
    columns = min(num, max(1, math.ceil(math.sqrt(num * height / width))))
    rows = -(-num // columns)
    page = np.zeros((rows * columns, *images.shape[1:]), np.uint8)
    page[:num] = images
    page = page.reshape(rows, columns, *images.shape[1:]).swapaxes(1, 2)
    picture = Image.fromarray(page.reshape(rows * height, columns * width, *images.shape[3:]))
    small = not lossless and features.check("webp")
    content = io.BytesIO()
    if small:
        picture.save(content, "WEBP", quality=WEBP_QUALITY)
    else:
        picture.save(content, "PNG", optimize=True)
    text = base64.b64encode(content.getvalue()).decode()
    kind = "webp" if small else "png"
    return {
        "source": f"data:image/{kind};base64,{text}",
        "columns": columns,
        "width": width,
        "height": height,
    }


def packed(array: np.ndarray) -> dict[str, str]:
    """An array of uint8, uint16, uint32 or float32 as `type` and `base64`, little-endian."""
    array = np.ascontiguousarray(array)
    content = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return {"type": array.dtype.name, "base64": base64.b64encode(content).decode()}


def leveled(values: np.ndarray, threshold: float) -> dict[str, Any]:
    """Values in 65,536 equal steps, two bytes each; `low + step * levels` gives them back.

    Args:
        values: Finite numbers `(N,)`, N >= 1.
        threshold: Values above it stay above it, the others do not get there.
    """
    values = np.asarray(values, np.float64)
    low = float(values.min())
    step = float(values.max() - low) / 65535
    levels = np.round((values - low) / (step or 1.0)).astype(np.int64)
    shown = low + step * levels
    levels += (values > threshold) & (shown <= threshold)
    levels -= (values <= threshold) & (shown > threshold)
    return {"low": low, "step": step, "levels": packed(np.clip(levels, 0, 65535).astype(np.uint16))}


def fitting(make: Callable[[int], Any], most: int, least: int, max_bytes: float) -> Any:
    """What `make(n)` returns for the largest tried n whose JSON text is within `max_bytes`.

    Args:
        make: Makes data of n images.
        most: The first n tried.
        least: The smallest n, which is taken even where it is too large.
        max_bytes: Bytes of the text.
    """
    import json

    num = most
    while True:
        made = make(num)
        size = len(json.dumps(made))
        if size <= max_bytes or num <= least:
            return made
        num = max(least, min(num - 1, int(0.95 * num * max_bytes / size)))
