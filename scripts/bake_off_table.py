"""Puts our figures beside the published ones, from what evaluate.py measured.

    python scripts/bake_off_table.py results/mnist/metrics.json --write README.md

With `--write` it replaces what stands between the table's two comment lines in that file.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

BEGIN, END = "<!-- bake-off table -->", "<!-- end of the bake-off table -->"
HEADINGS = (
    "variant",
    "BCE, published",
    "ours",
    "accuracy, published",
    "ours, as published",
    "ours, converged",
    "AUC, published",
    "ours, signed",
    "ours, BCE",
    "s an epoch",
)


def shown(value: dict | None, digits: int) -> str:
    if not value or value["mean"] is None:
        return "–"
    spread = f" ± {value['std']:.{digits}f}" if value["std"] is not None else ""
    return f"{value['mean']:.{digits}f}{spread}"


def published(row: dict) -> str:
    return "–" if row.get("published") is None else f"{row['published']:g}"


def table(metrics: dict) -> str:
    parts = {
        name: {row["label"]: row for row in part["rows"]}
        for name, part in metrics["comparisons"].items()
    }
    lines = [HEADINGS, ["---"] * len(HEADINGS)]
    labels = [
        row["label"]
        for row in metrics["comparisons"]["reconstruction"]["rows"]
        if row["kind"] == "variant"
    ]
    seconds = {
        row["label"]: row["seconds_per_epoch"]
        for row in metrics["configurations"]
        if row["held_out"] is None
    }
    for label in labels:
        rebuilt, sorted_out, novel = (
            parts.get(name, {}).get(label, {"values": {}})
            for name in ("reconstruction", "classification", "anomaly")
        )
        bce = rebuilt["values"].get("sampled_bce") or rebuilt["values"].get("bce")
        lines.append(
            [
                label,
                published(rebuilt),
                shown(bce, 2),
                published(sorted_out),
                shown(sorted_out["values"].get("published"), 3),
                shown(sorted_out["values"].get("converged"), 3),
                published(novel),
                shown(novel["values"].get("auc_signed"), 3),
                shown(novel["values"].get("auc"), 3),
                shown(seconds[label] | {"std": None}, 2),
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


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
    text = f"{table(metrics)}\n\n{caption(metrics)}"
    print(text)
    if options.write:
        head, rest = options.write.read_text().split(BEGIN)
        _, tail = rest.split(END)
        options.write.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    main()
