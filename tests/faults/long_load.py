"""Long and large: thousands of epochs without growth, and more images than memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from harness import ROOT, Row, environment, small_images, start

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


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Trains `times` epochs, and on two megabytes of streamed images an epoch of those."""
    return [many_epochs(times, folder, say), more_than_memory(2 * times * 10**6, folder, say)]


def many_epochs(epochs: int, folder: Path, say) -> Row:
    images = small_images(folder / "tiny.npz", num=60)
    line = ["--variant", "vae", "--dataset", images, "--output-dir", "long", "--epochs", epochs]
    process = start("train.py", *line, "--quiet", folder=folder)
    seen = []  # epochs done, memory, open files
    while process.poll() is None:
        time.sleep(0.3)
        done = epochs_done(folder / "long")
        if done and (state := state_of(process.pid)):
            seen.append((done, *state))
    _, words = process.communicate()
    if process.returncode or len(seen) < 3:
        return Row("epochs on end", epochs, [f"code {process.returncode}: {words}"], "")
    early = next(state for state in seen if state[0] >= epochs // 10)
    late = [state for state in seen if state[0] < epochs][-1]  # not one that is ending
    lost = []
    if late[1] > early[1] + 50 * 10**6:
        lost.append(f"memory grew from {early[1]:,} to {late[1]:,} bytes")
    if late[2] > max(state[2] for state in seen[: len(seen) // 2 + 1]):
        lost.append(f"open files grew to {late[2]}")
    (directory,) = (folder / "long" / "tiny.npz").iterdir()
    if epochs_done(directory) != epochs:
        lost.append("the history has not a line an epoch")
    beside = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    grown = (late[1] - early[1]) / 1e6
    say(f"load: {epochs} epochs, {grown:+.1f} MB")
    kept = (
        f"{grown:+.1f} MB from epoch {early[0]:,} to {late[0]:,}, {late[2]} open files then and "
        f"{early[2]} before, {beside / 1e6:.1f} MB on disk"
    )
    return Row("epochs on end", epochs, lost, kept)


def epochs_done(output: Path) -> int:
    for path in output.rglob("history.csv"):
        return len(path.read_text().splitlines()) - 1
    return 0


def state_of(process: int) -> tuple[int, int] | None:
    """Resident memory in bytes and the number of open files."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return None


def more_than_memory(num_bytes: int, folder: Path, say, side: int = 64) -> Row:
    """One epoch over a file of images that half its size in memory has to be enough for."""
    num_images = num_bytes // side**2
    limit = max(num_bytes // 2, 2 * 10**9)  # TensorFlow alone takes half a gigabyte
    path = folder / "images.raw"
    a_few = os.urandom(side**2 * 1000)
    with open(path, "wb") as file:
        for _ in range(num_images // 1000):
            file.write(a_few)
    arguments = [str(path), str(num_bytes), str(side), str(limit), str(ROOT)]
    ended = subprocess.run(
        [sys.executable, "-c", STREAM, *arguments],
        env=environment(folder, TF_CPP_MIN_LOG_LEVEL="3"), capture_output=True, text=True,
    )  # fmt: skip
    path.unlink()
    if ended.returncode:
        return Row("streamed images", num_images, [ended.stderr[-500:]], "")
    peak = int(ended.stdout.split()[-2])
    lost = [f"a peak of {peak:,} bytes"] if peak > limit else []
    say(f"load: {num_bytes / 1e9:.1f} GB with a peak of {peak / 1e9:.2f} GB")
    kept = (
        f"an epoch of {num_bytes / 1e9:.1f} GB under a limit of {limit / 1e9:.1f} GB of memory; "
        f"the peak was {peak / 1e9:.2f} GB"
    )
    return Row("streamed images", num_images, lost, kept)
