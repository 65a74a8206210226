"""Attempts to train faster, compared with the current `deep`.

    python -m benchmarks.attempts            (or: make bench)

Each attempt and the current `deep` run alternately, each in its own process. A ratio above 1 means
that the attempt trains more images/s. Writes its section of `benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.contenders import NUM_IMAGES, prepare_images
from benchmarks.report import machine, put_section, table
from benchmarks.training import DEEP, spread
from benchmarks.worker import Worker

NUM_SEEDS = 4
# Label; contender; how many times as many images as `deep` it trains per epoch.
ATTEMPTS = [
    ("bfloat16 matrix products", {**DEEP, "dtype": "mixed_bfloat16"}, 1),
    (
        "hidden layers of 352 and 128 units (multiples of 32)",
        {**DEEP, "hidden_units": (352, 128)},
        1,
    ),
    ("batches of 1,024", {**DEEP, "batch_size": 1024}, 1),
    ("batches of 8,192", {**DEEP, "batch_size": 8192}, 1),
    ("one thread", {**DEEP, "num_threads": 1}, 1),
    ("four threads", {**DEEP, "num_threads": 4}, 1),
    ("XLA with fast math", {**DEEP, "xla_flags": "--xla_cpu_enable_fast_math=true"}, 1),
    (
        "XLA with 512-bit vectors",
        {**DEEP, "xla_flags": "--xla_cpu_prefer_vector_width=512"},
        1,
    ),
    ("XLA without oneDNN matrix products", {**DEEP, "xla_flags": "--xla_cpu_use_onednn=false"}, 1),
    ("no XLA", {**DEEP, "jit_compile": False}, 1),
    (
        f"{NUM_SEEDS} seeds in one program, batched matrix products",
        {"contender": "several_seeds", "num_seeds": NUM_SEEDS},
        NUM_SEEDS,
    ),
]


def gains(attempt: dict, times_images: int, rounds: int) -> list[float]:
    """Images/s of an attempt divided by those of `deep`, one value per round."""
    with Worker(dict(DEEP)) as plain, Worker(dict(attempt)) as tried:
        return [
            times_images * plain.epoch()["seconds"] / tried.epoch()["seconds"]
            for _ in range(rounds)
        ]


def gains_of_parallel_runs(rounds: int) -> list[float]:
    """Two parallel trainings with one thread each, compared with one with both threads."""
    single = {**DEEP, "num_threads": 1}
    values = []
    with (
        Worker(dict(DEEP)) as plain,
        Worker(dict(single)) as first,
        Worker(dict(single)) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        for _ in range(rounds):
            alone = plain.epoch()["seconds"]
            both = pool.map(lambda worker: worker.epoch()["seconds"], (first, second))
            values.append(2 * alone / statistics.mean(both))
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    options = parser.parse_args()
    rows = []

    def report(words: str, values: list[float]) -> None:
        rows.append([words, spread(values)])
        print("  ".join(rows[-1]), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        what = prepare_images(f"{folder}/images.npy")
        for words, attempt, times_images in ATTEMPTS:
            try:
                report(words, gains(attempt, times_images, options.rounds))
            except RuntimeError as error:  # a flag that this version does not know
                rows.append([words, f"did not run: {error}"])
        report("two runs in parallel, one thread each", gains_of_parallel_runs(options.rounds))
    text = (
        f"{machine()} `deep`, {NUM_IMAGES:,} images ({what}); {options.rounds} rounds, running "
        "alternately; min / median / max. Above 1: more images/s than the current `deep`.\n\n"
        + table(["attempt", "ratio"], rows)
    )
    put_section(options.output, "Attempts", text)


if __name__ == "__main__":
    main()
