"""Anomaly detection: scores that should single out images of classes unseen in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.anomaly.detection import (
    auroc,
    counts,
    pixel_metrics,
    rate_metrics,
    score_metrics,
    verdict_metrics,
)
from keras_ae.data.baselines import fit_pca, flatten, random_images
from keras_ae.data.contents import printable
from keras_ae.data.drawings import are_drawings
from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons import bench
from keras_ae.evaluation.comparisons.base import (
    EvaluationData,
    Figure,
    Measurement,
    Part,
    Result,
)
from keras_ae.evaluation.comparisons.common import (
    clip_to_images,
    nearest_references,
    with_warnings,
)
from keras_ae.files import safe_name
from keras_ae.prediction.overlays import default_sigma
from keras_ae.runs.request import DEFAULT_FALSE_POSITIVE_RATE
from keras_ae.runs.scores import score_line, threshold_score

VERSION = 8
INK, BRIGHTNESS = "ink sum", "sum of the pixels"  # of drawings, of photographs
NEAREST, FOREST, OUTLIERS = "nearest neighbor in pixels", "IsolationForest", "LocalOutlierFactor"
NUM_POINTS = 200
NUM_COMPONENTS = 2
NUM_DETECTOR_COMPONENTS = 20
MAX_DETECTOR_IMAGES = 10_000  # that the detectors of scikit-learn are fitted to
MAX_REFERENCE_VALUES = 2**27  # of all nearest-neighbor candidates: 171,000 images of MNIST
MAX_PANELS = 3
MAX_HISTOGRAMS = 15
HISTOGRAM_FILE = "anomaly_scores.png"
NUM_SHOWN = 10
CAPTION_WIDTH, CAPTION_LINES = 17, 3  # letters of a line below an image, and lines
GROUPS = {"top": "most anomalous", "missed": "missed", "false": "false alarms"}
GRID = np.append(0.0, np.linspace(0.0, 1.0, 201))  # 0 twice: a curve may start with a rise
SIGNED, LOCAL = "signed_residual", "local_residual"
PLAIN_STYLE = {"color": "0.35", "linestyle": (0, (1, 1))}
BASELINE_STYLES = {
    "PCA, 20 components": {"color": "0.55", "linestyle": (0, (1, 3))},
    INK: {"color": "0.6", "linestyle": (0, (6, 1.5))},
    BRIGHTNESS: {"color": "0.6", "linestyle": (0, (6, 1.5))},
    NEAREST: {"color": "0.2", "linestyle": (0, (4, 1, 1, 1))},
    FOREST: {"color": "0.5", "linestyle": (0, (3, 1, 1, 1, 1, 1))},
    OUTLIERS: {"color": "0.7", "linestyle": (0, (2, 1))},
}


def measure(model: Any, data: EvaluationData, *, seed: int) -> Measurement:
    """Numbers of anomaly detection; the positives are the images of classes not in training.

    Args:
        model: An autoencoder that was trained without these classes. Where it has no threshold, one
            is fitted to the validation images, and stored in it.
        data: With labels, and a held-out or a normal class.
        seed: Not used.

    Returns:
        Metrics: `anomaly_score`, the name of the score: that of the model's threshold, which by
        default is that of `keras_ae.runs.scores.threshold_score`; its `auc`, and `auc_signed` of
        the signed residual (where `data.published`), each in [0, 1]. 0.5 is chance; below 0.5 the
        unseen images look more normal than the others. `pca_auc` of the squared error of PCA with
        `pca_components`, as many as the code has numbers. See `score_metrics`, `verdict_metrics`
        and, where there are masks, `pixel_metrics`. `threshold`, its value, its score and what it
        was fitted to. `at_rates`, see `rate_metrics`. `shown`, see `describe_images`.
        `num_anomalous` and `num_normal` of the test images. `parts`, where there are several
        classes of anomalous images: numbers of each, and `num_of_parts`, how many images.
        Arrays: `fpr` and `tpr`, `fpr_signed` and `tpr_signed`: at most 200 points of each curve.
        `scores` `(N,)`, those that the threshold is compared with, and `anomalous` `(N,)`.
        `pictured` and `pictures`, see `bench.pictures_of`.
        `{group}_images`, `_reconstructions` and `_maps`: up to 10 of each of `GROUPS`.

    Raises:
        ValueError: no class is held out, or all test images are anomalous, or none.
    """
    images, anomalous = data.split.test.images, anomalous_images(data)
    loss = model.reconstruction_loss
    usual = threshold_score(loss, data.split.train.images, data.normal is None)
    threshold, note = threshold_of(model, data, usual)
    score, num_samples = threshold["score"], threshold["num_samples"]
    options = {} if num_samples is None else {"num_samples": num_samples}
    scores = np.asarray(model.anomaly_score(images, score=score, **options))
    metrics: dict[str, Any] = {"anomaly_score": score, **counts(anomalous)}
    arrays = {}
    for suffix, name in {"": score, "_signed": SIGNED}.items():
        if suffix and not data.published:
            continue
        found = scores if name == score else np.asarray(model.anomaly_score(images, score=name))
        of_score = measure_scores(found, anomalous, suffix)
        metrics |= of_score.metrics
        arrays |= of_score.arrays
    pca = data.principal_components(model.code_size)
    metrics["pca_components"] = int(pca.n_components_)
    metrics["pca_auc"] = data.shared(
        ("pca_auc", pca.n_components_),
        lambda: auroc(pca_errors(pca, flatten(images)), anomalous),
    )
    metrics |= score_metrics(scores, anomalous)
    metrics["at_rates"] = rate_metrics(scores, anomalous)

    if score != loss:
        words = score_line(score, loss, is_default=score == usual)
        note = f"{type(model).__name__}: {words}. {note}"
    verdicts = scores > np.float32(threshold["threshold"])
    metrics |= {**verdict_metrics(verdicts, anomalous), "threshold": threshold}
    if parts := metrics_of_parts(data, scores, verdicts, anomalous):
        metrics["parts"] = parts
        labels = data.split.test.labels
        metrics["num_of_parts"] = {
            name: int((labels == data.class_names.index(name)).sum())
            for name in next(iter(parts.values()))
        }
    if data.split.test_masks is not None:
        sigma = default_sigma(images.shape[1:])
        maps = np.asarray(model.anomaly_map(images, sigma=sigma, score=map_score(score)))
        metrics |= pixel_metrics(maps, data.split.test_masks)
    if note:
        metrics["note"] = note.strip()
    arrays |= {"scores": scores.astype(np.float32), "anomalous": anomalous}
    arrays |= bench.pictures_of(data.split.test)
    groups = choose_images(scores, verdicts, anomalous)
    metrics["shown"] = describe_images(groups, data, scores)
    return Measurement(metrics, {**arrays, **shown_images(model, images, groups, map_score(score))})


def baselines(data: EvaluationData, *, seed: int) -> dict[str, Measurement]:
    """Scores without a network.

    - The squared error of a PCA with 20 components and, where `data.published`, of one with two.
      Where the models are scored by `local_residual`, also that of the larger PCA, fitted to its
      residuals of the validation images.
    - The sum of the pixels. A larger sum, which is more ink in drawings, counts as more anomalous;
      the AUC of the opposite rule is 1 minus this one.
    - The mean squared difference to the nearest training image.
    - scikit-learn's IsolationForest and LocalOutlierFactor (as a novelty detector) with their
      default settings, on the codes of the PCA with 20 components.

    All are fitted to the training images, the two detectors to at most 10,000 of them. With masks,
    the errors of PCA and the differences to the nearest image are also maps.
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    anomalous, images = anomalous_images(data), data.split.test.images
    masks = data.split.test_masks
    train, test = data.split.train.images, flatten(images)
    scores: dict[str, np.ndarray] = {}
    differences: dict[str, np.ndarray] = {}
    smallest = [NUM_COMPONENTS] if data.published else []
    for number in (*smallest, NUM_DETECTOR_COMPONENTS):
        label, pca = fit_pca(train, number)
        differences[label] = pca.inverse_transform(pca.transform(test)) - test
        scores[label] = np.square(differences[label]).sum(axis=1)
    maps: dict[str, np.ndarray] = {}
    if threshold_score("bce", train, data.normal is None) == LOCAL and len(data.split.validation):
        name = f"{label}, {LOCAL}"
        unseen = flatten(random_images(normal_validation(data), MAX_DETECTOR_IMAGES))
        residuals = pca.inverse_transform(pca.transform(unseen)) - unseen
        of_windows = LocalResiduals(residuals, differences[label], images.shape[1:])
        scores[name] = of_windows.scores()
        if masks is not None:
            maps[name] = of_windows.maps()
    scores[sum_name(data)] = test.sum(axis=1, dtype=np.float64)
    references = flatten(random_images(train, max(1, MAX_REFERENCE_VALUES // test.shape[1])))
    nearest = references[nearest_references(test, references)] - test
    scores[NEAREST] = np.square(nearest).mean(axis=1)
    if masks is not None:
        differences[NEAREST] = nearest
    few = pca.transform(flatten(random_images(train, MAX_DETECTOR_IMAGES)))
    codes = pca.transform(test)
    forest = IsolationForest(random_state=seed).fit(few)
    scores[FOREST] = -forest.score_samples(codes)
    if len(few) > 2:
        detector = LocalOutlierFactor(min(20, len(few) - 1), novelty=True).fit(few)
        scores[OUTLIERS] = -detector.score_samples(codes)
    rows = {}
    for name, of_name in scores.items():
        made = measure_scores(of_name, anomalous)
        metrics = {**made.metrics, **score_metrics(of_name, anomalous)}
        if parts := metrics_of_parts(data, of_name, None, anomalous):
            metrics["parts"] = parts
        if masks is not None and name in differences:
            metrics |= pixel_metrics(maps_of(differences.pop(name), images), masks)
        if masks is not None and name in maps:
            metrics |= pixel_metrics(smoothed_maps(maps.pop(name)), masks)
        rows[name] = Measurement(metrics, made.arrays)
    rows[FOREST].metrics["note"] = (
        f"{FOREST} and {OUTLIERS}: of scikit-learn, with default settings, on the codes of a PCA "
        f"with {pca.n_components_} components of at most {MAX_DETECTOR_IMAGES:,} training images. "
        "Nearest neighbor: the mean squared difference to the nearest training image."
    )
    return rows


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """ROC curves: one panel for each held-out class; above three, their mean.

    Where `data.published`, also those of the signed residual. Histograms of the scores, and the
    images that are most anomalous, missed, and false alarms.
    """
    if not results:
        return []
    figures = draw_all_curves(results, baselines, data, folder)
    shown = [result for result in results if "scores" in result.measurement.arrays]
    first: dict[tuple[str, str | None], Result] = {}
    for result in shown:
        first.setdefault((result.label, result.held_out), result)
    if first:
        figures.append(draw_histograms(first, folder))
    galleries: dict[str, Result] = {}
    for result in first.values():
        galleries.setdefault(result.label, result)
    return figures + [
        draw_gallery(label, result, data, folder / f"anomaly_images-{safe_name(label)}.png")
        for label, result in galleries.items()
    ]


def interactive(
    results: list[Result], baselines: list[Result], class_names: tuple[str, ...], max_bytes: float
) -> list[Part]:
    """The histograms with a threshold to move: the first seed of each label and class."""
    return bench.parts(results, class_names, max_bytes, HISTOGRAM_FILE)


# ---- scores ----


def pca_errors(pca: Any, pixels: np.ndarray) -> np.ndarray:
    """The squared error of each image, `(N,)`, from pixels `(N, D)`."""
    return np.square(pixels - pca.inverse_transform(pca.transform(pixels))).sum(axis=1)


def sum_name(data: EvaluationData) -> str:
    """The name of the sum of the pixels: of drawings it is the amount of ink."""
    return INK if are_drawings(data.split.test.images) else BRIGHTNESS


def anomalous_images(data: EvaluationData) -> np.ndarray:
    """`(N,)` booleans: which test images belong to classes that are not in training."""
    anomalous = data.is_anomalous(data.split.test.labels)
    if anomalous is None:
        raise ValueError(
            "Anomaly detection needs a run trained without one class; this one had all classes."
        )
    if not 0 < anomalous.sum() < len(anomalous):
        which = (
            "the held-out class" if data.held_out is not None else "other classes than in training"
        )
        raise ValueError(
            f"An ROC curve needs test images of {which} and of others; "
            f"received {anomalous.sum()} of {which} among {len(anomalous)}."
        )
    return anomalous


def measure_scores(scores: np.ndarray, anomalous: np.ndarray, suffix: str = "") -> Measurement:
    """The area under a ROC curve, and at most 200 points of the curve."""
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(anomalous, scores)
    # Both rise along the curve: equal steps of their sum are equal steps along it.
    kept = np.unique(np.searchsorted(fpr + tpr, np.linspace(0.0, 2.0, NUM_POINTS) - 1e-9))
    return Measurement(
        {f"auc{suffix}": auroc(scores, anomalous)},
        {f"fpr{suffix}": fpr[kept], f"tpr{suffix}": tpr[kept]},
    )


def normal_validation(data: EvaluationData) -> np.ndarray:
    """The validation images that are not anomalous."""
    validation = data.split.validation
    anomalous = data.is_anomalous(validation.labels)
    return validation.images if anomalous is None else validation.where(~anomalous).images


def threshold_of(model: Any, data: EvaluationData, score: str) -> tuple[dict[str, Any], str]:
    """The threshold of a model, and a note.

    One of `score` is fitted to the normal validation images if the model has none.
    """
    fit, note = model.threshold_fit, ""
    if fit is None:
        images = normal_validation(data)
        fit, warned = with_warnings(
            lambda: model.fit_threshold(images, DEFAULT_FALSE_POSITIVE_RATE, score)
        )
        note = " ".join(f"Threshold: {words}" for words in warned)
    interval = None if fit.interval is None else list(fit.interval)  # as in JSON
    return {**fit.to_dict(), "interval": interval}, note


def map_score(score: str) -> str:
    """The score of the maps: "mse" for a score without a map."""
    from keras_ae.anomaly.tools import MAPS  # imports TensorFlow

    return score if score in MAPS else "mse"


def metrics_of_parts(
    data: EvaluationData, scores: np.ndarray, verdicts: np.ndarray | None, anomalous: np.ndarray
) -> dict[str, dict[str, float]]:
    """AUC and recall of each class of anomalous images; `{}` with fewer than two classes.

    The AUC is that of one class against all normal images.
    """
    labels = data.split.test.labels
    assert labels is not None
    classes = {data.class_names[index]: labels == index for index in np.unique(labels[anomalous])}
    if len(classes) < 2:
        return {}
    parts = {
        "AUC, by class of anomaly": {
            name: auroc(scores[chosen | ~anomalous], chosen[chosen | ~anomalous])
            for name, chosen in classes.items()
        }
    }
    if verdicts is not None:
        parts["Recall at the threshold, by class of anomaly"] = {
            name: float(verdicts[chosen].mean()) for name, chosen in classes.items()
        }
    return parts


# ---- maps and images ----


def maps_of(differences: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Smoothed squared differences, summed over the channels, `(N, H, W)`."""
    return smoothed_maps(np.square(differences).reshape(*images.shape[:3], -1).sum(axis=-1))


def smoothed_maps(maps: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    for axis in (1, 2):
        maps = gaussian_filter1d(maps, default_sigma(maps.shape[1:]), axis=axis, mode="reflect")
    return maps


class LocalResiduals:
    """The anomaly score `local_residual` without an autoencoder.

    Args:
        normal: Residuals `(N, D)` of normal images, that the score is fitted to.
        residuals: Residuals `(N, D)` of the images to be scored.
        image_shape: Shape of an image.
    """

    def __init__(self, normal: np.ndarray, residuals: np.ndarray, image_shape: tuple[int, ...]):
        from keras_ae.anomaly import residuals as windows  # imports TensorFlow

        self._windows, self._shape = windows, image_shape
        normal, residuals = (
            each.reshape(-1, *image_shape).astype(np.float32) for each in (normal, residuals)
        )
        self._statistics = windows.fit_local_residual(windows.window_features(normal).numpy())
        self._features = windows.window_features(residuals)

    def scores(self) -> np.ndarray:
        return self._windows.local_residual(self._statistics, self._features).numpy()

    def maps(self) -> np.ndarray:
        """`(N, height, width)`."""
        made = self._windows.local_residual_map(self._statistics, self._features, self._shape)
        return made.numpy()


def choose_images(
    scores: np.ndarray, verdicts: np.ndarray, anomalous: np.ndarray
) -> dict[str, np.ndarray]:
    """Indices of the images with the highest scores, the missed ones with the lowest, false alarms.

    Up to 10 of each of `GROUPS`; a group without images is left out.
    """
    order = np.argsort(-scores, kind="stable")
    groups = {
        "top": order,
        "missed": order[::-1][(anomalous & ~verdicts)[order[::-1]]],
        "false": order[(verdicts & ~anomalous)[order]],
    }
    return {name: indices[:NUM_SHOWN] for name, indices in groups.items() if len(indices)}


def shown_images(
    model: Any, images: np.ndarray, groups: dict[str, np.ndarray], score: str
) -> dict[str, np.ndarray]:
    """The images of each group with their reconstructions and their maps of `score`."""
    arrays = {}
    for name, indices in groups.items():
        shown = images[indices]
        arrays[f"{name}_images"] = shown
        arrays[f"{name}_reconstructions"] = clip_to_images(model.reconstruct(shown))
        arrays[f"{name}_maps"] = np.asarray(model.anomaly_map(shown, score=score))
    return arrays


def describe_images(
    groups: dict[str, np.ndarray], data: EvaluationData, scores: np.ndarray
) -> dict[str, list[dict[str, Any]]]:
    """Which images the groups are: `name`, `class` and `score` of each.

    The name is the path of the file relative to the folder of the data set, or the index of an
    image from an array; see `Split.test_names`.
    """
    names, labels = data.split.test_names, data.split.test.labels
    assert labels is not None
    names = np.arange(len(labels)) if names is None else names
    return {
        group: [
            {
                "name": printable(name) if isinstance(name, str) else int(name),
                "class": data.class_names[labels[index]],
                "score": float(scores[index]),
            }
            for index, name in zip(indices, names[indices], strict=True)
        ]
        for group, indices in groups.items()
    }


def draw_gallery(label: str, result: Result, data: EvaluationData, path: Path) -> Figure:
    """Images above their reconstructions and maps, in up to three groups."""
    arrays = result.measurement.arrays
    present = {name: words for name, words in GROUPS.items() if f"{name}_images" in arrays}
    maps = np.concatenate([arrays[f"{name}_maps"] for name in present])
    lowest, highest = (float(end) for end in np.quantile(maps, (0.01, 0.999)))
    scale = max(highest - lowest, 1e-6)
    rows, dark = {}, set()
    for name, words in present.items():
        rows[words] = arrays[f"{name}_images"]
        rows[f"{words}: reconstructions"] = arrays[f"{name}_reconstructions"]
        rows[f"{words}: maps"] = np.clip((arrays[f"{name}_maps"] - lowest) / scale, 0.0, 1.0)
        dark.add(f"{words}: maps")
    shown = result.measurement.metrics["shown"]
    threshold = result.measurement.metrics["threshold"]["threshold"]
    captions, lines = name_captions({words: shown[name] for name, words in present.items()})
    below = {f"{words}: maps": captions[words] for words in present.values()}
    like = data.split.test.images[:1000]
    plots.image_rows(rows, path, like=like, dark_zero=dark, captions=below)
    absent = [words for name, words in GROUPS.items() if name not in present]
    names = data.split.test_names
    is_file = names is not None and all(isinstance(name, str) for name in names)
    what = "file" if is_file else "index"
    without = f", trained without class {result.held_out}" if result.held_out is not None else ""
    return Figure(
        path,
        f"{label}, seed {result.seed}{without}: the test images with the highest scores, "
        "the anomalous images with the lowest scores below the threshold, and the normal images "
        f"with the highest scores above it, {threshold:.4g}. In all maps black is {lowest:.2g} or "
        f"less, white {lowest + scale:.2g} or more."
        + (f" None are {' or '.join(absent)}." if absent else "")
        + f" Below each image: its {'number in the list' if lines else what} and its score.",
        lines,
    )


def name_captions(
    groups: dict[str, list[dict[str, Any]]],
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Texts below the images of each group: the name, broken at slashes, and the score.

    If one of the names is too long for that, all images get a number instead, and the second result
    has a line for each group with all of its names.
    """
    broken = {
        words: [broken_name(str(image["name"])) for image in images]
        for words, images in groups.items()
    }
    fit = all(name is not None for names in broken.values() for name in names)
    captions = {
        words: [
            f"{broken[words][place] if fit else f'({place + 1})'}\n{image['score']:.4g}"
            for place, image in enumerate(images)
        ]
        for words, images in groups.items()
    }
    if fit:
        return captions, ()
    lists = {
        words: "; ".join(f"({place}) {image['name']}" for place, image in enumerate(images, 1))
        for words, images in groups.items()
    }
    return captions, tuple(f"{words}: {names}" for words, names in lists.items())


def broken_name(name: str) -> str | None:
    """A name in lines that fit below an image, broken after slashes; None if it does not fit."""
    lines = [""]
    for part in name.replace("/", "/\0").split("\0"):
        if lines[-1] and len(lines[-1] + part) > CAPTION_WIDTH:
            lines.append("")
        lines[-1] += part
    fits = len(lines) <= CAPTION_LINES and max(map(len, lines)) <= CAPTION_WIDTH
    can_draw = name.isascii() and name.isprintable()  # the font lacks many letters
    return "\n".join(lines) if fits and can_draw else None


def draw_histograms(first: dict[tuple[str, str | None], Result], folder: Path) -> Figure:
    """The scores of normal and anomalous images, with the threshold: the first seed of each."""
    only = None
    if len(first) > MAX_HISTOGRAMS:
        only = next(iter(first))[1]
    panels = {}
    for (label, held_out), result in first.items():
        if only is not None and held_out != only:
            continue
        arrays, metrics = result.measurement.arrays, result.measurement.metrics
        title = label if held_out is None else f"{label}, without {held_out}"
        anomalous = arrays["anomalous"]
        panels[title] = plots.Histogram(
            arrays["scores"][~anomalous],
            arrays["scores"][anomalous],
            metrics["threshold"]["threshold"],
            f"recall {metrics['recall']:.3f}, false positives {metrics['false_positive_rate']:.3f}",
        )
    path = plots.histogram_panels(panels, "anomaly score", folder / HISTOGRAM_FILE)
    return Figure(
        path,
        "Scores of the normal and the anomalous test images, each with its own area of 1, and the "
        "threshold as a dashed line (first seed). The outermost bars hold all scores beyond them."
        + (f" Runs trained without {only}." if only is not None else ""),
    )


# ---- curves ----


def draw_all_curves(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """ROC curves of the anomaly score and, where `data.published`, the signed residual."""
    name = sum_name(data)
    sums = [baseline for baseline in baselines if baseline.label == name]
    path, signed_path = folder / "anomaly.png", folder / "anomaly_signed.png"
    draw_curves(results, baselines, data, "", path)
    held_out = {result.held_out for result in results}
    positives = "with the images of the held-out class as positives"
    if data.normal is not None:
        normal = data.class_names[data.normal]
        positives = f"with the anomalous images, all but those of {normal}, as positives"
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
    curves = f"ROC curves of the anomaly score, {positives}."
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


def draw_curves(
    results: list[Result], baselines: list[Result], data: EvaluationData, suffix: str, path: Path
) -> Path:
    classes = {result.held_out for result in results}
    held_out = [name for name in data.class_names if name in classes]
    styles = plots.label_styles({result.label: result.variant for result in results})
    names = dict.fromkeys(baseline.label for baseline in baselines)
    styles |= {name: BASELINE_STYLES.get(name, PLAIN_STYLE) for name in names}
    axes = ("false positive rate", "true positive rate")
    everything = [*results, *baselines]
    if not held_out:
        panels = {"all anomalous images": by_label(everything, suffix)}
    elif len(held_out) > MAX_PANELS:
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
