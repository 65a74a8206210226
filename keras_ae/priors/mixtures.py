"""Mixture priors: Gaussian mixtures for continuous codes, Bernoulli mixtures for binary codes.

A prior is a density over latent codes. All of them have `sample(num, seed)`,
`negative_log_likelihood(latents)` and `uniform`, the negative log-likelihood of a uniform guess.
The last two are None where the codes are continuous.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

NUM_GAUSSIANS = 10
NUM_BERNOULLIS = 50
MAX_DIMENSIONS = 64  # for full covariances; wider codes are reduced to their principal components
EM_STEPS = 100
REGULARIZATION = 1e-4  # added to the variances of standardized codes


class GaussianMixturePrior:
    """Gaussian mixture with full covariances, fitted by EM to standardized codes.

    Samples are clipped to the range of the fitted codes in each dimension, since sigmoid and ReLU
    codes have bounds that a Gaussian does not know. A dimension that is constant stays constant.
    Codes of more than 64 dimensions are reduced to their first 64 principal components, because
    full covariances would take minutes and need more codes. The other components are set to their
    mean.

    Args:
        latents: `(N, *code_shape)`, N >= 2; a code of higher rank is flattened and reshaped.
        seed: Seed of the initial components.
        num_components: Maximum number; each component needs ten codes per dimension.
    """

    uniform: float | None = None

    def __init__(self, latents: np.ndarray, *, seed: int, num_components: int = NUM_GAUSSIANS):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits

        self.code_shape = latents.shape[1:]
        codes = flatten(np.asarray(latents, dtype=np.float64))
        self.low, self.high = codes.min(axis=0), codes.max(axis=0)
        self.mean, self.scale = codes.mean(axis=0), codes.std(axis=0)
        codes = (codes - self.mean) / np.where(self.scale > 0, self.scale, 1.0)
        self.axes = principal_axes(codes, seed)
        codes = codes if self.axes is None else codes @ self.axes.T
        max_components = len(np.unique(codes, axis=0)) // (10 * codes.shape[1])
        self.mixture = GaussianMixture(
            max(1, min(num_components, max_components)),
            reg_covar=REGULARIZATION,
            max_iter=200,
            random_state=seed % 2**32,
        )
        # With matrices this small, one thread is up to 15 times as fast as many.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.mixture.fit(codes)

    def negative_log_likelihood(self, latents: np.ndarray) -> np.ndarray | None:
        """None: a density is not comparable with the probabilities of discrete codes."""
        return None

    def sample(self, num: int, seed: int) -> np.ndarray:
        """Latents `(num, *code_shape)`, float32, in random order."""
        self.mixture.random_state = seed % 2**32
        codes, _ = self.mixture.sample(num)  # ordered by component
        codes = codes if self.axes is None else codes @ self.axes
        codes = np.random.default_rng(seed).permutation(codes) * self.scale + self.mean
        codes = np.clip(codes, self.low, self.high)
        return codes.reshape(num, *self.code_shape).astype(np.float32)


class SnappedPrior:
    """A prior whose samples are moved to the nearest latents that the model can produce.

    Args:
        model: An autoencoder with `snap_latents(latents)`.
        prior: A prior of continuous codes.
    """

    uniform: float | None = None

    def __init__(self, model: Any, prior: GaussianMixturePrior):
        self.model = model
        self.prior = prior

    def negative_log_likelihood(self, latents: np.ndarray) -> np.ndarray | None:
        """None: the density is that of codes before they are moved."""
        return None

    def sample(self, num: int, seed: int) -> np.ndarray:
        """Latents `(num, *code_shape)`, float32."""
        return np.asarray(self.model.snap_latents(self.prior.sample(num, seed)), np.float32)


class BernoulliMixturePrior:
    """Bernoulli mixture for binary codes, fitted by EM (Bishop, "Pattern Recognition", 9.3.3).

    Args:
        latents: Codes of zeros and ones, `(N, *code_shape)`.
        seed: Seed of the initial components.
        num_components: Maximum number; each component needs ten codes per dimension.
    """

    def __init__(self, latents: np.ndarray, *, seed: int, num_components: int = NUM_BERNOULLIS):
        self.code_shape = latents.shape[1:]
        codes = flatten(np.asarray(latents, dtype=np.float64))
        self.uniform: float | None = float(codes.shape[1] * math.log(2.0))
        number = max(1, min(num_components, len(codes) // (10 * codes.shape[1])))
        chosen = np.random.default_rng(seed).choice(len(codes), number, replace=False)
        self.weights = np.full(number, 1.0 / number)
        self.means = 0.25 + 0.5 * codes[chosen]
        for _ in range(EM_STEPS):
            self._step(codes)

    def _step(self, codes: np.ndarray) -> None:
        """One step of EM, with half a code of each kind added so that no bit is certain."""
        joint = self._joint(codes)
        shares = np.exp(joint - log_sum_exp(joint))
        counts = shares.sum(axis=0)
        self.weights = (counts + 1.0) / (counts + 1.0).sum()
        self.means = (shares.T @ codes + 0.5) / (counts[:, None] + 1.0)

    def _joint(self, codes: np.ndarray) -> np.ndarray:
        """log p(code, component), `(N, num_components)`."""
        ones, zeros = np.log(self.means), np.log1p(-self.means)
        return codes @ ones.T + (1.0 - codes) @ zeros.T + np.log(self.weights)

    def negative_log_likelihood(self, latents: np.ndarray) -> np.ndarray | None:
        """-log p of each code `(N, *code_shape)` in nats, `(N,)`; `uniform` is that of a guess."""
        return -log_sum_exp(self._joint(flatten(latents)))[:, 0]

    def sample(self, num: int, seed: int) -> np.ndarray:
        """Latents `(num, *code_shape)` of zeros and ones, float32."""
        random = np.random.default_rng(seed)
        means = self.means[random.choice(len(self.weights), num, p=self.weights)]
        codes = random.random(means.shape) < means
        return codes.reshape(num, *self.code_shape).astype(np.float32)


def principal_axes(codes: np.ndarray, seed: int) -> np.ndarray | None:
    """The first 64 principal axes of centered codes `(N, D)`, `(64, D)`; None where D <= 64."""
    from sklearn.decomposition import PCA

    if codes.shape[1] <= MAX_DIMENSIONS:
        return None
    number = min(MAX_DIMENSIONS, len(codes))
    return PCA(number, svd_solver="randomized", random_state=seed % 2**32).fit(codes).components_


def log_sum_exp(values: np.ndarray) -> np.ndarray:
    """log sum exp over the second axis, `(N, 1)`."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(values, axis=1, keepdims=True))


def flatten(codes: np.ndarray) -> np.ndarray:
    """`(N, ...)` as `(N, D)`."""
    return np.asarray(codes).reshape(len(codes), -1)
