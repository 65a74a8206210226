"""Scores of latent codes: how far a code is from the codes of normal images.

Each score is a dict of arrays that is fitted once, and a function of it and of codes `(N, D)`. The
dict is saved with the model; the function runs in an exported graph.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ae.priors.mixtures import (
    REGULARIZATION,
    BernoulliMixturePrior,
    GaussianMixturePrior,
)

Statistics = Mapping[str, np.ndarray]

MAX_AXES = 256  # principal axes of the covariance of wide codes
FLOOR = 1e-6  # smallest variance of a direction, as a share of the mean variance


def fit_mahalanobis(codes: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and covariance of codes `(N, D)`, for `mahalanobis`.

    The covariance is (1 - s) S + s m I, where S is that of the codes, m its mean variance and s the
    shrinkage of Ledoit and Wolf (2004), which is near 0 for many codes and near 1 for few. Codes of
    more than 256 dimensions keep their 256 largest principal axes; the others get their mean
    variance.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage
    from sklearn.decomposition import PCA

    codes = np.asarray(codes, np.float64)
    mean = codes.mean(axis=0)
    centered = codes - mean
    num, width = centered.shape
    total = float(np.square(centered).sum() / num)
    mean_variance = total / width
    if width <= MAX_AXES:
        variances, axes = np.linalg.eigh(centered.T @ centered / num)
        axes = axes.T
    else:
        pca = PCA(min(MAX_AXES, num - 1), svd_solver="randomized", random_state=0).fit(centered)
        variances, axes = np.square(pca.singular_values_) / num, pca.components_
    others = max(0.0, total - float(variances.sum())) / max(1, width - len(variances))
    shrinkage = ledoit_wolf_shrinkage(centered, assume_centered=True) if mean_variance else 0.0
    shrunk = (1 - shrinkage) * np.append(variances, others) + shrinkage * mean_variance
    shrunk = np.maximum(shrunk, FLOOR * (mean_variance or 1.0))
    statistics: dict[str, Any] = {
        "mean": mean,
        "axes": axes,
        "variances": shrunk[:-1],
        "others": shrunk[-1:],
        "shrinkage": np.array([shrinkage]),
    }
    return statistics


def mahalanobis(statistics: Statistics, codes: tf.Tensor) -> tf.Tensor:
    """The Mahalanobis distance of codes `(N, D)` to the mean, `(N,)`, float64."""
    centered = tf.cast(codes, tf.float64) - statistics["mean"]
    along = centered @ statistics["axes"].T
    squared = tf.reduce_sum(tf.square(along) / statistics["variances"], axis=1)
    if statistics["axes"].shape[0] < statistics["axes"].shape[1]:
        squared += beyond(centered, along) / statistics["others"][0]
    return tf.sqrt(squared)


def fit_latent_density(codes: np.ndarray) -> dict[str, np.ndarray]:
    """The density of codes `(N, D)`, for `latent_density`.

    A mixture of Bernoullis for codes of zeros and ones, else one of Gaussians (see
    `keras_ae.priors.mixtures`). The principal components that the Gaussians leave out, those
    beyond 64, are independent normal numbers of one variance.
    """
    num, width = codes.shape
    if np.isin(codes, (0.0, 1.0)).all():
        bits = BernoulliMixturePrior(codes, seed=0)
        return {"means": bits.means, "weights": bits.weights}
    prior = GaussianMixturePrior(codes, seed=0)
    fitted: Any = prior.mixture
    if num < 10 * fitted.means_.shape[1]:
        warnings.warn(
            f"{num} images are few for the density of a code of {width} dimensions: the score "
            f"latent_density needs about {10 * fitted.means_.shape[1]}. mahalanobis needs fewer.",
            stacklevel=4,
        )
    scale = np.where(prior.scale > 0, prior.scale, 1.0)
    statistics = {
        "mean": prior.mean,
        "scale": scale,
        "centers": fitted.means_,
        "factors": fitted.precisions_cholesky_,
        "log_weights": np.log(fitted.weights_),
    }
    if prior.axes is not None:
        standardized = (np.asarray(codes, np.float64) - prior.mean) / scale
        along = standardized @ prior.axes.T
        rest = (np.square(standardized).sum() - np.square(along).sum()) / num
        rest /= width - len(prior.axes)
        statistics |= {"axes": prior.axes, "others": np.array([max(rest, REGULARIZATION)])}
    return statistics


def latent_density(statistics: Statistics, codes: tf.Tensor) -> tf.Tensor:
    """The negative log density of codes `(N, D)`, `(N,)`, float64, in nats."""
    codes = tf.cast(codes, tf.float64)
    if "weights" in statistics:
        ones, zeros = np.log(statistics["means"]), np.log1p(-statistics["means"])
        joint = codes @ (ones - zeros).T + zeros.sum(axis=1) + np.log(statistics["weights"])
        return -tf.reduce_logsumexp(joint, axis=1)
    codes = (codes - statistics["mean"]) / statistics["scale"]
    nats = tf.cast(np.log(statistics["scale"]).sum(), tf.float64)
    within = codes
    if "axes" in statistics:
        within = codes @ statistics["axes"].T
        num, variance = len(statistics["mean"]) - len(statistics["axes"]), statistics["others"][0]
        nats += 0.5 * (
            beyond(codes, within) / variance + num * math.log(2 * math.pi * float(variance))
        )
    centers, factors = statistics["centers"], statistics["factors"]
    shifts = np.einsum("kd,kde->ke", centers, factors)
    distances = tf.reduce_sum(tf.square(tf.einsum("nd,kde->nke", within, factors) - shifts), axis=2)
    log_norm = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    log_norm -= 0.5 * centers.shape[1] * math.log(2 * math.pi)
    joint = log_norm + statistics["log_weights"] - 0.5 * distances
    return nats - tf.reduce_logsumexp(joint, axis=1)


def beyond(codes: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
    """The squared length of codes outside the axes they were projected on, `(N,)`."""
    squared = tf.reduce_sum(tf.square(codes), 1) - tf.reduce_sum(tf.square(along), 1)
    return tf.maximum(squared, 0.0)
