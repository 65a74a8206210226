"""Puts our figures beside the published ones, from what evaluate.py measured.

    python scripts/bake_off_table.py results/mnist/metrics.json --write README.md

With `--write` it replaces what stands between the table's two comment lines in that file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_ae.published import PUBLISHED

BEGIN, END = "<!-- bake-off tables -->", "<!-- end of the bake-off tables -->"
GENERAL = (
    "variant",
    "BCE, published",
    "ours",
    "accuracy, published",
    "ours, as published",
    "ours, converged",
    "parameters",
    "s an epoch",
)
NOVELTY = ("variant", "published", "signed, digit 1", "BCE, digit 1")


def shown(value: dict | None, digits: int) -> str:
    if not value or value["mean"] is None:
        return "–"
    spread = f" ± {value['std']:.{digits}f}" if value["std"] is not None else ""
    return f"{value['mean']:.{digits}f}{spread}"


def published(dataset: str, comparison: str, label: str) -> str:
    figure = PUBLISHED.get(dataset, {}).get(comparison, {}).get(label)
    return "–" if figure is None else f"{figure:g}"


def values_of(metrics: dict, comparison: str) -> dict[str, dict]:
    """The values of every row of a comparison, by label."""
    rows = metrics["comparisons"].get(comparison, {"rows": []})["rows"]
    return {row["label"]: row["values"] for row in rows if row["kind"] == "variant"}


def as_table(heading, lines) -> str:
    cells = [heading, ["---"] * len(heading), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def general_table(metrics: dict) -> str:
    dataset = metrics["data"]["name"]
    accuracies = values_of(metrics, "classification")
    costs = {row["label"]: row for row in metrics["configurations"] if row["held_out"] is None}
    lines = []
    for label, bce in values_of(metrics, "reconstruction").items():
        accuracy, cost = accuracies.get(label, {}), costs[label]
        parameters = cost["num_parameters"]
        lines.append(
            [
                label,
                published(dataset, "reconstruction", label),
                shown(bce.get("sampled_bce") or bce["bce"], 2),
                published(dataset, "classification", label),
                shown(accuracy.get("published"), 3),
                shown(accuracy.get("converged"), 3),
                "–" if parameters is None else f"{parameters:,}",
                shown(cost["seconds_per_epoch"], 2),
            ]
        )
    return as_table(GENERAL, lines)


def novelty_table(metrics: dict) -> str:
    """AUCs of digit 1, and the mean over the digits where several were held out."""
    dataset, part = metrics["data"]["name"], metrics["comparisons"]["anomaly"]
    values = values_of(metrics, "anomaly")
    classes = part["by_class"][0]["classes"] if part["by_class"] else []
    of_one = {
        key: {row["label"]: row["values"][classes.index("1")] for row in table["rows"]}
        for key, table in zip(("auc", "auc_signed"), part["by_class"], strict=False)
    }

    def digit(label: str, key: str) -> str:
        if not classes:
            return shown(values[label][key], 3)
        return f"{of_one[key][label]:.3f}"

    heading, lines = list(NOVELTY), []
    if classes:
        digits = f"digits {', '.join(classes)}"
        heading += [f"BCE, {digits}", f"signed, {digits}"]
    for label, made in values.items():
        line = [label, published(dataset, "anomaly", label)]
        line += [digit(label, "auc_signed"), digit(label, "auc")]
        line += [shown(made["auc"], 3), shown(made["auc_signed"], 3)] if classes else []
        lines.append(line)
    return as_table(heading, lines)


def caption(metrics: dict) -> str:
    made, data = metrics["made_by"], metrics["data"]
    seeds = sorted({seed for row in metrics["configurations"] for seed in row["seeds"]})
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return (
        f"{data['name']}, {data['num_test']:,} test images; seeds {', '.join(map(str, seeds))}; "
        f"{versions}; {made['device']}, {platform.machine()}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metrics", type=Path)
    parser.add_argument("--write", type=Path, help="a file with the table's two comment lines")
    options = parser.parse_args()
    metrics = json.loads(options.metrics.read_text())
    text = "\n\n".join([general_table(metrics), novelty_table(metrics), caption(metrics)])
    print(text)
    if options.write:
        head, rest = options.write.read_text().split(BEGIN)
        _, tail = rest.split(END)
        options.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    main()
