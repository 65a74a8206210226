"""Data of the anomaly bench: scores of the test images, and pictures of some of them.

The page counts, for any threshold, what it finds and which images change sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_ae.data import Subset
from keras_ae.evaluation import sprites
from keras_ae.evaluation.comparisons.base import Part, Result

NUM_PICTURED, LEAST_PICTURED = 2000, 100
SHARE_OF_SCORES = 0.6  # of the bytes of the part; the others are for the pictures


def pictures_of(test: Subset) -> dict[str, np.ndarray]:
    """Thumbnails of up to 2,000 test images, the same for every model.

    Returns:
        `pictured`: indices of the images, which start with one of each class, then another one of
        each, and so on, so that a shorter list shows all classes too. `pictures`, see
        `sprites.thumbnails`; `pictured_labels`, where there are labels.
    """
    order = np.random.default_rng(0).permutation(len(test.images))
    if test.labels is not None:
        labels = np.asarray(test.labels)[order]
        by_class = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[by_class], labels[by_class])
        place = np.empty(len(order), np.int64)
        place[by_class] = np.arange(len(order)) - starts  # within its class
        order = order[np.argsort(place, kind="stable")]
    chosen = order[:NUM_PICTURED]
    arrays = {
        "pictured": chosen.astype(np.uint32),
        "pictures": sprites.thumbnails(test.images[chosen]),
    }
    if test.labels is not None:
        arrays["pictured_labels"] = np.asarray(test.labels)[chosen].astype(np.uint16)
    return arrays


def parts(
    results: list[Result], class_names: tuple[str, ...], max_bytes: float, replaces: str
) -> list[Part]:
    """The bench of the first seed of each label and held-out class, as far as `max_bytes` allow.

    Args:
        results: Measured runs; those without finite `scores` and `pictured` are left out.
        class_names: One name for each class.
        max_bytes: Bytes of the data as JSON. Each label comes first with one held-out class.
        replaces: File name of the figure that the bench stands for.
    """
    first: dict[tuple[str, str | None], Result] = {}
    for result in results:
        arrays = result.measurement.arrays
        if {"scores", "pictured"} <= arrays.keys() and np.isfinite(arrays["scores"]).all():
            first.setdefault((result.label, result.held_out), result)
    if not first:
        return []
    seen: dict[str, int] = {}
    ranks = {}
    for key in first:
        ranks[key] = seen[key[0]] = seen.get(key[0], 0) + 1
    runs: list[dict[str, Any]] = []
    sheets: list[dict[str, np.ndarray]] = []
    kinds: list[np.ndarray] = []
    size = 0
    for key in sorted(first, key=ranks.__getitem__):
        run = run_data(first[key])
        size += len(run["scores"]["levels"]["base64"])
        if runs and size > SHARE_OF_SCORES * max_bytes:
            break
        arrays = first[key].measurement.arrays
        anomalous = arrays.get("anomalous", np.zeros(len(arrays["scores"]), bool))
        run["sheet"] = place_of(arrays, sheets, are_same)
        run["kinds"] = place_of(anomalous, kinds, np.array_equal)
        runs.append(run)

    def make(num: int) -> dict[str, Any]:
        return {
            "class_names": list(class_names),
            "runs": runs,
            "num_left_out": len(first) - len(runs),
            "kinds": [sprites.packed(anomalous.astype(np.uint8)) for anomalous in kinds],
            "sheets": [sheet_data(arrays, num) for arrays in sheets],
        }

    data = sprites.fitting(make, NUM_PICTURED, LEAST_PICTURED, max_bytes)
    return [Part("bench", data, (replaces,))]


def run_data(result: Result) -> dict[str, Any]:
    """The scores of one run, with its threshold in float32, as verdicts use it."""
    fit = result.measurement.metrics["threshold"]
    threshold = float(np.float32(fit["threshold"]))
    return {
        "label": result.label,
        "held_out": result.held_out,
        "seed": result.seed,
        "score": fit["score"],
        "threshold": threshold,
        "scores": sprites.leveled(result.measurement.arrays["scores"], threshold),
    }


def place_of(thing: Any, things: list[Any], same: Callable[[Any, Any], bool]) -> int:
    """The place of a thing in a list, to which it is added where none is the same."""
    for place, other in enumerate(things):
        if same(thing, other):
            return place
    things.append(thing)
    return len(things) - 1


def sheet_data(arrays: dict[str, np.ndarray], num: int) -> dict[str, Any]:
    labels = arrays.get("pictured_labels")
    return {
        "indices": sprites.packed(arrays["pictured"][:num]),
        "labels": None if labels is None else sprites.packed(labels[:num]),
        "images": sprites.sheet(arrays["pictures"][:num]),
    }


def are_same(arrays: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> bool:
    """Whether two runs picture the same images."""
    return all(np.array_equal(arrays[key], others[key]) for key in ("pictured", "pictures"))
