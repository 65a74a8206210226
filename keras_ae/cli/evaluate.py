"""`keras-ae evaluate`: compare trained runs and write a report with figures."""

from __future__ import annotations

import argparse
import functools
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from keras_ae.cli.arguments import Parser, above_zero, at_least, num_bytes, unwritable
from keras_ae.cli.interrupts import InterruptHandler
from keras_ae.cli.remedies import IN_EVALUATE, describe
from keras_ae.cli.startup import EXIT_FAILED, EXIT_USAGE, refuse, run_program, show_notices
from keras_ae.evaluation.comparisons import COMPARISONS
from keras_ae.progress import counted, reading_progress

EXAMPLES = (
    "",
    "runs/mnist --comparisons reconstruction anomaly",
    "--interpolate 3 8 --projection tsne",
)


def main(argv: Sequence[str] | None = None, prog: str = "keras-ae evaluate") -> int:
    """Run the program; returns the exit code.

    Args:
        argv: The arguments; None for those of the process.
        prog: The name of the program in messages.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = parse(words, prog)
    command = shlex.join(["keras-ae", "evaluate", *words])
    return run_program(
        prog,
        functools.partial(_evaluate, options, prog, command),
        resume_hint=lambda: "results so far are cached; re-run the same command to resume",
        describe=lambda error: describe(error, IN_EVALUATE),
    )


def parse(argv: Sequence[str], prog: str = "keras-ae evaluate") -> argparse.Namespace:
    """The options, checked as far as possible without TensorFlow; exits where they are wrong."""
    known = list(COMPARISONS)
    parser = Parser(
        prog,
        "Compare trained runs and write metrics.json, report.md, report.html and figures, in one "
        "folder for each data set.",
        EXAMPLES,
    )
    what = parser.add_argument_group("what to compare")
    what.add_argument(
        "runs", nargs="?", default="runs", help="folder of run directories (default: %(default)s)"
    )
    what.add_argument(
        "--comparisons",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"comparisons to run: {', '.join(known)} (default: all)",
    )
    what.add_argument(
        "--interpolate",
        nargs=2,
        metavar="CLASS",
        help="the two classes to interpolate between (default: 2 and 7, else the first and last)",
    )
    what.add_argument(
        "--projection",
        choices=("umap", "tsne"),
        default="umap",
        help="2-D projection of the latent codes (default: %(default)s)",
    )
    what.add_argument(
        "--seed",
        type=at_least(0),
        metavar="N",
        default=42,
        help="random seed of the comparisons (default: %(default)s)",
    )
    what.add_argument(
        "--data-dir", help="folder of prepared data sets (default: the one used in training)"
    )
    what.add_argument(
        "--memory-limit",
        type=num_bytes,
        metavar="SIZE",
        help="memory for the images, such as 4GB: of larger sets a random part is measured "
        "(default: half of the memory that is free)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir",
        default="results",
        help="results are written below it (default: %(default)s)",
    )
    output.add_argument(
        "--max-report-mb",
        type=above_zero,
        metavar="MB",
        default=8.0,
        help="size of report.html in megabytes: images of its interactive parts are sampled to "
        "stay below it (default: %(default)g)",
    )
    output.add_argument(
        "--force", action="store_true", help="ignore cached results (default: use them)"
    )
    output.add_argument(
        "--quiet", action="store_true", help="print only errors (default: print progress)"
    )
    options = parser.parse_args(list(argv))
    parser.refuse_unknown("comparison", options.comparisons or [], known)
    options.comparisons = [name for name in known if name in (options.comparisons or known)]
    if not os.path.isdir(options.runs):
        parser.error(f"{options.runs}: there is no such folder; keras-ae train makes runs/")
    if options.data_dir and not os.path.isdir(options.data_dir):
        parser.error(f"--data-dir {options.data_dir}: there is no such folder")
    if problem := unwritable(Path(options.output_dir)):
        parser.error(f"--output-dir {options.output_dir}: {problem}")
    return options


def _evaluate(
    options: argparse.Namespace, prog: str, command: str, interrupts: InterruptHandler
) -> int:
    from keras_ae.evaluation import write_report
    from keras_ae.files import atomic_write
    from keras_ae.runs.catalog import find_runs, other_versions, sorted_runs
    from keras_ae.runs.lock import lock_directory

    def log(line: str) -> None:
        if not options.quiet:
            print(line, flush=True)

    found = find_runs(Path(options.runs))
    broken = [describe(error, IN_EVALUATE) for error in found.broken]
    if not found.runs:
        raise ValueError(_nothing_to_compare(options.runs, broken, found.unfinished))
    problems, written = list(broken), []
    for (name, fingerprint), group in groupby(sorted(found.runs, key=_data_set), key=_data_set):
        runs = sorted_runs(list(group))
        folder = _folder_for(Path(options.output_dir), name, fingerprint)
        try:
            with lock_directory(folder):
                metrics = _evaluate_data_set(options, prog, command, runs, folder, log)
                if stop := interrupts.interruption():  # mistaken for a broken run
                    raise stop
                problems += metrics["broken"]
                metrics["broken"] += broken
                metrics["other_versions"] = other_versions(runs, metrics["made_by"]["versions"])
                metrics["unfinished"] = [str(path) for path in found.unfinished]
                pages = write_report(metrics, folder)
                text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
                atomic_write(folder / "metrics.json", lambda path, text=text: path.write_text(text))
        except (ValueError, OSError) as error:
            problems.append(f"{name}: {describe(error, IN_EVALUATE)}")
            continue
        written.append(folder)
        for page in pages:
            log(f"wrote {page}")
        for words in metrics["other_versions"]:
            log(f"trained with other versions: {words}")
        for missing in metrics["missing"]:
            log(f"missing: {missing['what']}; to train:\n    {missing['command']}")
    for path in found.unfinished:
        log(f"unfinished, skipped: {path}")
    for problem in problems:
        refuse(prog, problem)
    if not written:
        return EXIT_USAGE
    return EXIT_FAILED if problems else 0


def _data_set(run: Any) -> tuple[str, str]:
    """What a run was trained on; runs on different data sets are never mixed."""
    return run.request.dataset, run.request.fingerprint


def _nothing_to_compare(folder: str, broken: list[str], unfinished: list[Path]) -> str:
    parts = [f"no finished runs below {folder}", *(line.rstrip(".") for line in broken)]
    if unfinished:
        parts.append(f"unfinished: {', '.join(map(str, unfinished))}")
    return f"{'; '.join(parts)}. To train some: keras-ae train"


def _folder_for(output_dir: Path, name: str, fingerprint: str) -> Path:
    """The results folder of a data set; for another one with the same name, `name-2`."""
    first = folder = output_dir / (Path(name).name.strip(".") or "images")
    number = 2
    while _fingerprint_of(folder) not in (None, fingerprint):
        folder = first.with_name(f"{first.name}-{number}")
        number += 1
    return folder


def _fingerprint_of(folder: Path) -> str | None:
    """The fingerprint of the data that a folder holds results of."""
    try:
        return json.loads((folder / "metrics.json").read_text())["data"]["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _evaluate_data_set(
    options: argparse.Namespace,
    prog: str,
    command: str,
    runs: list,
    folder: Path,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Measure and draw what is not cached; returns the content of `metrics.json`."""
    from keras_ae.data import DataError, Storage
    from keras_ae.evaluation import parts
    from keras_ae.evaluation.evaluation import Evaluation, load_data
    from keras_ae.evaluation.summary import caution, configurations, explain_collapsed, summarize
    from keras_ae.runs.catalog import missing_runs

    try:
        storage = Storage(options.memory_limit, reading_progress(enabled=not options.quiet))
        image_set = load_data(runs[0], options.data_dir, storage)
    except DataError as error:
        path = runs[0].directory / "config.json"
        raise ValueError(
            f'{error} Update "source" in {path} if the data moved, or retrain.'
        ) from error
    show_notices(prog, image_set.notices)
    evaluation = Evaluation(
        image_set,
        runs,
        options.comparisons,
        folder,
        options={"interpolate": options.interpolate, "projection": options.projection},
        seed=options.seed,
    )
    missing = missing_runs(runs, image_set)
    if not evaluation.names:
        wanted = ", ".join(options.comparisons)
        words = [f"none of its {counted(len(runs), 'run')} can be used for {wanted}"]
        words += [line.rstrip(".") for line in evaluation.left_out]
        if image_set.num_classes > 1 and not any(run.held_out for run in runs):
            words.append("to train without a class: keras-ae train --held-out-class CLASS")
        raise ValueError(
            "; ".join([*words, *(f"{row['what']}: {row['command']}" for row in missing)])
        )
    log(f"{image_set.name}: {counted(len(runs), 'run')}, {', '.join(evaluation.names)}")
    for line in evaluation.left_out:
        log(f"left out: {line}")
    evaluation.measure(force=options.force, enabled=not options.quiet, log=log)
    data, comparisons = runs[0].data, {}
    for name in evaluation.names:
        if not evaluation.results(name):  # all of its runs are broken
            continue
        comparisons[name] = summarize(
            name,
            COMPARISONS[name],
            evaluation.results(name),
            evaluation.baselines(name),
            data.source,
            evaluation.has_labels,
            evaluation.normal_class is not None,
        )
        comparisons[name]["figures"] = evaluation.draw(name, force=options.force)
        metrics = [result.measurement.metrics for result in evaluation.results(name)]
        if used := dict.fromkeys(filter(None, (one.get("anomaly_score") for one in metrics))):
            log(f"{name}: anomaly score {', '.join(used)}")
    figures = [figure for one in comparisons.values() for figure in one["figures"]]
    room = parts.room(options.max_report_mb, figures, folder)
    for name, one in comparisons.items():
        if COMPARISONS[name].is_interactive:
            one["interactive"] = evaluation.interactive(name, room * parts.SHARES[name])
    if not comparisons:
        raise ValueError(f"no run could be measured: {'; '.join(evaluation.broken)}")
    return {
        "data": {
            "name": image_set.name,
            "options": shlex.join(runs[0].config.data_options()),
            "notices": list(image_set.notices),
            "fingerprint": image_set.fingerprint,
            "image_shape": list(image_set.image_shape),
            "class_names": list(image_set.class_names),
            "num_train": data.num_train,
            "num_validation": data.num_validation,
            "num_test": data.num_test,
        },
        "made_by": {"command": command, "seed": options.seed, **evaluation.made_by()},
        "configurations": configurations(runs, evaluation.labels),
        "comparisons": comparisons,
        "interactive": parts.curves(runs, evaluation.labels, folder),
        "left_out": evaluation.left_out,
        "few_images": caution(data.num_test),
        "not_ranked": explain_collapsed(evaluation.collapsed),
        "missing": missing,
        "broken": evaluation.broken,
    }
