"""A run directory: what was asked for, what was learned, and how to go on after an interruption.

    config.json    everything resolved: the request, the model's arguments, the data, the versions
    history.csv    one line an epoch
    resume.npz     weights, optimizer, noise states and history after the last finished epoch, or
                   where a signal ended the training within one
    model.keras    the trained model
    test.json      the losses on the test set, and digests of the files that are read from then on;
                   written last, so its presence means "finished"
    saved_model/   where an export was asked for

Every file is written beside its name and then renamed: on disk there is never half a file.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_ae import plateaus
from keras_ae.checks import check_unfolded, one_line
from keras_ae.locks import held
from keras_ae.saving.load import check_model_file, load_model
from keras_ae.variants import VARIANTS

REMEDY = "Use --overwrite with this variant alone to train it anew."
MARKS = ("test.json", "model.keras", "history.csv")  # of a run that got anywhere
DIGESTED = ("config.json", "history.csv", "model.keras")  # what a finished run is read from
PLACES = {"source", "data_dir"}  # where the images lie, which may change
MOST_JSON = 2**26  # bytes
CALLBACKS = "callback_"  # how the names of their arrays begin
WITHIN = "within/"  # likewise, of the epoch under way


class RunError(ValueError):
    """A run directory that cannot be used, in one line."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.splitlines()))  # a name may be of several


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
    temporary.unlink(missing_ok=True)  # a link would be written through
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Deletes a folder; of a link, the link alone."""
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


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
    def kept(self) -> bool:
        """Whether there is a state to go on from."""
        return self._path("resume.npz").exists()

    @property
    def finished(self) -> bool:
        return self._path("test.json").exists()

    @property
    def config(self) -> dict:
        return self._read_json("config.json")

    @property
    def results(self) -> dict:
        """What `finish` was given: the losses on the test set, in nats per image."""
        content = self._read_json("test.json")
        if isinstance(content, dict):
            content.pop("digests", None)
        return content

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

    def check_files(self) -> None:
        """Looks whether the files of a finished run are those that its results came of.

        Raises:
            RunError: one was changed, or is missing.
        """
        digests = self._read_json("test.json").get("digests", {})  # older runs have none
        if not isinstance(digests, dict):
            raise RunError(f"{self._path('test.json')} is damaged: no usable digests. {REMEDY}")
        for name, digest in digests.items():
            if name not in ("test.json", *DIGESTED) or self._digest(name) != digest:
                raise RunError(
                    f"{self._path(name)} and test.json do not belong together: one of them was "
                    f"changed after the training. {REMEDY}"
                )

    def check_model(self) -> None:
        """Looks whether `model.keras` is whole, without loading it.

        Raises:
            RunError: it is missing or unusable.
        """
        path = self._path("model.keras")
        try:
            check_model_file(path)
        except Exception as error:
            raise RunError(f"{path} cannot be loaded ({one_line(error)}). {REMEDY}") from error

    def load_model(self) -> keras.Model:
        """The trained model.

        Raises:
            RunError: the file is missing, unusable, or not the model that `config.json` says.
        """
        path = self._path("model.keras")
        try:
            model = load_model(path)
        except Exception as error:
            raise RunError(f"{path} cannot be loaded ({one_line(error)}). {REMEDY}") from error
        variant = self._part("request").get("variant")
        if variant in VARIANTS and type(model) is not VARIANTS[variant].load():
            raise RunError(
                f"{path} is not the model of this run: it is a {type(model).__name__}, and "
                f"config.json says {variant}. {REMEDY}"
            )
        expected = self._part("model")
        found = json.loads(json.dumps(model.get_config()))  # lists for tuples
        # Keras counts the models of a process in their names; and a run of before an argument was
        # added has no value of it.
        for name in expected.keys() - {"name"}:
            if name in found and found[name] != expected[name]:
                raise RunError(
                    f"{path} is not the model of this run: its {name} is {found[name]!r}, and "
                    f"config.json says {expected[name]!r}. {REMEDY}"
                )
        return model

    # ---- training ----

    def held(self) -> contextlib.AbstractContextManager:
        """Keeps every other training out of the directory until the block ends.

        Raises:
            Held: one is at work in it.
        """
        return held(self.directory, "Wait for it, stop it, or use another --output-dir.")

    def check(self, config: dict) -> None:
        """Makes sure that what is there, if anything, was asked for by the same request.

        Raises:
            RunError: it was asked for something else, or its files are unusable.
        """
        if not self.started:
            if lost := [name for name in (*MARKS, "resume.npz") if self._path(name).exists()]:
                path = self._path("config.json")
                raise RunError(f"{path} is missing beside {lost[0]}. {REMEDY}")
            return
        before, now = self._part("request"), config["request"]
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
        if not self.finished:  # its evaluation will read the rest
            self._check_record(config)

    def start(self, config: dict) -> None:
        """Writes `config.json`, where none is there yet or the images lie elsewhere by now.

        Raises:
            RunError: as `check`.
            OSError: the directory cannot be written.
        """
        self.check(config)
        if not self.started:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write_json("config.json", config)
        elif self._part("data") != config.get("data", {}):
            self._write_json("config.json", {**self.config, "data": config["data"]})

    def other_versions(self, now: dict[str, str]) -> str:
        """What the run was made with that differs from `now`: `keras 3.14.0`; mostly empty."""
        then = self._part("versions")
        return ", ".join(
            f"{name} {then[name]}" for name in now if name in then and then[name] != now[name]
        )

    def log_folder(self) -> Path:
        """Where logs for TensorBoard go.

        Raises:
            RunError: it is a link, which would be written through.
        """
        path = self._path("tensorboard")
        if path.is_symlink():
            raise RunError(f"{path} is a link, through which no logs are written: remove it.")
        return path

    def clear(self) -> None:
        """Deletes the files of a run, in an order that leaves a usable state after each."""
        for name in ("saved_model", ".saved_model.partial", "tensorboard"):
            remove(self._path(name))
        for name in (*MARKS, "resume.npz", "config.json"):
            self._path(name).unlink(missing_ok=True)

    def restore(self, model: keras.Model, epochs: int) -> int:
        """Brings a fresh, compiled model to where it was kept; returns how many epochs are done.

        Raises:
            RunError: the resume state is unusable or belongs to another network.
        """
        path = self._path("resume.npz")
        if not self.kept:
            if self._path("history.csv").exists():
                raise RunError(f"{path} is missing beside history.csv. {REMEDY}")
            return 0
        try:
            check_unfolded(path, unfolded_limit(model))
            with np.load(path, allow_pickle=False) as state:
                arrays = {name: state[name] for name in state.files}
            within = any(name.startswith(WITHIN) for name in arrays)
            most, least = (epochs - 1, 0) if within else (epochs, 1)
            rows = checked_rows(json.loads(str(arrays.pop("history"))), least, most)
            request = json.loads(str(arrays.pop("request", "null")))  # older states have none
        except Exception as error:
            raise RunError(f"{path} cannot be read ({one_line(error)}). {REMEDY}") from error
        if request is not None and request != self._part("request"):
            raise RunError(f"{path} belongs to another run. {REMEDY}")
        besides = (CALLBACKS, WITHIN)
        arrays = {name: arrays[name] for name in arrays if not name.startswith(besides)}
        model.resume_at(len(rows), epochs, within)
        variables = state_variables(model)
        kinds = {name: (tuple(each.shape), each.dtype) for name, each in variables.items()}
        if kinds != {name: (array.shape, array.dtype.name) for name, array in arrays.items()}:
            raise RunError(
                f"{path} belongs to another network than this version of the program builds. "
                f"{REMEDY}"
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self._write_history(rows)
        return len(rows)

    def bring_back(self, callbacks: Sequence, model: keras.Model) -> None:
        """Gives callbacks, which Keras has just begun anew, the state they were kept with.

        Raises:
            RunError: the state is unusable.
        """
        path = self._path("resume.npz")
        if not callbacks or not self.kept:
            return
        try:
            kept = self._arrays(CALLBACKS)
            shapes = [weight.shape for weight in model.get_weights()]
            plateaus.bring_back(callbacks, kept, shapes)
        except Exception as error:
            raise RunError(f"{path} cannot be read ({one_line(error)}). {REMEDY}") from error

    def enter_epoch(self, model: keras.Model) -> float:
        """Goes on within the epoch that has just begun, where the state was kept within it.

        Returns:
            The seconds it had taken.

        Raises:
            RunError: the state is unusable.
        """
        path = self._path("resume.npz")
        if not self.kept:
            return 0.0
        try:
            kept = self._arrays(WITHIN)
            if not kept:
                return 0.0
            step, seconds = (
                kept.pop(f"{WITHIN}{name}", np.array(-1)).item() for name in ("step", "seconds")
            )
            model.skip_steps(step, list(kept.values()))
            return float(seconds)
        except Exception as error:
            raise RunError(f"{path} cannot be read ({one_line(error)}). {REMEDY}") from error

    def keep(
        self,
        model: keras.Model,
        rows: list[dict],
        callbacks: Sequence = (),
        within: float | None = None,
    ) -> None:
        """Saves the state after an epoch, or within one.

        Args:
            rows: The history of the epochs done.
            callbacks: Those whose state is kept too.
            within: Seconds that the epoch under way has taken; None where it is done.
        """
        arrays = plateaus.states(callbacks)
        if within is not None:
            arrays |= {f"{WITHIN}step": np.array(model.steps_done)}
            arrays |= {f"{WITHIN}seconds": np.array(within)}
            for number, variable in enumerate(model.metrics_variables):
                arrays[f"{WITHIN}metrics/{number:03d}"] = variable.numpy()
        arrays |= {name: variable.numpy() for name, variable in state_variables(model).items()}
        arrays["history"] = np.array(json.dumps(rows))
        if self.started:
            arrays["request"] = np.array(json.dumps(self._part("request")))
        # Only this file counts when going on; the CSV is rewritten from it.
        write_beside(self._path("resume.npz"), lambda path: np.savez(path, **arrays))
        self._write_history(rows)

    def finish(self, model: keras.Model, results: dict) -> None:
        """Saves the trained model, then its results: with those the run is finished."""
        write_beside(self._path("model.keras"), model.save)
        digests = {name: self._digest(name) for name in DIGESTED if self._path(name).exists()}
        digests["test.json"] = digest(plain_json(results))
        self._write_json("test.json", {**results, "digests": digests})

    @property
    def exported(self) -> bool:
        """Whether the SavedModel is there as it was written; any other is made anew."""
        try:
            digests = self._read_json("saved_model/digests.json")
            return digests == digests_below(self._path("saved_model"))
        except (RunError, OSError):
            return False

    def export(self, model: keras.Model) -> Path:
        """Writes `saved_model/`; returns its path."""
        path = self._path("saved_model")
        temporary = path.with_name(f".{path.name}.partial")
        remove(temporary)
        model.export(temporary, verbose=False)
        (temporary / "digests.json").write_text(json.dumps(digests_below(temporary), indent=2))
        remove(path)
        os.replace(temporary, path)
        return path

    # ---- files ----

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _arrays(self, start: str) -> dict[str, np.ndarray]:
        """Those of the kept state whose names begin so, in the order of their names."""
        with np.load(self._path("resume.npz"), allow_pickle=False) as state:
            names = sorted(name for name in state.files if name.startswith(start))
            return {name: state[name] for name in names}

    def _read_json(self, name: str) -> dict:
        path = self._path(name)
        try:
            if path.stat().st_size > MOST_JSON:
                raise ValueError(f"{path.stat().st_size:,} bytes are too many")
            return json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path} cannot be read ({one_line(error)}). {REMEDY}") from error

    def _part(self, name: str) -> dict:
        """One part of the config, which older runs may lack."""
        config = self.config
        part = config.get(name, {}) if isinstance(config, dict) else None
        if not isinstance(part, dict):
            raise RunError(f"{self._path('config.json')} is damaged: no usable {name}. {REMEDY}")
        return part

    def _check_record(self, config: dict) -> None:
        """Compares what a config says besides the request, but for what may change meanwhile."""
        for part in ("data", "model"):
            before, now = self._part(part), json.loads(json.dumps(config.get(part, {})))
            for name in now.keys() - PLACES - {"name"}:
                # A run of before an argument was added has no value of it.
                if before.get(name, now[name] if part == "model" else None) != now[name]:
                    raise RunError(
                        f"{self._path('config.json')} has other {part}: {name} is "
                        f"{before.get(name)!r} instead of {now[name]!r}. {REMEDY}"
                    )

    def _digest(self, name: str) -> str | None:
        """Of a file as it was read; None where it is missing."""
        if name == "test.json":
            return digest(plain_json(self.results))
        if name == "config.json":
            data = {key: value for key, value in self._part("data").items() if key not in PLACES}
            return digest(plain_json({**self.config, "data": data}))
        path = self._path(name)
        return digest(path.read_bytes()) if path.exists() else None

    def _write_json(self, name: str, content: dict) -> None:
        text = json.dumps(content, indent=2) + "\n"
        write_beside(self._path(name), lambda path: path.write_text(text))

    def _write_history(self, rows: list[dict]) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(rows[0]) if rows else ["epoch"])
        writer.writeheader()
        writer.writerows(rows)
        write_beside(self._path("history.csv"), lambda path: path.write_text(table.getvalue()))


def plain_json(content) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def digest(content: bytes) -> str:
    """16 hex digits: other content, other digits."""
    return hashlib.sha256(content).hexdigest()[:16]


def digests_below(folder: Path) -> dict[str, str]:
    """Of every file of a SavedModel, but for the file that holds them."""
    return {
        path.relative_to(folder).as_posix(): digest(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "digests.json"
    }


def unfolded_limit(model: keras.Model) -> int:
    """Twice the bytes of a network's state, its optimizers' included, and a long history's."""
    numbers = sum(math.prod(variable.shape) for variable in model.variables)
    return 2 * 8 * numbers * (2 + len(model.optimizers)) + MOST_JSON


def checked_rows(rows, least: int, most: int) -> list[dict]:
    """A history as `keep` saved it: an epoch a row, numbers alone, so many rows."""
    try:
        plain = all(isinstance(value, int | float) for row in rows for value in row.values())
        counted = [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        if plain and counted and least <= len(rows) <= most:
            return rows
    except (AttributeError, KeyError, TypeError):
        pass
    raise ValueError("its history is damaged")


class KeepRun(keras.callbacks.Callback):
    """Saves the run after every epoch, so that it can go on from there bit for bit.

    Args:
        run: Where.
        plateau_callbacks: Those of `plateau_callbacks`; they come before this one in `fit`.
        interruption: Gives the exception to end the training with, once there is one: it is
            raised when the steps under way are done and kept.
    """

    every_batch = False  # a look after each stretch of batches is enough

    def __init__(
        self,
        run: Run,
        plateau_callbacks: Sequence = (),
        interruption: Callable[[], BaseException | None] = lambda: None,
    ):
        super().__init__()
        self.run = run
        self.plateau_callbacks = plateau_callbacks
        self.interruption = interruption
        self.rows = run.history if run._path("history.csv").exists() else []
        self.num_before = len(self.rows)

    def on_train_begin(self, logs=None):
        self.run.bring_back(self.plateau_callbacks, self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.began = time.perf_counter()
        if epoch == self.num_before:
            self.began -= self.run.enter_epoch(self.model)

    def on_train_batch_end(self, batch, logs=None):
        self._refuse_divergence(logs or {})
        # At the end of an epoch it is kept as a whole.
        if self.model.steps_done and (stop := self.interruption()):
            within = time.perf_counter() - self.began
            self.run.keep(self.model, self.rows[: self.epoch], self.plateau_callbacks, within)
            raise stop

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.began
        values = {name: float(value) for name, value in (logs or {}).items()}
        self._refuse_divergence(values)
        self.rows = [*self.rows[:epoch], {"epoch": epoch + 1, "seconds": seconds, **values}]
        self.run.keep(self.model, self.rows, self.plateau_callbacks)
        if stop := self.interruption():
            raise stop

    def _refuse_divergence(self, logs: dict) -> None:
        """Raises where a loss is no number any more, and names the term before the sum."""
        values = {name: float(value) for name, value in logs.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        for name in sorted(bad, key=lambda name: name.removeprefix("val_") == "loss"):
            kept = (
                f"{self.run.directory} keeps the last state before that"
                if self.run.kept
                else "nothing was learned before"
            )
            raise Diverged(
                f"{name} became {values[name]} in epoch {self.epoch + 1}; {kept}. "
                "Try a lower --learning-rate, with this variant alone and --overwrite."
            )


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
