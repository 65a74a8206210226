"""No space and no permission: an error with the reason; the run resumes once there is space."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import (
    ROOT,
    Log,
    Row,
    differences,
    environment,
    only_run_below,
    results_of,
    run,
    unreadable_files,
)
from programs import small_images

# Run a program with a limit on the size of the files it writes, which acts like a full disk.
LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = sys.argv[2:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Train with `trials` size limits, on a small disk, and in read-only folders."""
    images = small_images(tmp_path / "tiny.npz")
    result = run("train.py", *options(images, "uninterrupted"), folder=tmp_path)
    if result.code:
        raise RuntimeError(result.err)
    uninterrupted = only_run_below(tmp_path / "uninterrupted")
    rows = [size_limit(trials, tmp_path, images, uninterrupted, log)]
    if disk := mount_small_disk(tmp_path / "small"):
        rows.append(small_disk(disk, tmp_path, images, uninterrupted))
    if os.geteuid():  # root may write everywhere
        rows.append(read_only_folders(tmp_path, images, uninterrupted))
    return rows


def options(images: Path, output: str | Path, epochs: int = 6) -> list:
    given = ["--variant", "vae", "--dataset", images, "--output-dir", output]
    return [*given, "--epochs", epochs, "--jit", "off", "--quiet", "--export"]


def size_limit(trials: int, folder: Path, images: Path, uninterrupted: Path, log: Log) -> Row:
    """Writing fails in the middle of a file, at evenly spaced sizes."""
    files = [path for path in uninterrupted.rglob("*") if path.is_file()]
    largest = max(path.stat().st_size for path in files)
    expected, failures = results_of(uninterrupted), []
    for number in range(trials):
        limit = int(largest * (number + 1) / (trials + 1))
        output = f"full-{number}"
        program = [sys.executable, "-c", LIMITED, str(limit), str(ROOT / "train.py")]
        ended = subprocess.run(
            [*program, *map(str, options(images, output))],
            cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if ended.returncode != 2 or "Traceback" in ended.stderr or "large" not in ended.stderr:
            words = f"exit code {ended.returncode}, {ended.stderr[-300:]}"
            failures.append(f"limit of {limit} bytes: {words}")
        failures += unreadable_files(folder / output)
        failures += failures_to_resume(folder, images, output, expected)
        log(f"full disk: {number + 1}/{trials}")
    result = "an error with the reason; identical numbers after space is freed"
    return Row("no space for a file (size limit)", trials, failures, result)


def failures_to_resume(folder: Path, images: Path, output, expected: dict) -> list[str]:
    """Run the command again; how it fails, or in what its results differ."""
    result = run("train.py", *options(images, output), folder=folder)
    if result.code:
        return [f"not resumed: {result.err}"]
    found = results_of(only_run_below(folder / output))
    return [f"different {name}" for name in differences(found, expected)]


def mount_small_disk(place: Path) -> Path | None:
    """Mount a file system of 1 MB; None where this user cannot."""
    place.mkdir(parents=True, exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or os.geteuid():
        return None
    return place if subprocess.run(line, capture_output=True).returncode == 0 else None


def small_disk(disk: Path, folder: Path, images: Path, uninterrupted: Path) -> Row:
    """A file system fills up, and is enlarged."""
    failures = []
    try:
        result = run("train.py", *options(images, disk), folder=folder)
        if result.code != 2 or not result.is_clean_exit or "space" not in result.err:
            failures.append(f"exit code {result.code}, {result.err[-300:]}")
        failures += unreadable_files(disk)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        failures += failures_to_resume(folder, images, disk, results_of(uninterrupted))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
    return Row("disk fills up during a training", 1, failures, "as above")


def read_only_folders(folder: Path, images: Path, uninterrupted: Path) -> Row:
    """An output folder and a run directory without permission to write."""
    failures = []
    forbidden = folder / "forbidden"
    forbidden.mkdir()
    forbidden.chmod(0o500)
    copy = folder / "reading" / "tiny.npz" / uninterrupted.name
    shutil.copytree(uninterrupted, copy)
    (copy / "test.json").unlink()
    copy.chmod(0o500)
    for output in (forbidden, folder / "reading"):
        result = run("train.py", *options(images, output), folder=folder)
        reasons = ("Permission denied", "cannot be written")
        named = any(reason in result.err for reason in reasons)
        if result.code != 2 or not result.is_clean_exit or not named:
            failures.append(f"exit code {result.code}, {result.err[-300:]}")
        failures += unreadable_files(output)
    copy.chmod(0o700)
    expected = results_of(uninterrupted)
    failures += failures_to_resume(folder, images, folder / "reading", expected)
    return Row("no permission to write", 2, failures, "as above")
