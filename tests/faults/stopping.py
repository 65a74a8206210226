"""SIGINT and SIGTERM: a resumable end of a training, with the exit code that a shell expects."""

from __future__ import annotations

import signal
import subprocess
import time
import zipfile
from pathlib import Path

from harness import (
    Log,
    ProcessResult,
    Row,
    differences,
    only_run_below,
    results_of,
    run,
    start,
    unreadable_files,
)
from programs import small_images

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Stop trainings `trials` times with each signal, at moments spread over their epochs."""
    images = small_images(tmp_path / "tiny.npz")
    # 33 steps/epoch, in three compiled calls of at most 16 steps.
    options = ["--variant", "vae_gan", "--dataset", images, "--jit", "off"]
    options += ["--epochs", 40 + 20 * trials, "--batch-size", 5]
    result = run("train.py", *options, "--output-dir", "uninterrupted", folder=tmp_path)
    if result.code:
        raise RuntimeError(result.err)
    expected = results_of(only_run_below(tmp_path / "uninterrupted"))
    rows = []
    for number, code in SIGNALS.items():
        failures, stopped, within = [], 0, 0
        output = f"stopped-{number.name}"
        line = [*options, "--output-dir", output]
        for trial in range(trials):
            result = stop(number, line, tmp_path, output, 0.1 * trial)
            if result is None:
                break  # it had already finished
            stopped += 1
            if (
                result.code != code
                or "re-run the same command to resume" not in result.err
                or "Traceback" in result.err
            ):
                failures.append(f"{number.name}: exit code {result.code}, {result.err}")
            failures += unreadable_files(tmp_path / output)
            within += is_mid_epoch(tmp_path / output)
            log(f"stopping: {number.name} {trial + 1}/{trials}")
        result = run("train.py", *line, folder=tmp_path)
        if result.code:
            failures.append(f"after {number.name}: {result.err}")
        else:
            found = results_of(only_run_below(tmp_path / output))
            failures += [
                f"after {number.name}: different {name}" for name in differences(found, expected)
            ]
        words = (
            f"exit code {code}, a line that says how to resume, then identical numbers "
            f"({within} within an epoch)"
        )
        rows.append(Row(number.name, stopped, failures, words))
    return rows


def stop(number, arguments, folder: Path, output: str, wait: float) -> ProcessResult | None:
    """Send a signal to a training, `wait` seconds after it has saved a checkpoint.

    Returns:
        How it ended; None where it had ended before the signal.
    """
    process = start("train.py", *arguments, folder=folder)
    before = times_of_checkpoints(folder / output)
    while process.poll() is None and times_of_checkpoints(folder / output) == before:
        time.sleep(0.02)
    time.sleep(wait)
    if process.poll() is not None:
        process.communicate()
        return None
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return ProcessResult(-1, "", "no end after 60 seconds")
    return ProcessResult(process.returncode, out, err)


def is_mid_epoch(output: Path) -> bool:
    """Whether the checkpoint is from within an epoch."""
    (path,) = output.rglob("resume.npz")
    with zipfile.ZipFile(path) as archive:
        return "within/step.npy" in archive.namelist()


def times_of_checkpoints(output: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in output.rglob("resume.npz")]
