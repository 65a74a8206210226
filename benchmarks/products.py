"""Rates of the matrix products in a training step of `deep`, by library and number of cores.

    python -m benchmarks.products

The 17 products of a step (forward, gradient of the inputs, gradient of the weights) one by one,
repeated, in a process of its own for each library and number of cores; the processes take turns.
Writes its section of `benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import machine, num_cores, put_section, table

LAYERS = [(784, 341), (341, 113), (113, 20), (20, 113), (113, 341), (341, 784)]
BATCH = 256
OPERATIONS_PER_MEASUREMENT = 1e9
LIBRARIES = {
    "XLA": "XLA (used)",
    "TensorFlow": "TensorFlow's operation (oneDNN)",
    "PyTorch": "PyTorch (MKL)",
}

# The shapes of both factors, and whether each is transposed.
Product = tuple[tuple[int, int], tuple[int, int], bool, bool]


def products() -> list[Product]:
    """The products of a step: all but the gradient of the images, which nothing needs."""
    found: list[Product] = []
    for inputs, outputs in LAYERS:
        found.append(((BATCH, inputs), (inputs, outputs), False, False))
        found.append(((BATCH, inputs), (BATCH, outputs), True, False))
        if (inputs, outputs) != LAYERS[0]:
            found.append(((BATCH, outputs), (inputs, outputs), False, True))
    return found


def operations(product: Product) -> int:
    """Two for each multiply-add."""
    (rows, columns), second, first_transposed, second_transposed = product
    return 2 * rows * columns * second[0 if second_transposed else 1]


def tensorflow_product(product: Product, repeats: int, xla: bool) -> Callable:
    import tensorflow as tf

    first, second, *transposed = product
    left, right = tf.random.normal(first), tf.random.normal(second)
    rows = first[1] if transposed[0] else first[0]
    columns = second[0] if transposed[1] else second[1]

    @tf.function(jit_compile=xla, autograph=False)
    def repeated(left):
        def body(step, left, result):
            # So that XLA cannot take the product out of the loop.
            left = tf.tensor_scatter_nd_update(left, [[0, 0]], [result[0, 0] * 1e-30])
            return (
                step + 1,
                left,
                tf.matmul(left, right, transpose_a=transposed[0], transpose_b=transposed[1]),
            )

        start = (0, left, tf.zeros((rows, columns)))
        return tf.while_loop(lambda step, *_: step < repeats, body, start)[2][0, 0]

    return lambda: repeated(left).numpy()


def torch_product(product: Product, repeats: int) -> Callable:
    import torch

    first, second, *transposed = product
    left, right = (
        torch.randn(*shape).t() if turned else torch.randn(*shape)
        for shape, turned in zip((first, second), transposed, strict=True)
    )
    result = torch.empty(left.shape[0], right.shape[1])

    def repeated():
        for _ in range(repeats):
            torch.mm(left, right, out=result)

    return repeated


def measure(library: str) -> float:
    """Seconds of all products of a step; each product is the best of five measurements."""
    total = 0.0
    for product in products():
        repeats = int(OPERATIONS_PER_MEASUREMENT / operations(product))
        if library == "PyTorch":
            run = torch_product(product, repeats)
        else:
            run = tensorflow_product(product, repeats, library == "XLA")
        run()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) / repeats)
        total += min(times)
    return total


def in_process(library: str, cores: list[int]) -> float:
    """`measure` in a process that may use these cores only."""
    command = [sys.executable, "-m", "benchmarks.products", "--worker", library]
    finished = subprocess.run(
        command, check=True, capture_output=True, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    return json.loads(finished.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    parser.add_argument("--worker", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker)))
        return
    cores = sorted(os.sched_getaffinity(0))
    counts = sorted({1, num_cores()})
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for count in counts:
            for library in LIBRARIES:
                seconds = in_process(library, cores[:count])
                times.setdefault((library, count), []).append(seconds)
                print(library, count, f"{seconds * 1e3:.2f} ms", flush=True)
    billions = sum(map(operations, products())) / 1e9
    rows = []
    for library, words in LIBRARIES.items():
        medians = [statistics.median(times[library, count]) for count in counts]
        cells = [f"{t * 1e3:.2f} ms, {billions / t:.0f} GFLOP/s" for t in medians]
        rows.append([words, *cells, f"{medians[0] / medians[-1]:.2f}"])
    names = [f"{count} core{'s' if count > 1 else ''}" for count in counts]
    text = (
        f"{machine()} All {len(products())} matrix products of a training step of `deep` (batch "
        f"{BATCH}); median of {options.rounds} rounds, running alternately.\n\n"
        + table(["library", *names, "gain by the cores"], rows)
    )
    put_section(options.output, "Matrix products", text)
    print(text)


if __name__ == "__main__":
    main()
