"""Long and large trainings: thousands of epochs, and more images than fit into memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from harness import ROOT, Log, Row, environment, only_run_below, start
from programs import small_images

STREAM = """
import resource, sys
import numpy as np
path, size, side, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
sys.path.insert(0, sys.argv[5])
import tensorflow as tf
import keras_ae

def image(record):
    pixels = tf.reshape(tf.io.decode_raw(record, tf.uint8), (side, side))
    return tf.cast(pixels, tf.float32) / 255

images = tf.data.FixedLengthRecordDataset(path, side * side)
batches = images.map(image, num_parallel_calls=2).batch(256).prefetch(2)
model = keras_ae.Deep((side, side), 20, seed=0)
model.compile()
history = model.fit(batches, epochs=1, verbose=0)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024, history.history["loss"][0])
"""


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Train for `trials` epochs, and for one epoch on 2 MB of streamed images for each trial."""
    return [
        many_epochs(trials, tmp_path, log),
        more_than_memory(2 * trials * 10**6, tmp_path, log),
    ]


def many_epochs(epochs: int, folder: Path, log: Log) -> Row:
    """A training of many epochs whose memory and number of open files must not grow."""
    images = small_images(folder / "tiny.npz", num=60)
    line = ["--variant", "vae", "--dataset", images, "--output-dir", "long", "--epochs", epochs]
    process = start("train.py", *line, "--quiet", folder=folder)
    seen = []  # finished epochs, memory, open files
    while process.poll() is None:
        time.sleep(0.3)
        done = epochs_done(folder / "long")
        if done and (state := memory_and_open_files(process.pid)):
            seen.append((done, *state))
    _, err = process.communicate()
    if process.returncode or len(seen) < 3:
        failure = f"exit code {process.returncode}, {len(seen)} samples: {err}"
        return Row("long training, epochs", epochs, [failure], "")
    early = next(state for state in seen if state[0] >= epochs // 10)
    late = [state for state in seen if state[0] < epochs][-1]  # before it ends
    failures = []
    if late[1] > early[1] + 50 * 10**6:
        failures.append(f"memory grew from {early[1]:,} to {late[1]:,} bytes")
    if late[2] > max(state[2] for state in seen[: len(seen) // 2 + 1]):
        failures.append(f"open files grew to {late[2]}")
    directory = only_run_below(folder / "long")
    if epochs_done(directory) != epochs:
        failures.append("the history does not have one line for each epoch")
    on_disk = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    grown = (late[1] - early[1]) / 1e6
    log(f"long training: {epochs} epochs, {grown:+.1f} MB")
    result = (
        f"memory {grown:+.1f} MB from epoch {early[0]:,} to {late[0]:,}; {early[2]} open files "
        f"before, {late[2]} after; {on_disk / 1e6:.1f} MB on disk"
    )
    return Row("long training, epochs", epochs, failures, result)


def epochs_done(output: Path) -> int:
    """The number of finished epochs of the run below `output`."""
    for path in output.rglob("history.csv"):
        return len(path.read_text().splitlines()) - 1
    return 0


def memory_and_open_files(process: int) -> tuple[int, int] | None:
    """Resident memory in bytes and the number of open files."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return None


def more_than_memory(num_bytes: int, folder: Path, log: Log, side: int = 64) -> Row:
    """One epoch on streamed images, with a memory limit of half the size of their file."""
    num_images = num_bytes // side**2
    limit = max(num_bytes // 2, 2 * 10**9)  # TensorFlow alone takes half a gigabyte
    path = folder / "images.raw"
    thousand = os.urandom(side**2 * 1000)
    with open(path, "wb") as file:
        for _ in range(num_images // 1000):
            file.write(thousand)
    arguments = [str(path), str(num_bytes), str(side), str(limit), str(ROOT)]
    ended = subprocess.run(
        [sys.executable, "-c", STREAM, *arguments],
        env=environment(folder, TF_CPP_MIN_LOG_LEVEL="3"), capture_output=True, text=True,
    )  # fmt: skip
    path.unlink()
    if ended.returncode:
        return Row("streamed images", num_images, [ended.stderr[-500:]], "")
    peak = int(ended.stdout.split()[-2])
    failures = [f"a peak of {peak:,} bytes"] if peak > limit else []
    log(f"streamed images: {num_bytes / 1e9:.1f} GB with a peak of {peak / 1e9:.2f} GB")
    result = (
        f"one epoch of {num_bytes / 1e9:.1f} GB of images with a memory limit of "
        f"{limit / 1e9:.1f} GB; the peak was {peak / 1e9:.2f} GB"
    )
    return Row("streamed images", num_images, failures, result)
