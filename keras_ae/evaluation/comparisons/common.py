"""What several comparisons compute of arrays, and ask of a model, in the same way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_ae.data import Subset

IMAGES_PER_CALL = 2000


def told(model, subset: Subset) -> np.ndarray | dict[str, np.ndarray]:
    """What a model is given of a subset: the images, with their labels if it needs them."""
    if getattr(model, "needs_labels", False):
        return {"images": subset.images, "labels": subset.labels}
    return subset.images


def portions(images: np.ndarray) -> Iterator[np.ndarray]:
    """The images a few at a time."""
    for start in range(0, len(images), IMAGES_PER_CALL):
        yield images[start : start + IMAGES_PER_CALL]


def portions_of(inputs: np.ndarray | dict) -> Iterator[np.ndarray | dict]:
    """What `told` gives, a few images at a time."""
    if not isinstance(inputs, dict):
        yield from portions(inputs)
        return
    for parts in zip(*map(portions, inputs.values()), strict=True):
        yield dict(zip(inputs, parts, strict=True))


def flat(images: np.ndarray) -> np.ndarray:
    """`(N, ...)` as `(N, D)`."""
    return np.asarray(images).reshape(len(images), -1)


def mean(values) -> float:
    return float(np.mean(values, dtype=np.float64))


def as_images(pixels: np.ndarray) -> np.ndarray:
    """What a model decoded, as images in [0, 1]: a linear output leaves that range."""
    return np.clip(np.asarray(pixels), 0.0, 1.0)


def has_bce(model) -> bool:
    """Whether its output is a probability of ink, so that a cross-entropy is defined."""
    return getattr(model, "output_activation", "sigmoid") == "sigmoid"


def posterior(model, inputs: np.ndarray | dict) -> tuple[np.ndarray, np.ndarray] | None:
    """`z_mean` and `z_log_var`, `(N, latent_dim)` each; None where the code is not Gaussian."""
    if not hasattr(model, "posterior"):
        return None
    parts = [map(np.asarray, model.posterior(portion)) for portion in portions_of(inputs)]
    z_mean, z_log_var = zip(*parts, strict=True)
    return np.concatenate(z_mean), np.concatenate(z_log_var)


def nearest_distances(images: np.ndarray, references: np.ndarray, portion: int = 200) -> np.ndarray:
    """The L2 distance of each image to the nearest of `references`, `(N,)`; 0 for a copy."""
    images = flat(np.asarray(images, dtype=np.float32))
    references = flat(np.asarray(references, dtype=np.float32))
    half_norms = 0.5 * np.einsum("nd,nd->n", references, references)
    distances = []
    for start in range(0, len(images), portion):
        part = images[start : start + portion]
        found = references[np.argmin(half_norms - part @ references.T, axis=1)]
        distances.append(np.linalg.norm(part - found, axis=1))
    return np.concatenate(distances)
