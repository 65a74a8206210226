"""Anomaly scores: which of them tells images of unseen classes from the others, for each model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.anomaly.detection import auroc, counts
from keras_ae.data.baselines import random_images
from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons import COMPARISONS
from keras_ae.evaluation.comparisons.anomaly import anomalous_images, normal_validation
from keras_ae.evaluation.comparisons.base import EvaluationData, Figure, Measurement, Result
from keras_ae.evaluation.comparisons.common import with_warnings

VERSION = 5
MAX_FITTED = 10_000  # images that scores are fitted to
MAX_VALUES = 2**23  # of all scored images: 10,000 of MNIST, 682 of 64x64 in color
MIN_IMAGES = 500
NUM_SAMPLES = {"elbo": 4, "log_likelihood": 10}


def measure(model: Any, data: EvaluationData, *, seed: int) -> Measurement:
    """The area under the ROC curve of every score that the model has, by its name.

    "elbo" draws 4 samples of a code and "log_likelihood" 10. Scores of codes are fitted to at most
    10,000 training images, "local_residual" to at most 10,000 validation images. Of many large
    images a part of the test set is scored, the same share of normal and anomalous ones, and a
    `note` says so.

    Args:
        model: An autoencoder that was trained without the anomalous classes.
        data: With labels, and a held-out or a normal class.
        seed: Seed of the choice of test images.

    Raises:
        ValueError: no class is held out, or all test images are anomalous, or none.
    """
    from keras_ae.anomaly.fitted import CODE_SCORES, RESIDUAL_SCORES, NotFitted  # TensorFlow

    anomalous, images = anomalous_images(data), data.split.test.images
    chosen = choose(anomalous, max(MIN_IMAGES, MAX_VALUES // images[0].size), seed)
    notes = []
    if len(chosen) < len(images):
        notes.append(f"AUCs of the scores: of {len(chosen):,} of the {len(images):,} test images.")
    images, anomalous = images[chosen], anomalous[chosen]
    train = random_images(data.split.train.images, MAX_FITTED)
    notes += with_warnings(lambda: model.fit_scores(train, CODE_SCORES))[1]
    unseen = random_images(normal_validation(data), MAX_FITTED)
    if len(unseen) > 1:
        model.fit_scores(unseen, RESIDUAL_SCORES)
    metrics: dict[str, Any] = counts(anomalous)
    for name in model.score_names:
        options = {"num_samples": NUM_SAMPLES[name]} if name in NUM_SAMPLES else {}
        try:
            scores = np.asarray(model.anomaly_score(images, score=name, **options))
        except NotFitted:
            notes.append(f"The score {name} needs at least two validation images.")
            continue
        if np.isfinite(scores).all():
            metrics[name] = auroc(scores, anomalous)
        else:
            notes.append(f"{type(model).__name__}: the score {name} is not finite for all images.")
    if notes:
        metrics["note"] = " ".join(notes)
    return Measurement(metrics)


def baselines(data: EvaluationData, *, seed: int) -> dict[str, Measurement]:
    """None: those of the comparison `anomaly` are on the same images."""
    return {}


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """A row for each label and a mark for each score; means over seeds and held-out classes."""
    if not results:
        return []
    labels = dict.fromkeys(result.label for result in results)
    columns = {column.key for column in COMPARISONS["scores"].columns}
    series: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(key for result in results for key in result.measurement.metrics):
        for label in labels:
            values = [
                result.measurement.metrics[name]
                for result in results
                if result.label == label and name in result.measurement.metrics
            ]
            if values and name in columns:
                series.setdefault(name, {})[label] = float(np.mean(values))
    over = "seeds" if data.held_out is None else "seeds and held-out classes"
    path = plots.dots(series, "AUC", folder / "anomaly_score_names.png")
    return [
        Figure(
            path,
            f"AUC of each anomaly score, a mean over {over}. At 0.5 a score "
            "says nothing; below, anomalous images look more normal than the others.",
        )
    ]


def work(num_train: int, num_values: int) -> str:
    """What is computed for each run, for a line in the log.

    Args:
        num_train: Number of training images.
        num_values: Number of values of an image.
    """
    return (
        f"for each, all anomaly scores of up to {max(MIN_IMAGES, MAX_VALUES // num_values):,} test "
        f"images, with {NUM_SAMPLES['elbo']} samples for elbo and {NUM_SAMPLES['log_likelihood']} "
        "for log_likelihood"
    )


def choose(anomalous: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Sorted indices of about `num` images, the same share of the normal and the anomalous ones."""
    if len(anomalous) <= num:
        return np.arange(len(anomalous))
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(anomalous), np.flatnonzero(~anomalous)]
    chosen = [
        random.choice(group, max(1, num * len(group) // len(anomalous)), replace=False)
        for group in groups
    ]
    return np.sort(np.concatenate(chosen))
