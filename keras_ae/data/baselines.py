"""Reconstructions without a network: the mean image, and principal component analysis (PCA)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

# Half a gray level of 8 bits. A probability of exactly 0 would cost infinitely much on ink.
MIN_PROBABILITY = 1 / 512
MAX_EXACT_PIXELS = 2000  # of an image; beyond, the exact solver takes minutes
MAX_EXACT_IMAGES = 1000  # for which an exact fit is quick, however many pixels there are
MAX_IMAGES = 10_000  # that a randomized fit uses: one of 4,096 components takes minutes with more


def flatten(images: np.ndarray) -> np.ndarray:
    """`(N, ...)` as `(N, D)`."""
    return np.asarray(images).reshape(len(images), -1)


def mean_image(images: np.ndarray) -> np.ndarray:
    """The mean of images and of half a white and half a black one.

    So no pixel is exactly 0 or 1 (Krichevsky and Trofimov's estimate).

    Args:
        images: `(N, ...)`, pixels in [0, 1].
    """
    return (images.sum(axis=0, dtype=np.float64) + 0.5) / (len(images) + 1)


def fit_pca(images: np.ndarray, num_components: int) -> tuple[str, PCA]:
    """PCA of images, and its label in tables and figures.

    Exact for images of up to 2,000 pixels, for up to 1,000 images, and where nearly all components
    are wanted; else randomized (Halko et al., arXiv 0909.4061), with a fixed seed.

    Args:
        images: `(N, ...)`, flattened for the fit.
        num_components: Reduced to the number of images or pixels if there are fewer.
    """
    from sklearn.decomposition import PCA

    pixels = flatten(images)
    solver = "covariance_eigh" if pixels.shape[1] <= MAX_EXACT_PIXELS else "randomized"
    num_components = min(num_components, *pixels.shape)
    if solver == "randomized" and len(pixels) <= MAX_EXACT_IMAGES:
        return f"PCA, {num_components} components", _fit_within_span(pixels, num_components)
    if solver == "randomized" and 2 * num_components > min(pixels.shape):
        solver = "full"
    pca = PCA(num_components, svd_solver=solver, random_state=0).fit(pixels)
    return f"PCA, {pca.n_components_} components", pca


def _fit_within_span(pixels: np.ndarray, num_components: int) -> PCA:
    """Exact PCA of fewer images than pixels, in an orthonormal basis of their span."""
    from sklearn.decomposition import PCA

    basis, coordinates = np.linalg.qr(pixels.T)
    pca: Any = PCA(num_components, svd_solver="covariance_eigh")
    pca.fit(coordinates.T.astype(np.float64))
    pca.mean_ = (basis @ pca.mean_).astype(pixels.dtype)
    pca.components_ = (pca.components_ @ basis.T).astype(pixels.dtype)
    pca.n_features_in_ = pixels.shape[1]
    return pca


class PrincipalComponents:
    """PCA of one set of images with several numbers of components, fitted as seldom as possible.

    Fits of more components contain those of fewer, so a fit is kept and truncated. Of small sets
    and of small images all components are computed at once, exactly; else, where more are asked
    for than the last fit has, a randomized fit is made to at most 10,000 random images (fixed
    seed). Ask for the largest number first.

    Args:
        images: `(N, ...)`, the training images.
    """

    def __init__(self, images: np.ndarray):
        self._images = images
        self._fitted: PCA | None = None

    def __call__(self, num_components: int) -> PCA:
        """PCA with `num_components`, or as many as there are images or pixels if that is fewer."""
        pixels = flatten(self._images)
        most = min(pixels.shape)
        if pixels.shape[1] > MAX_EXACT_PIXELS and len(pixels) > MAX_EXACT_IMAGES:
            pixels = random_images(pixels, MAX_IMAGES)
            most = min(num_components, *pixels.shape)
        wanted = min(num_components, most)
        if self._fitted is None or self._fitted.n_components_ < wanted:
            self._fitted = fit_pca(pixels, most)[1]
        return truncated(self._fitted, wanted)


def random_images(images: np.ndarray, num: int) -> np.ndarray:
    """At most `num` images, drawn without replacement, in their order; always the same ones."""
    if len(images) <= num:
        return images
    return images[np.sort(np.random.default_rng(0).choice(len(images), num, replace=False))]


def truncated(pca: PCA, num_components: int) -> PCA:
    """The first components of a fit: those of a fit with fewer components, up to their signs."""
    few = copy.copy(pca)
    few.n_components = few.n_components_ = num_components
    for name in ("components_", "explained_variance_", "explained_variance_ratio_"):
        setattr(few, name, getattr(pca, name)[:num_components])
    few.singular_values_ = pca.singular_values_[:num_components]
    return few


def pca_reconstructions(pca: PCA, images: np.ndarray) -> np.ndarray:
    """Images reconstructed from their principal components, clipped to 1/512 from 0 and 1."""
    rebuilt = pca.inverse_transform(pca.transform(flatten(images))).reshape(images.shape)
    return np.clip(rebuilt, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
