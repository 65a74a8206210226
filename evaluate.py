"""Compares trained runs on six tasks and writes a report with figures.

    python evaluate.py
    python evaluate.py runs/mnist --comparisons reconstruction anomaly
    python evaluate.py --interpolate 3 8 --projection tsne

Reads the run directories that train.py made. A second call makes only what changed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from itertools import groupby
from pathlib import Path

from train import (
    STOP,
    Parser,
    at_least,
    device_words,
    ending,
    native_logs_hidden,
    table_of,
    unwritable,
)

PROGRAM = "evaluate.py"


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    try:
        STOP.heed()
        with native_logs_hidden():
            import tensorflow  # noqa: F401
        return evaluate(options)
    except BaseException as error:
        words = "what was measured is kept, the same command goes on from there"
        return ending(error, PROGRAM, words)


def parse(argv: list[str] | None) -> argparse.Namespace:
    known = table_of("comparisons").COMPARISONS
    parser = Parser(
        prog=PROGRAM,
        description="Compares trained runs and writes metrics.json, report.md, report.html and "
        "figures, in a folder for each data set.",
        epilog=f"The comparisons are {', '.join(known)}.",
    )
    add = parser.add_argument
    add("runs", nargs="?", default="runs", help="where the run directories lie (default: runs)")
    add("--output-dir", default="results", help="results go below it (default: results)")
    add("--comparisons", nargs="+", action="extend", metavar="NAME", help="these alone")
    add("--interpolate", nargs=2, metavar="CLASS", help="from the one class to the other")
    add("--projection", choices=("umap", "tsne"), default="umap", help="the map of the codes")
    add("--seed", type=at_least(0), default=42, help="of whatever the comparisons draw")
    add("--data-dir", help="where data sets are prepared, if not where they were")
    add("--force", action="store_true", help="measure everything anew")
    add("--quiet", action="store_true", help="say only what went wrong")
    options = parser.parse_args(argv)
    parser.refuse_unknown("comparison", options.comparisons or [], known)
    options.comparisons = [name for name in known if name in (options.comparisons or known)]
    if not os.path.isdir(options.runs):
        parser.error(
            f"{options.runs}: there is no such folder; python train.py --bake-off makes runs/"
        )
    if options.data_dir and not os.path.isdir(options.data_dir):
        parser.error(f"--data-dir {options.data_dir}: there is no such folder")
    if problem := unwritable(Path(options.output_dir)):
        parser.error(f"--output-dir {options.output_dir}: {problem}")
    return options


def evaluate(options: argparse.Namespace) -> int:
    say = (lambda *_: None) if options.quiet else lambda text: print(text, flush=True)

    import tensorflow as tf

    from keras_ae.report import write_report
    from keras_ae.runs import write_beside
    from keras_ae.trained import find_runs, in_order, other_versions

    tf.get_logger().setLevel("ERROR")
    found = find_runs(Path(options.runs))
    if not found.runs:
        raise ValueError(nothing_to_compare(options.runs, found))
    problems, written = list(found.broken), []
    for (name, fingerprint), group in groupby(sorted(found.runs, key=data_set), key=data_set):
        runs = in_order(list(group))
        folder = folder_for(options, name, fingerprint)
        try:
            metrics = evaluate_data_set(options, runs, folder, say)
            if stop := STOP.interruption():  # taken for a broken run
                raise stop
            problems += metrics["broken"]
            metrics["broken"] += found.broken
            metrics["other_versions"] = other_versions(runs, metrics["made_by"]["versions"])
            metrics["unfinished"] = [str(path) for path in found.unfinished]
            pages = write_report(metrics, folder)
        except (ValueError, OSError) as error:
            problems.append(f"{name}: {error}")
            continue
        text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
        write_beside(folder / "metrics.json", lambda path, text=text: path.write_text(text))
        written.append(folder)
        for page in pages:
            say(f"wrote {page}")
        for words in metrics["other_versions"]:
            say(f"trained with other versions: {words}")
        for lacking in metrics["missing"]:
            say(f"missing: {lacking['what']}; to train:\n    {lacking['command']}")
    for path in found.unfinished:
        say(f"unfinished, left out: {path}")
    for problem in problems:
        print(f"{PROGRAM}: error: {' '.join(problem.splitlines())}", file=sys.stderr)
    if not written:
        return 2
    return 1 if problems else 0


def data_set(run) -> tuple[str, str]:
    """What a run was trained on; runs on different data sets are never mixed."""
    return run.request["dataset"], run.request["fingerprint"]


def nothing_to_compare(runs: str, found) -> str:
    words = [f"no finished runs below {runs}", *(line.rstrip(".") for line in found.broken)]
    if found.unfinished:
        words.append(f"unfinished: {', '.join(map(str, found.unfinished))}")
    return f"{'; '.join(words)}. To train some: python train.py --bake-off"


def folder_for(options, name: str, fingerprint: str) -> Path:
    """The results of a data set; of another one with the same name, beside it."""
    first = folder = Path(options.output_dir) / (Path(name).name.strip(".") or "images")
    number = 2
    while fingerprint_of(folder) not in (None, fingerprint):
        folder = first.with_name(f"{first.name}-{number}")
        number += 1
    return folder


def fingerprint_of(folder: Path) -> str | None:
    """Of the data that a folder holds the results of."""
    try:
        return json.loads((folder / "metrics.json").read_text())["data"]["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def evaluate_data_set(options, runs: list, folder: Path, say) -> dict:
    """Measures and draws what changed; returns all that the report says."""
    from keras_ae.comparisons import COMPARISONS
    from keras_ae.data import DataError
    from keras_ae.evaluation import Evaluation, load_data
    from keras_ae.results import configurations, summarised
    from keras_ae.trained import missing

    try:
        image_set = load_data(runs[0], options.data_dir)
    except DataError as error:
        path = runs[0].directory / "config.json"
        raise ValueError(
            f"{error} That is where {path} has them: correct its source if they lie elsewhere by "
            "now, or train anew."
        ) from error
    evaluation = Evaluation(
        image_set,
        runs,
        options.comparisons,
        folder,
        options={"interpolate": options.interpolate, "projection": options.projection},
        seed=options.seed,
    )
    if not evaluation.names:
        wanted = ", ".join(options.comparisons)
        words = f"none of its {len(runs)} runs serves for {wanted}"
        lacking = [f"{row['what']}: {row['command']}" for row in missing(runs, image_set)]
        raise ValueError("; ".join([words, *lacking]))
    say(f"{image_set.name}: {len(runs)} runs, {', '.join(evaluation.names)}")
    evaluation.measure(force=options.force, enabled=not options.quiet)
    comparisons = {}
    for name in evaluation.names:
        if not evaluation.entries(name):  # every run of it is broken
            continue
        comparisons[name] = summarised(
            name,
            COMPARISONS[name],
            evaluation.entries(name),
            evaluation.baselines(name),
            image_set.name,
        )
        comparisons[name]["figures"] = evaluation.draw(name, force=options.force)
    if not comparisons:
        raise ValueError(f"not one run could be measured: {'; '.join(evaluation.broken)}")
    return {
        "data": describe(image_set, runs[0]),
        "made_by": made_by(options),
        "configurations": configurations(runs, evaluation.labels),
        "comparisons": comparisons,
        "missing": missing(runs, image_set),
        "broken": evaluation.broken,
    }


def describe(image_set, run) -> dict:
    return {
        "name": image_set.name,
        "fingerprint": image_set.fingerprint,
        "image_shape": list(image_set.image_shape),
        "class_names": list(image_set.class_names),
        **{key: run.data[key] for key in ("num_train", "num_validation", "num_test")},
    }


def made_by(options) -> dict:
    import keras
    import numpy
    import sklearn
    import tensorflow

    import keras_ae

    flags = sys.argv[1:]
    return {
        "command": shlex.join(["python", PROGRAM, *flags]),
        "seed": options.seed,
        "versions": {
            "keras_ae": keras_ae.__version__,
            "keras": keras.__version__,
            "tensorflow": tensorflow.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        "device": device_words(tensorflow),
    }


if __name__ == "__main__":
    sys.exit(main())
