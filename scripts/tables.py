"""Helpers for the scripts that write Markdown tables from metrics.json."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path


def format_value(value: dict | None, digits: int) -> str:
    """`64.52 ± 0.11`, `64.52` for a single run, or a dash."""
    if not value or value["mean"] is None:
        return "–"
    spread = f" ± {value['std']:.{digits}f}" if value["std"] is not None else ""
    return f"{value['mean']:.{digits}f}{spread}"


def format_int(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def values_of(metrics: dict, comparison: str) -> dict[str, dict]:
    """The values of every row of a comparison, by label."""
    rows = metrics["comparisons"].get(comparison, {"rows": []})["rows"]
    return {row["label"]: row["values"] for row in rows if row["kind"] == "variant"}


def configurations_of(metrics: dict) -> dict[str, dict]:
    """The configurations trained with all classes, by label."""
    return {row["label"]: row for row in metrics["configurations"] if row["held_out"] is None}


def as_table(heading, lines) -> str:
    cells = [heading, ["---"] * len(heading), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def caption(metrics: dict) -> str:
    """The data set, seeds, versions and device in one line."""
    made, data = metrics["made_by"], metrics["data"]
    seeds = sorted({seed for row in metrics["configurations"] for seed in row["seeds"]})
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return (
        f"{data['name']}, {data['num_test']:,} test images; seeds {', '.join(map(str, seeds))}; "
        f"{versions}; {made['device']}, {platform.machine()}."
    )


def retimed(metrics: dict, folder: Path) -> dict:
    """Replace the seconds per epoch in the metrics by those of other runs, made on an idle machine.

    Args:
        folder: The folder of their run directories.
    """
    seconds = {}
    for path in folder.rglob("test.json"):
        request = json.loads((path.parent / "config.json").read_text())["request"]
        taken = json.loads(path.read_text())["seconds_per_epoch"]
        seconds[run_key(request)] = {"mean": taken, "std": None, "num": 1}
    rows = [
        {**row, "seconds_per_epoch": seconds.get(run_key(row), row["seconds_per_epoch"])}
        for row in metrics["configurations"]
    ]
    return {**metrics, "configurations": rows}


def run_key(request: dict) -> tuple:
    return request["variant"], request["latent_dim"], json.dumps(request["arguments"])


def run(description: str, make: Callable[[dict], str], begin: str, end: str) -> None:
    """Run the command line: print the tables and, with `--write`, insert them into a page."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("metrics", type=Path, help="metrics.json of an evaluation")
    parser.add_argument(
        "--times", type=Path, help="folder of runs to take the seconds per epoch from"
    )
    parser.add_argument(
        "--write", type=Path, help="page that contains the table's two comment lines"
    )
    options = parser.parse_args()
    metrics = json.loads(options.metrics.read_text())
    text = make(retimed(metrics, options.times) if options.times else metrics)
    print(text)
    if options.write:
        try:
            replace_section(options.write, begin, end, text)
        except ValueError as error:
            parser.error(str(error))


def replace_section(path: Path, begin: str, end: str, text: str) -> None:
    """Replace the text between two lines of a page.

    Raises:
        ValueError: If the page does not contain each of the lines once.
    """
    page = path.read_text()
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"{path}: it must contain the lines {begin} and {end} once each")
    head, rest = page.split(begin)
    _, tail = rest.split(end)
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}")
