"""The handwritten digits included in scikit-learn: no download."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from keras_ae.data.contents import Contents


def read(data_dir: str | os.PathLike | None = None) -> Contents:
    """The 1,797 digits of 8x8, resized to MNIST's 28x28 and scaled to [0, 1].

    Args:
        data_dir: Not used: the images are installed with scikit-learn.
    """
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    enlarge = interpolation_matrix(8, 28)
    images = np.clip(enlarge @ (digits.images / 16.0) @ enlarge.T, 0, 1).astype(np.float32)
    labels = digits.target.astype(np.int64)
    return Contents(images, labels, tuple("0123456789"))


def interpolation_matrix(num_from: int, num_to: int) -> np.ndarray:
    """Weights of linear interpolation along one axis, `(num_to, num_from)`; each row sums to 1.

    Pixel centers are aligned, as in image libraries. Resize with `matrix @ image @ matrix.T`.
    """
    centers = (np.arange(num_to) + 0.5) * num_from / num_to - 0.5
    centers = np.clip(centers, 0, num_from - 1)
    return np.maximum(0.0, 1.0 - np.abs(centers[:, None] - np.arange(num_from)))
