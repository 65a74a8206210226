"""Training planned runs, one after another, alone or shared with other processes."""

from __future__ import annotations

import contextlib
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from keras_ae import data
from keras_ae.progress import GridProgress, counted
from keras_ae.runs import anomalies, averaging, early_stopping, references
from keras_ae.runs.catalog import read_run
from keras_ae.runs.checkpoint import Checkpoint, CheckpointCallback
from keras_ae.runs.errors import Diverged, Remedy, RunError, RunLocked
from keras_ae.runs.lock import owner_left_in
from keras_ae.runs.plan import PlannedRun
from keras_ae.runs.randomness import own_seeds
from keras_ae.runs.run_directory import RunDirectory
from keras_ae.runs.states import Durations, RunStatus, status_of

Log = Callable[[str], None]
SECONDS_BETWEEN_LOOKS = 2.0  # at the runs that other processes hold


@dataclass
class Shared:
    """What is left of a grid that several processes train.

    Attributes:
        held: Runs that another process is training.
        failed: Runs whose training failed here, and why.
    """

    held: list[RunDirectory] = field(default_factory=list)
    failed: dict[Path, RunError | Diverged] = field(default_factory=dict)


class Training:
    """Train planned runs below an output folder; resume interrupted runs.

    Every run is compared with what is on disk before anything is written.

    Args:
        planned: The runs, in order.
        output_dir: Run directories are created below it.
        overwrite: Delete the existing runs first.
        use_locks: False for a file system without locks, where each process has runs of its own.
        export: Also write a SavedModel for each run.
        tensorboard: Also write TensorBoard logs.
        log: Called with each line of output.
        progress: Whether to print the progress of epochs.
        draw: Called as `draw(directory, model, inputs, images, history)` for each run before it is
            finished, with the test images: draws its figures.
        interruption: Returns the exception that ends the training, once a signal has come.
        deferred: A context manager in which a signal waits for `interruption` to be called.

    Attributes:
        runs: The run directories, in the order of `planned`.
        epochs: The number of epochs of each.
        cleared: Whether the existing runs have been deleted.

    Raises:
        RunError: an existing run was started by another request, or is damaged.
    """

    def __init__(
        self,
        planned: Sequence[PlannedRun],
        output_dir: Path,
        *,
        overwrite: bool = False,
        use_locks: bool = True,
        export: bool = False,
        tensorboard: bool = False,
        log: Log = print,
        progress: bool = True,
        draw: Callable[..., Any] | None = None,
        interruption: Callable[[], BaseException | None] = lambda: None,
        deferred: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
    ):
        self.cleared = False
        self.runs = [RunDirectory(output_dir / each.config.folder) for each in planned]
        self.epochs = [each.config.request.epochs for each in planned]
        self._planned = list(planned)
        self._overwrite = overwrite
        self._use_locks = use_locks
        self._export = export
        self._tensorboard = tensorboard
        self._log = log
        self._progress = progress
        self._draw = draw
        self._interruption = interruption
        self._deferred = deferred
        self._references = references.References()
        if not overwrite:
            for run, each in zip(self.runs, planned, strict=True):
                check_existing_run(run, each)

    @property
    def left(self) -> list[RunDirectory]:
        """The runs that are to be trained or exported."""
        return [run for run in self.runs if not self._is_done(run)]

    def status(self) -> list[RunStatus]:
        """The state of each run, and the time that is left for it; writes nothing."""
        durations = Durations({run.directory.parent for run in self.runs})
        return [
            status_of(
                run,
                each.config.request,
                not self._overwrite and self._is_done(run),
                durations,
            )
            for run, each in zip(self.runs, self._planned, strict=True)
        ]

    def run(self) -> None:
        """Train and export what is not finished.

        Raises:
            RunLocked: another process is training one of the runs.
            Diverged: a loss became NaN or infinite.
            OSError: a file cannot be written.
        """
        with contextlib.ExitStack() as locks:
            to_do = [self._overwrite or not self._is_done(run) for run in self.runs]
            for run, needed in zip(self.runs, to_do, strict=True):
                if needed:
                    locks.enter_context(self._lock(run))
            if self._overwrite:  # all at once, so that a resumed grid does the same
                self.cleared = True
                for run in self.runs:
                    run.clear()
            progress = self._new_progress()
            for place, needed in enumerate(to_do):
                self._one(place, needed, progress)

    def share(self, wait: bool = False) -> Shared:
        """Train the runs that no other process holds, also those that dead processes left.

        A run that fails is left out, and the others are trained.

        Args:
            wait: Whether to wait for the runs that other processes hold, and to train what they
                leave. Otherwise the method ends when they hold all runs that are left.

        Raises:
            RunLocked: the locks of the file system do not work across machines.
            OSError: a file cannot be written.
        """
        progress = self._new_progress()
        held = {place: False for place in range(len(self.runs))}  # whether that was said
        shared = Shared()
        while held:
            trained = False
            for place in list(held):
                run = self.runs[place]
                was_left_by = owner_left_in(run.directory)
                try:
                    with contextlib.nullcontext() if self._is_done(run) else self._lock(run):
                        if was_left_by and not self._is_done(run):
                            self._log(f"{self._title(place)}: taking over from {was_left_by}")
                        trained |= self._one_shared(place, shared, progress)
                        del held[place]
                except RunLocked as error:
                    if error.remedy is Remedy.DIVIDE:
                        raise
                    if not held[place]:
                        self._log(f"{self._title(place)}: skipping, {error.problem}")
                    held[place] = True
            if held and not trained:
                if not wait:
                    break
                time.sleep(SECONDS_BETWEEN_LOOKS)
        shared.held = [self.runs[place] for place in held]
        return shared

    def _one_shared(self, place: int, shared: Shared, progress: GridProgress) -> bool:
        """Train one run, if it is not done; returns whether there was something to do."""
        run, planned = self.runs[place], self._planned[place]
        try:
            check_existing_run(run, planned)  # again: another process may have changed it
            needed = not self._is_done(run)
            if run.finished and place not in self._finished_before:
                progress.skip_run(self.epochs[place])
            self._one(place, needed, progress)
            return needed
        except RunLocked:
            raise
        except (RunError, Diverged) as error:
            shared.failed[run.directory] = error
            self._log(f"{self._title(place)}: failed: {error.problem}")
            progress.end_run()
            keras.backend.clear_session()
            return True

    def _lock(self, run: RunDirectory) -> contextlib.AbstractContextManager[None]:
        return run.lock() if self._use_locks else contextlib.nullcontext()

    def _new_progress(self) -> GridProgress:
        finished = {place for place, run in enumerate(self.runs) if run.finished}
        self._finished_before = finished
        num_epochs = sum(
            number for place, number in enumerate(self.epochs) if place not in finished
        )
        return GridProgress(num_epochs, enabled=self._progress)

    def _title(self, place: int) -> str:
        return f"[{place + 1}/{len(self.runs)}] {self.runs[place].directory}"

    def _is_done(self, run: RunDirectory) -> bool:
        return run.finished and (run.exported or not self._export)

    def _one(self, place: int, needed: bool, progress: GridProgress) -> None:
        """Train, test and export one run; `needed` says whether something is left to do."""
        run, planned, title = self.runs[place], self._planned[place], self._title(place)
        if run.finished:
            self._log(f"{title}: already finished, skipping; {summary(run)}")
            model = run.load_model() if needed else None
        else:
            model = planned.build()
            self._log(f"{title}: {model.count_params():,} parameters")
            # A generator that the model did not seed depends on the request alone.
            with own_seeds(planned.config.request.seed):
                self._train(run, planned, model, progress)
            self._log(f"test: {summary(run)}")
            for line in problems(run):
                self._log(f"warning: {line}")
        if needed and self._export and not run.exported:
            score = anomalies.exported_score(model, run.results)
            self._log(f"exported to {run.export(model, score)}")
        keras.backend.clear_session()

    def _train(
        self, run: RunDirectory, planned: PlannedRun, model: Any, progress: GridProgress
    ) -> None:
        """Fit one model, from its checkpoint if there is one, up to its results."""
        config, split = planned.config, planned.split
        request = config.request
        run.start(config)
        checkpoint = Checkpoint(run, request)
        first_epoch = checkpoint.restore(model, request.epochs)
        watchers = early_stopping.callbacks(request.patience, request.lr_patience)
        checkpoint.restore_callbacks(watchers, model)
        stopped = any(getattr(callback, "stopped_epoch", 0) for callback in watchers)
        keeper = CheckpointCallback(checkpoint, watchers, self._interruption)
        if run.has_checkpoint:
            done = stopped or first_epoch == request.epochs
            self._log(
                "training complete, finalizing" if done else f"resuming at epoch {first_epoch + 1}"
            )
        progress.start_run(first_epoch, request.epochs)
        callbacks = [*watchers, keeper, _ProgressCallback(progress)]
        if request.ema is not None:
            inputs = model.pack_inputs(split.train.images, split.train.labels)
            watching = averaging.with_averages(watchers, inputs, request.batch_size)
            callbacks[: len(watchers)] = watching
        if self._tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(str(run.log_folder())))
        with self._deferred():
            model.fit(
                *inputs_of(model, split.train),
                batch_size=request.batch_size,
                epochs=first_epoch if stopped else request.epochs,
                initial_epoch=first_epoch,
                validation_data=inputs_of(model, split.validation),
                callbacks=callbacks,
                verbose=0,
            )
        for callback in watchers:
            if last := getattr(callback, "stopped_epoch", 0):
                best = callback.best_epoch + 1  # pyright: ignore
                self._log(
                    f"early stopping at epoch {last + 1}; restored best weights (epoch {best})"
                )
        if model.learns_prior:
            self._log("fitting the prior to the codes")
            model.fit_prior(split.train.images, verbose=self._log)
        test = split.test
        anomalous = config.data.is_anomalous(test.labels)
        if anomalous is not None:
            test = test.where(~anomalous)
        losses = model.evaluate(*inputs_of(model, test), verbose=0, return_dict=True)
        # The first epoch compiles.
        seconds = [row["seconds"] for row in keeper.rows[1:] or keeper.rows]
        results = {name: float(value) for name, value in losses.items()}
        results["num_images"] = len(test)
        results["num_parameters"] = model.count_params()
        results["seconds_per_epoch"] = statistics.median(seconds)
        results |= references.measure(model, split.train, test, self._references)
        found, lines = anomalies.fit_threshold(model, request, split, anomalous)
        results |= found
        for line in lines:
            self._log(line)
        if self._draw:
            inputs = model.pack_inputs(test.images, test.labels)
            self._draw(run.directory, model, inputs, test.images, keeper.rows)
        run.finish(model, results)


class _ProgressCallback(keras.callbacks.Callback):
    def __init__(self, progress: GridProgress):
        super().__init__()
        self._progress = progress

    def on_epoch_begin(self, epoch, logs=None):
        self._progress.start_epoch()

    def on_epoch_end(self, epoch, logs=None):
        losses = {name: float(value) for name, value in (logs or {}).items()}
        self._progress.end_epoch(epoch + 1, losses)

    def on_train_end(self, logs=None):
        self._progress.end_run()


def check_existing_run(run: RunDirectory, planned: PlannedRun) -> None:
    """Check that an existing run can be resumed or skipped; warn where versions differ.

    Raises:
        RunError: it was started by another request, or is damaged.
    """
    run.check(planned.config)
    if run.finished:
        read_run(run)
        run.check_model()
    elif run.started and (old := run.config.other_versions(planned.config.versions)):
        warnings.warn(
            f"{run.directory} was started with {old}: results may differ from those of a run "
            "without an interruption.",
            stacklevel=2,
        )
    if not run.finished and run.started:
        before, now = run.config, planned.config
        if before.threads is not None and before.threads != now.threads and now.on_cpu:
            warnings.warn(
                f"{run.directory} was started with {counted(before.threads, 'thread')} and resumes "
                f"with {now.threads}: its weights will differ in the last digits from those of a "
                "run without an interruption.",
                stacklevel=2,
            )


def inputs_of(model: Any, subset: data.Subset) -> tuple:
    """The positional arguments of `fit` and `evaluate`: images, and labels where needed."""
    return (subset.images, subset.labels) if model.needs_labels else (subset.images,)


def problems(run: RunDirectory) -> list[str]:
    """What is wrong with a trained model, a line each; none for runs of older versions."""
    results, loss = run.results, run.config.model.get("reconstruction_loss", "bce")
    if "pca_components" not in results:
        return []
    return references.warnings(loss, results, run.history)


def summary(run: RunDirectory) -> str:
    """The test losses and the time of an epoch, in one line."""
    results = run.results
    # Runs of older versions have neither this argument nor the references.
    loss = run.config.model.get("reconstruction_loss", "bce")
    words = f"{results['reconstruction_loss']:.2f} {references.UNITS[loss]}"
    if "pca_components" in results:
        words = references.summary(loss, results)
    return (
        f"{words}; latent loss {results['latent_loss']:.2f}; "
        f"{results['seconds_per_epoch']:.2f} s/epoch"
    )
