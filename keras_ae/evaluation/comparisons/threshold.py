"""Thresholds of runs without anomalous test images: how many normal ones have a higher score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.anomaly.detection import verdict_metrics
from keras_ae.anomaly.threshold import binomial_interval
from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons import bench
from keras_ae.evaluation.comparisons.anomaly import MAX_HISTOGRAMS
from keras_ae.evaluation.comparisons.base import (
    EvaluationData,
    Figure,
    Measurement,
    Part,
    Result,
)

VERSION = 2
HISTOGRAM_FILE = "threshold_scores.png"
HEADING = "The threshold of each run, with 95% intervals of the real rate (Clopper and Pearson)"


def measure(model: Any, data: EvaluationData, *, seed: int) -> Measurement:
    """The false positive rate of a model's threshold on the test images, which all count as normal.

    Args:
        model: An autoencoder with a threshold.
        data: Without anomalous test images. Labels are not used.
        seed: Not used.

    Returns:
        Metrics: `false_positive_rate`, the share of the test images with a score above the
        threshold; `interval`, its 95% interval (Clopper and Pearson, 1934); `num_normal`, the
        number of test images; `threshold`, as `ThresholdFit.to_dict`; `facts`, these in words for a
        table with a row for each run. Arrays: `scores` `(N,)` of the test images,
        `pictured` and `pictures`, see `bench.pictures_of`.

    Raises:
        ValueError: the model has no threshold.
    """
    fit = model.threshold_fit
    if fit is None:
        raise ValueError("The model has no threshold.")
    images = data.split.test.images
    options = {} if fit.num_samples is None else {"num_samples": fit.num_samples}
    scores = np.asarray(model.anomaly_score(images, score=fit.score, **options))
    verdicts = scores > np.float32(fit.threshold)
    num, total = int(verdicts.sum()), len(verdicts)
    interval = list(binomial_interval(num, total))
    fitted = None if fit.interval is None else list(fit.interval)  # as in JSON
    found = verdict_metrics(verdicts, np.zeros(total, bool))
    asked = fit.false_positive_rate
    facts = {
        "score": fit.score,
        "threshold": f"{fit.threshold:.6g}",
        "rate asked for": "–" if asked is None else f"{asked:g}",
        "validation images": f"{fit.num_images:,}",
        "real rate, from these": "–" if fitted is None else in_words(fitted),
        "test images above": f"{num:,} of {total:,}",
        "real rate, on the test images": f"{num / total:.3g} ({in_words(interval)})",
    }
    metrics = {
        **found,
        "interval": interval,
        "num_normal": total,
        "threshold": {**fit.to_dict(), "interval": fitted},
        "facts": {HEADING: facts},
    }
    arrays = {"scores": scores.astype(np.float32), **bench.pictures_of(data.split.test)}
    return Measurement(metrics, arrays)


def baselines(data: EvaluationData, *, seed: int) -> dict[str, Measurement]:
    """None: without anomalous images every score can have every false positive rate."""
    return {}


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """The scores of the test images and the threshold: the first seed of each label."""
    panels: dict[str, plots.Histogram] = {}
    for result in results:
        metrics, scores = result.measurement.metrics, result.measurement.arrays["scores"]
        if result.label not in panels and len(panels) < MAX_HISTOGRAMS:
            panels[result.label] = plots.Histogram(
                scores,
                scores[:0],
                metrics["threshold"]["threshold"],
                f"false positives {metrics['false_positive_rate']:.3f}",
            )
    if not panels:
        return []
    path = plots.histogram_panels(panels, "anomaly score", folder / HISTOGRAM_FILE)
    return [
        Figure(
            path,
            "Scores of the test images, which all count as normal, and the threshold as a dashed "
            "line (first seed). The outermost bars hold all scores beyond them.",
        )
    ]


def interactive(
    results: list[Result], baselines: list[Result], class_names: tuple[str, ...], max_bytes: float
) -> list[Part]:
    """The histograms with a threshold to move: the first seed of each label."""
    return bench.parts(results, class_names, max_bytes, HISTOGRAM_FILE)


def in_words(interval: list[float]) -> str:
    """`0.00022 to 0.047`."""
    low, high = interval
    return f"{low:.2g} to {high:.2g}"
