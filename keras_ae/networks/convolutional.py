"""Encoders and decoders of convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from keras_ae.networks.dense import kernel_initializer


def feature_map_sizes(image_shape: Sequence[int], num_stages: int) -> list[tuple[int, int]]:
    """Height and width of an image and after each pooling: `num_stages + 1` pairs.

    Pooling halves and rounds down: 28, 14, 7, 3. A side that has come down to one pixel stays, so
    every image takes every number of stages.
    """
    sizes = [(image_shape[0], image_shape[1])]
    for _ in range(num_stages):
        height, width = sizes[-1]
        sizes.append((max(height // 2, 1), max(width // 2, 1)))
    return sizes


def feature_map_shape(image_shape: Sequence[int], filters: Sequence[int]) -> tuple[int, int, int]:
    """The shape of the last feature map: `(3, 3, 64)` of 28x28 images and filters (16, 32, 64)."""
    return (*feature_map_sizes(image_shape, len(filters))[-1], filters[-1])


def convolutional_encoder(
    image_shape: Sequence[int],
    filters: Sequence[int],
    code_units: int | None = None,
    *,
    activation="relu",
) -> keras.Sequential:
    """Images `(batch, *image_shape)` to codes: 3x3 convolutions, each followed by max pooling.

    After A. Geron, "Hands-On Machine Learning", chapter 17, "Convolutional Autoencoders".

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`.
        filters: Filters of each convolution, outermost first; there is one at least.
        code_units: Width of a linear dense code, shape `(batch, code_units)`. None for the last
            feature map itself.
        activation: Of the convolutions.
    """
    sizes = feature_map_sizes(image_shape, len(filters))
    height, width = sizes[0]
    layers = [
        keras.layers.Input(tuple(image_shape), name="images"),
        keras.layers.Reshape((height, width, math.prod(image_shape[2:])), name="pixels"),
    ]
    for number, num_filters in enumerate(filters, start=1):
        convolution = keras.layers.Conv2D(
            num_filters,
            3,
            padding="same",
            activation=activation,
            kernel_initializer=kernel_initializer(activation),
            name=f"convolution_{number}",
        )
        strides = strides_of(sizes[number - 1], sizes[number])
        pooling = keras.layers.MaxPooling2D(strides, name=f"pooling_{number}")
        layers += [convolution, pooling]
    if code_units is not None:
        layers += [
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(code_units, name="code"),
        ]
    return keras.Sequential(layers, name="encoder")


def convolutional_decoder(
    latent_dim: int | None,
    filters: Sequence[int],
    image_shape: Sequence[int],
    *,
    activation="relu",
) -> keras.Sequential:
    """Codes to logits `(batch, *image_shape)`: 3x3 transposed convolutions back up.

    Args:
        latent_dim: Width of a dense code, which a dense layer first turns into the encoder's last
            feature map. None where the code is that map.
        filters: Filters of the *encoder*, outermost first.
        image_shape: `(height, width)` or `(height, width, channels)`.
        activation: Of every layer but the last.
    """
    sizes = feature_map_sizes(image_shape, len(filters))
    channels = [math.prod(image_shape[2:]), *filters]
    style = {"activation": activation, "kernel_initializer": kernel_initializer(activation)}
    code_map = feature_map_shape(image_shape, filters)
    if latent_dim is None:
        layers = [keras.layers.Input(code_map, name="latents")]
    else:
        layers = [
            keras.layers.Input((latent_dim,), name="latents"),
            keras.layers.Dense(math.prod(code_map), name="dense", **style),
            keras.layers.Reshape(code_map, name="feature_map"),
        ]
    for stage in range(len(filters), 0, -1):
        name = f"convolution_{stage}" if stage > 1 else "logits"
        layers += enlargement(
            channels[stage - 1], sizes[stage], sizes[stage - 1], name, style if stage > 1 else {}
        )
    # Logits feed the loss: float32 whatever the precision of the hidden layers.
    layers.append(keras.layers.Reshape(tuple(image_shape), dtype="float32", name="images"))
    return keras.Sequential(layers, name="decoder")


def strides_of(large: tuple[int, int], small: tuple[int, int]) -> tuple[int, int]:
    """By how much each side was pooled: 2, or 1 where it stayed."""
    return tuple(1 if after == before else 2 for before, after in zip(large, small, strict=True))


def enlargement(
    num_filters: int, small: tuple[int, int], large: tuple[int, int], name: str, style: dict
) -> list[keras.layers.Layer]:
    """A transposed convolution from a map of size `small` to one of size `large`.

    Without padding it makes 2n + 1 pixels of n, as an odd side needs. Of an even side the last
    pixel is cut off, which is what "same" padding does.
    """
    strides = strides_of(large, small)
    layers = [
        keras.layers.Conv2DTranspose(num_filters, 3, strides, padding="valid", name=name, **style)
    ]
    cuts = tuple(
        cut(stride, before, after)
        for stride, before, after in zip(strides, small, large, strict=True)
    )
    if cuts != ((0, 0), (0, 0)):
        layers.append(keras.layers.Cropping2D(cuts, name=f"{name}_cut"))
    return layers


def cut(stride: int, small: int, large: int) -> tuple[int, int]:
    """How many pixels of a side to cut off before and behind."""
    return (1, 1) if stride == 1 else (0, 2 * small + 1 - large)
