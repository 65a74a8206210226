"""Sampling: new images, from a model's own prior and from one fitted to its training codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import EvaluationData, Figure, Measurement, Result
from keras_ae.evaluation.comparisons.common import clip_to_images, nearest_distances

VERSION = 1
MAX_SAMPLES = 5000
NUM_NEAREST = 1000  # samples whose nearest training image is searched
NUM_SHOWN = 16
KINDS = {
    "prior": "drawn from the model's own prior",
    "fitted": "drawn from a prior fitted to the codes of the training images",
}


def measure(model: Any, data: EvaluationData, *, seed: int) -> Measurement:
    """Quality of as many samples as there are test images, at most 5,000, from each prior.

    Args:
        model: A trained autoencoder.
        data: With a reference classifier where the images have labels.
        seed: Seed of the samples and of the fitted prior.

    Returns:
        Metrics with the prefix `fitted_` and, where the model has a prior of its own, `prior_`.
        With a reference classifier: `*_frechet`, the Fréchet distance to the test images in its
        features; `*_confidence`, the mean of its highest probability; `*_class_entropy`, the
        entropy of its mean class distribution in nats. Always: `*_nearest`, the mean L2 distance
        of 1,000 samples to the nearest training image; `num_samples`. With a fitted prior over
        discrete codes: `fitted_nll`, its mean -log p of the validation codes in nats/image, and
        `uniform_nll`, that of the uniform distribution.
        Arrays: `*_images`, the first 16 samples.
    """
    num_samples = min(MAX_SAMPLES, len(data.split.test))
    samples: dict[str, np.ndarray] = {}
    metrics: dict[str, Any] = {"num_samples": num_samples}
    if model.can_sample:
        samples["prior"] = clip_to_images(model.sample(num_samples, seed=seed))
    if model.learns_prior:
        samples["fitted"] = samples["prior"]
        metrics["note"] = (
            f"{type(model).__name__} fits its own prior to the codes of the training images: its "
            "samples count as both."
        )
    else:
        from keras_ae.priors.fit import fit_prior

        prior = fit_prior(model, data.split.train.images, seed=seed)
        samples["fitted"] = clip_to_images(model.decode(prior.sample(num_samples, seed)))
        if prior.uniform is not None:  # a prior over discrete codes
            codes = model.encode(data.split.validation.images)
            nats = prior.negative_log_likelihood(codes)
            assert nats is not None
            metrics["fitted_nll"] = float(np.mean(nats))
            metrics["uniform_nll"] = prior.uniform
    for kind, images in samples.items():
        quality = classifier_metrics(images, data)
        quality["nearest"] = mean_nearest(images[:NUM_NEAREST], data)
        metrics |= {f"{kind}_{name}": value for name, value in quality.items()}
    return Measurement(
        metrics, {f"{kind}_images": images[:NUM_SHOWN] for kind, images in samples.items()}
    )


def baselines(data: EvaluationData, *, seed: int) -> dict[str, Measurement]:
    """Real images, under the keys of the fitted prior.

    "training images" shows the best that samples can reach with the reference classifier, "test
    images" the distance of new images to the training images when nothing is copied.
    """
    split, random = data.split, np.random.default_rng(seed)

    def choose(images: np.ndarray, num: int) -> np.ndarray:
        return images[random.permutation(len(images))[:num]]

    train = choose(split.train.images, min(MAX_SAMPLES, len(split.test)))
    test = choose(split.test.images, NUM_NEAREST)
    of_train = classifier_metrics(train, data)
    of_test: dict[str, Any] = classifier_metrics(split.test.images, data)
    of_test.pop("frechet", None)  # the distance of a set to itself
    of_test["nearest"] = mean_nearest(test, data)
    rows = {"test images": (of_test, {"images": test[:NUM_SHOWN]})}
    if of_train:
        rows = {"training images": (of_train, {}), **rows}
    measured = {
        name: Measurement({f"fitted_{key}": value for key, value in metrics.items()}, arrays)
        for name, (metrics, arrays) in rows.items()
    }
    if data.reference_classifier is not None:
        measured["test images"].metrics["note"] = (
            f"The reference classifier is {data.reference_classifier.description}."
        )
    return measured


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """`samples_prior.png` and `samples_fitted.png`: 16 images of each label next to real ones."""
    real = {
        baseline.label: baseline.measurement.arrays["images"]
        for baseline in baselines
        if "images" in baseline.measurement.arrays
    }
    figures = []
    for kind, origin in KINDS.items():
        blocks = {}
        for result in results:
            if f"{kind}_images" in result.measurement.arrays:
                blocks.setdefault(result.label, result.measurement.arrays[f"{kind}_images"])
        if blocks:
            path = plots.image_blocks({**real, **blocks}, folder / f"samples_{kind}.png")
            figures.append(Figure(path, f"Images {origin}; the first block shows real images."))
    return figures


# ---- helpers ----


def classifier_metrics(images: np.ndarray, data: EvaluationData) -> dict[str, float]:
    """`frechet`, `confidence`, `class_entropy` of `(N, *image_shape)`; `{}` without classifier."""
    classifier = data.reference_classifier
    if classifier is None:
        return {}
    probabilities = np.asarray(classifier.probabilities(images), dtype=np.float64)
    return {
        "frechet": frechet_distance(*moments(classifier.features(images)), *real_moments(data)),
        "confidence": float(probabilities.max(axis=1).mean()),
        "class_entropy": entropy(probabilities.mean(axis=0)),
    }


def real_moments(data: EvaluationData) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the features of the test images, computed once."""
    classifier = data.reference_classifier
    assert classifier is not None
    return data.shared(
        ("real_moments", classifier), lambda: moments(classifier.features(data.split.test.images))
    )


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(F,)` and covariance `(F, F)` of `(N, F)`, float64."""
    features = np.asarray(features, dtype=np.float64)
    spread = np.cov(features, rowvar=False, ddof=min(1, len(features) - 1))
    return features.mean(axis=0), np.atleast_2d(spread)


def frechet_distance(
    mean: np.ndarray,
    covariance: np.ndarray,
    other_mean: np.ndarray,
    other_covariance: np.ndarray,
) -> float:
    """The squared Fréchet (2-Wasserstein) distance between two Gaussians, >= 0.

    `|m - n|^2 + tr(A + B - 2 (A B)^(1/2))`: Dowson and Landau (1982), eq. 4; Heusel et al.
    (arXiv 1706.08500), eq. 6.

    Args:
        mean, other_mean: `(F,)`.
        covariance, other_covariance: `(F, F)`, symmetric and positive semi-definite.
    """
    # tr (A B)^(1/2) is the sum of the singular values of A^(1/2) B^(1/2), singular or not.
    product = square_root(covariance) @ square_root(other_covariance)
    cross = np.linalg.norm(product, "nuc")
    distance = np.square(np.subtract(mean, other_mean)).sum()
    return float(max(0.0, distance + np.trace(covariance) + np.trace(other_covariance) - 2 * cross))


def square_root(matrix: np.ndarray) -> np.ndarray:
    """The square root of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def entropy(probabilities: np.ndarray) -> float:
    """The entropy in nats; log(10) = 2.30 for ten equally frequent classes."""
    from scipy.stats import entropy

    return float(entropy(probabilities))


def mean_nearest(images: np.ndarray, data: EvaluationData) -> float:
    """The mean L2 distance of an image to the nearest training image."""
    return float(nearest_distances(images, data.split.train.images).mean())
