"""Scaling: epoch time by images, width and batch size; memory by number of epochs.

    python -m benchmarks.scaling             (or: make bench)

Each point runs in its own process and is the median of three epochs after the first one. Writes its
section of `benchmarks/results.md` and `benchmarks/scaling.png`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.contenders import prepare_images
from benchmarks.report import machine, put_section, table
from benchmarks.worker import Worker

NUM_IMAGES = (5_000, 15_000, 50_000, 150_000, 500_000)
WIDTHS = (64, 256, 1024, 4096)
BATCH_SIZES = (32, 128, 512, 2048, 8192)
EPOCHS = 200


def seconds_per_epoch(repeats: int = 3, **options) -> float:
    worker = Worker({"contender": "variant", "name": "deep", "num_epochs": 1, **options})
    seconds = statistics.median(worker.epoch()["seconds"] for _ in range(repeats))
    worker.stop()
    return seconds


def memory_after(epochs: int) -> tuple[float, float]:
    """Peak memory in MB after the first and after `epochs` epochs of 10,000 images."""
    worker = Worker({"contender": "variant", "name": "deep", "num_images": 10_000, "num_epochs": 1})
    peaks = [worker.epoch()["peak_mb"] for _ in range(epochs // 2)]  # each call runs two
    worker.stop()
    return peaks[0], peaks[-1]


def slope(sizes, seconds) -> float:
    """The exponent of the power law through the points."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def operations(width: int) -> int:
    """Multiply-adds per image and step with two hidden layers of `width` units each way."""
    layers = [(784, width), (width, width), (width, 20), (20, width), (width, width), (width, 784)]
    return 3 * sum(inputs * units for inputs, units in layers) - 784 * width


def figure(series: dict[str, tuple], path: Path) -> None:
    """One panel per size: measured epoch time, and the line of time proportional to the work."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(series), figsize=(10, 3.4), layout="constrained")
    for axis, (label, (sizes, seconds, work)) in zip(axes, series.items(), strict=True):
        share = np.median(np.array(seconds) / work)
        line = share * np.array(work)
        axis.loglog(sizes, line, "--", color="0.6", label="proportional to the work")
        axis.loglog(sizes, seconds, "o-", color="#0072B2", label="measured")
        axis.set_ylim(min(seconds) / 2, max(seconds) * 2)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("s/epoch")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = prepare_images(f"{folder}/images.npy")
        images = [seconds_per_epoch(num_images=num) for num in NUM_IMAGES]
        widths = [
            seconds_per_epoch(num_images=10_000, hidden_units=(width, width)) for width in WIDTHS
        ]
        batches = [seconds_per_epoch(batch_size=size) for size in BATCH_SIZES]
        after_one, after_all = memory_after(EPOCHS)
    series = {
        "images": (NUM_IMAGES, images, NUM_IMAGES),
        "width of both hidden layers (10,000 images)": (
            WIDTHS,
            widths,
            list(map(operations, WIDTHS)),
        ),
        "batch size": (BATCH_SIZES, batches, [1] * len(BATCH_SIZES)),
    }
    figure(series, options.output.with_name("scaling.png"))
    parts = [f"{machine()} `deep` on {words}; s/epoch, median of three."]
    for label, (sizes, seconds, _) in series.items():
        header = [label, *(f"{size:,}" for size in sizes)]
        parts.append(table(header, [["s/epoch", *(f"{value:.3f}" for value in seconds)]]))
    parts.append(
        f"Exponent of the power law: {slope(NUM_IMAGES, images):.2f} for the images; "
        f"{slope(list(map(operations, WIDTHS)), widths):.2f} for the operations at all widths, "
        f"{slope(list(map(operations, WIDTHS[-2:])), widths[-2:]):.2f} at the two largest.\n\n"
        f"Memory (10,000 images): peak {after_one:,.0f} MB after the first epochs and "
        f"{after_all:,.0f} MB after {EPOCHS}, one `fit` call each.\n\n"
        "![Epoch time against the amount of work](scaling.png)"
    )
    text = "\n\n".join(parts)
    put_section(options.output, "Scaling", text)
    print(text)


if __name__ == "__main__":
    main()
