"""Anomaly detection: ROC curves of scores that should single out a class unseen in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.data.baselines import fit_pca, flatten
from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import EvaluationData, Figure, Measurement, Result

VERSION = 2
INK, BRIGHTNESS = "ink sum", "sum of the pixels"  # of drawings, of photographs
NUM_POINTS = 200
NUM_COMPONENTS = 2
MAX_PANELS = 3
GRID = np.append(0.0, np.linspace(0.0, 1.0, 201))  # 0 twice: a curve may start with a rise
# Suffix of the keys, and the score: None is the loss that the model was trained with.
SCORES = {"": None, "_signed": "signed_residual"}
BASELINE_STYLES = (
    {"color": "0.35", "linestyle": (0, (1, 1))},
    {"color": "0.6", "linestyle": (0, (6, 1.5))},
)


def measure(model: Any, data: EvaluationData, *, seed: int) -> Measurement:
    """Areas under the ROC curve; the positives are the images of the held-out class.

    Args:
        model: An autoencoder that was trained without the held-out class.
        data: With labels and a held-out class.
        seed: Not used.

    Returns:
        Metrics: `auc` of the model's own reconstruction loss (the BCE, or the squared error) and
        `auc_signed` of the signed residual (where `data.published`), each in [0, 1]. 0.5 is
        chance; below 0.5 the unseen images look more normal than the others.
        Arrays: `fpr` and `tpr`, `fpr_signed` and `tpr_signed`: at most 200 points of each curve.

    Raises:
        ValueError: no class is held out, or all test images are held out, or none.
    """
    images = data.split.test.images
    metrics, arrays = {}, {}
    for suffix, score in SCORES.items():
        if suffix and not data.published:
            continue
        scores = model.anomaly_score(images, score=score)
        of_score = measure_scores(scores, anomalous_images(data), suffix)
        metrics |= of_score.metrics
        arrays |= of_score.arrays
    return Measurement(metrics, arrays)


def baselines(data: EvaluationData, *, seed: int) -> dict[str, Measurement]:
    """The squared error of a PCA with two components, and the sum of the pixels.

    PCA is fitted to the training images, without the held-out class. A larger sum, which is more
    ink in drawings, counts as more anomalous; the AUC of the opposite rule is 1 minus this one.
    """
    anomalous = anomalous_images(data)
    test = flatten(data.split.test.images)
    label, pca = fit_pca(data.split.train.images, NUM_COMPONENTS)
    errors = pca.inverse_transform(pca.transform(test)) - test
    scores = {
        label: np.square(errors).sum(axis=1),
        sum_name(data): test.sum(axis=1, dtype=np.float64),
    }
    return {name: measure_scores(score, anomalous) for name, score in scores.items()}


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """ROC curves: one panel for each held-out class; above three, their mean.

    Where `data.published`, also those of the signed residual.
    """
    if not results:
        return []
    name = sum_name(data)
    sums = [baseline for baseline in baselines if baseline.label == name]
    path, signed_path = folder / "anomaly.png", folder / "anomaly_signed.png"
    draw_curves(results, baselines, data, "", path)
    held_out = {result.held_out for result in results}
    positives = "with the images of the held-out class as positives"
    if len(held_out) > MAX_PANELS:
        positives += f"; means over {len(held_out)} classes, at equal false positive rates"
    references = "Baselines are gray."
    if sums:
        less = np.mean([1 - baseline.measurement.metrics["auc"] for baseline in sums])
        more = "more ink" if name == INK else "a larger sum"
        references += (
            f" The {name} counts {more} as more anomalous; the opposite rule has an AUC of "
            f"{less:.3f}" + (f", a mean over {len(sums)} classes." if len(sums) > 1 else ".")
        )
    curves = f"ROC curves of the reconstruction loss, {positives}."
    if not data.published:
        return [Figure(path, f"{curves} {references}")]
    draw_curves(results, sums, data, "_signed", signed_path)
    return [
        Figure(
            path,
            f"{curves} This is the score in the text of the published comparison. {references}",
        ),
        Figure(
            signed_path,
            f"ROC curves of the signed residual, sum(reconstruction - input), {positives}. The "
            "published figures were made with it; it measures ink added or lost, not error. "
            f"{references}",
        ),
    ]


# ---- scores ----


def sum_name(data: EvaluationData) -> str:
    """The name of the sum of the pixels: of drawings it is the amount of ink."""
    return INK if plots.are_drawings(data.split.test.images) else BRIGHTNESS


def anomalous_images(data: EvaluationData) -> np.ndarray:
    """`(N,)` booleans: which test images belong to the held-out class."""
    if data.held_out is None or data.split.test.labels is None:
        raise ValueError(
            "Anomaly detection needs a run trained without one class; this one had all classes."
        )
    anomalous = data.split.test.labels == data.held_out
    if not 0 < anomalous.sum() < len(anomalous):
        raise ValueError(
            "An ROC curve needs test images of the held-out class and of others; "
            f"received {anomalous.sum()} of the held-out class among {len(anomalous)}."
        )
    return anomalous


def measure_scores(scores: np.ndarray, anomalous: np.ndarray, suffix: str = "") -> Measurement:
    """The area under a ROC curve, and at most 200 points of the curve."""
    from sklearn.metrics import roc_auc_score, roc_curve

    fpr, tpr, _ = roc_curve(anomalous, scores)
    # Both rise along the curve: equal steps of their sum are equal steps along it.
    kept = np.unique(np.searchsorted(fpr + tpr, np.linspace(0.0, 2.0, NUM_POINTS) - 1e-9))
    return Measurement(
        {f"auc{suffix}": float(roc_auc_score(anomalous, scores))},
        {f"fpr{suffix}": fpr[kept], f"tpr{suffix}": tpr[kept]},
    )


# ---- curves ----


def draw_curves(
    results: list[Result], baselines: list[Result], data: EvaluationData, suffix: str, path: Path
) -> Path:
    classes = {result.held_out for result in results}
    held_out = [name for name in data.class_names if name in classes]
    styles = plots.label_styles({result.label: result.variant for result in results})
    names = dict.fromkeys(baseline.label for baseline in baselines)
    styles |= {name: BASELINE_STYLES[name in (INK, BRIGHTNESS)] for name in names}
    axes = ("false positive rate", "true positive rate")
    everything = [*results, *baselines]
    if len(held_out) > MAX_PANELS:
        panels = {"mean of the classes": mean_over_classes(everything, held_out, suffix)}
    else:
        panels = {
            f"trained without {name}": by_label(
                [result for result in everything if result.held_out == name], suffix
            )
            for name in held_out
        }
    return plots.curve_panels(panels, styles, axes, path, legend_title="AUC", diagonal=True)


def by_label(results: list[Result], suffix: str) -> dict[str, plots.Curve]:
    """The mean curve over the seeds of each label, with a band of one standard deviation."""
    curves = {}
    for label in dict.fromkeys(result.label for result in results):
        same = [result.measurement for result in results if result.label == label]
        rates = np.stack([rates_on_grid(measurement, suffix) for measurement in same])
        areas = [auc(measurement, suffix) for measurement in same]
        note, band = f"{np.mean(areas):.3f}", None
        if len(same) > 1:
            note += f" ± {np.std(areas, ddof=1):.3f}"
            band = rates.std(axis=0, ddof=1)
        curves[label] = plots.Curve(GRID, rates.mean(axis=0), note, band)
    return curves


def mean_over_classes(
    results: list[Result], held_out: list[str], suffix: str
) -> dict[str, plots.Curve]:
    """The mean over the classes of the mean over the seeds, at equal false positive rates.

    If a label lacks some of the classes, its note says so.
    """
    curves = {}
    for label in dict.fromkeys(result.label for result in results):
        same = [one for one in results if one.label == label and one.held_out in held_out]
        rates, areas = [], []
        for name in dict.fromkeys(one.held_out for one in same):
            of_class = [one.measurement for one in same if one.held_out == name]
            rates.append(np.mean([rates_on_grid(each, suffix) for each in of_class], axis=0))
            areas.append(np.mean([auc(each, suffix) for each in of_class]))
        lacking = f" ({len(rates)} of {len(held_out)} classes)" * (len(rates) < len(held_out))
        note = f"{np.mean(areas):.3f}{lacking}"
        curves[label] = plots.Curve(GRID, np.mean(rates, axis=0), note)
    return curves


def rates_on_grid(measurement: Measurement, suffix: str) -> np.ndarray:
    """True positive rates at the false positive rates of the grid; baselines have one score."""
    arrays = measurement.arrays
    suffix = suffix if f"fpr{suffix}" in arrays else ""
    rates = np.interp(GRID, arrays[f"fpr{suffix}"], arrays[f"tpr{suffix}"])
    rates[0] = 0.0
    return rates


def auc(measurement: Measurement, suffix: str) -> float:
    """The area under the curve of a score; baselines have one score."""
    return measurement.metrics.get(f"auc{suffix}", measurement.metrics["auc"])
