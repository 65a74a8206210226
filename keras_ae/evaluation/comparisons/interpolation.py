"""From one test image to another: how far the images on the way look like real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import Entry, Figure, Measurement, Problem
from keras_ae.evaluation.comparisons.common import as_images, nearest_distances
from keras_ae.files import safe_name

NUM_STEPS = 12
NUM_PAIRS = 20  # beside the one that is shown
NUM_REFERENCES = 10_000
DEFAULT = ("2", "7")


def measure(
    model, problem: Problem, *, seed: int, interpolate: Sequence[str] | None = None
) -> Measurement:
    """Numbers of paths of 12 frames between the codes of two test images.

    One pair is an anecdote: every number is a mean over 21 paths, the one that is shown and 20
    between random test images of different classes, the same for every model.

    Args:
        seed: Of the pairs and of the training images that are compared with.
        interpolate: Names of two classes: the path shown goes from the first test image of the
            one to the first of the other. By default from "2" to "7" or, where there are no such
            classes, from the first class to the last, without labels between the first two images.

    Returns:
        Numbers: `confidence` and `lowest_confidence`, the mean and the minimum over a path of the
        judge's highest class probability, absent without a judge; `largest_step`, the longest
        L2 distance between neighbouring frames over that between the two end frames (1/11 on an
        even straight line), absent where all paths stand still; `path_nearest`, the mean L2
        distance of the frames to the nearest of at most 10,000 random training images, never of
        the test images, since those are the ends (blur makes it small: read it beside that of
        the baseline "the test images"). `shown`: the same of the path shown, its `classes` (None
        without labels) and the `images`' places in the test set.
        Arrays: `frames` `(12, *image_shape)`, the path shown.

    Raises:
        ValueError: `interpolate` names a class that there is not, or that has no test image.
    """
    return measure_paths(
        lambda start, end: as_images(model.interpolate(start, end, num_steps=NUM_STEPS)),
        problem,
        seed,
        interpolate,
    )


def baselines(
    problem: Problem, *, seed: int, interpolate: Sequence[str] | None = None
) -> dict[str, Measurement]:
    """The straight line between the pixels, and the two test images without anything between."""
    ends = measure_paths(lambda *ends: np.stack(ends), problem, seed, interpolate).numbers
    ends.pop("largest_step", None)
    ends["shown"].pop("largest_step", None)
    if problem.judge is not None:
        ends["note"] = f"The judge is {problem.judge.description}."
    return {
        "pixel cross-fade": measure_paths(cross_fade, problem, seed, interpolate),
        "the test images": Measurement(ends),
    }


def draw(
    entries: list[Entry], baselines: list[Entry], problem: Problem, folder: Path
) -> list[Figure]:
    """A strip for each label, the cross-fade above them, and a GIF each: of the first seed."""
    if not entries:
        return []
    strips = {}
    for entry in entries:
        strips.setdefault(entry.label, entry.measurement.arrays["frames"])
    references = {
        entry.label: entry.measurement.arrays["frames"]
        for entry in baselines
        if "frames" in entry.measurement.arrays
    }
    classes = entries[0].measurement.numbers["shown"]["classes"]
    titles = (classes[0], *[""] * (NUM_STEPS - 2), classes[1]) if classes else ()
    words = "from {} to {}".format(*classes) if classes else "between two test images"
    path = plots.image_rows({**references, **strips}, folder / "interpolation.png", titles)
    caption = f"The way {words} through the code, one row a configuration (its first seed)"
    figures = [Figure(path, caption + (", under the blend of the pixels." if references else "."))]
    for label, frames in strips.items():
        path = folder / f"interpolation-{safe_name(label)}.gif"
        plots.oscillating_gif(frames, path)
        figures.append(Figure(path, f"{label}: {words} and back again."))
    return figures


# ---- which paths ----


def shown_pair(problem: Problem, interpolate: Sequence[str] | None) -> tuple[int, int]:
    """Places in the test set of the two images whose path is shown."""
    labels, names = problem.split.test.labels, problem.class_names
    if interpolate is None and labels is None:
        return 0, min(1, len(problem.split.test) - 1)
    if interpolate is None:
        present = [names[label] for label in np.unique(labels)]
        there = all(name in present for name in DEFAULT)
        interpolate = DEFAULT if there else (present[0], present[-1])
    start = first_image(problem, interpolate[0])
    return start, first_image(problem, interpolate[1], other_than=start)


def first_image(problem: Problem, name: str, other_than: int | None = None) -> int:
    labels, names = problem.split.test.labels, problem.class_names
    if labels is None or name not in names:
        known = ", ".join(map(str, names)) or "none, for the images have no labels"
        raise ValueError(f"There is no class {name!r} to interpolate; the classes are {known}.")
    places = np.flatnonzero(labels == names.index(name))
    if not len(places):
        raise ValueError(f"The class {name!r} cannot be interpolated: it has no test image.")
    others = places[places != other_than]
    return int(others[0] if len(others) else places[0])


def random_pairs(
    num_images: int, labels: np.ndarray | None, num_pairs: int, seed: int
) -> list[tuple[int, int]]:
    """Places of two images of different classes (different images, where there is one class)."""
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


# ---- their numbers ----


def measure_paths(
    make_path: Callable[[np.ndarray, np.ndarray], np.ndarray],
    problem: Problem,
    seed: int,
    interpolate: Sequence[str] | None,
) -> Measurement:
    """Of the path shown and the random ones, with `make_path(start, end)` the frames of one."""
    test = problem.split.test
    first = shown_pair(problem, interpolate)
    pairs = [first, *random_pairs(len(test), test.labels, NUM_PAIRS, seed)]
    frames = np.stack([make_path(test.images[start], test.images[end]) for start, end in pairs])
    values = path_numbers(frames, problem, seed)
    numbers = {
        name: float(np.nanmean(value)) for name, value in values.items() if np.any(value == value)
    }
    numbers["num_paths"] = len(pairs)
    numbers["shown"] = {
        name: float(value[0]) for name, value in values.items() if value[0] == value[0]
    }
    numbers["shown"]["images"] = list(first)
    numbers["shown"]["classes"] = (
        None if test.labels is None else [problem.class_names[test.labels[end]] for end in first]
    )
    return Measurement(numbers, {"frames": frames[0]})


def path_numbers(frames: np.ndarray, problem: Problem, seed: int) -> dict[str, np.ndarray]:
    """Of paths `(P, num_steps, *image_shape)`, each number for each path: `(P,)`."""
    num_paths, num_steps, *image_shape = frames.shape
    references = choose(problem.split.train.images, NUM_REFERENCES, seed)
    distances = nearest_distances(frames.reshape(num_paths * num_steps, -1), references)
    values = {
        "largest_step": largest_steps(frames),
        "path_nearest": distances.reshape(num_paths, num_steps).mean(axis=1),
    }
    if problem.judge is not None:
        probabilities = np.asarray(problem.judge.probabilities(frames.reshape(-1, *image_shape)))
        confidence = probabilities.max(axis=1).reshape(num_paths, num_steps).astype(np.float64)
        values["confidence"] = confidence.mean(axis=1)
        values["lowest_confidence"] = confidence.min(axis=1)
    return values


def largest_steps(frames: np.ndarray) -> np.ndarray:
    """`(P,)` longest steps over the distances of the ends; NaN where the ends are the same."""
    pixels = frames.reshape(*frames.shape[:2], -1).astype(np.float64)
    steps = np.linalg.norm(np.diff(pixels, axis=1), axis=-1).max(axis=1)
    lengths = np.linalg.norm(pixels[:, -1] - pixels[:, 0], axis=-1)
    moved = lengths > 1e-6  # less is rounding
    return np.where(moved, steps / np.where(moved, lengths, 1.0), np.nan)


def choose(images: np.ndarray, num: int, seed: int) -> np.ndarray:
    if len(images) <= num:
        return images
    return images[np.random.default_rng([seed, 1]).choice(len(images), num, replace=False)]
