"""Ways to compute a convolution with ReLU and max pooling, the layers of `convolutional`.

    python -m benchmarks.convolutions

One forward and backward pass of a layer, written in several ways that give the same numbers (up to
rounding; checked before they are timed). They run in turn in one process. Writes its section of
`benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.report import machine, put_section, table

# Batch, side, channels before and after.
LAYERS = [
    (256, 28, 1, 16),
    (256, 14, 16, 32),
    (128, 64, 3, 32),
    (128, 32, 32, 64),
    (128, 16, 64, 128),
]
TOLERANCE = 1e-4  # relative to the largest value
REPEATS = 10
USED = "convolution, bias and ReLU, pooling (used)"


def convolution_first(images, kernel, bias):
    maps = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias))
    return tf.nn.max_pool2d(maps, 2, 2, "VALID")


def pooling_first(images, kernel, bias):
    """Bias and ReLU commute with the maximum, and the map is four times smaller after it."""
    maps = tf.nn.max_pool2d(tf.nn.conv2d(images, kernel, 1, "SAME"), 2, 2, "VALID")
    return tf.nn.relu(tf.nn.bias_add(maps, bias))


def four_kernels(kernel):
    """A 4x4 kernel with four times the filters: the four positions of a pooled window."""
    shifts = [((row, 1 - row), (column, 1 - column)) for row in (0, 1) for column in (0, 1)]
    return tf.concat([tf.pad(kernel, (*shift, (0, 0), (0, 0))) for shift in shifts], -1)


def maximum_of_four(maps, bias):
    maps = tf.reshape(maps, (*maps.shape[:3], 4, -1))
    return tf.nn.relu(tf.nn.bias_add(largest(maps), bias))


@tf.function(jit_compile=True)
def _largest(maps):
    return tf.reduce_max(maps, 3)


@tf.function(jit_compile=True)
def _largest_gradient(maps, upstream):
    first = tf.one_hot(tf.argmax(maps, 3), 4, axis=3)
    return first * upstream[:, :, :, None]


@tf.custom_gradient
def largest(maps):
    return _largest(maps), lambda upstream: _largest_gradient(maps, upstream)


def strided(images, kernel, bias):
    padded = tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return maximum_of_four(tf.nn.conv2d(padded, four_kernels(kernel), 2, "VALID"), bias)


def patches(images, kernel, bias):
    """One matrix product of 4x4 patches at every second pixel."""
    padded = tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = tf.image.extract_patches(padded, (1, 4, 4, 1), (1, 2, 2, 1), (1, 1, 1, 1), "VALID")
    weights = four_kernels(kernel)
    product = tf.matmul(
        tf.reshape(parts, (-1, parts.shape[-1])), tf.reshape(weights, (parts.shape[-1], -1))
    )
    return maximum_of_four(tf.reshape(product, (*parts.shape[:3], -1)), bias)


def half_precision(images, kernel, bias):
    """bfloat16 in the convolution: not the same numbers, so it is not compared."""
    maps = tf.nn.conv2d(tf.cast(images, tf.bfloat16), tf.cast(kernel, tf.bfloat16), 1, "SAME")
    maps = tf.nn.max_pool2d(tf.cast(maps, tf.float32), 2, 2, "VALID")
    return tf.nn.relu(tf.nn.bias_add(maps, bias))


WAYS: dict[str, Callable] = {
    USED: convolution_first,
    "pooling before bias and ReLU": pooling_first,
    "stride 2, four times the filters, maximum by XLA": strided,
    "the same as one product of patches": patches,
    "bfloat16 (other results)": half_precision,
}


def steps(layer: tuple[int, int, int, int]) -> dict[str, Callable]:
    """The compiled passes of a layer by way, after a check that their results agree."""
    batch, side, inputs, outputs = layer
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((batch, side, side, inputs), np.float32))
    kernel = tf.Variable(rng.normal(0, 0.1, (3, 3, inputs, outputs)).astype(np.float32))
    bias = tf.Variable(rng.normal(0, 0.1, outputs).astype(np.float32))
    upstream = tf.constant(rng.normal(size=(batch, side // 2, side // 2, outputs)), tf.float32)
    # The first layer of a network needs no gradient of its inputs.
    wanted = [kernel, bias] if inputs <= 3 else [kernel, bias, images]

    def compiled(way: Callable) -> Callable:
        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                tape.watch(images)
                maps = way(images, kernel, bias)
            return [maps, *tape.gradient(maps, wanted, output_gradients=upstream)]

        return step

    passes = {words: compiled(way) for words, way in WAYS.items()}
    expected = [np.asarray(part) for part in passes[USED]()]
    for words, step in passes.items():
        for part, right in zip(step(), expected, strict=True):
            error = np.abs(part - right).max() / np.abs(right).max()
            if error > TOLERANCE and WAYS[words] is not half_precision:
                raise RuntimeError(f"{words} gives other numbers: relative error {error:.2g}.")
    return passes


def milliseconds(passes: dict[str, Callable], rounds: int) -> dict[str, float]:
    """The median of each, measured in turn."""
    times: dict[str, list[float]] = {words: [] for words in passes}
    for _ in range(rounds):
        for words, step in passes.items():
            start = time.perf_counter()
            for _ in range(REPEATS):
                result: Any = step()
            result[0].numpy()
            times[words].append((time.perf_counter() - start) / REPEATS * 1e3)
    return {words: statistics.median(values) for words, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    options = parser.parse_args()
    columns = []
    for layer in LAYERS:
        columns.append(milliseconds(steps(layer), options.rounds))
        print(layer, columns[-1], flush=True)
    header = ["way"]
    header += [f"{side}x{side}, {inputs} to {outputs}" for _, side, inputs, outputs in LAYERS]
    rows = [[words, *(f"{column[words]:.1f}" for column in columns)] for words in WAYS]
    sizes = " or ".join(str(size) for size in sorted({layer[0] for layer in LAYERS}))
    text = (
        f"{machine()} Milliseconds of a forward and backward pass of a 3x3 convolution with bias, "
        f"ReLU and 2x2 max pooling, batches of {sizes}; "
        f"median of {options.rounds}, run in turn.\n\n" + table(header, rows)
    )
    put_section(options.output, "Convolutions", text)
    print(text)


if __name__ == "__main__":
    main()
