"""What the examinations of faults share: a row of the table, a small data set, the programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


class Row(NamedTuple):
    """One line of the table: a fault, how often it was tried, what was lost each time it was."""

    fault: str
    tried: int
    lost: list[str]
    kept: str  # what was seen to hold


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| fault | tried | lost | what holds |", "| --- | ---: | ---: | --- |"]
    lines += [f"| {row.fault} | {row.tried:,} | {len(row.lost)} | {row.kept} |" for row in rows]
    return "\n".join(lines)


def small_images(path: Path, num: int = 280, side: int = 8) -> Path:
    """A `.npz` of images in four classes that are easy to tell apart."""
    random = np.random.default_rng(0)
    labels = np.arange(num) % 4
    shapes = random.random((4, side, side)) < 0.4
    images = np.clip(shapes[labels] * 0.8 + 0.2 * random.random((num, side, side)), 0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, images=images.astype("float32"), labels=labels)
    return path


def environment(folder: Path, **more: str) -> dict[str, str]:
    """For a program that shares no cache with this machine's user."""
    own = {"KERAS_AE_CACHE": str(folder / "cache"), "MPLBACKEND": "agg"}
    # A package compiles its files to bytecode where it lies: not in these programs.
    return {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "1", **more}


def start(program: str, *arguments, folder: Path, **more) -> subprocess.Popen:
    """Starts `train.py` or `evaluate.py`, with its output kept."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / program), *map(str, arguments)],
        env=environment(folder, **more.pop("env", {})),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
        **more,
    )


def heed_interrupts() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and that is passed on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def in_order(self) -> bool:
        """Whether it was refused, or stopped, in a line of words."""
        return self.code in (1, 2, 130, 143) and "Traceback" not in self.err and bool(self.err)


def run(program: str, *arguments, folder: Path, seconds: float = 300, **more) -> Ended:
    """Runs a program to its end."""
    process = start(program, *arguments, folder=folder, **more)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Ended(-1, "", f"hung for {seconds:g} seconds")
    return Ended(process.returncode, out, err)


def half_states(folder: Path) -> list[str]:
    """The files of run directories that cannot be read, below a folder."""
    found = []
    for path in folder.rglob("*"):
        try:
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if hidden or not path.is_file():  # what is hidden is written over the next time
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
    """What a run must give whatever happened on the way: weights, losses, history."""
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
    return [name for name in expected if found[name] != expected[name]]
