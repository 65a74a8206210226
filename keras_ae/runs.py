"""A run directory: what was asked for, what was learned, and how to go on after an interruption.

    config.json    everything resolved: the request, the model's arguments, the data, the versions
    history.csv    one line an epoch
    resume.npz     weights, optimizer, noise states and history after the last finished epoch
    model.keras    the trained model
    test.json      the losses on the test set; written last, so its presence means "finished"
    saved_model/   where an export was asked for

Every file is written beside its name and then renamed: on disk there is never half a file.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_ae.checks import one_line


class RunError(ValueError):
    """A run directory that cannot be used, in one line."""


class Diverged(ArithmeticError):
    """A training whose loss is no longer a finite number."""


def run_name(
    variant: str, latent_dim: int, held_out: str | None, seed: int, arguments: dict | None = None
) -> str:
    """The directory of a run: `vae-20d-seed42`, `vae-2d-without-1-beta-4-seed42`."""
    parts = [variant, f"{latent_dim}d"]
    if held_out is not None:
        parts.append(f"without-{held_out}")
    parts += [f"{name}-{value}" for name, value in (arguments or {}).items()]
    return safe_name("-".join([*parts, f"seed{seed}"]))


def safe_name(text: str) -> str:
    """`text` as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "_", text)


def write_beside(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` on a temporary name of the same suffix, then renames it to `path`.

    The name is always the same, so what a kill leaves behind is written over the next time.
    """
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Run:
    """One run directory.

    Args:
        directory: Where it is or will be. Nothing is created before `start`.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)

    # ---- what is there ----

    @property
    def started(self) -> bool:
        return self._path("config.json").exists()

    @property
    def finished(self) -> bool:
        return self._path("test.json").exists()

    @property
    def config(self) -> dict:
        return self._read_json("config.json")

    @property
    def results(self) -> dict:
        """What `finish` wrote: the losses on the test set, in nats per image."""
        return self._read_json("test.json")

    @property
    def history(self) -> list[dict[str, float]]:
        """One dict an epoch, as in `history.csv`."""
        with open(self._path("history.csv"), newline="") as lines:
            return [
                {
                    name: int(value) if name == "epoch" else float(value)
                    for name, value in row.items()
                }
                for row in csv.DictReader(lines)
            ]

    def load_model(self) -> keras.Model:
        """The trained model.

        Raises:
            RunError: the file is missing or unusable.
        """
        path = self._path("model.keras")
        try:
            return keras.models.load_model(path)
        except Exception as error:
            raise RunError(f"{path} cannot be loaded ({one_line(error)}).") from error

    # ---- training ----

    def start(self, config: dict) -> None:
        """Writes `config.json`, or checks that the run that is there was asked for the same.

        Raises:
            RunError: it was asked for something else, or its files are unusable.
            OSError: the directory cannot be written.
        """
        if not self.started:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write_json("config.json", config)
            return
        before, now = self.config.get("request", {}), config["request"]
        for name in now:
            if before.get(name) != now[name]:
                if name == "fingerprint":
                    raise RunError(
                        f"{self.directory} holds a run on other images of the same name. Use "
                        "another --output-dir, or --overwrite to replace it."
                    )
                raise RunError(
                    f"{self.directory} holds a run with {name} {before.get(name)!r}; this one asks "
                    f"for {now[name]!r}. Use another --output-dir, or --overwrite to replace it."
                )

    def clear(self) -> None:
        """Deletes the files of a run, the one that marks it as finished first."""
        for name in ("test.json", "resume.npz", "model.keras", "history.csv", "config.json"):
            self._path(name).unlink(missing_ok=True)
        for name in ("saved_model", ".saved_model.partial", "tensorboard"):
            shutil.rmtree(self._path(name), ignore_errors=True)

    def restore(self, model: keras.Model, epochs: int) -> int:
        """Brings a fresh, compiled model to the last finished epoch; returns how many there are.

        Raises:
            RunError: the resume state is unusable or belongs to another network.
        """
        path = self._path("resume.npz")
        if not path.exists():
            return 0
        try:
            with np.load(path, allow_pickle=False) as state:
                arrays = {name: state[name] for name in state.files}
            rows = json.loads(str(arrays.pop("history")))
        except Exception as error:
            raise RunError(
                f"{path} cannot be read ({one_line(error)}). Use --overwrite to train anew."
            ) from error
        model.resume_at(len(rows), epochs)
        variables = state_variables(model)
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if shapes != {name: array.shape for name, array in arrays.items()}:
            raise RunError(
                f"{path} belongs to another network than this version of the program builds. "
                "Use --overwrite to train anew."
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self._write_history(rows)
        return len(rows)

    def keep(self, model: keras.Model, rows: list[dict]) -> None:
        """Saves the state after an epoch; `rows` is the history so far."""
        arrays = {name: variable.numpy() for name, variable in state_variables(model).items()}
        arrays["history"] = np.array(json.dumps(rows))
        # Only this file counts when going on; the CSV is rewritten from it.
        write_beside(self._path("resume.npz"), lambda path: np.savez(path, **arrays))
        self._write_history(rows)

    def finish(self, model: keras.Model, results: dict) -> None:
        """Saves the trained model, then its results: with those the run is finished."""
        write_beside(self._path("model.keras"), model.save)
        self._write_json("test.json", results)

    @property
    def exported(self) -> bool:
        return self._path("saved_model").exists()

    def export(self, model: keras.Model) -> Path:
        """Writes `saved_model/`; returns its path."""
        path = self._path("saved_model")
        temporary = path.with_name(f".{path.name}.partial")
        shutil.rmtree(temporary, ignore_errors=True)
        model.export(temporary, verbose=False)
        os.replace(temporary, path)
        return path

    # ---- files ----

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _read_json(self, name: str) -> dict:
        path = self._path(name)
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} cannot be read ({one_line(error)}). Use --overwrite to train anew."
            ) from error

    def _write_json(self, name: str, content: dict) -> None:
        text = json.dumps(content, indent=2) + "\n"
        write_beside(self._path(name), lambda path: path.write_text(text))

    def _write_history(self, rows: list[dict]) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(rows[0]) if rows else ["epoch"])
        writer.writeheader()
        writer.writerows(rows)
        write_beside(self._path("history.csv"), lambda path: path.write_text(table.getvalue()))


class KeepRun(keras.callbacks.Callback):
    """Saves the run after every epoch, so that it can go on from there bit for bit."""

    def __init__(self, run: Run):
        super().__init__()
        self.run = run
        self.rows = run.history if run._path("history.csv").exists() else []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.began
        values = {name: float(value) for name, value in (logs or {}).items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(
                    f"{name} became {value} in epoch {epoch + 1}; {self.run.directory} keeps the "
                    "state before it. Try a lower --learning-rate with --overwrite."
                )
        self.rows = [*self.rows[:epoch], {"epoch": epoch + 1, "seconds": seconds, **values}]
        self.run.keep(self.model, self.rows)


def state_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """All that training changes: weights, noise states, the optimizers' variables."""
    groups = {"model": model.variables}
    for number, optimizer in enumerate(model.optimizers):
        groups[f"optimizer_{number}" if number else "optimizer"] = optimizer.variables
    return {
        f"{group}/{number:03d}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }
