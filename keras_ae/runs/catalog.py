"""Finding trained runs on disk: usable runs, their labels, missing runs."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from keras_ae import data
from keras_ae.checks import one_line
from keras_ae.runs.budget import Budget, bake_off_budget, default_budget
from keras_ae.runs.errors import Remedy, RunError
from keras_ae.runs.request import RunConfig, RunData, RunRequest
from keras_ae.runs.run_directory import RunDirectory
from keras_ae.variants import BAKE_OFF, VARIANTS, Preset

T = TypeVar("T", bound=Hashable)

TEXTS = (
    "threshold_score",
    "default_score",
    "default_threshold_score",
)  # results that are no numbers

# How a label shows a field of the request that differs from most runs.
MAX_SIDE = 32  # of the images of the bake-off
_LABELS = {
    "latent_dim": "{}-d",
    "epochs": "{} epochs",
    "batch_size": "batch {}",
    "learning_rate": "learning rate {:g}",
    "patience": "patience {}",
    "lr_patience": "learning-rate patience {}",
    "schedule": "{} schedule",
    "ema": "EMA {:g}",
}
_OF_THRESHOLD = {
    "threshold_score": "anomaly score {}",
    "threshold_rate": "false positive rate {:g}",
}
_BUDGET = ("epochs", "batch_size", "patience")  # those that have a default for each set

# Arguments of a model that seeds and held-out classes change, or that Keras numbers.
_OF_EACH_RUN = ("name", "seed", "latent_dim", "image_shape", "num_classes")


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A finished run whose files were read and checked; its model is not loaded yet.

    Attributes:
        run: Its directory.
        config: The content of `config.json`.
        results: The losses on the test set, in nats/image.
        history: One dict for each epoch.
    """

    run: RunDirectory
    config: RunConfig
    results: dict[str, Any]
    history: list[dict[str, float]]

    @property
    def directory(self) -> Path:
        return self.run.directory

    @property
    def request(self) -> RunRequest:
        return self.config.request

    @property
    def data(self) -> RunData:
        return self.config.data

    @property
    def versions(self) -> dict[str, str]:
        return self.config.versions

    @property
    def held_out(self) -> str | None:
        """The name of the held-out class, or None."""
        return self.request.held_out_class

    @property
    def seconds(self) -> float:
        """The duration of all epochs."""
        return sum(row["seconds"] for row in self.history)


class RunScan(NamedTuple):
    """The runs below a folder: usable ones, unfinished ones, and an error for each broken one."""

    runs: list[TrainedRun]
    unfinished: list[Path]
    broken: list[RunError]


def find_runs(folder: Path) -> RunScan:
    """Read every run directory below `folder`. A broken one is reported, not raised."""
    found = RunScan([], [], [])
    marks = {"config.json", "resume.npz", "test.json", "model.keras"}
    directories = {path.parent for path in folder.rglob("*") if path.name in marks}
    for directory in sorted(directories):
        run = RunDirectory(directory)
        if not run.finished and run.started:
            found.unfinished.append(directory)
            continue
        try:
            found.runs.append(read_run(run))
        except RunError as error:
            found.broken.append(error)
    return found


def read_run(run: RunDirectory) -> TrainedRun:
    """Read and check the files of a finished run.

    Raises:
        RunError: a file is unusable; names it.
    """
    config, results = run.config, run.results
    required = dict.fromkeys(("reconstruction_loss", "seconds_per_epoch"))
    for key, value in {**required, **results}.items():
        usable = isinstance(value, int | float) and abs(value) < math.inf
        if not (usable or (key in TEXTS and isinstance(value, str))):
            problem = f"{run.path('test.json')} is damaged: it has no usable {key}."
            raise RunError(problem, Remedy.RETRAIN)
    run.verify_checksums()
    try:
        history = run.history
        if not history or not math.isfinite(sum(row["seconds"] for row in history)):
            raise ValueError("no epochs of finite seconds in it")
    except Exception as error:
        problem = f"{run.path('history.csv')} cannot be read ({one_line(error)})."
        raise RunError(problem, Remedy.RETRAIN) from error
    return TrainedRun(run, config, results, history)


def other_versions(runs: list[TrainedRun], now: Mapping[str, str]) -> list[str]:
    """The versions, different from `now`, that runs were trained with, and how many runs."""
    found = Counter(run.config.other_versions(now) for run in runs)
    del found[""]
    return [f"{number} of {len(runs)} runs with {words}" for words, number in found.items()]


# ---- labels ----


def labels(runs: list[TrainedRun]) -> dict[Path, str]:
    """A label for each run's directory; runs that differ only in seed or held-out class share it.

    A label has the variant, its arguments, and each setting that differs from most of the runs.
    Runs with and without a held-out class are compared separately.
    """
    named = {}
    for held_out in (False, True):
        named |= _labels_of([run for run in runs if (run.held_out is not None) == held_out])
    return named


def _labels_of(runs: list[TrainedRun]) -> dict[Path, str]:
    usual = {
        key: _most_common(getattr(run.request, key) for run in runs) for key in _LABELS if runs
    }
    named = {}
    mostly_default = bool(runs) and _most_common(map(_has_default_budget, runs))
    thresholds = [run for run in runs if "threshold" in run.results]
    usual_results = {
        key: _most_common(run.results.get(key) for run in thresholds)
        for key in _OF_THRESHOLD
        if thresholds
    }
    for run in runs:
        stops_early = run.request.patience is not None or _never_stops_early(run, runs)
        is_default = stops_early and _has_default_budget(run)
        by_default = _BUDGET if mostly_default and is_default else ()
        parts = [run.request.variant]
        parts += [f"{name} {value}" for name, value in run.request.arguments.items()]
        expected = {**usual, "latent_dim": default_latent_dim(run, runs)}
        for key, pattern in _LABELS.items():
            value = getattr(run.request, key)
            if key == "patience" and value is None and _never_stops_early(run, runs):
                continue
            if key in by_default:  # it follows from the number of images
                continue
            if value != expected[key]:
                name = pattern.partition(" {")[0]
                parts.append(f"no {name}" if value is None else pattern.format(value))
        for key, pattern in _OF_THRESHOLD.items() if run in thresholds else ():
            if (value := run.results.get(key)) != usual_results[key]:
                parts.append(pattern.format(value))
        named[run.directory] = ", ".join(parts)
    return _with_defaults(runs, named)


def _with_defaults(runs: list[TrainedRun], named: dict[Path, str]) -> dict[Path, str]:
    """The labels with arguments that differ although no request names them.

    The defaults of two versions may differ, and their runs are then not seeds of one model.
    """
    found = {}
    for run in runs:
        alike = [each for each in runs if named[each.directory] == named[run.directory]]
        parts = [named[run.directory]]
        for name, value in run.config.model.items():
            values = [each.config.model[name] for each in alike if name in each.config.model]
            texts = [json.dumps(each) for each in values]
            if name not in _OF_EACH_RUN and json.dumps(value) != _most_common(texts):
                parts.append(f"{name} {value}")
        found[run.directory] = ", ".join(parts)
    return found


def _never_stops_early(run: TrainedRun, runs: list[TrainedRun]) -> bool:
    """Whether no run of the variant has a patience, as where early stopping is not possible."""
    variant = run.request.variant
    return all(each.request.patience is None for each in runs if each.request.variant == variant)


def _most_common(values: Iterable[T]) -> T:
    return Counter(values).most_common(1)[0][0]


def default_latent_dim(run: TrainedRun, runs: list[TrainedRun]) -> int:
    """The latent_dim that a label need not mention: the variant's own, or that of most runs."""

    def own_size(variant: str) -> int | None:
        sizes = [run.request.latent_dim for run in runs if run.request.variant == variant]
        preset = VARIANTS[variant].latent_dim
        if preset is None:  # computed from the image shape, unless a smaller one was requested
            return max(sizes)
        return preset if preset != Preset.latent_dim and preset in sizes else None

    own = own_size(run.request.variant)
    if own is not None:
        return own
    others = [other for other in runs if own_size(other.request.variant) is None]
    return _most_common(other.request.latent_dim for other in others)


def sorted_runs(runs: list[TrainedRun]) -> list[TrainedRun]:
    """Runs in the order of the variant registry, then by arguments, size and seed."""
    places = {name: place for place, name in enumerate(VARIANTS)}

    def place(run: TrainedRun):
        request = run.request
        arguments = json.dumps(request.arguments, sort_keys=True)
        return (
            places[request.variant], len(request.arguments), arguments,
            -request.latent_dim, run.held_out or "", request.seed, str(run.directory),
        )  # fmt: skip

    return sorted(runs, key=place)


# ---- missing runs ----


def missing_runs(runs: list[TrainedRun], image_set: data.ImageSet) -> list[dict[str, str]]:
    """The missing runs of the bake-off, with the commands that train them.

    None for color images and for images of more than 32x32 pixels, for which its dense networks are
    not meant; and none for images of one's own, unless one of the runs has the budget of the
    bake-off.

    Returns:
        Dicts of `what` (in words) and `command`.
    """
    height, width, *channels = image_set.image_shape
    if channels or max(height, width) > MAX_SIDE:
        return []
    if runs[0].data.source not in data.DATASETS and not any(map(_has_bake_off_budget, runs)):
        return []
    have = {(run.request.variant, run.request.latent_dim, run.held_out) for run in runs}
    held_out = {run.held_out for run in runs} - {None}
    if len(image_set.class_names) > 1 and not held_out:
        held_out = {image_set.class_names[data.held_out_index(image_set, "1")]}
    kinds: list[tuple] = [((20, None), "with 20-D codes", [])]
    for name in sorted(filter(None, held_out)):
        options = ["--latent-dim", "2", "--held-out-class", name]
        kinds.append(((2, name), f"with 2-D codes, without class {name}", options))
    missing = []
    for kind, words, options in kinds:
        names = [name for name in BAKE_OFF if (name, *kind) not in have]
        if names:
            command = [
                "keras-ae",
                "train",
                "--variant",
                *names,
                *_shared_options(runs[0]),
                *options,
            ]
            missing.append({"what": f"{', '.join(names)}, {words}", "command": shlex.join(command)})
    return missing


def _has_bake_off_budget(run: TrainedRun) -> bool:
    request = run.request
    usual = bake_off_budget(run.data.num_train)
    return (request.epochs, request.batch_size) == (usual.epochs, usual.batch_size)


def _has_default_budget(run: TrainedRun) -> bool:
    request, num_train = run.request, run.data.num_train
    published = run.data.source in data.PUBLISHED
    usual = bake_off_budget(num_train) if published else default_budget(num_train)
    # Greedy training has no patience, also where the others have the usual one.
    budget = Budget(request.epochs, request.batch_size, request.patience)
    return budget in (usual, dataclasses.replace(usual, patience=None))


def _shared_options(run: TrainedRun) -> list[str]:
    """The command-line options that a missing run shares with a trained one."""
    options = run.config.data_options()
    folder, request = str(run.directory.parent.parent), run.request
    options += [] if folder == "runs" else ["--output-dir", folder]
    if _has_default_budget(run):
        return options
    options += ["--epochs", str(request.epochs), "--batch-size", str(request.batch_size)]
    return options + (["--patience", str(request.patience)] if request.patience else [])
