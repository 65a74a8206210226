"""New images, from a model's own prior and from one fitted to its training codes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from keras_ae import plots
from keras_ae.comparisons.base import Entry, Figure, Measurement, Problem
from keras_ae.comparisons.common import as_images, nearest_distances
from keras_ae.priors.fit import fit_prior

MOST_SAMPLES = 5000
NUM_NEAREST = 1000  # samples whose nearest training image is looked for
NUM_SHOWN = 16
KINDS = {
    "prior": "drawn from the model's own prior",
    "fitted": "drawn from a prior fitted to the codes of the training images",
}


def measure(model, problem: Problem, *, seed: int) -> Measurement:
    """Draws as many images as there are test images, at most 5,000, from each prior.

    Returns:
        For each prior, `prior_` (where the model has one) and `fitted_`: with a judge
        `*_frechet`, the Frechet distance to the test images in its features; `*_confidence`, the
        mean of its highest probability; `*_class_entropy`, the entropy of its mean class
        distribution in nats; always `*_nearest`, the mean L2 distance of 1,000 samples to the
        nearest training image. `num_samples`. Where the fitted prior is one of discrete codes
        `fitted_nll`, its mean -log p of the validation codes in nats an image, and `uniform_nll`,
        that of codes drawn evenly. Arrays: `*_images`, 16 each.
    """
    num_samples = min(MOST_SAMPLES, len(problem.split.test))
    samples, numbers, fitted = {}, {"num_samples": num_samples}, None
    if model.can_sample:
        samples["prior"] = as_images(model.sample(num_samples, seed=seed))
    if model.learns_prior:
        samples["fitted"] = samples["prior"]
        numbers["note"] = (
            f"The own prior of {type(model).__name__} was fitted to the codes of the training "
            "images: its samples stand for both."
        )
    else:
        fitted = fit_prior(model, problem.split.train.images, seed=seed)
        samples["fitted"] = as_images(model.decode(fitted.sample(num_samples, seed)))
    for kind, images in samples.items():
        qualities = {**judged(images, problem), "nearest": nearest(images[:NUM_NEAREST], problem)}
        numbers |= {f"{kind}_{name}": value for name, value in qualities.items()}
    if fitted is not None and fitted.uniform is not None:
        codes = model.encode(problem.split.validation.images)
        numbers["fitted_nll"] = float(fitted.negative_log_likelihood(codes).mean())
        numbers["uniform_nll"] = fitted.uniform
    return Measurement(
        numbers, {f"{kind}_images": images[:NUM_SHOWN] for kind, images in samples.items()}
    )


def baselines(problem: Problem, *, seed: int) -> dict[str, Measurement]:
    """Real images, under the keys of the fitted prior.

    "training images" has what samples can at best reach before the judge, "test images" how far
    new images lie from the training images when nothing is copied.
    """
    split, random = problem.split, np.random.default_rng(seed)

    def some(images: np.ndarray, num: int) -> np.ndarray:
        return images[random.permutation(len(images))[:num]]

    train = some(split.train.images, min(MOST_SAMPLES, len(split.test)))
    test = some(split.test.images, NUM_NEAREST)
    seen = judged(train, problem)
    unseen = judged(split.test.images, problem)
    unseen.pop("frechet", None)  # of a set to itself
    unseen["nearest"] = nearest(test, problem)
    rows = {"test images": (unseen, {"images": test[:NUM_SHOWN]})}
    if seen:
        rows = {"training images": (seen, {}), **rows}
    measured = {
        name: Measurement({f"fitted_{key}": value for key, value in numbers.items()}, arrays)
        for name, (numbers, arrays) in rows.items()
    }
    if problem.judge is not None:
        measured["test images"].numbers["note"] = f"The judge is {problem.judge.description}."
    return measured


def draw(
    entries: list[Entry], baselines: list[Entry], problem: Problem, folder: Path
) -> list[Figure]:
    """`samples_prior.png` and `samples_fitted.png`: 16 images a label beside real ones."""
    real = {
        entry.label: entry.measurement.arrays["images"]
        for entry in baselines
        if "images" in entry.measurement.arrays
    }
    figures = []
    for kind, origin in KINDS.items():
        blocks = {}
        for entry in entries:
            if f"{kind}_images" in entry.measurement.arrays:
                blocks.setdefault(entry.label, entry.measurement.arrays[f"{kind}_images"])
        if blocks:
            path = plots.image_blocks({**real, **blocks}, folder / f"samples_{kind}.png")
            figures.append(Figure(path, f"Images {origin}; the first block is real."))
    return figures


# ---- the numbers ----


def judged(images: np.ndarray, problem: Problem) -> dict[str, float]:
    """`frechet`, `confidence` and `class_entropy` of `(N, *image_shape)`; empty without a judge."""
    if problem.judge is None:
        return {}
    probabilities = np.asarray(problem.judge.probabilities(images), dtype=np.float64)
    return {
        "frechet": frechet_distance(
            *moments(problem.judge.features(images)), *real_moments(problem)
        ),
        "confidence": float(probabilities.max(axis=1).mean()),
        "class_entropy": entropy(probabilities.mean(axis=0)),
    }


@lru_cache(maxsize=1)
def real_moments(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the features of the test images."""
    return moments(problem.judge.features(problem.split.test.images))


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(F,)` and covariance `(F, F)` of `(N, F)`, float64."""
    features = np.asarray(features, dtype=np.float64)
    spread = np.cov(features, rowvar=False, ddof=min(1, len(features) - 1))
    return features.mean(axis=0), np.atleast_2d(spread)


def frechet_distance(mean, covariance, other_mean, other_covariance) -> float:
    """The squared Frechet (2-Wasserstein) distance between two Gaussians, >= 0.

    `|m - n|^2 + tr(A + B - 2 (A B)^(1/2))`: Dowson and Landau (1982), eq. 4; Heusel et al.
    (arXiv 1706.08500), eq. 6.

    Args:
        mean, other_mean: `(F,)`.
        covariance, other_covariance: `(F, F)`, symmetric and positive semi-definite.
    """
    # tr (A B)^(1/2) is the sum of the singular values of A^(1/2) B^(1/2), singular or not.
    product = square_root(covariance) @ square_root(other_covariance)
    cross = np.linalg.norm(product, "nuc")
    apart = np.square(np.subtract(mean, other_mean)).sum()
    return float(max(0.0, apart + np.trace(covariance) + np.trace(other_covariance) - 2 * cross))


def square_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def entropy(probabilities: np.ndarray) -> float:
    """In nats; log(10) = 2.30 of ten classes alike."""
    from scipy.stats import entropy

    return float(entropy(probabilities))


def nearest(images: np.ndarray, problem: Problem) -> float:
    """The mean L2 distance of an image to the nearest training image."""
    return float(nearest_distances(images, problem.split.train.images).mean())
