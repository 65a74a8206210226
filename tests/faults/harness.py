"""Shared parts of the fault tests: rows of the table, running the programs, comparing runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

Log = Callable[[str], object]


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        fault: What was done.
        trials: How often.
        failures: One line for each rule that a trial broke.
        result: What the trials had in common.
    """

    fault: str
    trials: int
    failures: list[str]
    result: str


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| fault | trials | failures | result |", "| --- | ---: | ---: | --- |"]
    lines += [
        f"| {row.fault} | {row.trials:,} | {len(row.failures)} | {row.result} |" for row in rows
    ]
    return "\n".join(lines)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Environment variables of a program whose cache is below `folder`."""
    own = {"KERAS_AE_CACHE": str(folder / "cache"), "MPLBACKEND": "agg"}
    # No program writes bytecode next to the package's sources.
    return {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "1", **more}


def start(program: str, *arguments, folder: Path, **more) -> subprocess.Popen:
    """Start `train.py` or `evaluate.py` in `folder`, with its output captured."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / program), *map(str, arguments)],
        env=environment(folder, **more.pop("env", {})),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_accept_sigint,
        **more,
    )


def _accept_sigint() -> None:
    """Undo that a shell lets the processes it starts in the background ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class ProcessResult(NamedTuple):
    """Exit code and output of a program that has ended."""

    code: int
    out: str
    err: str

    @property
    def is_clean_exit(self) -> bool:
        """Whether an error or a signal ended it with a message and without a traceback."""
        return self.code in (1, 2, 130, 143) and "Traceback" not in self.err and bool(self.err)


def run(program: str, *arguments, folder: Path, seconds: float = 300, **more) -> ProcessResult:
    """Run a program to its end; one that takes longer than `seconds` is killed, with code -1."""
    process = start(program, *arguments, folder=folder, **more)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return ProcessResult(-1, "", f"no end after {seconds:g} seconds")
    return ProcessResult(process.returncode, out, err)


def unreadable_files(folder: Path) -> list[str]:
    """One line for each damaged or half-written file of the run directories below `folder`."""
    found = []
    for path in folder.rglob("*"):
        try:
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if hidden or not path.is_file():  # the next write replaces a temporary file
                continue
            if path.suffix in (".npz", ".keras"):
                with zipfile.ZipFile(path) as archive:
                    assert archive.testzip() is None
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.name == "history.csv":
                assert path.read_text().endswith("\n")
        except Exception as error:
            found.append(f"{path}: {error!r}")
    return found


def results_of(run_directory: Path) -> dict:
    """Weights, losses and history of a run, without times: equal for equal trainings."""
    from keras_ae.runs.run_directory import RunDirectory

    run = RunDirectory(run_directory)
    weights = {weight.path: weight.numpy().tobytes() for weight in run.load_model().weights}
    timed = {"seconds", "seconds_per_epoch"}
    return {
        "weights": weights,
        "losses": {name: value for name, value in run.results.items() if name not in timed},
        "history": [
            {name: value for name, value in row.items() if name not in timed} for row in run.history
        ],
    }


def differences(found: dict, expected: dict) -> list[str]:
    """The keys whose values differ."""
    return [name for name in expected if found[name] != expected[name]]


def only_run_below(folder: Path, variant: str = "*") -> Path:
    """The one run directory of a variant on `tiny.npz`."""
    (found,) = (folder / "tiny.npz").glob(f"{variant}-*")
    return found
