"""Images of a class that training never saw, told from the others by how they are reconstructed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import Entry, Figure, Measurement, Problem

INK = "ink sum"
NUM_POINTS = 200
NUM_COMPONENTS = 2
MOST_PANELS = 3
GRID = np.append(0.0, np.linspace(0.0, 1.0, 201))  # twice 0: a curve may begin with a rise
# What a key ends in, and the score behind it: None is the loss that the model was trained with.
SCORES = {"": None, "_signed": "signed_residual"}
BASELINE_STYLES = (
    {"color": "0.35", "linestyle": (0, (1, 1))},
    {"color": "0.6", "linestyle": (0, (6, 1.5))},
)


def measure(model, problem: Problem, *, seed: int) -> Measurement:
    """Areas under the ROC curve, the images of the held-out class being the positives.

    Returns:
        Numbers: `auc` of the model's own reconstruction loss (the BCE, or the squared error) and
        `auc_signed` of the signed residual, each in [0, 1]; 0.5 is chance, and less means that the
        images never seen look the more normal.
        Arrays: `fpr`, `tpr`, `fpr_signed` and `tpr_signed`, at most 200 points of each curve.

    Raises:
        ValueError: no class is held out, or the test images are not of both kinds.
    """
    images = problem.split.test.images
    numbers, arrays = {}, {}
    for suffix, score in SCORES.items():
        scores = model.anomaly_score(images, score=score)
        of_score = measure_scores(scores, anomalous_images(problem), suffix)
        numbers |= of_score.numbers
        arrays |= of_score.arrays
    return Measurement(numbers, arrays)


def baselines(problem: Problem, *, seed: int) -> dict[str, Measurement]:
    """The squared error of a projection on two principal components, and the sum of the pixels.

    The components are those of the training images, which lack the held-out class. More ink counts
    as more anomalous; that less ink does has an AUC of 1 - this one.
    """
    from sklearn.decomposition import PCA

    anomalous = anomalous_images(problem)
    train, test = (
        subset.images.reshape(len(subset), -1)
        for subset in (problem.split.train, problem.split.test)
    )
    pca = PCA(min(NUM_COMPONENTS, *train.shape), random_state=seed).fit(train)
    errors = pca.inverse_transform(pca.transform(test)) - test
    scores = {
        f"PCA, {pca.n_components_} components": np.square(errors).sum(axis=1),
        INK: test.sum(axis=1, dtype=np.float64),
    }
    return {name: measure_scores(score, anomalous) for name, score in scores.items()}


def draw(
    entries: list[Entry], baselines: list[Entry], problem: Problem, folder: Path
) -> list[Figure]:
    """ROC curves of both scores: a panel a held-out class or, of more than three, their mean."""
    if not entries:
        return []
    ink = [entry for entry in baselines if entry.label == INK]
    path, signed_path = folder / "anomaly.png", folder / "anomaly_signed.png"
    draw_curves(entries, baselines, problem, "", path)
    draw_curves(entries, ink, problem, "_signed", signed_path)
    held_out = {entry.held_out for entry in entries}
    positives = "the images of the held-out class being the positives"
    if len(held_out) > MOST_PANELS:
        positives += f"; means over {len(held_out)} classes, at equal false positive rates"
    references = "In grey what needs no model."
    if ink:
        less = np.mean([1 - entry.measurement.numbers["auc"] for entry in ink])
        references += (
            f" The {INK} takes more ink for more anomalous; taking less ink for it has an AUC of "
            f"{less:.3f}" + (f", a mean over {len(ink)} classes." if len(ink) > 1 else ".")
        )
    return [
        Figure(
            path,
            f"ROC curves of the reconstruction loss, {positives}. This is the score that the text "
            f"of the published comparison describes. {references}",
        ),
        Figure(
            signed_path,
            f"ROC curves of the signed residual, sum(reconstruction - input), {positives}. The "
            "published figures were made with this score; it is ink added or lost, not error. "
            f"{references}",
        ),
    ]


# ---- numbers ----


def anomalous_images(problem: Problem) -> np.ndarray:
    """`(N,)` booleans: which test images are of the class that training never saw."""
    if problem.held_out is None or problem.split.test.labels is None:
        raise ValueError("Anomalies need a run that was trained without one class; it had all.")
    anomalous = problem.split.test.labels == problem.held_out
    if not 0 < anomalous.sum() < len(anomalous):
        raise ValueError(
            "An ROC curve needs test images of the held-out class and of others; "
            f"received {anomalous.sum()} of it among {len(anomalous)}."
        )
    return anomalous


def measure_scores(scores: np.ndarray, anomalous: np.ndarray, suffix: str = "") -> Measurement:
    from sklearn.metrics import roc_auc_score, roc_curve

    fpr, tpr, _ = roc_curve(anomalous, scores)
    # Both rise along the curve, so equal parts of their sum are equal parts of its length.
    kept = np.unique(np.searchsorted(fpr + tpr, np.linspace(0.0, 2.0, NUM_POINTS) - 1e-9))
    return Measurement(
        {f"auc{suffix}": float(roc_auc_score(anomalous, scores))},
        {f"fpr{suffix}": fpr[kept], f"tpr{suffix}": tpr[kept]},
    )


# ---- curves ----


def draw_curves(
    entries: list[Entry], baselines: list[Entry], problem: Problem, suffix: str, path: Path
) -> Path:
    held_out = [name for name in problem.class_names if any(e.held_out == name for e in entries)]
    styles = plots.label_styles({entry.label: entry.variant for entry in entries})
    names = dict.fromkeys(entry.label for entry in baselines)
    styles |= {name: BASELINE_STYLES[name == INK] for name in names}
    axes = ("false positive rate", "true positive rate")
    everything = [*entries, *baselines]
    if len(held_out) > MOST_PANELS:
        panels = {"mean of the classes": mean_over_classes(everything, held_out, suffix)}
    else:
        panels = {
            f"trained without {name}": by_label(
                [entry for entry in everything if entry.held_out == name], suffix
            )
            for name in held_out
        }
    return plots.curve_panels(panels, styles, axes, path, legend_title="AUC", diagonal=True)


def by_label(entries: list[Entry], suffix: str) -> dict[str, plots.Curve]:
    """The mean curve over the seeds of each label, with one standard deviation around it."""
    curves = {}
    for label in dict.fromkeys(entry.label for entry in entries):
        same = [entry.measurement for entry in entries if entry.label == label]
        rates = np.stack([rates_on_grid(measurement, suffix) for measurement in same])
        areas = [auc(measurement, suffix) for measurement in same]
        note, band = f"{np.mean(areas):.3f}", None
        if len(same) > 1:
            note += f" ± {np.std(areas, ddof=1):.3f}"
            band = rates.std(axis=0, ddof=1)
        curves[label] = plots.Curve(GRID, rates.mean(axis=0), note, band)
    return curves


def mean_over_classes(
    entries: list[Entry], held_out: list[str], suffix: str
) -> dict[str, plots.Curve]:
    """The mean over the classes of the mean over the seeds, at equal false positive rates.

    The note says so where a label lacks some of the classes: its mean is then of other classes.
    """
    curves = {}
    for label in dict.fromkeys(entry.label for entry in entries):
        same = [entry for entry in entries if entry.label == label and entry.held_out in held_out]
        rates, areas = [], []
        for name in dict.fromkeys(entry.held_out for entry in same):
            of_class = [entry.measurement for entry in same if entry.held_out == name]
            rates.append(np.mean([rates_on_grid(each, suffix) for each in of_class], axis=0))
            areas.append(np.mean([auc(each, suffix) for each in of_class]))
        lacking = f" ({len(rates)} of {len(held_out)} classes)" * (len(rates) < len(held_out))
        note = f"{np.mean(areas):.3f}{lacking}"
        curves[label] = plots.Curve(GRID, np.mean(rates, axis=0), note)
    return curves


def rates_on_grid(measurement: Measurement, suffix: str) -> np.ndarray:
    """True positive rates at the grid's false positive rates; baselines have one score."""
    arrays = measurement.arrays
    suffix = suffix if f"fpr{suffix}" in arrays else ""
    rates = np.interp(GRID, arrays[f"fpr{suffix}"], arrays[f"tpr{suffix}"])
    rates[0] = 0.0
    return rates


def auc(measurement: Measurement, suffix: str) -> float:
    return measurement.numbers.get(f"auc{suffix}", measurement.numbers["auc"])
