"""Reconstructions without a network: the mean image, and principal component analysis (PCA)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

# Half a gray level of 8 bits. A probability of exactly 0 would cost infinitely much on ink.
MIN_PROBABILITY = 1 / 512
MAX_EXACT_PIXELS = 2000  # of an image; beyond, the exact solver takes minutes


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

    Exact for images of up to 2,000 pixels, and where nearly all components are wanted; else
    randomized (Halko et al., arXiv 0909.4061), with a fixed seed.

    Args:
        images: `(N, ...)`, flattened for the fit.
        num_components: Reduced to the number of images or pixels if there are fewer.
    """
    from sklearn.decomposition import PCA

    pixels = flatten(images)
    solver = "covariance_eigh" if pixels.shape[1] <= MAX_EXACT_PIXELS else "randomized"
    num_components = min(num_components, *pixels.shape)
    if solver == "randomized" and 2 * num_components > min(pixels.shape):
        solver = "full"
    pca = PCA(num_components, svd_solver=solver, random_state=0).fit(pixels)
    return f"PCA, {pca.n_components_} components", pca


def pca_reconstructions(pca: PCA, images: np.ndarray) -> np.ndarray:
    """Images reconstructed from their principal components, clipped to 1/512 from 0 and 1."""
    rebuilt = pca.inverse_transform(pca.transform(flatten(images))).reshape(images.shape)
    return np.clip(rebuilt, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
