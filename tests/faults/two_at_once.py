"""Two programs at once: in one run, in one folder, and before one empty cache."""

from __future__ import annotations

import os
import time
from pathlib import Path

from harness import Row, differences, results_of, run, small_images, start


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Tries each way of being two `times` times."""
    images = small_images(folder / "tiny.npz")
    say("two at once")
    return [
        in_one_run(times, folder, images),
        side_by_side(times, folder, images),
        *before_an_empty_cache(times, folder),
    ]


def flags(images, output: str, *variants: str, epochs: int = 2) -> list:
    given = ["--variant", *variants, "--dataset", images, "--output-dir", output]
    return [*given, "--epochs", epochs, "--jit", "off", "--quiet"]


def in_one_run(times: int, folder: Path, images: Path) -> Row:
    lost = []
    for number in range(times):
        output = f"one-{number}"
        arguments = flags(images, output, "deep", epochs=4000)
        first = start("train.py", *arguments, folder=folder)
        while first.poll() is None and not list((folder / output).rglob("resume.npz")):
            time.sleep(0.05)
        second = run("train.py", *arguments, folder=folder)
        if second.code != 2 or not second.in_order or f"process {first.pid}" not in second.err:
            lost.append(f"the second ended with {second.code}: {second.err}")
        first.kill()  # its lock's file stays behind
        first.communicate()
        third = start("train.py", *arguments, folder=folder)
        before = [path.stat().st_mtime_ns for path in (folder / output).rglob("resume.npz")]
        since = time.monotonic()
        while before == [path.stat().st_mtime_ns for path in (folder / output).rglob("resume.npz")]:
            if third.poll() is not None or time.monotonic() - since > 120:
                lost.append(f"a dead process's lock was not taken over: {third.poll()}")
                break
            time.sleep(0.05)
        third.kill()
        third.communicate()
    kept = "the second names the first and ends; a dead one's lock is taken over"
    return Row("two trainings in one run", 2 * times, lost, kept)


def side_by_side(times: int, folder: Path, images: Path) -> Row:
    lost = []
    alone = run("train.py", *flags(images, "alone", "deep", "vae"), folder=folder)
    if alone.code:
        raise RuntimeError(alone.err)
    for number in range(times):
        output = f"side-{number}"
        both = [
            start("train.py", *flags(images, output, v), folder=folder) for v in ("deep", "vae")
        ]
        for process in both:
            _, words = process.communicate(timeout=300)
            if process.returncode:
                lost.append(f"side by side: {words}")
        for directory in (folder / "alone" / "tiny.npz").iterdir():
            found = results_of(folder / output / "tiny.npz" / directory.name)
            lost += [
                f"{directory.name}: other {w}" for w in differences(found, results_of(directory))
            ]
    return Row("two runs in one folder", times, lost, "both end as each does alone")


def before_an_empty_cache(times: int, folder: Path) -> list[Row]:
    """On the real MNIST, where it is prepared: nothing else is cached without a network."""
    if not (Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")) / "mnist").is_dir():
        return []
    lost = []
    for number in range(times):
        env = {"KERAS_AE_CACHE": str(folder / f"cold-{number}")}
        # An unknown argument of the variant ends both after the data have been read.
        lines = ["--variant", "deep", "--dataset", "mnist", "--set", "nothing=1", "--quiet"]
        both = [start("train.py", *lines, folder=folder, env=env) for _ in range(2)]
        for process in both:
            _, words = process.communicate(timeout=300)
            if process.returncode != 2 or "no argument 'nothing'" not in words:
                lost.append(f"a cold start ended with {process.returncode}: {words}")
        left = [path.name for path in (folder / f"cold-{number}").glob(".*")]
        lost += [f"left behind: {left}"] if left else []
    return [Row("two cold starts on MNIST", times, lost, "both read it; nothing is left behind")]
