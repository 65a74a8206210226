"""Two programs at the same time: in one run, in one output folder, and with one empty cache."""

from __future__ import annotations

import os
import time
from pathlib import Path

from harness import Log, Row, differences, results_of, run, start, unreadable_files
from programs import small_images


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Try each way of running two programs `trials` times."""
    images = small_images(tmp_path / "tiny.npz")
    log("concurrent runs")
    return [
        same_run(trials, tmp_path, images),
        same_folder(trials, tmp_path, images),
        *empty_cache(trials, tmp_path),
    ]


def options(images: Path, output: str, *variants: str, epochs: int = 2) -> list:
    given = ["--variant", *variants, "--dataset", images, "--output-dir", output]
    return [*given, "--epochs", epochs, "--jit", "off", "--quiet"]


def same_run(trials: int, folder: Path, images: Path) -> Row:
    failures = []
    for number in range(trials):
        output = f"one-{number}"
        arguments = options(images, output, "deep", epochs=4000)
        first = start("train.py", *arguments, folder=folder)
        while first.poll() is None and not times_of_checkpoints(folder / output):
            time.sleep(0.05)
        second = run("train.py", *arguments, folder=folder)
        named = f"process {first.pid}" in second.err
        if second.code != 2 or not second.is_clean_exit or not named:
            failures.append(f"the second ended with exit code {second.code}: {second.err}")
        first.kill()  # the lock file is not deleted
        first.communicate()
        third = start("train.py", *arguments, folder=folder)
        before, since = times_of_checkpoints(folder / output), time.monotonic()
        while times_of_checkpoints(folder / output) == before:
            if third.poll() is not None or time.monotonic() - since > 120:
                failures.append(f"the lock of a dead process was not taken over: {third.poll()}")
                break
            time.sleep(0.05)
        third.kill()
        third.communicate()
        failures += unreadable_files(folder / output)
    words = "the second names the first and exits; the lock of a dead process is taken over"
    return Row("two processes train the same run", 2 * trials, failures, words)


def times_of_checkpoints(output: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in output.rglob("resume.npz")]


def same_folder(trials: int, folder: Path, images: Path) -> Row:
    failures = []
    alone = run("train.py", *options(images, "alone", "deep", "vae"), folder=folder)
    if alone.code:
        raise RuntimeError(alone.err)
    for number in range(trials):
        output = f"side-{number}"
        both = [
            start("train.py", *options(images, output, variant), folder=folder)
            for variant in ("deep", "vae")
        ]
        for process in both:
            _, err = process.communicate(timeout=300)
            if process.returncode:
                failures.append(f"two runs in one folder: {err}")
        for directory in (folder / "alone" / "tiny.npz").iterdir():
            found = results_of(folder / output / "tiny.npz" / directory.name)
            failures += [
                f"{directory.name}: different {name}"
                for name in differences(found, results_of(directory))
            ]
    words = "both results identical to training alone"
    return Row("two runs in the same folder at once", trials, failures, words)


def empty_cache(trials: int, folder: Path) -> list[Row]:
    """On MNIST, where it is prepared: without a network, no other data set is cached."""
    if not (Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")) / "mnist").is_dir():
        return []
    failures = []
    for number in range(trials):
        env = {"KERAS_AE_CACHE": str(folder / f"cold-{number}")}
        # An unknown argument of the variant ends both programs once the data is loaded.
        line = ["--variant", "deep", "--dataset", "mnist", "--set", "nothing=1", "--quiet"]
        both = [start("train.py", *line, folder=folder, env=env) for _ in range(2)]
        for process in both:
            _, err = process.communicate(timeout=300)
            if process.returncode != 2 or "no argument 'nothing'" not in err:
                failures.append(f"a first start ended with exit code {process.returncode}: {err}")
        remaining = [path.name for path in (folder / f"cold-{number}").glob(".*")]
        failures += [f"temporary files: {remaining}"] if remaining else []
    words = "both load it; no temporary files remain"
    return [Row("two first starts on MNIST at once", trials, failures, words)]
