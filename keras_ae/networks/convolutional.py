"""Convolutional encoders and decoders with max pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_ae.networks.dense import kernel_initializer

SMALL_SIDE = 32  # up to here the networks are those of MNIST-like images


def default_filters(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Filters of the convolutions for images of a shape, outermost first.

    (16, 32, 64) up to 32x32 pixels. Larger images get a stage more whenever the side doubles, so
    that the last feature map stays between 4x4 and 8x8, and more filters: (32, 64, 128, 128) for
    64x64.
    """
    side = min(image_shape[:2])
    if side <= SMALL_SIDE:
        return (16, 32, 64)
    num_stages = (side // 4).bit_length() - 1
    return tuple(min(32 * 2**stage, 128) for stage in range(max(num_stages, 3)))


def default_kernel_size(image_shape: Sequence[int]) -> int:
    """Kernel size of the transposed convolutions: 4, but 3 for gray images of 28x28 pixels.

    A kernel that is not a multiple of the stride 2 writes a checkerboard, which is visible in the
    even areas of photographs (Odena et al., "Deconvolution and checkerboard artifacts", Distill
    2016). Gray images of 28x28 pixels keep the network of the book.
    """
    return 3 if tuple(image_shape) in ((28, 28), (28, 28, 1)) else 4


def check_kernel_size(kernel_size: int | None, image_shape: Sequence[int]) -> int:
    """Kernel size of the decoder's convolutions: 3 or 4; None chooses by the shape of an image.

    Raises:
        ValueError: another number.
    """
    if kernel_size is None:
        return default_kernel_size(image_shape)
    if kernel_size not in (3, 4):
        raise ValueError(f"kernel_size must be 3, 4 or None; received {kernel_size!r}.")
    return int(kernel_size)


def feature_map_sizes(image_shape: Sequence[int], num_stages: int) -> list[tuple[int, int]]:
    """Height and width of an image and of each feature map after pooling: `num_stages + 1` pairs.

    Pooling halves and rounds down: 28, 14, 7, 3. A side of one pixel stays, so images of any size
    allow any number of stages.
    """
    sizes = [(image_shape[0], image_shape[1])]
    for _ in range(num_stages):
        height, width = sizes[-1]
        sizes.append((max(height // 2, 1), max(width // 2, 1)))
    return sizes


def feature_map_shape(image_shape: Sequence[int], filters: Sequence[int]) -> tuple[int, int, int]:
    """Shape of the last feature map: `(3, 3, 64)` for 28x28 images and filters (16, 32, 64)."""
    return (*feature_map_sizes(image_shape, len(filters))[-1], filters[-1])


def convolutional_encoder(
    image_shape: Sequence[int],
    filters: Sequence[int],
    code_units: int | None = None,
    *,
    activation: Any = "relu",
    corruption: keras.layers.Layer | None = None,
) -> keras.Sequential:
    """Build a convolutional encoder: 3x3 convolutions, each followed by max pooling.

    After A. Geron, "Hands-On Machine Learning", chapter 17, "Convolutional Autoencoders".

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`.
        filters: Filters of each convolution, outermost first; at least one.
        code_units: Width of a linear dense code. None, the default, for the last feature map.
        activation: Activation of the convolutions.
        corruption: A layer that corrupts the images in training.

    Returns:
        A model from `(batch, *image_shape)` to `(batch, code_units)`, or to the feature map.
    """
    sizes = feature_map_sizes(image_shape, len(filters))
    height, width = sizes[0]
    layers = [
        keras.layers.Input(tuple(image_shape), name="images"),
        *([] if corruption is None else [corruption]),
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
        strides = _strides(sizes[number - 1], sizes[number])
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
    activation: Any = "relu",
    kernel_size: int = 3,
) -> keras.Sequential:
    """Build a convolutional decoder: transposed convolutions.

    Args:
        latent_dim: Width of a dense code, which a dense layer first maps to the last feature map of
            the encoder. None if the code is that feature map.
        filters: Filters of the *encoder*, outermost first.
        image_shape: `(height, width)` or `(height, width, channels)`.
        activation: Activation of all layers but the last.
        kernel_size: Side of the kernels, 3 or 4.

    Returns:
        A model from codes to logits, `(batch, *image_shape)` float32.
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
        layers += _upsampling(
            channels[stage - 1],
            kernel_size,
            sizes[stage],
            sizes[stage - 1],
            name,
            style if stage > 1 else {},
        )
    # The loss needs float32 logits, also in mixed precision.
    layers.append(keras.layers.Reshape(tuple(image_shape), dtype="float32", name="images"))
    return keras.Sequential(layers, name="decoder")


def _strides(large: tuple[int, int], small: tuple[int, int]) -> tuple[int, int]:
    """The pooling factor of each side: 2, or 1 for a side of one pixel."""
    height, width = (
        1 if after == before else 2 for before, after in zip(large, small, strict=True)
    )
    return height, width


def _upsampling(
    num_filters: int,
    kernel_size: int,
    small: tuple[int, int],
    large: tuple[int, int],
    name: str,
    style: dict,
) -> list[keras.layers.Layer]:
    """A transposed convolution from a feature map of size `small` to one of size `large`.

    Without padding, n pixels become 2n + 1 with a kernel of 3 and 2n + 2 with one of 4. The rest is
    cropped, as "same" padding does, which can only double a side and then does it without a copy.
    """
    strides = _strides(large, small)
    doubles = all(
        stride * before == after
        for stride, before, after in zip(strides, small, large, strict=True)
    )
    padding = "same" if doubles else "valid"
    layers: list[keras.layers.Layer] = [
        keras.layers.Conv2DTranspose(
            num_filters, kernel_size, strides, padding=padding, name=name, **style
        )
    ]
    crops = tuple(
        _crop(kernel_size, stride, before, after)
        for stride, before, after in zip(strides, small, large, strict=True)
    )
    if not doubles and crops != ((0, 0), (0, 0)):
        layers.append(keras.layers.Cropping2D(crops, name=f"{name}_cut"))
    return layers


def _crop(kernel_size: int, stride: int, small: int, large: int) -> tuple[int, int]:
    """Pixels to crop at the start and at the end of a side."""
    excess = stride * (small - 1) + kernel_size - large
    return excess // 2, excess - excess // 2
