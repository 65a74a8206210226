"""Checkpoints: `resume.npz`, from which an interrupted training resumes bit for bit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_ae.checks import check_expansion, one_line
from keras_ae.files import atomic_write
from keras_ae.runs import early_stopping
from keras_ae.runs.errors import Diverged, Remedy, RunError
from keras_ae.runs.request import ConfigError, RunRequest
from keras_ae.runs.run_directory import MAX_JSON_BYTES, RunDirectory
from keras_ae.training import resume

# Starts of the names of arrays in the file.
CALLBACKS = "callback_"
MID_EPOCH = "within/"


class Checkpoint:
    """The resume state of a run: weights, optimizers, noise, history, callbacks.

    Args:
        run: The run directory.
        request: The request of the run; it is stored in the file and checked when it is read.
    """

    def __init__(self, run: RunDirectory, request: RunRequest):
        self.run = run
        self.request = request.to_dict()
        self.path = run.path("resume.npz")

    def restore(self, model: Any, epochs: int) -> int:
        """Restore a fresh, compiled model.

        Args:
            model: The model of this run, with its initial weights.
            epochs: The last epoch of the training.

        Returns:
            The number of finished epochs; 0 where there is no checkpoint.

        Raises:
            RunError: the file is missing, damaged, or belongs to another run or network.
        """
        if not self.run.has_checkpoint:
            if self.run.path("history.csv").exists():
                raise RunError(
                    f"{self.path} is missing, although history.csv exists.", Remedy.RETRAIN
                )
            return 0
        try:
            check_expansion(self.path, _max_bytes(model))
            arrays = self._arrays()
            mid_epoch = any(name.startswith(MID_EPOCH) for name in arrays)
            most, least = (epochs - 1, 0) if mid_epoch else (epochs, 1)
            rows = _checked_rows(json.loads(str(arrays.pop("history"))), least, most)
            request = json.loads(str(arrays.pop("request", "null")))  # older files have none
        except Exception as error:
            raise self._unreadable(error) from error
        if request is not None and _completed(request) != self.request:
            raise RunError(f"{self.path} belongs to another run.", Remedy.RETRAIN)
        arrays = {
            name: array
            for name, array in arrays.items()
            if not name.startswith((CALLBACKS, MID_EPOCH))
        }
        resume.prepare_resume(model, len(rows), epochs, mid_epoch)
        variables = state_variables(model)
        expected = {name: (tuple(each.shape), each.dtype) for name, each in variables.items()}
        if expected != {name: (array.shape, array.dtype.name) for name, array in arrays.items()}:
            problem = f"{self.path} belongs to another network than this version builds."
            raise RunError(problem, Remedy.RETRAIN)
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self.run.write_history(rows)
        return len(rows)

    def restore_callbacks(self, callbacks: Sequence[Any], model: Any) -> None:
        """Restore the state of early stopping; Keras has just reset it.

        Raises:
            RunError: the file is damaged.
        """
        if not callbacks or not self.run.has_checkpoint:
            return
        try:
            shapes = [weight.shape for weight in model.get_weights()]
            early_stopping.set_state(callbacks, self._arrays(CALLBACKS), CALLBACKS, shapes)
        except Exception as error:
            raise self._unreadable(error) from error

    def resume_mid_epoch(self, model: Any) -> float:
        """Skip the steps of the current epoch that were done before the interruption.

        Returns:
            The seconds that those steps took; 0 for a checkpoint at the end of an epoch.

        Raises:
            RunError: the file is damaged.
        """
        if not self.run.has_checkpoint:
            return 0.0
        try:
            state = self._arrays(MID_EPOCH)
            if not state:
                return 0.0
            step, seconds = (
                state.pop(f"{MID_EPOCH}{name}", np.array(-1)).item() for name in ("step", "seconds")
            )
            resume.skip_steps(model, step, list(state.values()))
            return float(seconds)
        except Exception as error:
            raise self._unreadable(error) from error

    def save(
        self,
        model: Any,
        rows: list[dict],
        callbacks: Sequence[Any] = (),
        seconds: float | None = None,
    ) -> None:
        """Save the state at the end of an epoch, or within one.

        Args:
            model: The model in training.
            rows: The history of the finished epochs.
            callbacks: Those of `early_stopping.callbacks`.
            seconds: Within an epoch, its duration so far; None at its end.
        """
        arrays = early_stopping.get_state(callbacks, CALLBACKS)
        if seconds is not None:
            arrays[f"{MID_EPOCH}step"] = np.array(resume.steps_done(model))
            arrays[f"{MID_EPOCH}seconds"] = np.array(seconds)
            for number, variable in enumerate(model.metrics_variables):
                arrays[f"{MID_EPOCH}metrics/{number:03d}"] = variable.numpy()
        arrays |= {name: variable.numpy() for name, variable in state_variables(model).items()}
        arrays["history"] = np.array(json.dumps(rows))
        arrays["request"] = np.array(json.dumps(self.request))
        # Only this file counts when resuming; the CSV is rewritten from it.
        atomic_write(self.path, lambda path: np.savez(path, **arrays))  # pyright: ignore
        self.run.write_history(rows)

    def _arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """The arrays whose names start so, sorted by name."""
        with np.load(self.path, allow_pickle=False) as state:
            names = sorted(name for name in state.files if name.startswith(prefix))
            return {name: state[name] for name in names}

    def _unreadable(self, error: Exception) -> RunError:
        return RunError(f"{self.path} cannot be read ({one_line(error)}).", Remedy.RETRAIN)


class CheckpointCallback(keras.callbacks.Callback):
    """Save a checkpoint after every epoch, and where a training is interrupted.

    Args:
        checkpoint: The checkpoint to write.
        callbacks: Those of `early_stopping.callbacks`; they come before this one in `fit`.
        interruption: Returns the exception that ends the training, or None. It is
            raised after the current compiled steps, when the state has been saved.

    Attributes:
        rows: The history so far, one dict for each epoch.
    """

    every_batch = False  # a call after each compiled group of steps is enough

    def __init__(
        self,
        checkpoint: Checkpoint,
        callbacks: Sequence[Any] = (),
        interruption: Callable[[], BaseException | None] = lambda: None,
    ):
        super().__init__()
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.interruption = interruption
        run = checkpoint.run
        self.rows = run.history if run.path("history.csv").exists() else []
        self._num_before = len(self.rows)

    def on_train_begin(self, logs=None):
        self.checkpoint.restore_callbacks(self.callbacks, self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._start = time.perf_counter()
        if epoch == self._num_before:
            self._start -= self.checkpoint.resume_mid_epoch(self.model)

    def on_train_batch_end(self, batch, logs=None):
        self._check_finite(logs or {})
        model: Any = self.model
        # At the end of an epoch, on_epoch_end saves.
        if resume.steps_done(model) and (stop := self.interruption()):
            seconds = time.perf_counter() - self._start
            rows = self.rows[: self._epoch]
            self.checkpoint.save(model, rows, self.callbacks, seconds)
            raise stop

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._start
        values = {name: float(value) for name, value in (logs or {}).items()}
        self._check_finite(values)
        self.rows = [*self.rows[:epoch], {"epoch": epoch + 1, "seconds": seconds, **values}]
        self.checkpoint.run.check_lock()
        self.checkpoint.save(self.model, self.rows, self.callbacks)
        if stop := self.interruption():
            raise stop

    def _check_finite(self, logs: dict) -> None:
        """Raise `Diverged` where a loss is NaN or infinite; name the term before the sum."""
        values = {name: float(value) for name, value in logs.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        for name in sorted(bad, key=lambda name: name.removeprefix("val_") == "loss"):
            run = self.checkpoint.run
            saved = (
                f"{run.directory} has the last checkpoint before that"
                if run.has_checkpoint
                else "there was no checkpoint before that"
            )
            raise Diverged(f"{name} became {values[name]} in epoch {self._epoch + 1}; {saved}.")


def state_variables(model: Any) -> dict[str, Any]:
    """Every variable that training changes: weights, noise states, optimizer variables."""
    groups = {"model": model.variables}
    for number, optimizer in enumerate(resume.optimizers(model)):
        groups[f"optimizer_{number}" if number else "optimizer"] = optimizer.variables
    return {
        f"{group}/{number:03d}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def _completed(request: Any) -> dict[str, Any] | None:
    """A stored request with the defaults of what older versions did not write; None if damaged."""
    try:
        return RunRequest.from_dict(request).to_dict()
    except ConfigError:
        return None


def _max_bytes(model: Any) -> int:
    """Twice the bytes of a model's state with its optimizers, plus a long history."""
    numbers = sum(math.prod(variable.shape) for variable in model.variables)
    return 2 * 8 * numbers * (2 + len(resume.optimizers(model))) + MAX_JSON_BYTES


def _checked_rows(rows: Any, least: int, most: int) -> list[dict]:
    """A history as `save` wrote it: one row of numbers for each epoch, `least` to `most` rows."""
    try:
        plain = all(isinstance(value, int | float) for row in rows for value in row.values())
        numbered = [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        if plain and numbered and least <= len(rows) <= most:
            return rows
    except (AttributeError, KeyError, TypeError):
        pass
    raise ValueError("its history is damaged")
