"""No room and no permission: a clear error, and on from the last good state when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import ROOT, Row, differences, environment, half_states, results_of, run, small_images

# The program under a limit on the size of any file it writes: to the program, a full disk.
LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Runs out of room at `times` different sizes, and meets folders that cannot be written."""
    images = small_images(folder / "tiny.npz")
    whole = run("train.py", *flags(images, "whole"), folder=folder)
    if whole.code:
        raise RuntimeError(whole.err)
    (directory,) = (folder / "whole" / "tiny.npz").iterdir()
    rows = [no_room(times, folder, images, directory, say)]
    if tmpfs := mounted(folder / "small"):
        rows.append(small_disk(tmpfs, folder, images, directory))
    if os.geteuid():  # nothing is forbidden to root
        rows.append(no_permission(folder, images, directory))
    return rows


def flags(images, output, epochs: int = 6) -> list:
    given = ["--variant", "vae", "--dataset", images, "--output-dir", output]
    return [*given, "--epochs", epochs, "--jit", "off", "--quiet", "--export"]


def no_room(times: int, folder: Path, images: Path, whole: Path, say) -> Row:
    """Writing fails in the middle of a file, at one size after the other."""
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    expected, lost = results_of(whole), []
    for number in range(times):
        limit = int(largest * (number + 1) / (times + 1))
        output = f"full-{number}"
        program = [sys.executable, "-c", LIMITED, str(limit), str(ROOT / "train.py")]
        ended = subprocess.run(
            [*program, *map(str, flags(images, output))],
            cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if ended.returncode != 2 or "Traceback" in ended.stderr or "large" not in ended.stderr:
            lost.append(f"{limit} bytes: code {ended.returncode}, {ended.stderr[-300:]}")
        lost += half_states(folder / output)
        lost += goes_on(folder, images, output, expected)
        say(f"full disk: {number + 1}/{times}")
    kept = "an error with the reason; then the same numbers with room"
    return Row("no room for a file", times, lost, kept)


def goes_on(folder: Path, images: Path, output, expected: dict) -> list[str]:
    ended = run("train.py", *flags(images, output), folder=folder)
    if ended.code:
        return [f"does not go on with room: {ended.err}"]
    (directory,) = (folder / output / "tiny.npz").iterdir()
    return [f"other {what}" for what in differences(results_of(directory), expected)]


def mounted(place: Path) -> Path | None:
    """A disk of one megabyte, where this user may mount one."""
    place.mkdir(parents=True, exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or os.geteuid():
        return None
    return place if subprocess.run(line, capture_output=True).returncode == 0 else None


def small_disk(disk: Path, folder: Path, images: Path, whole: Path) -> Row:
    """A real file system that fills up, and is given room again."""
    lost = []
    try:
        ended = run("train.py", *flags(images, disk), folder=folder)
        if ended.code != 2 or not ended.in_order or "space" not in ended.err:
            lost.append(f"code {ended.code}, {ended.err[-300:]}")
        lost += half_states(disk)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        lost += goes_on(folder, images, disk, results_of(whole))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
    return Row("a disk that fills up", 1, lost, "as above")


def no_permission(folder: Path, images: Path, whole: Path) -> Row:
    """A run directory and an output folder that may only be read."""
    lost = []
    forbidden = folder / "forbidden"
    forbidden.mkdir()
    forbidden.chmod(0o500)
    copy = folder / "reading" / "tiny.npz" / whole.name
    shutil.copytree(whole, copy)
    (copy / "test.json").unlink()
    copy.chmod(0o500)
    for output in (forbidden, folder / "reading"):
        ended = run("train.py", *flags(images, output), folder=folder)
        words = ("Permission denied", "cannot be written")
        if ended.code != 2 or not ended.in_order or not any(word in ended.err for word in words):
            lost.append(f"code {ended.code}, {ended.err[-300:]}")
        lost += half_states(output)
    copy.chmod(0o700)
    lost += goes_on(folder, images, folder / "reading", results_of(whole))
    return Row("no permission to write", 2, lost, "as above")
