"""Interpolation: how realistic the images between two test images are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import EvaluationData, Figure, Measurement, Result
from keras_ae.evaluation.comparisons.common import clip_to_images, nearest_distances
from keras_ae.files import safe_name

VERSION = 1
NUM_STEPS = 12
NUM_PAIRS = 20  # besides the one in the figure
NUM_REFERENCES = 10_000
DEFAULT = ("2", "7")


def measure(
    model: Any, data: EvaluationData, *, seed: int, interpolate: Sequence[str] | None = None
) -> Measurement:
    """Metrics of paths of 12 frames between the codes of two test images.

    Every number is a mean over 21 paths: the one in the figure, and 20 between random test images
    of different classes, the same for every model.

    Args:
        model: A trained autoencoder.
        data: With a reference classifier where the images have labels.
        seed: Seed of the pairs and of the training images to compare with.
        interpolate: Names of two classes. The path in the figure goes from the first test image of
            the first class to that of the second. Default: "2" and "7"; where these classes do not
            exist, the first and the last; without labels, the first two test images.

    Returns:
        Metrics: `confidence` and `lowest_confidence`, the mean and the minimum over a path of the
        reference classifier's highest class probability, absent without the classifier;
        `largest_step`, the largest L2 distance between neighboring frames divided by that between
        the two end frames (1/11 for equal steps on a straight line), absent where no path moves;
        `path_nearest`, the mean L2 distance of the frames to the nearest of at most 10,000 random
        training images (blur makes it small: compare it with the baseline "the test images").
        `shown`: the same for the path in the figure, with its `classes` (None without labels) and
        the indices of its two `images` in the test set.
        Arrays: `frames` `(12, *image_shape)`, the path in the figure.

    Raises:
        ValueError: `interpolate` names an unknown class, or one without test images.
    """
    return measure_paths(
        lambda start, end: clip_to_images(model.interpolate(start, end, num_steps=NUM_STEPS)),
        data,
        seed,
        interpolate,
    )


def baselines(
    data: EvaluationData, *, seed: int, interpolate: Sequence[str] | None = None
) -> dict[str, Measurement]:
    """The straight line between the pixels, and the two test images without a path."""
    ends = measure_paths(lambda *ends: np.stack(ends), data, seed, interpolate).metrics
    ends.pop("largest_step", None)
    ends["shown"].pop("largest_step", None)
    if data.reference_classifier is not None:
        ends["note"] = f"The reference classifier is {data.reference_classifier.description}."
    return {
        "pixel cross-fade": measure_paths(cross_fade, data, seed, interpolate),
        "the test images": Measurement(ends),
    }


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """A strip and a GIF for the first seed of each label; the cross-fade is the first strip."""
    if not results:
        return []
    strips = {}
    for result in results:
        strips.setdefault(result.label, result.measurement.arrays["frames"])
    references = {
        baseline.label: baseline.measurement.arrays["frames"]
        for baseline in baselines
        if "frames" in baseline.measurement.arrays
    }
    classes = results[0].measurement.metrics["shown"]["classes"]
    titles = (classes[0], *[""] * (NUM_STEPS - 2), classes[1]) if classes else ()
    words = "from {} to {}".format(*classes) if classes else "between two test images"
    path = plots.image_rows({**references, **strips}, folder / "interpolation.png", titles)
    caption = f"The path {words} in code space, one row for each configuration (its first seed)"
    figures = [Figure(path, caption + (", below the blend of the pixels." if references else "."))]
    for label, frames in strips.items():
        path = folder / f"interpolation-{safe_name(label)}.gif"
        plots.oscillating_gif(frames, path)
        figures.append(Figure(path, f"{label}: {words} and back."))
    return figures


# ---- pairs ----


def shown_pair(data: EvaluationData, interpolate: Sequence[str] | None) -> tuple[int, int]:
    """Indices of the two test images whose path is in the figure."""
    labels, names = data.split.test.labels, data.class_names
    if interpolate is None:
        if labels is None:
            return 0, min(1, len(data.split.test) - 1)
        present = [names[label] for label in np.unique(labels)]
        has_default = all(name in present for name in DEFAULT)
        interpolate = DEFAULT if has_default else (present[0], present[-1])
    start = first_image(data, interpolate[0])
    return start, first_image(data, interpolate[1], other_than=start)


def first_image(data: EvaluationData, name: str, other_than: int | None = None) -> int:
    """Index of the first test image of a class, if possible not `other_than`."""
    labels, names = data.split.test.labels, data.class_names
    if labels is None or name not in names:
        known = f"choose from {', '.join(names)}" if names else "the images have no labels"
        raise ValueError(f"interpolate: there is no class {name!r}; {known}.")
    indices = np.flatnonzero(labels == names.index(name))
    if not len(indices):
        raise ValueError(f"interpolate: class {name!r} has no test image; choose another class.")
    others = indices[indices != other_than]
    return int(others[0] if len(others) else indices[0])


def random_pairs(
    num_images: int, labels: np.ndarray | None, num_pairs: int, seed: int
) -> list[tuple[int, int]]:
    """Indices of two images of different classes; of different images, where all have one class."""
    kinds = np.arange(num_images) if labels is None or np.ptp(labels) == 0 else labels
    random = np.random.default_rng([seed, 0])
    pairs = []
    for start in random.integers(num_images, size=num_pairs):
        others = np.flatnonzero(kinds != kinds[start])
        if len(others):
            pairs.append((int(start), int(random.choice(others))))
    return pairs


def cross_fade(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The straight line between the pixels, `(12, *image_shape)`."""
    return np.linspace(start, end, NUM_STEPS, dtype=np.float32)


# ---- paths ----


def measure_paths(
    make_path: Callable[[np.ndarray, np.ndarray], np.ndarray],
    data: EvaluationData,
    seed: int,
    interpolate: Sequence[str] | None,
) -> Measurement:
    """Means over the path in the figure and the random ones.

    Args:
        make_path: Maps two images to the frames of a path, ends included.
    """
    test = data.split.test
    first = shown_pair(data, interpolate)
    pairs = [first, *random_pairs(len(test), test.labels, NUM_PAIRS, seed)]
    frames = np.stack([make_path(test.images[start], test.images[end]) for start, end in pairs])
    values = path_metrics(frames, data, seed)
    metrics: dict[str, Any] = {
        name: float(np.nanmean(value))
        for name, value in values.items()
        if not np.isnan(value).all()
    }
    metrics["num_paths"] = len(pairs)
    shown: dict[str, Any] = {
        name: float(value[0]) for name, value in values.items() if not np.isnan(value[0])
    }
    shown["images"] = list(first)
    shown["classes"] = (
        None if test.labels is None else [data.class_names[test.labels[end]] for end in first]
    )
    return Measurement({**metrics, "shown": shown}, {"frames": frames[0]})


def path_metrics(frames: np.ndarray, data: EvaluationData, seed: int) -> dict[str, np.ndarray]:
    """Each metric of each path, `(P,)`, for paths `(P, num_steps, *image_shape)`."""
    num_paths, num_steps, *image_shape = frames.shape
    references = choose(data.split.train.images, NUM_REFERENCES, seed)
    distances = nearest_distances(frames.reshape(num_paths * num_steps, -1), references)
    values = {
        "largest_step": largest_steps(frames),
        "path_nearest": distances.reshape(num_paths, num_steps).mean(axis=1),
    }
    if data.reference_classifier is not None:
        images = frames.reshape(-1, *image_shape)
        probabilities = np.asarray(data.reference_classifier.probabilities(images))
        confidence = probabilities.max(axis=1).reshape(num_paths, num_steps).astype(np.float64)
        values["confidence"] = confidence.mean(axis=1)
        values["lowest_confidence"] = confidence.min(axis=1)
    return values


def largest_steps(frames: np.ndarray) -> np.ndarray:
    """The largest step divided by the distance of the ends, `(P,)`; NaN where these are equal."""
    pixels = frames.reshape(*frames.shape[:2], -1).astype(np.float64)
    steps = np.linalg.norm(np.diff(pixels, axis=1), axis=-1).max(axis=1)
    lengths = np.linalg.norm(pixels[:, -1] - pixels[:, 0], axis=-1)
    moved = lengths > 1e-6  # less is rounding error
    return np.where(moved, steps / np.where(moved, lengths, 1.0), np.nan)


def choose(images: np.ndarray, num: int, seed: int) -> np.ndarray:
    """At most `num` of the images, drawn without replacement."""
    if len(images) <= num:
        return images
    return images[np.random.default_rng([seed, 1]).choice(len(images), num, replace=False)]
