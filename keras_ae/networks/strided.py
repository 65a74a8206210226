"""Encoders and decoders of the VQ-VAE: strided convolutions and residual blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras


def default_strided_filters(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Filters of the strided convolutions for images of a shape, outermost first.

    (32, 64) below 128x128 pixels, a map of 7x7 codes for 28x28 pixels and of 16x16 for 64x64. From
    there on a stage more whenever the side doubles, so that a map stays below 32x32.
    """
    num_stages = max((min(image_shape[:2]) // 16).bit_length() - 1, 2)
    return tuple(min(32 * 2**stage, 128) for stage in range(num_stages))


def halved_sizes(image_shape: Sequence[int], num_stages: int) -> tuple[int, int]:
    """Height and width after `num_stages` convolutions of stride 2: halved and rounded up."""
    height, width = image_shape[:2]
    for _ in range(num_stages):
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def strided_encoder(
    image_shape: Sequence[int],
    filters: Sequence[int],
    num_residual_blocks: int,
    code_channels: int,
    *,
    activation: Any = "relu",
) -> keras.Model:
    """Build an encoder of 4x4 convolutions of stride 2, residual blocks and a 1x1 convolution.

    After van den Oord et al. (arXiv 1711.00937, section 4.1), with the given filters.

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`.
        filters: Filters of each strided convolution, outermost first; at least one.
        num_residual_blocks: Number of residual blocks, >= 0.
        code_channels: Channels of the output.
        activation: Activation of the hidden layers.

    Returns:
        A model from `(batch, *image_shape)` to maps of codes,
        `(batch, height, width, code_channels)`.
    """
    images = keras.layers.Input(tuple(image_shape), name="images")
    pixels = (*image_shape[:2], math.prod(image_shape[2:]))
    maps = keras.layers.Reshape(pixels, name="pixels")(images)
    for number, num_filters in enumerate(filters, start=1):
        maps = keras.layers.Conv2D(
            num_filters, 4, 2, padding="same", activation=activation, name=f"stride_{number}"
        )(maps)
    for number in range(1, num_residual_blocks + 1):
        maps = residual_block(maps, activation, f"residual_{number}")
    maps = keras.layers.Activation(activation, name="activation")(maps)
    codes = keras.layers.Conv2D(code_channels, 1, name="code")(maps)
    return keras.Model(images, codes, name="encoder")


def strided_decoder(
    code_shape: Sequence[int],
    filters: Sequence[int],
    num_residual_blocks: int,
    image_shape: Sequence[int],
    *,
    activation: Any = "relu",
) -> keras.Model:
    """Build a decoder of residual blocks and 4x4 transposed convolutions of stride 2.

    The output is cropped to the size of an image, if that is not a multiple of the strides.

    Args:
        code_shape: `(height, width, channels)` of a map of codes.
        filters: Filters of the convolutions of the *encoder*, outermost first.
        num_residual_blocks: Number of residual blocks, >= 0.
        image_shape: Shape of one image.
        activation: Activation of the hidden layers.

    Returns:
        A model from `(batch, *code_shape)` to logits, `(batch, *image_shape)` float32.
    """
    codes = keras.layers.Input(tuple(code_shape), name="codes")
    maps = keras.layers.Conv2D(filters[-1], 3, padding="same", name="widen")(codes)
    for number in range(1, num_residual_blocks + 1):
        maps = residual_block(maps, activation, f"residual_{number}")
    maps = keras.layers.Activation(activation, name="activation")(maps)
    for number in range(len(filters) - 1, 0, -1):
        maps = keras.layers.Conv2DTranspose(
            filters[number - 1],
            4,
            2,
            padding="same",
            activation=activation,
            name=f"stride_{number + 1}",
        )(maps)
    logits = keras.layers.Conv2DTranspose(
        math.prod(image_shape[2:]), 4, 2, padding="same", name="logits"
    )(maps)
    excess = [have - want for have, want in zip(logits.shape[1:3], image_shape[:2], strict=True)]
    if any(excess):
        logits = keras.layers.Cropping2D([(0, rows) for rows in excess], name="crop")(logits)
    # The loss needs float32 logits, also in mixed precision.
    logits = keras.layers.Reshape(tuple(image_shape), dtype="float32", name="images")(logits)
    return keras.Model(codes, logits, name="decoder")


def residual_block(maps: Any, activation: Any, name: str) -> Any:
    """Residual block: adds a 3x3 convolution to half the channels and a 1x1 convolution back."""
    channels = maps.shape[-1]
    inner = keras.layers.Activation(activation, name=f"{name}_in")(maps)
    inner = keras.layers.Conv2D(
        max(channels // 2, 1), 3, padding="same", activation=activation, name=f"{name}_narrow"
    )(inner)
    inner = keras.layers.Conv2D(channels, 1, name=f"{name}_wide")(inner)
    return keras.layers.Add(name=name)([maps, inner])
