"""The state of each run of a grid (done, held, free) and an estimate of the time it takes."""

from __future__ import annotations

import enum
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from keras_ae.runs.errors import RunError
from keras_ae.runs.lock import is_locked, lock_owner
from keras_ae.runs.request import RunRequest
from keras_ae.runs.run_directory import RunDirectory


class State(enum.Enum):
    """What a process that comes now finds of a run."""

    DONE = "done"
    HELD = "held"  # by a living process
    FREE = "free"


@dataclass(frozen=True)
class RunStatus:
    """The state of one run.

    Attributes:
        run: Its directory.
        state: What a process that comes now finds.
        owner: The process that holds it, in words; empty if none does.
        epochs_done: Finished epochs, of a free run that was interrupted.
        seconds: Estimate of the training time that is left; 0 for a run that is done, None where
            it is unknown.
    """

    run: RunDirectory
    state: State
    owner: str = ""
    epochs_done: int = 0
    seconds: float | None = None


def status_of(
    run: RunDirectory, request: RunRequest, is_done: bool, durations: Durations
) -> RunStatus:
    """The state of a run; writes nothing.

    Args:
        run: The run directory, which need not exist.
        request: What it is trained by.
        is_done: Whether nothing is left to do in it.
        durations: Where the estimate comes from.
    """
    if is_done:
        return RunStatus(run, State.DONE, seconds=0.0)
    try:
        epochs_done = len(run.history) if run.has_checkpoint and not run.finished else 0
    except (OSError, ValueError, TypeError):  # the training will say what is wrong with it
        epochs_done = 0
    seconds = durations.estimate(request, epochs_done)
    if is_locked(run.directory):
        return RunStatus(run, State.HELD, lock_owner(run.directory), epochs_done, seconds)
    return RunStatus(run, State.FREE, "", epochs_done, seconds)


class Durations:
    """Estimates the time of a run from the histories of finished runs.

    Runs count that have the same variant, images, batch size and size of the code.

    Args:
        folders: Folders of run directories. Unusable directories are skipped.
    """

    def __init__(self, folders: Iterable[Path]):
        self._seconds: dict[tuple, list[list[float]]] = {}
        for path in {path for folder in folders for path in folder.glob("*/test.json")}:
            run = RunDirectory(path.parent)
            try:
                request = run.config.request
                seconds = [row["seconds"] for row in run.history]
            except (RunError, OSError, ValueError, TypeError, KeyError):
                continue
            self._seconds.setdefault(_kind(request), []).append(seconds)

    def estimate(self, request: RunRequest, epochs_done: int = 0) -> float | None:
        """The seconds of the epochs that are left, at most; None where no such run is finished.

        The first epoch of a process compiles, so it counts apart.
        """
        runs = [run for run in self._seconds.get(_kind(request), []) if run]
        if not runs:
            return None
        first = statistics.median(run[0] for run in runs)
        rest = [seconds for run in runs for seconds in run[1:]]
        usual = statistics.median(rest) if rest else first
        return first + usual * max(request.epochs - epochs_done - 1, 0)


def _kind(request: RunRequest) -> tuple:
    return request.variant, request.fingerprint, request.batch_size, request.latent_dim
