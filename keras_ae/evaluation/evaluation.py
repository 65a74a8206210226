"""Trained runs to measurements and figures, of which only what changed is made anew.

A measurement is kept in a file whose name holds a digest of all that decides it: the model's file,
the sources of the comparison and of the variant, the options, the data and the seed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import keras
import numpy as np

import keras_ae
from keras_ae import data
from keras_ae.checks import one_line
from keras_ae.evaluation.comparisons import COMPARISONS
from keras_ae.evaluation.comparisons import reference_classifier as judge
from keras_ae.evaluation.comparisons.base import Entry, Figure, Measurement, Problem
from keras_ae.files import atomic_write as write_beside
from keras_ae.files import safe_name
from keras_ae.progress import StepProgress
from keras_ae.runs.catalog import TrainedRun, labels
from keras_ae.runs.errors import RunError
from keras_ae.variants import VARIANTS

PACKAGE = Path(__file__).parent
NUM_KEPT = 4  # measurements of one run in one comparison: by other options, by older code


def load_data(run: TrainedRun, data_dir: str | None = None) -> data.ImageSet:
    """The images that a run was trained on.

    Raises:
        ValueError: they cannot be loaded or are other images by now.
    """
    image_set = data.load(
        run.data.source,
        classes=run.data.classes,
        data_dir=data_dir or run.data.data_dir,
    )
    if run.data.binarize:
        image_set = data.binarized(image_set, run.data.binarize)
    if image_set.fingerprint != run.request.fingerprint:
        raise ValueError(
            f"the images have changed since {run.directory} was trained on them (fingerprint "
            f"{image_set.fingerprint}, then {run.request.fingerprint!r}): train anew"
        )
    return image_set


class Evaluation:
    """Comparisons of runs on one data set.

    Args:
        image_set: What all of the runs were trained on.
        runs: In the order of the report.
        names: Of the comparisons; those for which there is no run are left out.
        folder: Where figures go, and what is kept (below `.parts`).
        options: Arguments that comparisons name in their `options`.
        seed: Of whatever a comparison draws.
    """

    def __init__(
        self,
        image_set: data.ImageSet,
        runs: list[TrainedRun],
        names: list[str],
        folder: Path,
        *,
        options: dict,
        seed: int,
    ):
        self.image_set = image_set
        self.runs = runs
        self.folder = folder
        self.options = options
        self.seed = seed
        self.labels = labels(runs)
        self.names = [name for name in names if self.runs_of(name)]
        self.broken: list[str] = []
        self._store = Store(folder / ".parts")
        self._measured: dict[str, list[tuple[TrainedRun, Measurement]]] = {}
        self._baselines: dict[str, list[Entry]] = {}
        # One at a time: a split of MNIST takes 200 MB.
        self._problem = functools.lru_cache(maxsize=1)(self._make_problem)

    def runs_of(self, name: str) -> list[TrainedRun]:
        """The runs that a comparison is made of."""
        comparison = COMPARISONS[name]
        if comparison.labels and len(self.image_set.class_names) < 2:
            return []
        return [run for run in self.runs if (run.held_out is not None) == comparison.held_out]

    # ---- what came out ----

    def entries(self, name: str) -> list[Entry]:
        return [
            Entry(
                self.labels[run.directory],
                run.request.variant,
                run.request.seed,
                run.request.latent_dim,
                run.held_out,
                measurement,
            )
            for run, measurement in self._measured[name]
        ]

    def baselines(self, name: str) -> list[Entry]:
        return self._baselines[name]

    # ---- measuring ----

    def measure(self, force: bool = False, enabled: bool = True) -> None:
        """Makes every measurement that is not kept from before."""
        plan = {run.directory: self._plan(run, force) for run in self.runs}
        baseline_plan = self._plan_baselines(force)
        steps = [name for _, missing in plan.values() for name in missing]
        progress = StepProgress([*steps, *(name for name, _, _ in baseline_plan)], enabled)
        # First the baselines: they find out at once whether the options make sense.
        self._measure_baselines(baseline_plan, progress)
        measured = {directory: dict(kept) for directory, (kept, _) in plan.items()}
        by_problem = sorted(self.runs, key=problem_key)
        for (split_seed, held_out), runs in groupby(by_problem, key=problem_key):
            pending = [run for run in runs if plan[run.directory][1]]
            problem = self._problem(split_seed, held_out or None) if pending else None
            for run in pending:
                made = self._measure_run(run, plan[run.directory][1], problem, progress)
                measured[run.directory].update(made)
        for name in self.names:
            self._measured[name] = [
                (run, measured[run.directory][name])
                for run in self.runs_of(name)
                if name in measured[run.directory]
            ]

    def _plan(self, run: TrainedRun, force: bool) -> tuple[dict[str, Measurement], dict[str, Path]]:
        """A run's measurements that are kept, and where those to make will be."""
        names = [name for name in self.names if run in self.runs_of(name)]
        try:
            paths = {name: self._path(name, run) for name in names}
        except OSError as error:
            self.broken.append(one_line(error))
            return {}, {}
        kept = {name: None if force else self._store.get(path) for name, path in paths.items()}
        there = {name: measurement for name, measurement in kept.items() if measurement}
        return there, {name: path for name, path in paths.items() if name not in there}

    def _measure_run(
        self, run: TrainedRun, paths: dict[str, Path], problem: Problem, progress: StepProgress
    ) -> dict[str, Measurement]:
        made = {}
        try:
            model = run.run.load_model()
        except RunError as error:
            self.broken.append(str(error))
            for name in paths:
                progress.begin(name, run.directory.name)
                progress.end(name)
            return made
        for name, path in paths.items():
            progress.begin(name, run.directory.name)
            try:
                made[name] = (
                    COMPARISONS[name]
                    .load()
                    .measure(model, problem, seed=self.seed, **self._options_of(name))
                )
                self._store.put(path, made[name])
            except ValueError as error:
                self.broken.append(f"{run.directory}, {name}: {one_line(error)}")
            progress.end(name)
        keras.backend.clear_session()
        return made

    def _plan_baselines(self, force: bool) -> list[tuple[str, str | None, Path]]:
        """The baselines to make: comparison, held-out class, where they are kept."""
        plan = []
        for name in self.names:
            self._baselines[name] = []
            for held_out in dict.fromkeys(run.held_out for run in self.runs_of(name)):
                path = self._path(name, None, held_out)
                kept = None if force else self._store.get(path)
                if kept is None:
                    plan.append((name, held_out, path))
                else:
                    self._baselines[name] += baseline_entries(kept, held_out)
        return plan

    def _measure_baselines(self, plan, progress) -> None:
        for held_out, group in groupby(sorted(plan, key=held_out_of), key=held_out_of):
            problem = self._problem(self.seed, held_out or None)
            for name, _, path in group:
                progress.begin(name, "what needs no model")
                baselines = (
                    COMPARISONS[name]
                    .load()
                    .baselines(problem, seed=self.seed, **self._options_of(name))
                )
                joined = join(baselines)
                self._store.put(path, joined)
                self._baselines[name] += baseline_entries(joined, held_out or None)
                progress.end(name)

    def _make_problem(self, split_seed: int, held_out: str | None) -> Problem:
        image_set = self.image_set
        split = data.split(image_set, seed=split_seed, held_out_class=held_out)
        if len(image_set.class_names) < 2:  # one class tells nothing apart
            parts = (split.train, split.validation, split.test)
            return Problem(data.Split(*(data.Subset(part.images) for part in parts)))
        index = None if held_out is None else data.held_out_index(image_set, held_out)
        return Problem(split, tuple(image_set.class_names), index, self._make_judge)

    @functools.cached_property
    def _make_judge(self) -> Callable:
        """Makes the judge when it is first asked for: one, whatever the seeds of the runs."""
        made_by = hashlib.sha256(Path(judge.__file__).read_bytes()).hexdigest()[:8]
        path = self._store.folder / f"judge-{self.image_set.fingerprint}-{made_by}.keras"

        @functools.cache
        def make():
            split = data.split(self.image_set)
            return judge.train_judge(split, len(self.image_set.class_names), path)

        return make

    def _options_of(self, name: str) -> dict:
        return {option: self.options[option] for option in COMPARISONS[name].options}

    def _path(self, name: str, run: TrainedRun | None, held_out: str | None = None) -> Path:
        parts = [keras_ae.__version__, self.image_set.fingerprint, held_out, self.seed]
        parts.append(self._options_of(name))
        parts += sources(f"comparisons.{COMPARISONS[name].module}", "comparisons.judge")
        title = "baselines" if held_out is None else f"baselines-without-{held_out}"
        if run is not None:
            parts += [run.request.to_dict(), run.directory / "model.keras"]
            parts += sources(f"variants.{VARIANTS[run.request.variant].module}")
            title = run.directory.name
        return self._store.path(name, title, digest(*parts))

    # ---- drawing ----

    def draw(self, name: str, force: bool = False) -> list[dict]:
        """The figures of a comparison, file and caption, drawn where something changed."""
        record = self._store.folder / name / "figures.json"
        used = sorted(path.name for path in self._store.used if path.parent.name == name)
        parts = [PACKAGE / "plots.py", *sources(f"comparisons.{COMPARISONS[name].module}")]
        key = digest(*parts, used, [self.labels[run.directory] for run in self.runs_of(name)])
        try:
            kept = json.loads(record.read_text())
            there = all((self.folder / figure["file"]).is_file() for figure in kept["figures"])
            if kept["key"] == key and there and not force:
                return kept["figures"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        held_out = next((run.held_out for run in self.runs_of(name)), None)
        figures: list[Figure] = (
            COMPARISONS[name]
            .load()
            .draw(
                self.entries(name),
                self.baselines(name),
                self._problem(self.seed, held_out),
                self.folder,
            )
        )
        described = [{"file": figure.path.name, "caption": figure.caption} for figure in figures]
        text = json.dumps({"key": key, "figures": described})
        write_beside(record, lambda path: path.write_text(text))
        return described


def problem_key(run: TrainedRun) -> tuple[int, str]:
    return run.request.seed, run.held_out or ""


def held_out_of(planned: tuple) -> str:
    return planned[1] or ""


def join(baselines: dict[str, Measurement]) -> Measurement:
    """Several measurements as one, to be kept in one file."""
    arrays = {
        f"{place}/{key}": array
        for place, measurement in enumerate(baselines.values())
        for key, array in measurement.arrays.items()
    }
    return Measurement({name: one.numbers for name, one in baselines.items()}, arrays)


def baseline_entries(joined: Measurement, held_out: str | None) -> list[Entry]:
    """The measurements that `join` joined, as entries without a variant."""
    entries = []
    for place, (name, numbers) in enumerate(joined.numbers.items()):
        start = f"{place}/"
        arrays = {
            key.removeprefix(start): array
            for key, array in joined.arrays.items()
            if key.startswith(start)
        }
        entries.append(Entry(name, "", 0, 0, held_out, Measurement(numbers, arrays)))
    return entries


# ---- what is kept ----


class Store:
    """Measurements on disk, one file each.

    Args:
        folder: Where they are; made when the first is kept.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.used: set[Path] = set()

    def path(self, comparison: str, name: str, digest: str) -> Path:
        return self.folder / comparison / f"{safe_name(name)}-{digest}.npz"

    def get(self, path: Path) -> Measurement | None:
        """What is kept there; None where there is nothing or it cannot be read."""
        self.used.add(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            return Measurement(json.loads(str(arrays.pop("numbers"))), arrays)
        except Exception:
            return None

    def put(self, path: Path, measurement: Measurement) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            **measurement.arrays,
            "numbers": np.array(json.dumps(measurement.numbers, allow_nan=False)),
        }
        write_beside(path, lambda temporary: np.savez_compressed(temporary, **arrays))
        self.drop_old(path)

    def drop_old(self, path: Path) -> None:
        """Of what was kept under the same name, leaves the newest few."""
        stem = path.stem.rpartition("-")[0]
        same = [
            other for other in path.parent.glob("*.npz") if other.stem.rpartition("-")[0] == stem
        ]
        for other in sorted(same, key=lambda each: each.stat().st_mtime)[:-NUM_KEPT]:
            other.unlink(missing_ok=True)


def digest(*parts) -> str:
    """16 hex digits of plain data, and of files by their content."""
    seen = hashlib.sha256()
    for part in parts:
        content = file_digest(part) if isinstance(part, Path) else json.dumps(part).encode()
        seen.update(len(content).to_bytes(8, "big") + content)
    return seen.hexdigest()[:16]


def file_digest(path: Path) -> bytes:
    """Of a file's content, which is read again only where the file has changed."""
    status = path.stat()
    return digest_of_content(path, status.st_mtime_ns, status.st_size)


@functools.cache
def digest_of_content(path: Path, modified: int, size: int) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


# ---- what a number depends on ----


@functools.cache
def sources(*modules: str) -> list[Path]:
    """The files of modules of the package and of all that they import from it.

    But for plots.py, which changes no number, and for packages: those only pass names on.
    """
    found, waiting = set(), list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += imported(module)
    return [path_of(module) for module in sorted(found)]


def imported(module: str) -> set[str]:
    """The modules of the package whose names a module imports, wherever in it."""
    start = "keras_ae."
    names = {
        defining_module(f"{node.module}.".removeprefix(start), alias.name)
        for node in ast.walk(ast.parse(path_of(module).read_text()))
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(start)
        for alias in node.names
    }
    return names - {None, "plots"}


def defining_module(start: str, name: str) -> str | None:
    """The module, below the package, behind `from keras_ae.<start> import name`.

    `start` ends in a dot or is empty. None for what a package defines itself: it is a table of
    contents, in which a new line changes no number.
    """
    if path_of(f"{start}{name}").is_file():
        return f"{start}{name}"
    package = path_of(f"{start}__init__")
    if not package.is_file():
        return start.removesuffix(".")
    for node in ast.walk(ast.parse(package.read_text())):
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return node.module.removeprefix("keras_ae.")
    return None


def path_of(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
