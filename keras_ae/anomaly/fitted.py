"""Scores that are fitted to normal images before they are used.

Each is a function from a batch to features, one that fits statistics to the features of normal
images, and the score of features. The statistics are a dict of arrays, which is saved with the
model; the score runs in an exported graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_ae.anomaly.codes import (
    fit_latent_density,
    fit_mahalanobis,
    latent_density,
    mahalanobis,
)
from keras_ae.anomaly.residuals import fit_local_residual, local_features, local_residual

MAX_FEATURES = 20_000  # images whose features are fitted; more take longer without visible gain
MAX_NUMBERS = 2**25  # numbers in those features: 128 MiB, several times while they are fitted


class NotFitted(ValueError):
    """A score that has not been fitted to normal images.

    Attributes:
        problem: The message without advice.
    """

    def __init__(self, name: str):
        self.problem = f"the score {name} has not been fitted"
        super().__init__(f"{self.problem}: call fit_scores(normal_images) first.")


class FeatureSample:
    """Features that arrive in batches; of too many, those of a random sample of the images."""

    def __init__(self, seed: int = 0):
        self._random = np.random.default_rng(seed)
        self._features: list[np.ndarray] = []
        self._are_normal: list[np.ndarray] = []
        self._keys: list[np.ndarray] = []
        self._num = 0

    def add(self, features: np.ndarray, are_normal: np.ndarray | None = None) -> None:
        """Add the features `(N, ...)` of some images, and which are normal (None: all)."""
        num = len(features)
        self._features.append(features)
        self._are_normal.append(np.ones(num, bool) if are_normal is None else are_normal)
        self._keys.append(self._random.random(num))
        self._num += num
        if self._num > 2 * self.limit(math.prod(features.shape[1:])):
            self._reduce()

    @staticmethod
    def limit(width: int) -> int:
        return min(MAX_FEATURES, max(2, MAX_NUMBERS // max(1, width)))

    def _reduce(self) -> None:
        features, keys = np.concatenate(self._features), np.concatenate(self._keys)
        chosen = np.sort(np.argsort(keys)[: self.limit(math.prod(features.shape[1:]))])
        self._features, self._keys, self._num = [features[chosen]], [keys[chosen]], len(chosen)
        self._are_normal = [np.concatenate(self._are_normal)[chosen]]

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """The features `(N, ...)`, and which of the images are normal, booleans `(N,)`.

        Raises:
            ValueError: fewer than two images, or features that are not finite.
        """
        self._reduce()
        features = self._features[0]
        if len(features) < 2:
            raise ValueError(
                f"this score needs at least two normal images; received {len(features)}."
            )
        if not np.isfinite(features).all():
            raise ValueError("the outputs are not finite: the model may have diverged in training.")
        return features, self._are_normal[0]


Statistics = Mapping[str, np.ndarray]


class FittedScore(NamedTuple):
    """A score with statistics of normal images.

    Attributes:
        features: From a `ScoredBatch` to features `(N, ...)`.
        fit: From features of normal images to statistics.
        score: From statistics and features to scores `(N,)`.
        is_narrow: Whether the statistics are so few numbers that they can be fitted again for each
            part of a cross-validation.
    """

    features: Callable[[Any], tf.Tensor]
    fit: Callable[[np.ndarray], dict[str, np.ndarray]]
    score: Callable[[Statistics, tf.Tensor], tf.Tensor]
    is_narrow: bool = False


def codes_of(batch: Any) -> tf.Tensor:
    return batch.codes


FITTED_SCORES = {
    "latent_density": FittedScore(codes_of, fit_latent_density, latent_density),
    "mahalanobis": FittedScore(codes_of, fit_mahalanobis, mahalanobis),
    "local_residual": FittedScore(local_features, fit_local_residual, local_residual, True),
}
CODE_SCORES = tuple(name for name, each in FITTED_SCORES.items() if each.features is codes_of)
RESIDUAL_SCORES = tuple(name for name in FITTED_SCORES if name not in CODE_SCORES)
