"""Telling light drawings on black, such as MNIST, from photographs."""

from __future__ import annotations

import numpy as np

DARK = 0.05  # a pixel below it is nearly black
SHARE = 0.25  # of such pixels; drawings have more


def is_gray(images: np.ndarray) -> bool:
    """Whether images, `(N, H, W)` or `(N, H, W, C)`, have one channel."""
    return images.ndim < 4 or images.shape[-1] == 1


def are_drawings(images: np.ndarray) -> bool:
    """Whether images are light drawings on black: gray, more than a quarter of it nearly black.

    Args:
        images: `(N, ...)`, pixels in [0, 1].
    """
    return is_gray(images) and bool(np.mean(np.asarray(images) < DARK) > SHARE)
