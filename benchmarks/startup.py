"""Start-up time: from the command to the first step and to the end of the first epoch, by part.

    python -m benchmarks.startup --rounds 4             (or: make bench)

    git worktree add --detach ../keras_ae-0.1.0 b4d7ab8
    python -m benchmarks.startup --versions ../keras_ae-0.1.0 .

MNIST must be prepared. The first, untimed run decodes it into the cache. Of each version, in turn,
a training is measured whose compiled code is in no cache, and the same one repeated. The times are
CPU seconds: other programs on the same machine change them least. Writes its section of
`benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.phases import PARTS
from benchmarks.report import machine, put_section, table
from benchmarks.training import spread
from keras_ae.files import cache_dir

PHASES = Path(__file__).with_name("phases.py")


def seconds(*command: str) -> float:
    """The wall time of train.py with some arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "train.py", *command], capture_output=True, check=False)
    return time.perf_counter() - start


def parts(version: Path, folder: Path, cache: Path) -> list[float]:
    """CPU seconds of each part of a training, run in the folder of a version."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    arguments = f"--variant sparse --dataset mnist --epochs 1 --output-dir {folder}/runs"
    subprocess.run(
        [sys.executable, PHASES, folder / "parts.json", *arguments.split()],
        cwd=version,
        env={**os.environ, "KERAS_AE_CACHE": str(cache), "PYTHONPATH": str(version.resolve())},
        capture_output=True,
        check=True,
    )
    ends = json.loads((folder / "parts.json").read_text())
    return [after - before for before, after in zip([0.0, *ends], ends, strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--versions", type=Path, nargs="+", default=[Path()])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    measured: dict[str, list[list[float]]] = {}
    helps, mistyped = [], []
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "cache"
        cache.mkdir()
        for decoded in cache_dir().glob("mnist-*.npz"):
            shutil.copy(decoded, cache)
        for number in range(options.rounds + 1):
            for version in options.versions:
                shutil.rmtree(cache / "compiled", ignore_errors=True)
                for title in ("new", "repeated"):
                    found = parts(version, folder, cache)
                    if number:  # the first round fills the caches of the system
                        measured.setdefault(f"{version.resolve().name}, {title}", []).append(found)
            if number:
                helps.append(seconds("--help"))
                mistyped.append(seconds("--variant", "denosing"))
    sums = {"to the first step": 5, "to the end of the first epoch": 6}
    rows = [
        [part, *(spread([run[i] for run in runs]) for runs in measured.values())]
        for i, part in enumerate(PARTS)
    ]
    rows += [
        [title, *(spread([sum(run[:last]) for run in runs]) for runs in measured.values())]
        for title, last in sums.items()
    ]
    text = (
        f"{machine()} `train.py --variant sparse`, cached MNIST, {options.rounds} rounds; CPU "
        "seconds, min / median / max.\n\n"
        + table(["part", *measured], rows)
        + f"\n\n`train.py --help` takes {spread(helps)} s, a mistyped variant {spread(mistyped)} s."
    )
    put_section(options.output, "Start-up", text)
    print(text)


if __name__ == "__main__":
    main()
