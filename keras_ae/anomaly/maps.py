"""Maps of the reconstruction error, one number for each pixel, and smoothing them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ae.checks import check_number
from keras_ae.losses import pixel_bce, pixel_squared_error

SSIM_FILTER = 11  # pixels; Wang et al. (2004)
SSIM_SIGMA = 1.5
SCALE_DEVIATIONS = 5  # of the maps of normal images, where a scale ends
LOWEST_SPREAD = 0.1  # share of the mean spread, so that constant pixels do not divide by 0


def error_map(kind: str, batch: Any) -> tf.Tensor:
    """The error of each pixel, `(N, height, width)`, float32; channels are summed.

    Args:
        kind: "bce", "mse" or "signed_residual": the map sums to the score of that name. "ssim": 1 -
            SSIM of the window around each pixel, a mean over the channels; pixels nearer to the
            border than half a window have the value of the nearest inner pixel. The mean over the
            inner pixels is the score.
        batch: A `ScoredBatch`.
    """
    if kind == "ssim":
        return ssim_map(batch)
    if kind == "bce":
        errors = pixel_bce(batch.images, batch.logits)
    elif kind == "mse":
        errors = pixel_squared_error(batch.images, batch.pixels)
    else:
        errors = batch.pixels - batch.images
    return tf.reduce_sum(errors, axis=-1) if errors.shape.rank == 4 else errors


def ssim_filter_size(image_shape: tuple[int, ...]) -> int:
    """Side of the window of SSIM: 11, or the largest odd number that fits into a small image."""
    side = min(SSIM_FILTER, *image_shape[:2])
    return side - 1 + side % 2


def ssim_of(batch: Any, as_map: bool = False) -> tf.Tensor:
    """SSIM of images and reconstructions, `(N,)`, or `(N, h, w)` for the windows that fit."""
    low, high = batch.model.pixel_range
    images, pixels = batch.images - low, batch.pixels - low
    if images.shape.rank == 3:
        images, pixels = images[..., None], pixels[..., None]
    return tf.image.ssim(
        images,
        pixels,
        max_val=high - low,
        filter_size=ssim_filter_size(batch.model.image_shape),
        filter_sigma=SSIM_SIGMA,
        return_index_map=as_map,
    )


def ssim_map(batch: Any) -> tf.Tensor:
    errors = 1.0 - ssim_of(batch, as_map=True)
    border = ssim_filter_size(batch.model.image_shape) // 2
    height, width = batch.model.image_shape[:2]
    rows = np.clip(np.arange(height) - border, 0, height - 2 * border - 1)
    columns = np.clip(np.arange(width) - border, 0, width - 2 * border - 1)
    return tf.gather(tf.gather(errors, rows, axis=1), columns, axis=2)


def check_sigma(sigma: Any) -> float | None:
    """`sigma` as a float, None for no smoothing; ValueError unless it is a number >= 0 or None."""
    return None if sigma is None else check_number("sigma", sigma) or None


def smoothed(maps: tf.Tensor, sigma: float | None) -> tf.Tensor:
    """Maps `(N, height, width)` smoothed with a Gaussian of `sigma` pixels; None for none.

    As `scipy.ndimage.gaussian_filter`, mirrored at the border, which keeps the sum of a map.
    """
    if sigma is None:
        return maps
    # Each axis is one product with a matrix: it runs in an exported graph, for any sigma.
    sides: Any = maps.shape[1:]
    rows, columns = (gaussian_window(side, sigma) for side in sides)
    return tf.einsum("ah,nhw,bw->nab", rows, maps, columns)


def gaussian_window(side: int, sigma: float) -> np.ndarray:
    """Matrix `(side, side)` that smooths a row of pixels, mirrored at its ends; float32."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.eye(side), sigma, axis=0, mode="reflect").astype(np.float32)


def usual_scale(moments: np.ndarray) -> tuple[float, float]:
    """The ends of a scale for maps, from those of normal images, whatever other images show.

    It starts at the mean of all pixels of the normal maps and ends five of their standard
    deviations above it. By Cantelli's inequality at most 1/26 = 3.8% of these pixels lie beyond the
    end, whatever their distribution. `smoothed` keeps the mean and does not raise the deviation, so
    that holds for smoothed maps too.

    Args:
        moments: Mean and standard deviation of each pixel, `(2, height, width)`, see `MapMoments`.
    """
    mean, spread = np.asarray(moments, np.float64)
    deviation = np.sqrt(np.square(spread).mean() + mean.var())
    return float(mean.mean()), float(mean.mean() + SCALE_DEVIATIONS * deviation)


class MapMoments:
    """Mean and standard deviation of each pixel of maps that arrive in batches."""

    def __init__(self) -> None:
        self._num = 0
        self._sum: Any = 0.0
        self._sum_of_squares: Any = 0.0

    def add(self, maps: np.ndarray) -> None:
        maps = np.asarray(maps, np.float64)
        self._num += len(maps)
        self._sum = self._sum + maps.sum(axis=0)
        self._sum_of_squares = self._sum_of_squares + np.square(maps).sum(axis=0)

    def result(self) -> np.ndarray:
        """Mean and standard deviation, `(2, height, width)`, float32.

        The deviation of a pixel is at least a tenth of the mean deviation of all.
        """
        mean = self._sum / self._num
        spread = np.sqrt(np.maximum(self._sum_of_squares / self._num - mean**2, 0.0))
        lowest = max(LOWEST_SPREAD * spread.mean(), 1e-12)
        return np.stack([mean, np.maximum(spread, lowest)]).astype(np.float32)
