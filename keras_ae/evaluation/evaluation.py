"""Evaluation of trained runs: measure them, draw figures, recompute only stale results.

A measurement is cached under a digest of everything that decides its numbers: the data, the
request of the run, its model file, the `VERSION` of the comparison, options, seed and the versions
of the packages. Nothing here imports Keras or TensorFlow before something is measured.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from keras_ae import data
from keras_ae.checks import one_line
from keras_ae.evaluation import parts, plots
from keras_ae.evaluation.cache import (
    MeasurementCache,
    combine_made_by,
    distribution_version,
    join,
    package_versions,
    separate,
)
from keras_ae.evaluation.comparisons import COMPARISONS, reference_classifier
from keras_ae.evaluation.comparisons.base import (
    EvaluationData,
    Figure,
    Measurement,
    ReferenceClassifier,
    Result,
)
from keras_ae.evaluation.published import follows_bake_off
from keras_ae.files import atomic_write, file_digest, json_digest
from keras_ae.progress import StepProgress, counted
from keras_ae.runs.catalog import TrainedRun, labels
from keras_ae.runs.errors import RunError
from keras_ae.runs.references import has_collapsed
from keras_ae.stored_images import StoredImages


def load_data(
    run: TrainedRun, data_dir: str | None = None, storage: data.Storage | None = None
) -> data.ImageSet:
    """Load the images that a run was trained on.

    Args:
        run: A finished run.
        data_dir: Folder of prepared data sets; None for the one that the run used.
        storage: Where the images are kept; None for memory, where they fit.

    Raises:
        ValueError: the images cannot be loaded, or have changed since.
    """
    image_set = data.load(
        run.data.source,
        classes=run.data.classes,
        data_dir=data_dir or run.data.data_dir,
        **run.data.settings().to_dict(),
        storage=storage,
    )
    if run.data.binarize:
        image_set = data.binarized(image_set, run.data.binarize)
    if image_set.fingerprint != run.request.fingerprint:
        raise ValueError(
            f"the images have changed since {run.directory} was trained on them (fingerprint "
            f"{image_set.fingerprint}, then {run.request.fingerprint!r}); retrain the run"
        )
    return image_set


class Evaluation:
    """Comparisons of runs on one data set, with a cache.

    Args:
        image_set: The data set that all runs were trained on.
        runs: The runs, in the order of the report.
        names: Names of comparisons; those that no run can be used for are skipped.
        folder: Folder of the figures; the cache is in its subfolder `.parts`.
        options: Values of the options that comparisons name in the registry.
        seed: Random seed of the comparisons.

    Attributes:
        labels: The label of each run, by its directory.
        names: Names of the comparisons that are made.
        collapsed: The labels of models that ignore their input; known after `measure`.
        left_out: A sentence for each comparison that no run can be used for, and one on images that
            only anomaly detection uses.
        broken: One line for each run, or run and comparison, that could not be measured.
    """

    def __init__(
        self,
        image_set: data.ImageSet,
        runs: list[TrainedRun],
        names: list[str],
        folder: Path,
        *,
        options: dict[str, Any],
        seed: int,
    ):
        self.image_set = image_set
        self.runs = runs
        self.folder = folder
        self.options = options
        self.seed = seed
        self.labels = labels(runs)
        self.names = [name for name in names if self.runs_of(name)]
        reasons = [self._why_not(name) for name in names if name not in self.names]
        self.left_out = [reason for reason in reasons if reason]
        why_drawn = self._why_drawn()
        self._is_drawn = why_drawn is not None
        self.left_out += [why_drawn] if why_drawn else []
        if any(not COMPARISONS[name].held_out for name in self.names):
            self.left_out += self._images_left_out()
        self._as_published = {run.directory for run in runs if follows_bake_off(run)}
        self.collapsed: list[str] = []
        self.broken: list[str] = []
        self._versions = package_versions()
        self._cache = MeasurementCache(folder / ".parts")
        self._measured: dict[str, list[tuple[TrainedRun, Measurement]]] = {}
        self._baselines: dict[str, list[Result]] = {}
        # One split at a time: a split of MNIST takes 200 MB.
        self._data: tuple[tuple[int, str | None], EvaluationData] | None = None
        self._classifier: ReferenceClassifier | None = None

    def runs_of(self, name: str) -> list[TrainedRun]:
        """The runs that a comparison can use."""
        comparison = COMPARISONS[name]
        if comparison.threshold:
            whole = [] if self.normal_class is not None else self.runs
            return [run for run in whole if run.held_out is None and "threshold" in run.results]
        if comparison.held_out and self.normal_class is not None:
            return self.runs
        if comparison.labels and not self.has_labels:
            return []
        return [run for run in self.runs if (run.held_out is not None) == comparison.held_out]

    def _why_drawn(self) -> str | None:
        """What is measured of images that do not fit into memory; None for all of them."""
        if not isinstance(self.image_set.train_images, StoredImages):
            return None
        whole = data.split(self.image_set, seed=self.seed)
        number = data.num_in_memory(whole)
        if number == {name: len(getattr(whole, name)) for name in number}:
            return None
        return (
            "The set is larger than the memory limit. Drawn at random, "
            f"{number['test']:,} of its {len(whole.test):,} test images are measured, and "
            f"{number['train']:,} of its {len(whole.train):,} training images are used."
        )

    def _why_not(self, name: str) -> str:
        """Why no run can be used for a comparison; empty where another one says the same."""
        comparison = COMPARISONS[name]
        if comparison.threshold:
            if self.normal_class is not None or any(run.held_out is not None for run in self.runs):
                if "anomaly" in self.names:
                    return ""
                return f"{comparison.title}: there are anomalous images, so it is part of anomaly."
            reason = "no run has a threshold"
        elif comparison.labels and not self.has_labels:
            reason = "the images have no class labels"
            if self.normal_class is not None:
                reason = f"all training images are of one class, {self.normal_class}"
            elif self.image_set.class_names:
                reason = "all images have the same class label"
        elif comparison.held_out:
            reason = "no run was trained without one of the classes"
        else:
            reason = "all runs were trained without one of the classes"
        return f"{comparison.title}: {reason}."

    def _images_left_out(self) -> list[str]:
        """A sentence on the images of classes that are not in training, where there are some."""
        if self.normal_class is None:
            return []
        normal = self.image_set.test_labels == self.image_set.class_names.index(self.normal_class)
        left_out, used = (counted(int(part.sum()), "test image") for part in (~normal, normal))
        others = [name for name in self.image_set.class_names if name != self.normal_class]
        return [
            f"The {left_out} of {', '.join(others)}: only anomaly detection uses them, the other "
            f"comparisons measure on the {used} of {self.normal_class}."
        ]

    @functools.cached_property
    def normal_class(self) -> str | None:
        """`ImageSet.normal_class`: all images of other test classes are anomalous."""
        return self.image_set.normal_class

    @property
    def has_labels(self) -> bool:
        """Whether the training images have labels of several classes."""
        return len(self.image_set.class_names) > 1 and self.normal_class is None

    # ---- results ----

    def results(self, name: str) -> list[Result]:
        """The measured runs of a comparison, in the order of `runs`."""
        return [
            Result(
                self.labels[run.directory],
                run.request.variant,
                run.request.seed,
                run.request.latent_dim,
                run.held_out,
                measurement,
                self.labels[run.directory] in self.collapsed,
                run.directory in self._as_published,
            )
            for run, measurement in self._measured[name]
        ]

    def baselines(self, name: str) -> list[Result]:
        """The baselines of a comparison."""
        return self._baselines[name]

    def made_by(self) -> dict[str, Any]:
        """The versions and devices that made the numbers, cached or new; see `combine_made_by`."""
        return combine_made_by(
            [
                result.measurement
                for name in self.names
                for result in [*self.results(name), *self.baselines(name)]
            ]
        )

    # ---- measuring ----

    def measure(
        self,
        force: bool = False,
        enabled: bool = True,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Compute every measurement that is not cached.

        Args:
            force: Ignore the cache.
            enabled: Print progress.
            log: Receives a line on the work of each comparison that takes long.

        Raises:
            ValueError: a baseline cannot be computed with these options.
        """
        plan = {run.directory: self._plan(run, force) for run in self.runs}
        baseline_plan = self._plan_baselines(force)
        steps = [name for _, missing in plan.values() for name in missing]
        steps += [name for name, _, _ in baseline_plan]
        measured = {directory: dict(cached) for directory, (cached, _) in plan.items()}
        if steps:
            for line in self._long_work(missing for _, missing in plan.values()):
                log(line)
            progress = StepProgress(steps, enabled)
            # Baselines first: they detect bad options early.
            self._measure_baselines(baseline_plan, progress)
            # One split after the other; the largest code first, since PCA is fitted once for all.
            for run in sorted(self.runs, key=_split_key):
                missing = plan[run.directory][1]
                if missing:
                    measured[run.directory].update(self._measure_run(run, missing, progress))
        for name in self.names:
            self._measured[name] = [
                (run, measured[run.directory][name])
                for run in self.runs_of(name)
                if name in measured[run.directory]
            ]
        self._label_collapsed(measured)

    def _label_collapsed(self, measured: dict[Path, dict[str, Measurement]]) -> None:
        """Mark the labels of models that ignore their input, see `references.has_collapsed`.

        Runs of older versions do not record it: it is then known from their reconstructions.
        """
        groups: dict[tuple[str, bool], list[TrainedRun]] = {}
        for run in self.runs:
            key = self.labels[run.directory], run.held_out is not None
            groups.setdefault(key, []).append(run)
        for (label, _), runs in groups.items():
            found = [
                run
                for run in runs
                if has_collapsed(
                    {**self._metrics_of(run, "reconstruction", measured), **run.results}
                )
            ]
            if found:
                words = "ignores its input"
                if len(found) < len(runs):
                    words = f"{len(found)} of {len(runs)} runs ignore their input"
                marked = f"{label} ({words})"
                self.collapsed.append(marked)
                self.labels |= {run.directory: marked for run in runs}

    @staticmethod
    def _metrics_of(
        run: TrainedRun, name: str, measured: dict[Path, dict[str, Measurement]]
    ) -> dict[str, Any]:
        made = measured[run.directory].get(name)
        return {} if made is None else made.metrics

    def _long_work(self, missing: Iterable[dict[str, Path]]) -> list[str]:
        """What takes long: a line for each comparison that says so, with its number of runs."""
        counts = Counter(name for of_run in missing for name in of_run)
        sizes = self.runs[0].data.num_train, math.prod(self.image_set.image_shape)
        return [
            f"{name}, {counted(count, 'run')}: {words}; the time left follows from the first"
            for name, count in counts.items()
            if (words := COMPARISONS[name].work(*sizes))
        ]

    def _plan(self, run: TrainedRun, force: bool) -> tuple[dict[str, Measurement], dict[str, Path]]:
        """The cached measurements of a run, and the files of the missing ones."""
        names = [name for name in self.names if run in self.runs_of(name)]
        try:
            model = file_digest(run.directory / "model.keras")
        except OSError as error:
            self.broken.append(one_line(error))
            return {}, {}
        cached, missing = {}, {}
        for name in names:
            key = {**self._key(name), "request": run.request.to_dict(), "model": model}
            path = self._cache.path(name, run.directory.name, key)
            measurement = None if force else self._cache.get(path)
            self._cache.used.add(path)
            if measurement is None:
                missing[name] = path
            else:
                cached[name] = measurement
        return cached, missing

    def _measure_run(
        self,
        run: TrainedRun,
        missing: dict[str, Path],
        progress: StepProgress,
    ) -> dict[str, Measurement]:
        """Load a model and make the missing measurements. Failures go to `broken`."""
        import keras

        made = {}
        try:
            model = run.run.load_model()
        except RunError as error:
            self.broken.append(str(error))
            for name in missing:
                progress.begin(name, run.directory.name)
                progress.end(name)
            return made
        for name, path in missing.items():
            progress.begin(name, run.directory.name)
            try:
                measurement = (
                    COMPARISONS[name]
                    .load()
                    .measure(
                        model,
                        self._evaluation_data(name, run.request.seed, run.held_out),
                        seed=self.seed,
                        **self._options_of(name),
                    )
                )
                made[name] = self._store(path, measurement)
            except ValueError as error:
                self.broken.append(f"{run.directory}, {name}: {one_line(error)}")
            progress.end(name)
        keras.backend.clear_session()
        return made

    def _plan_baselines(self, force: bool) -> list[tuple[str, str | None, Path]]:
        """The missing baselines: comparison, held-out class, file. Cached ones are read."""
        plan = []
        for name in self.names:
            self._baselines[name] = []
            for held_out in dict.fromkeys(run.held_out for run in self.runs_of(name)):
                title = "baselines" if held_out is None else f"baselines-without-{held_out}"
                path = self._cache.path(name, title, {**self._key(name), "held_out": held_out})
                cached = None if force else self._cache.get(path)
                self._cache.used.add(path)
                if cached is None:
                    plan.append((name, held_out, path))
                else:
                    self._baselines[name] += baseline_results(cached, held_out)
        return plan

    def _measure_baselines(
        self, plan: list[tuple[str, str | None, Path]], progress: StepProgress
    ) -> None:
        for name, held_out, path in sorted(plan, key=lambda planned: planned[1] or ""):
            progress.begin(name, "baselines")
            baselines = (
                COMPARISONS[name]
                .load()
                .baselines(
                    self._evaluation_data(name, self.seed, held_out),
                    seed=self.seed,
                    **self._options_of(name),
                )
            )
            self._baselines[name] += baseline_results(self._store(path, join(baselines)), held_out)
            progress.end(name)

    def _store(self, path: Path, measurement: Measurement) -> Measurement:
        """Cache a new measurement, with the versions and the device that made it."""
        from keras_ae.runs.environment import device_name

        made_by = {"versions": self._versions, "device": device_name()}
        measurement = dataclasses.replace(measurement, made_by=made_by)
        self._cache.put(path, measurement)
        return measurement

    def _options_of(self, name: str) -> dict[str, Any]:
        return {option: self.options[option] for option in COMPARISONS[name].options}

    def _key(self, name: str) -> dict[str, Any]:
        """The part of the cache key that is the same for all runs."""
        comparison = COMPARISONS[name]
        # Sets without a normal class keep the keys that they had before there were such sets.
        normal = {} if self.normal_class is None else {"normal_class": self.normal_class}
        if comparison.names and (digest := self.image_set.names_digest):
            normal["names"] = digest
        return {
            **normal,
            "fingerprint": self.image_set.fingerprint,
            "seed": self.seed,
            "options": self._options_of(name),
            "published": bool(self._as_published),
            **({"drawn": True} if self._is_drawn else {}),
            "version": comparison.load().VERSION,
            "reference_classifier": reference_classifier.VERSION
            if comparison.reference_classifier
            else None,
            "packages": self._versions,
        }

    # ---- data ----

    def _evaluation_data(self, name: str, split_seed: int, held_out: str | None) -> EvaluationData:
        """The data of a comparison, with the reference classifier where it uses one."""
        prepared = self._data_of(name, split_seed, held_out)
        if COMPARISONS[name].reference_classifier and self.has_labels:
            if self._classifier is None:
                self._classifier = self._train_classifier()
            if prepared.reference_classifier is None:
                prepared = prepared.with_reference_classifier(self._classifier)
                self._data = (split_seed, held_out), prepared
        return prepared

    def _data_of(self, name: str, split_seed: int, held_out: str | None) -> EvaluationData:
        """The images of a comparison: the normal ones alone, unless it is about the others."""
        prepared = self._split(split_seed, held_out)
        if prepared.normal is None or COMPARISONS[name].held_out:
            return prepared
        return prepared.normal_only()

    def _split(self, split_seed: int, held_out: str | None) -> EvaluationData:
        if self._data is None or self._data[0] != (split_seed, held_out):
            self._data = None  # free the old one first
            self._data = (split_seed, held_out), self._make_split(split_seed, held_out)
        return self._data[1]

    def _make_split(self, split_seed: int, held_out: str | None) -> EvaluationData:
        image_set = self.image_set
        split = data.split(image_set, seed=split_seed, held_out_class=held_out)
        split = data.in_memory(split)
        if self.normal_class is not None:
            names = tuple(image_set.class_names)
            return EvaluationData(split, names, normal=names.index(self.normal_class))
        if not self.has_labels:
            train, validation, test = (
                data.Subset(part.images) for part in (split.train, split.validation, split.test)
            )
            return EvaluationData(data.Split(train, validation, test))
        index = None if held_out is None else data.held_out_index(image_set, held_out)
        return EvaluationData(
            split, tuple(image_set.class_names), index, published=bool(self._as_published)
        )

    def _train_classifier(self) -> ReferenceClassifier:
        """The reference classifier, shared by all runs of all seeds."""
        key = {"fingerprint": self.image_set.fingerprint, "version": reference_classifier.VERSION}
        key["packages"] = self._versions
        if self._is_drawn:
            key["drawn"] = True
        path = self._cache.folder / f"reference-classifier-{json_digest(key)}.keras"
        return reference_classifier.train_reference_classifier(
            data.in_memory(data.split(self.image_set)), len(self.image_set.class_names), path
        )

    # ---- drawing ----

    def draw(self, name: str, force: bool = False) -> list[dict[str, Any]]:
        """The figures of a comparison, as `file`, `caption` and, where there are, `lines`.

        They are drawn again where they are stale.

        Args:
            name: Name of a comparison that was measured.
            force: Draw all figures again.
        """
        record = self._cache.folder / name / "figures.json"
        used = sorted(path.name for path in self._cache.used if path.parent.name == name)
        key = json_digest(
            {
                "measurements": used,
                "labels": [self.labels[run.directory] for run in self.runs_of(name)],
                "plots": plots.VERSION,
                "packages": {package: distribution_version(package) for package in plots.PACKAGES},
            }
        )
        try:
            cached = json.loads(record.read_text())
            complete = all((self.folder / one["file"]).is_file() for one in cached["figures"])
            if cached["key"] == key and complete and not force:
                return cached["figures"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        held_out = next((run.held_out for run in self.runs_of(name)), None)
        figures: list[Figure] = (
            COMPARISONS[name]
            .load()
            .draw(
                self.results(name),
                self.baselines(name),
                self._data_of(name, self.seed, held_out),
                self.folder,
            )
        )
        described = [
            {
                "file": figure.path.name,
                "caption": figure.caption,
                **({"lines": list(figure.lines)} if figure.lines else {}),
            }
            for figure in figures
        ]
        text = json.dumps({"key": key, "figures": described})
        atomic_write(record, lambda path: path.write_text(text))
        return described

    def interactive(self, name: str, max_bytes: float) -> list[dict[str, Any]]:
        """Write the data of the interactive parts of a comparison; see `parts.write`.

        Args:
            name: Name of a comparison that was measured.
            max_bytes: Bytes of the data as JSON.
        """
        made = (
            COMPARISONS[name]
            .load()
            .interactive(
                self.results(name),
                self.baselines(name),
                tuple(self.image_set.class_names),
                max_bytes,
            )
        )
        return [parts.write(part, self.folder, name) for part in made]


def _split_key(run: TrainedRun) -> tuple[int, str, int]:
    return run.request.seed, run.held_out or "", -run.request.latent_dim


def baseline_results(joined: Measurement, held_out: str | None) -> list[Result]:
    """The baselines in one file of the cache, as results without a variant."""
    return [
        Result(name, "", 0, 0, held_out, measurement)
        for name, measurement in separate(joined).items()
    ]
