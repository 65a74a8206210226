"""SIGINT and SIGTERM: an orderly end, with the code that a shell expects."""

from __future__ import annotations

import signal
import subprocess
import time
import zipfile
from pathlib import Path

from harness import Row, differences, half_states, results_of, run, small_images, start

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Stops trainings `times` times with each signal, at moments spread over their epochs."""
    images = small_images(folder / "tiny.npz")
    # Its steps are taken in compiled calls of sixteen, three of them an epoch.
    flags = ["--variant", "vae_gan", "--dataset", images, "--jit", "off"]
    flags += ["--epochs", 40 + 20 * times, "--batch-size", 5]
    ended = run("train.py", *flags, "--output-dir", "whole", folder=folder)
    if ended.code:
        raise RuntimeError(ended.err)
    (whole,) = (folder / "whole" / "tiny.npz").iterdir()
    expected = results_of(whole)
    rows = []
    for kind, code in SIGNALS.items():
        lost, stopped, within = [], 0, 0
        output = f"stopped-{kind.name}"
        for number in range(times):
            answer = stop(kind, [*flags, "--output-dir", output], folder, output, 0.1 * number)
            if answer is None:
                break  # it was through before
            stopped += 1
            ended_with, words = answer
            if ended_with != code or "goes on from" not in words or "Traceback" in words:
                lost.append(f"{kind.name}: code {ended_with}, {words}")
            lost += half_states(folder / output)
            within += kept_within(folder / output)
            say(f"stopping: {kind.name} {number + 1}/{times}")
        ended = run("train.py", *flags, "--output-dir", output, folder=folder)
        if ended.code:
            lost.append(f"after {kind.name}: {ended.err}")
        else:
            (directory,) = (folder / output / "tiny.npz").iterdir()
            found = results_of(directory)
            lost += [f"after {kind.name}: other {what}" for what in differences(found, expected)]
        kept = f"code {code}, a line on how to go on, then the same numbers ({within} in an epoch)"
        rows.append(Row(kind.name, stopped, lost, kept))
    return rows


def stop(kind, arguments, folder: Path, output: str, wait: float) -> tuple[int, str] | None:
    """Sends a signal some seconds after an epoch was saved; the code and the words it ended with.

    None where the training ended before.
    """
    process = start("train.py", *arguments, folder=folder)
    before = saved(folder / output)
    while process.poll() is None and saved(folder / output) == before:
        time.sleep(0.02)
    time.sleep(wait)
    if process.poll() is not None:
        process.communicate()
        return None
    process.send_signal(kind)
    try:
        _, words = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return -1, "hung"
    return process.returncode, words


def kept_within(output: Path) -> bool:
    """Whether what was kept is the middle of an epoch."""
    (path,) = output.rglob("resume.npz")
    with zipfile.ZipFile(path) as archive:
        return "within/step.npy" in archive.namelist()


def saved(output: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in output.rglob("resume.npz")]
