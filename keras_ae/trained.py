"""Trained runs on disk: which there are, what to call them, which are missing."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from keras_ae import data
from keras_ae.checks import one_line
from keras_ae.runs import REMEDY, Run, RunError
from keras_ae.variants import BAKE_OFF, VARIANTS, Preset

REQUEST = {
    "variant": str,
    "latent_dim": int,
    "arguments": dict,
    "dataset": str,
    "fingerprint": str,
    "held_out_class": str | None,
    "epochs": int,
    "batch_size": int,
    "learning_rate": int | float,
    "seed": int,
}
DATA = {
    "source": str,
    "classes": list | None,
    "binarize": str | None,
    "data_dir": str | None,
    "class_names": list,
    "held_out_index": int | None,
    "num_train": int,
    "num_validation": int,
    "num_test": int,
}
LATER = dict.fromkeys(("classes", "binarize"))  # which older runs lack


# ---- which runs there are ----


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A finished run, its files read and checked, its model not yet loaded."""

    run: Run
    request: dict
    data: dict
    results: dict
    history: list[dict]

    @property
    def directory(self) -> Path:
        return self.run.directory

    @property
    def held_out(self) -> str | None:
        return self.request["held_out_class"]

    @property
    def seconds(self) -> float:
        """Of all epochs of its training."""
        return sum(row["seconds"] for row in self.history)


class Found(NamedTuple):
    """What lies below a folder: usable runs, unfinished ones, and what is wrong with the rest."""

    runs: list[TrainedRun]
    unfinished: list[Path]
    broken: list[str]


def find_runs(folder: Path) -> Found:
    """Reads every run directory below `folder`; a broken one is named, not raised."""
    found = Found([], [], [])
    marks = {"config.json", "resume.npz", "test.json", "model.keras"}
    directories = {path.parent for path in folder.rglob("*") if path.name in marks}
    for directory in sorted(directories):
        run = Run(directory)
        if not run.finished and run.started:
            found.unfinished.append(directory)
            continue
        try:
            found.runs.append(read_run(run))
        except ValueError as error:
            found.broken.append(for_evaluation(error))
    return found


def for_evaluation(error: Exception) -> str:
    """A run's error where train.py, whose remedy it names, is not the program."""
    return str(error).replace("Use --overwrite", "Use train.py --overwrite")


def read_run(run: Run) -> TrainedRun:
    """A finished run's files.

    Raises:
        RunError: naming the file that is unusable.
    """
    config, results = run.config, run.results
    path = run.directory / "config.json"
    for part, kinds in (("request", REQUEST), ("data", DATA)):
        content = config.get(part) if isinstance(config, dict) else None
        content = {**LATER, **content} if isinstance(content, dict) else {}
        for key, kind in kinds.items():
            if not isinstance(content.get(key, ...), kind):
                raise RunError(f"{path} is damaged: its {part} has no usable {key}. {REMEDY}")
    run.other_versions({})  # an error where they are no versions
    try:
        json.dumps(config, allow_nan=False)  # as metrics.json will hold parts of it
    except ValueError as error:
        raise RunError(f"{path} is damaged: {one_line(error)}. {REMEDY}") from error
    if config["request"]["variant"] not in VARIANTS:
        raise RunError(
            f"{path} names an unknown variant {config['request']['variant']!r}. {REMEDY}"
        )
    needed = dict.fromkeys(("reconstruction_loss", "seconds_per_epoch"))
    for key, value in {**needed, **(results if isinstance(results, dict) else {})}.items():
        if not (isinstance(value, int | float) and abs(value) < math.inf):
            raise RunError(
                f"{run.directory / 'test.json'} is damaged: it has no usable {key}. {REMEDY}"
            )
    run.check_files()
    try:
        history = run.history
        if not history or not math.isfinite(sum(row["seconds"] for row in history)):
            raise ValueError("no epochs of finite seconds in it")
    except Exception as error:
        raise RunError(
            f"{run.directory / 'history.csv'} cannot be read ({one_line(error)}). {REMEDY}"
        ) from error
    return TrainedRun(run, config["request"], config["data"], results, history)


def other_versions(runs: list[TrainedRun], now: dict[str, str]) -> list[str]:
    """What runs were trained with that differs from `now`, and how many of them."""
    found = Counter(run.run.other_versions(now) for run in runs)
    del found[""]
    return [f"{number} of {len(runs)} runs with {words}" for words, number in found.items()]


# ---- what to call them ----


def labels(runs: list[TrainedRun]) -> dict[Path, str]:
    """A label for each run's directory; runs that differ in seed or held-out class share it.

    The variant, its arguments, and whatever else is not as most of the runs have it, those with
    and those without a held-out class each for themselves.
    """
    named = {}
    for held_out in (False, True):
        named |= labels_of_a_kind([run for run in runs if (run.held_out is not None) == held_out])
    return named


def labels_of_a_kind(runs: list[TrainedRun]) -> dict[Path, str]:
    words = {"latent_dim": "{}-d", "epochs": "{} epochs", "batch_size": "batch {}"}
    words["learning_rate"] = "learning rate {:g}"
    words |= {"patience": "patience {}", "lr_patience": "learning-rate patience {}"}
    usual = {key: most_common(run.request.get(key) for run in runs) for key in words if runs}
    named = {}
    for run in runs:
        parts = [run.request["variant"]]
        parts += [f"{name} {value}" for name, value in run.request["arguments"].items()]
        expected = {**usual, "latent_dim": usual_size(run, runs)}
        parts += [
            "no patience" if run.request.get(key) is None else pattern.format(run.request[key])
            for key, pattern in words.items()
            if run.request.get(key) != expected[key]
        ]
        named[run.directory] = ", ".join(parts)
    return named


def most_common(values: Iterable):
    return Counter(values).most_common(1)[0][0]


def usual_size(run: TrainedRun, runs: list[TrainedRun]) -> int:
    """The latent_dim that needs no mention: most runs' or, where a variant has its own, that."""

    def own_size(variant: str) -> int | None:
        sizes = [run.request["latent_dim"] for run in runs if run.request["variant"] == variant]
        preset = VARIANTS[variant].latent_dim
        if preset is None:  # it follows from the image, unless a smaller one was asked for
            return max(sizes)
        return preset if preset != Preset.latent_dim and preset in sizes else None

    own = own_size(run.request["variant"])
    if own is not None:
        return own
    others = [other for other in runs if own_size(other.request["variant"]) is None]
    return most_common(other.request["latent_dim"] for other in others)


def in_order(runs: list[TrainedRun]) -> list[TrainedRun]:
    """As in the table of contents, then by arguments, size and seed."""
    places = {name: place for place, name in enumerate(VARIANTS)}

    def place(run: TrainedRun):
        request = run.request
        arguments = json.dumps(request["arguments"], sort_keys=True)
        return (
            places[request["variant"]], len(request["arguments"]), arguments,
            -request["latent_dim"], run.held_out or "", request["seed"], str(run.directory),
        )  # fmt: skip

    return sorted(runs, key=place)


def missing(runs: list[TrainedRun], image_set: data.ImageSet) -> list[dict]:
    """What the bake-off's protocol asks for and is not there, with the commands that train it."""
    have = {(run.request["variant"], run.request["latent_dim"], run.held_out) for run in runs}
    held_out = {run.held_out for run in runs} - {None}
    if len(image_set.class_names) > 1 and not held_out:
        held_out = {image_set.class_names[data.held_out_index(image_set, "1")]}
    kinds = [((20, None), "in 20 dimensions", [])]
    for name in sorted(held_out):
        words = f"in 2 dimensions without class {name}"
        kinds.append(((2, name), words, ["--latent-dim", "2", "--held-out-class", name]))
    lacking = []
    for kind, words, flags in kinds:
        names = [name for name in BAKE_OFF if (name, *kind) not in have]
        if names:
            command = ["python", "train.py", "--variant", *names, *data_flags(runs[0]), *flags]
            lacking.append({"what": f"{', '.join(names)}, {words}", "command": shlex.join(command)})
    return lacking


def data_flags(run: TrainedRun) -> list[str]:
    """The arguments of train.py that train beside a run: its data, its folder, its epochs."""
    flags = ["--dataset", run.data["source"]]
    flags += ["--classes", *run.data["classes"]] if run.data.get("classes") else []
    flags += ["--binarize", run.data["binarize"]] if run.data.get("binarize") else []
    flags += ["--data-dir", run.data["data_dir"]] if run.data["data_dir"] else []
    folder = str(run.directory.parent.parent)
    flags += [] if folder == "runs" else ["--output-dir", folder]
    return flags + ([] if run.request["epochs"] == 60 else ["--epochs", str(run.request["epochs"])])
