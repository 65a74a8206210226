"""A run directory: request, history, checkpoint, trained model, test losses.

    config.json    the request and its resolved settings (see `request.RunConfig`)
    history.csv    one line for each epoch
    resume.npz     the checkpoint (see `checkpoint.Checkpoint`)
    model.keras    the trained model
    test.json      the losses on the test set, and checksums of the other files; it is written
                   last, so its presence means "finished"
    saved_model/   the SavedModel, if one was exported
    *.png          figures: reconstructions, losses and, of a model with a prior, samples

Every file is written atomically.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_ae.checks import one_line
from keras_ae.files import atomic_write, file_digest, json_digest, remove_tree
from keras_ae.runs.errors import Remedy, RunError
from keras_ae.runs.lock import check_owner, lock_directory
from keras_ae.runs.request import ConfigError, RunConfig, config_digest, model_difference
from keras_ae.variants import VARIANTS

RUN_FILES = ("test.json", "model.keras", "history.csv")  # of a run that has started training
FIGURES = ("reconstructions.png", "history.png", "samples.png")
CHECKSUMMED = ("config.json", "history.csv", "model.keras")  # files of a finished run
MAX_JSON_BYTES = 2**26


class RunDirectory:
    """One run directory.

    Args:
        directory: Its path. Nothing is created before `start`.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        self._holds_lock = False

    def path(self, name: str) -> Path:
        """The path of one of the files."""
        return self.directory / name

    # ---- state ----

    @property
    def started(self) -> bool:
        """Whether there is a `config.json`."""
        return self.path("config.json").exists()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a `resume.npz`."""
        return self.path("resume.npz").exists()

    @property
    def finished(self) -> bool:
        """Whether there is a `test.json`."""
        return self.path("test.json").exists()

    @property
    def config(self) -> RunConfig:
        """The content of `config.json`.

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            config = RunConfig.from_dict(self._read_json("config.json"))
        except ConfigError as error:
            problem = f"{self.path('config.json')} is damaged: {error.problem}."
            raise RunError(problem, Remedy.RETRAIN) from error
        if config.request.variant not in VARIANTS:
            problem = f"names an unknown variant {config.request.variant!r}."
            raise RunError(f"{self.path('config.json')} {problem}", Remedy.RETRAIN)
        return config

    @property
    def results(self) -> dict[str, Any]:
        """The losses on the test set, in nats/image, as `finish` wrote them.

        Raises:
            RunError: the file is missing or damaged.
        """
        content = self._read_json("test.json")
        if not isinstance(content, dict):
            raise RunError(f"{self.path('test.json')} is damaged: no object.", Remedy.RETRAIN)
        content.pop("digests", None)
        return content

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of `history.csv`, one dict for each epoch."""
        with open(self.path("history.csv"), newline="") as lines:
            return [
                {
                    name: int(value) if name == "epoch" else float(value)
                    for name, value in row.items()
                }
                for row in csv.DictReader(lines)
            ]

    def verify_checksums(self) -> None:
        """Verify the checksums of a finished run.

        Raises:
            RunError: a file was changed after the training, or is missing.
        """
        content = self._read_json("test.json")
        digests = content.get("digests", {}) if isinstance(content, dict) else None
        if not isinstance(digests, dict):
            problem = f"{self.path('test.json')} is damaged: no usable checksums."
            raise RunError(problem, Remedy.RETRAIN)
        for name, expected in digests.items():  # older runs have none
            if name not in ("test.json", *CHECKSUMMED) or self._checksum(name) != expected:
                raise RunError(
                    f"{self.path(name)} and test.json do not belong together: one of them was "
                    "changed after the training.",
                    Remedy.RETRAIN,
                )

    def check_model(self) -> None:
        """Check that `model.keras` is intact, without loading it.

        Raises:
            RunError: it is missing or damaged.
        """
        from keras_ae.saving.load import check_model_file

        try:
            check_model_file(self.path("model.keras"))
        except Exception as error:
            raise self._unloadable(error) from error

    def load_model(self) -> Any:
        """The trained model.

        Raises:
            RunError: the file is missing, damaged, or not the model that `config.json` describes.
        """
        from keras_ae.saving.load import load_model

        path, config = self.path("model.keras"), self.config
        try:
            model = load_model(path)
        except Exception as error:
            raise self._unloadable(error) from error
        variant = config.request.variant
        difference = model_difference(config.model, model.get_config())
        if type(model) is not VARIANTS[variant].load():
            difference = f"it is a {type(model).__name__}, and config.json says {variant}"
        if difference:
            problem = f"{path} is not the model of this run: {difference}."
            raise RunError(problem, Remedy.RETRAIN)
        return model

    # ---- training ----

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the directory (a context manager).

        Raises:
            RunLocked: another process has the lock.
        """
        with lock_directory(self.directory):
            self._holds_lock = True
            try:
                yield
            finally:
                self._holds_lock = False

    def check_lock(self) -> None:
        """Check that the lock, where this process holds it, was not taken by another one.

        Raises:
            RunLocked: another process took it, as the locks of the file system do not work.
        """
        if self._holds_lock:
            check_owner(self.directory)

    def check(self, config: RunConfig) -> None:
        """Check that an existing run, if there is one, was started by the same request.

        Raises:
            RunError: it was started by another request, or its files are damaged.
        """
        if not self.started:
            lost = [name for name in (*RUN_FILES, "resume.npz") if self.path(name).exists()]
            if lost and not self.started:  # another process may have begun the run just now
                problem = f"{self.path('config.json')} is missing, although {lost[0]} exists."
                raise RunError(problem, Remedy.RETRAIN)
            return
        before = self.config
        if different := before.request.difference(config.request):
            name, theirs, ours = different
            what = f"with {name} {theirs!r}; this one asks for {ours!r}"
            if name == "fingerprint":
                what = "on other images of the same name"
            raise RunError(f"{self.directory} holds a run {what}.", Remedy.REPLACE)
        # The evaluation of a finished run reads the rest.
        if not self.finished and (difference := before.difference(config)):
            problem = f"{self.path('config.json')} has {difference}."
            raise RunError(problem, Remedy.RETRAIN)

    def start(self, config: RunConfig) -> None:
        """Write `config.json`, or update it where the images have moved.

        Raises:
            RunError: as `check`.
            OSError: the directory cannot be written to.
        """
        self.check(config)
        if not self.started:
            self._write_json("config.json", config.to_dict())
        elif self.config.data != config.data:
            content = self._read_json("config.json")
            self._write_json("config.json", {**content, "data": config.data.to_dict()})

    def log_folder(self) -> Path:
        """Where TensorBoard logs go.

        Raises:
            RunError: it is a symbolic link, which would be written through.
        """
        path = self.path("tensorboard")
        if path.is_symlink():
            raise RunError(f"{path} is a link, through which no logs are written: remove it.")
        return path

    def clear(self) -> None:
        """Delete the files of a run, in an order that leaves a usable state after each."""
        for name in ("saved_model", ".saved_model.partial", "tensorboard"):
            remove_tree(self.path(name))
        for name in (*RUN_FILES, *FIGURES, "resume.npz", "config.json"):
            self.path(name).unlink(missing_ok=True)

    def write_history(self, rows: list[dict]) -> None:
        """Write `history.csv`."""
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(rows[0]) if rows else ["epoch"])
        writer.writeheader()
        writer.writerows(rows)
        atomic_write(self.path("history.csv"), lambda path: path.write_text(table.getvalue()))

    def finish(self, model: Any, results: Mapping[str, Any]) -> None:
        """Save the trained model, then its results; the run is then finished."""
        atomic_write(self.path("model.keras"), model.save)
        digests = {name: self._checksum(name) for name in CHECKSUMMED if self.path(name).exists()}
        digests["test.json"] = json_digest(dict(results))
        self._write_json("test.json", {**results, "digests": digests})

    @property
    def exported(self) -> bool:
        """Whether the SavedModel is valid; otherwise it is to be re-exported."""
        try:
            digests = self._read_json("saved_model/digests.json")
            return digests == _digests_below(self.path("saved_model"))
        except (RunError, OSError):
            return False

    def export(self, model: Any, score: str | None = None) -> Path:
        """Write `saved_model/`; returns its path.

        Args:
            model: The trained model.
            score: Of the endpoint `anomaly_score`, as in `Autoencoder.export`.
        """
        path = self.path("saved_model")
        temporary = path.with_name(f".{path.name}.partial")
        remove_tree(temporary)
        model.export(temporary, verbose=False, score=score)
        (temporary / "digests.json").write_text(json.dumps(_digests_below(temporary), indent=2))
        remove_tree(path)
        os.replace(temporary, path)
        return path

    # ---- files ----

    def _read_json(self, name: str) -> Any:
        path = self.path(name)
        try:
            if path.stat().st_size > MAX_JSON_BYTES:
                raise ValueError(f"{path.stat().st_size:,} bytes are too many")
            return json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            problem = f"{path} cannot be read ({one_line(error)})."
            raise RunError(problem, Remedy.RETRAIN) from error

    def _write_json(self, name: str, content: Any) -> None:
        text = json.dumps(content, indent=2) + "\n"
        atomic_write(self.path(name), lambda path: path.write_text(text))

    def _checksum(self, name: str) -> str | None:
        """The digest of a file as it is read; None where it is missing."""
        if name == "test.json":
            return json_digest(self.results)
        if name == "config.json":
            try:
                return config_digest(self._read_json(name))
            except (AttributeError, KeyError, TypeError):
                return None
        path = self.path(name)
        return file_digest(path) if path.exists() else None

    def _unloadable(self, error: Exception) -> RunError:
        path = self.path("model.keras")
        return RunError(f"{path} cannot be loaded ({one_line(error)}).", Remedy.RETRAIN)


def _digests_below(folder: Path) -> dict[str, str]:
    """The digest of every file of a SavedModel, except `digests.json`."""
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "digests.json"
    }
