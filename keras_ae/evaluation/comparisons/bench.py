"""Data of the anomaly bench: scores of the test images, and pictures of some of them.

The page counts, for any threshold, what it finds and which images change sides.
"""

from __future__ import annotations

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
        results: Measured runs; those without `scores` and `pictured` are left out.
        class_names: One name for each class.
        max_bytes: Bytes of the data as JSON. Each label comes first with one held-out class.
        replaces: File name of the figure that the bench stands for.
    """
    first: dict[tuple[str, str | None], Result] = {}
    for result in results:
        if {"scores", "pictured"} <= result.measurement.arrays.keys():
            first.setdefault((result.label, result.held_out), result)
    if not first:
        return []
    seen: dict[str, int] = {}
    ranks = {}
    for key in first:
        ranks[key] = seen[key[0]] = seen.get(key[0], 0) + 1
    runs, sheets, size = [], [], 0
    for key in sorted(first, key=ranks.__getitem__):
        run = run_data(first[key])
        size += len(run["scores"]["base64"]) + len(run["anomalous"]["base64"])
        if runs and size > SHARE_OF_SCORES * max_bytes:
            break
        arrays = first[key].measurement.arrays
        same = [place for place, other in enumerate(sheets) if are_same(arrays, other)]
        sheets += [] if same else [arrays]
        runs.append({**run, "sheet": same[0] if same else len(sheets) - 1})

    def make(num: int) -> dict[str, Any]:
        return {
            "class_names": list(class_names),
            "runs": runs,
            "sheets": [sheet_data(arrays, num) for arrays in sheets],
        }

    data = sprites.fitting(make, NUM_PICTURED, LEAST_PICTURED, max_bytes)
    return [Part("bench", data, (replaces,))]


def run_data(result: Result) -> dict[str, Any]:
    """The scores of one run, with its threshold in float32, as verdicts use it."""
    arrays, threshold = result.measurement.arrays, result.measurement.metrics["threshold"]
    scores = arrays["scores"]
    return {
        "label": result.label,
        "held_out": result.held_out,
        "seed": result.seed,
        "score": threshold["score"],
        "threshold": float(np.float32(threshold["threshold"])),
        "scores": sprites.packed(scores.astype(np.float32)),
        "anomalous": sprites.packed(
            arrays.get("anomalous", np.zeros(len(scores), bool)).astype(np.uint8)
        ),
    }


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
