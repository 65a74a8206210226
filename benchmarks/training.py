"""Training speed: compared with PyTorch, plain Keras, the reference pipeline and the hardware.

    python -m benchmarks.training            (or: make bench)

Two contenders run alternately, each in its own process: in each round, each runs an untimed epoch
and then a timed one, so that other load on the machine slows both. Ratios are computed per round.
Needs the `bench` extra. Writes its section of `benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.contenders import prepare_images
from benchmarks.report import machine, put_section, table
from benchmarks.worker import Worker

NUM_IMAGES = 55_000
# Multiply-adds per image in the forward pass. The backward pass needs the same number for the
# kernels and for the inputs, except for the inputs of the first layer.
LAYERS = [(784, 341), (341, 113), (113, 20), (20, 113), (113, 341), (341, 784)]
FORWARD = sum(inputs * units for inputs, units in LAYERS)
OPERATIONS_PER_IMAGE = 2 * (3 * FORWARD - LAYERS[0][0] * LAYERS[0][1])

DEEP = {"contender": "variant", "name": "deep"}
WATCHED = {**DEEP, "validation": True}
# Label; the contender with the longer epoch; the other one; the goal.
COMPARISONS = [
    ("bare PyTorch loop / deep", {"contender": "torch_loop"}, DEEP, "at least 2.0"),
    ("plain Keras fit / deep", {"contender": "plain_keras"}, DEEP, "at least 1.8"),
    (
        "plain Keras fit / deep, both with validation",
        {"contender": "plain_keras", "validation": True},
        WATCHED,
        "at least 1.8",
    ),
    (
        "fit with validation and a callback / train.py's epoch",
        WATCHED,
        {"contender": "train_script"},
        "0.95 to 1.05",
    ),
    ("sparse / deep", {**DEEP, "name": "sparse"}, DEEP, "at most 1.25"),
    ("denoising / deep", {**DEEP, "name": "denoising"}, DEEP, "at most 1.25"),
    ("vae / deep", {**DEEP, "name": "vae"}, DEEP, "at most 1.25"),
    ("vq_vae / deep", {**DEEP, "name": "vq_vae"}, DEEP, "at most 1.5"),
]
PRODUCT = {"contender": "matrix_product"}
REFERENCE = {"contender": "reference_pipeline"}


def alternately(first: dict, second: dict, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds per epoch of two contenders that run alternately, `rounds` values each."""
    seconds = ([], [])
    with Worker(dict(first)) as one, Worker(dict(second)) as other:
        for _ in range(rounds):
            seconds[0].append(one.epoch()["seconds"])
            seconds[1].append(other.epoch()["seconds"])
    return seconds


def spread(values: list[float], digits: int = 2) -> str:
    """min / median / max."""
    return " / ".join(
        f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values))
    )


def ratios(slower: list[float], faster: list[float]) -> list[float]:
    return [a / b for a, b in zip(slower, faster, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    options = parser.parse_args()
    claims = []

    def claim(words: str, ratio: list[float], long: list[float], short: list[float], goal: str):
        claims.append([words, spread(ratio), spread(long), spread(short), goal])
        print("  ".join(claims[-1]), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        what = prepare_images(f"{folder}/images.npy")
        for words, first, second, goal in COMPARISONS:
            long, short = alternately(first, second, options.rounds)
            claim(words, ratios(long, short), long, short, goal)
        long, short = alternately(REFERENCE, DEEP, min(options.rounds, 2))
        claim("reference pipeline / deep", ratios(long, short), long, short, "at least 6")
        large, deep = alternately(PRODUCT, DEEP, options.rounds)
    operations = {"large": 2.0 * 2048**3 * 40, "deep": NUM_IMAGES * OPERATIONS_PER_IMAGE}
    large_rate = [operations["large"] / seconds / 1e9 for seconds in large]
    deep_rate = [operations["deep"] / seconds / 1e9 for seconds in deep]
    share = ratios(deep_rate, large_rate)
    text = "\n\n".join(
        [
            f"{machine()} Epochs over {NUM_IMAGES:,} images ({what}), 28 x 28, batch 256; "
            f"{options.rounds} rounds, running alternately; min / median / max.",
            table(["comparison", "ratio", "s/epoch", "s/epoch", "goal"], claims),
            f"Matrix products: {spread(deep_rate, 0)} GFLOP/s in an epoch of `deep` (at "
            f"{OPERATIONS_PER_IMAGE / 1e6:.2f} MFLOP/image), {spread(large_rate, 0)} in a "
            f"product of 2048 x 2048 float32 matrices; ratio {spread(share)} (goal: at least "
            f"0.75). Images/s: {spread([NUM_IMAGES / s for s in deep], 0)}.",
        ]
    )
    put_section(options.output, "Training", text)
    print(text)


if __name__ == "__main__":
    main()
