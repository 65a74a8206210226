"""The score "local_residual": how unusual the residual is around a place in the image.

The squared error of one pixel says little where a texture is reconstructed badly everywhere. The
mean and the spread of the residual in a small window say more: a stain or a tint shifts the mean, a
scratch raises the spread, and a place where the texture is gone lowers it. Their Mahalanobis
distance to those of normal images is the detector of Reed and Yu (IEEE Transactions on Acoustics,
Speech, and Signal Processing 38(10), 1990), here of the residual of an autoencoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ae.anomaly.maps import gaussian_window

WINDOWS = 32  # along the longer side of an image, at most
SHARE = 0.05  # of the windows, the most unusual ones, that the score is a mean of
LOWEST_SPREAD = 0.01  # share of the range of a pixel: smaller differences are no defects


def window_step(image_shape: tuple[int, ...]) -> int:
    """Distance of two windows in pixels, and the standard deviation of each."""
    return max(1, round(max(image_shape[:2]) / WINDOWS))


def window_places(side: int, step: int) -> np.ndarray:
    """The middles of the windows along a side, in pixels; at least one."""
    return np.arange(min(step // 2, side // 2), side, step)


def local_features(batch: Any) -> tf.Tensor:
    """What the residuals of a `ScoredBatch` are like around each place; see `window_features`."""
    low, high = batch.model.pixel_range
    return window_features((batch.pixels - batch.images) / (high - low))


def window_features(residuals: Any) -> tf.Tensor:
    """What residuals are like around each place, `(N, rows, columns, channels + 1)`, float32.

    The mean of each channel in a Gaussian window, and the logarithm of the variance in it, summed
    over the channels.

    Args:
        residuals: `(N, height, width)` or `(N, height, width, channels)`, float32, of pixels whose
            range is 1.
    """
    residuals = tf.convert_to_tensor(residuals)
    if residuals.shape.rank == 3:
        residuals = residuals[..., None]
    step = window_step(tuple(residuals.shape[1:]))
    rows, columns = (
        gaussian_window(side, step)[window_places(side, step)].astype(np.float64)
        for side in residuals.shape[1:3]
    )

    def windowed(values):  # in float64: the variance is a difference of two of them
        return tf.einsum("ah,nhwc,bw->nabc", rows, values, columns)

    residuals = tf.cast(residuals, tf.float64)
    means = windowed(residuals)
    variances = windowed(tf.square(residuals)) - tf.square(means)
    variance = tf.reduce_sum(tf.maximum(variances, 0.0), axis=-1, keepdims=True)
    features = tf.concat([means, tf.math.log(variance + LOWEST_SPREAD**2)], axis=-1)
    return tf.cast(features, tf.float32)


def fit_local_residual(features: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and covariance of the features of all places of normal images, for `local_residual`.

    A hundredth of the range of a pixel is added to the standard deviation of each feature: else a
    tint of gray images, whose colors do not vary, would be hundreds of deviations away.
    """
    places = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    mean = places.mean(axis=0)
    centered = places - mean
    covariance = centered.T @ centered / len(centered) + LOWEST_SPREAD**2 * np.eye(len(mean))
    variances, axes = np.linalg.eigh(covariance)
    return {"mean": mean, "whitening": axes / np.sqrt(variances)}


def distances(statistics: Mapping[str, np.ndarray], features: tf.Tensor) -> tf.Tensor:
    """The Mahalanobis distance of each place, `(N, rows, columns)`, float32."""
    centered = features - statistics["mean"].astype(np.float32)
    white = tf.einsum("nabf,fg->nabg", centered, statistics["whitening"].astype(np.float32))
    return tf.sqrt(tf.reduce_sum(tf.square(white), axis=-1))


def local_residual(statistics: Mapping[str, np.ndarray], features: tf.Tensor) -> tf.Tensor:
    """The mean distance of the most unusual twentieth of the places, `(N,)`, float32."""
    found = distances(statistics, features)
    rows, columns = (found.shape[axis] or 0 for axis in (1, 2))  # known where it is built
    num = rows * columns
    largest = tf.math.top_k(tf.reshape(found, (-1, num)), max(1, round(SHARE * num))).values
    return tf.reduce_mean(largest, axis=1)


def local_residual_map(
    statistics: Mapping[str, np.ndarray], features: tf.Tensor, image_shape: tuple[int, ...]
) -> tf.Tensor:
    """The distances as a map of the image, `(N, height, width)`, by linear interpolation."""
    found = distances(statistics, features)
    step = window_step(image_shape)
    rows, columns = (interpolation(side, window_places(side, step)) for side in image_shape[:2])
    return tf.einsum("ha,nab,wb->nhw", rows, found, columns)


def interpolation(side: int, places: np.ndarray) -> np.ndarray:
    """Matrix `(side, len(places))` that interpolates values at `places` to all pixels."""
    pixels = np.arange(side)
    return np.stack([np.interp(pixels, places, row) for row in np.eye(len(places))], axis=1).astype(
        np.float32
    )
