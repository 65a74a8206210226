"""Interactive parts of the report: their files, their share of the page, and curves of training.

Nothing here imports Keras or TensorFlow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import Part
from keras_ae.files import atomic_write

if TYPE_CHECKING:
    from keras_ae.runs.catalog import TrainedRun

MAX_REPORT_MB = 8.0
PAGE_BYTES = 300_000  # text, tables, style and script
LEAST_BYTES = 400_000  # for the parts, however large the figures are
# The share of each comparison's parts in what figures and text leave; the others are for parts of
# no comparison.
SHARES = {"latent_structure": 0.4, "anomaly": 0.2, "threshold": 0.2}
MAX_POINTS = 300  # of a curve
QUANTITIES = {
    "loss": "loss",
    "reconstruction_loss": "reconstruction loss",
    "latent_loss": "latent loss",
}
UNIT = "nats/image"


def room(max_report_mb: float, figures: list[dict[str, Any]], folder: Path) -> float:
    """Bytes for all interactive parts of a page of at most `max_report_mb`, 10^6 bytes each.

    Args:
        max_report_mb: Size of `report.html`.
        figures: `file` of each figure in it.
        folder: Folder of the figures.
    """
    sizes = [
        path.stat().st_size
        for figure in figures
        if (path := folder / str(figure.get("file"))).is_file()
    ]
    return max(LEAST_BYTES, max_report_mb * 1e6 - PAGE_BYTES - sum(sizes) * 4 / 3)


def write(part: Part, folder: Path, name: str) -> dict[str, Any]:
    """Write the data of a part beside the figures.

    Args:
        part: The part.
        folder: Folder of the report.
        name: What the part belongs to; a part of the file name.

    Returns:
        The entry for `metrics.json`: `kind`, `file`, `replaces`.
    """
    text = json.dumps(part.data, separators=(",", ":"), allow_nan=False)
    path = atomic_write(folder / f"{name}.{part.kind}.json", lambda path: path.write_text(text))
    return {"kind": part.kind, "file": path.name, "replaces": list(part.replaces)}


def curves(runs: list[TrainedRun], labels: dict[Path, str], folder: Path) -> list[dict[str, Any]]:
    """Write the losses of each epoch of some runs; an entry of `metrics["interactive"]`.

    Args:
        runs: Finished runs.
        labels: The label of each run, by its directory.
        folder: Folder of the report.

    Returns:
        One entry, with a `table` of the last and the best losses; none without losses.
    """
    data = curve_data(
        [
            {
                "label": labels[run.directory],
                "variant": run.request.variant,
                "seed": run.request.seed,
                "held_out": run.held_out,
                "history": run.history,
            }
            for run in runs
        ]
    )
    if not data["quantities"]:
        return []
    return [
        {
            **write(Part("curves", data), folder, "training"),
            "section": "Training",
            "table": loss_table(data),
        }
    ]


def curve_data(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The data of the part `curves`.

    Args:
        runs: `label`, `variant`, `seed`, `held_out` and `history`, the rows of `history.csv`, of
            each run.

    Returns:
        `unit`; `quantities`, the `key` and `name` of each loss; `runs` with `epochs` and, for each
        loss and `val_` + loss, `values`, None where not finite. Long histories have every k-th
        epoch and the last.
    """
    styles = plots.label_styles({run["label"]: run["variant"] for run in runs})
    colors = distinct_colors(run["variant"] for run in runs)
    made = []
    for run in runs:
        history = run["history"]
        step = -(-len(history) // MAX_POINTS)
        rows = [
            row
            for place, row in enumerate(history, 1)
            if place % step == 0 or place in (1, len(history))
        ]
        keys = [
            f"{start}{key}"
            for key in QUANTITIES
            for start in ("", "val_")
            if any(_finite(row.get(f"{start}{key}")) is not None for row in rows)
        ]
        style = styles[run["label"]]
        made.append(
            {
                **{key: run[key] for key in ("label", "seed", "held_out")},
                "color": colors[run["variant"]],
                "dash": plots.DASHES.index(style["linestyle"]),
                "epochs": [int(row["epoch"]) for row in rows],
                "values": {key: [_finite(row.get(key)) for row in rows] for key in keys},
            }
        )
    present = {key.removeprefix("val_") for run in made for key in run["values"]}
    return {
        "unit": UNIT,
        "quantities": [
            {"key": key, "name": name} for key, name in QUANTITIES.items() if key in present
        ],
        "runs": made,
    }


def distinct_colors(variants: Iterable[str]) -> dict[str, int]:
    """The place of each variant's color in `plots.VARIANT_COLORS`, as in the figures.

    Where two variants share a color, the second one gets a color that is free, while there is one.
    """
    own = {}
    for variant in variants:
        color = plots.variant_style(variant)["color"]
        known = color in plots.VARIANT_COLORS
        own[variant] = plots.VARIANT_COLORS.index(color) if known else 0
    first = {place: variant for variant, place in reversed(own.items())}
    free = [place for place in range(len(plots.VARIANT_COLORS)) if place not in first]
    return {
        variant: place if first[place] == variant or not free else free.pop(0)
        for variant, place in own.items()
    }


def _finite(value: Any) -> float | None:
    """A number with six digits; None where it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


def loss_table(data: dict[str, Any]) -> dict[str, Any]:
    """A row for each run: its losses after the last epoch, and the best validation loss."""
    rows = []
    for run in data["runs"]:
        losses = run["values"].get("loss", [None])
        validation = run["values"].get("val_loss", [None])
        pairs = zip(validation, run["epochs"], strict=False)  # shorter without validation
        finite = [(loss, epoch) for loss, epoch in pairs if loss is not None]
        best, epoch = min(finite, default=(None, None))
        without = "" if run["held_out"] is None else f", without {run['held_out']}"
        rows.append(
            {
                "label": f"{run['label']}{without}, seed {run['seed']}",
                "kind": "variant",
                "values": [losses[-1], validation[-1], best, "–" if epoch is None else str(epoch)],
            }
        )
    return {
        "heading": f"Losses of the training, {UNIT}",
        "digits": 2,
        "classes": [
            "training loss, last epoch",
            "validation loss, last epoch",
            "best validation loss",
            "its epoch",
        ],
        "rows": rows,
    }
