"""Floating-point operations of a training step, counted from the layers of a variant.

Counted, as two operations per multiply-add: the products of dense, convolutional and recurrent
layers and of the search in a codebook. Not counted: activations, normalization, losses, the
optimizer, and products with the zeros around an image that "same" padding adds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras

from keras_ae.layers import VectorQuantizer


def operations_per_image(model: Any) -> int:
    """Operations per image of a training step, forward and backward.

    The backward pass repeats the products of the forward pass twice, for the gradients of the
    weights and for those of the inputs. Two exceptions: the images need no gradient, and the search
    in a codebook has none.

    Args:
        model: A variant that consists of the layers above.

    Raises:
        TypeError: it has weights in another kind of layer.
    """
    encoder = [layer for layer in flatten(model.encoder) if multiply_adds(layer)]
    decoded = getattr(model, "num_importance_samples", 1)  # samples of a code
    forward = sum(map(multiply_adds, encoder))
    forward += decoded * sum(map(multiply_adds, flatten(model.decoder)))
    return 2 * (3 * forward - input_multiply_adds(encoder[0]) + search_multiply_adds(model))


def flatten(network: Any) -> Iterator[Any]:
    """The layers of a network and of the networks in it, in the order of the forward pass."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from flatten(layer)
        else:
            yield layer


def multiply_adds(layer: Any) -> int:
    """Multiply-adds per image in the forward pass of a layer; 0 for one without a kernel."""
    if isinstance(layer, keras.layers.LSTM):
        recurrent = rows(layer) * layer.units * 4 * layer.units
        return input_multiply_adds(layer) + recurrent
    return input_multiply_adds(layer)


def input_multiply_adds(layer: Any) -> int:
    """Multiply-adds per image of the inputs of a layer, not of its state, with its weights."""
    if isinstance(layer, keras.layers.BatchNormalization) or not layer.weights:
        return 0
    if isinstance(layer, keras.layers.Dense):
        return rows(layer) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.LSTM):
        return rows(layer) * math.prod(layer.cell.kernel.shape)
    if type(layer) in (keras.layers.Conv2D, keras.layers.Conv2DTranspose):
        transposed = type(layer) is keras.layers.Conv2DTranspose
        inputs, outputs = input_shape(layer)[:-1], output_shape(layer)[:-1]
        # A transposed convolution is a convolution from its output to its input.
        pairs = (
            zip(outputs, inputs, strict=True) if transposed else zip(inputs, outputs, strict=True)
        )
        height, width = (
            num_products(large, small, size, stride, layer.padding)
            for (large, small), size, stride in zip(
                pairs, layer.kernel_size, layer.strides, strict=True
            )
        )
        return height * width * math.prod(layer.kernel.shape[2:])
    raise TypeError(f"The operations of the layer {type(layer).__name__} are not known.")


def num_products(large: int, small: int, size: int, stride: int, padding: str) -> int:
    """Products of pixels and weights along one axis of a convolution from `large` to `small`."""
    before = 0
    if padding == "same":
        before = max((small - 1) * stride + size - large, 0) // 2
    starts = (index * stride - before for index in range(small))
    return sum(min(start + size, large) - max(start, 0) for start in starts)


def search_multiply_adds(model: Any) -> int:
    """Multiply-adds per image of the distances to all vectors of a codebook."""
    if not isinstance(model.bottleneck, VectorQuantizer):
        return 0
    positions = math.prod(input_shape(model.bottleneck)[:-1])
    return positions * math.prod(model.bottleneck.embeddings.shape)


def rows(layer: Any) -> int:
    """How often per image a layer uses its kernel: once for each row of its input."""
    return math.prod(input_shape(layer)[:-1])


def input_shape(layer: Any) -> tuple[int, ...]:
    return tuple(layer.get_build_config()["input_shape"])[1:]


def output_shape(layer: Any) -> tuple[int, ...]:
    return tuple(layer.compute_output_shape((None, *input_shape(layer))))[1:]
