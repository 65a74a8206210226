"""Dense encoders and decoders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_ae.layers import DenseTranspose


def bake_off_hidden_units(latent_dim: int) -> tuple[int, int]:
    """Hidden layer widths of the bake-off: (341, 113) for 20 latent dimensions, (146, 20) for 2.

    Each layer divides the width by the same whole number, the largest one whose cube times
    `latent_dim` is below 1024, the pixels of the padded images of the published networks.
    """
    shrinkage = 1
    while (shrinkage + 1) ** 3 * latent_dim < 1024:
        shrinkage += 1
    return 1024 // shrinkage, 1024 // shrinkage**2


def kernel_initializer(activation: Any) -> str:
    """LeCun normal for SELU, which self-normalizing networks need; else the default of Keras."""
    return "lecun_normal" if activation == "selu" else "glorot_uniform"


def hidden_block(
    units: int,
    activation: Any,
    batch_normalization: bool,
    name: str,
    dense: keras.layers.Layer | None = None,
) -> keras.Sequential:
    """Hidden block: dense layer, batch normalization, activation.

    The dense layer has a bias only without batch normalization. `dense` replaces the dense layer,
    in tied decoders.
    """
    if dense is None:
        dense = keras.layers.Dense(
            units,
            use_bias=not batch_normalization,
            kernel_initializer=kernel_initializer(activation),
            name="dense",
        )
    layers = [dense]
    if batch_normalization:
        layers.append(keras.layers.BatchNormalization(name="batch_normalization"))
    layers.append(keras.layers.Activation(activation, name="activation"))
    return keras.Sequential(layers, name=name)


def dense_encoder(
    image_shape: Sequence[int],
    hidden_units: Sequence[int],
    code_units: int,
    *,
    activation: Any = "relu",
    code_activation: Any = None,
    batch_normalization: bool = True,
    corruption: keras.layers.Layer | None = None,
) -> keras.Sequential:
    """Build a dense encoder.

    Args:
        image_shape: Shape of one image.
        hidden_units: Widths of the hidden layers, outermost first; may be empty.
        code_units: Width of the output.
        activation: Activation of the hidden layers.
        code_activation: Activation of the output; linear by default.
        batch_normalization: Whether the hidden layers use batch normalization.
        corruption: A layer applied to the images first, such as `GaussianCorruption`.

    Returns:
        A model from `(batch, *image_shape)` to `(batch, code_units)`.
    """
    layers = [keras.layers.Input(tuple(image_shape), name="images")]
    if corruption is not None:
        layers.append(corruption)
    layers.append(keras.layers.Reshape((math.prod(image_shape),), name="flatten"))
    for number, units in enumerate(hidden_units, start=1):
        layers.append(hidden_block(units, activation, batch_normalization, f"hidden_{number}"))
    layers.append(
        keras.layers.Dense(
            code_units,
            activation=code_activation,
            kernel_initializer=kernel_initializer(code_activation),
            name="code",
        )
    )
    return keras.Sequential(layers, name="encoder")


def dense_decoder(
    latent_dim: int,
    hidden_units: Sequence[int],
    image_shape: Sequence[int],
    *,
    activation: Any = "relu",
    batch_normalization: bool = True,
    tied_to: keras.Sequential | None = None,
) -> keras.Sequential:
    """Build a dense decoder.

    Args:
        latent_dim: Width of the input.
        hidden_units: Widths of the hidden layers of the *encoder*, outermost first.
        image_shape: Shape of one image.
        activation: Activation of the hidden layers.
        batch_normalization: Whether the hidden layers use batch normalization.
        tied_to: A `dense_encoder` whose transposed kernels the decoder uses.

    Returns:
        A model from `(batch, latent_dim)` to logits, `(batch, *image_shape)` float32.
    """
    widths = [math.prod(image_shape), *hidden_units]
    tied: list[DenseTranspose | None] = [None] * len(widths)
    if tied_to is not None:
        denses = [block.get_layer("dense") for block in hidden_blocks(tied_to)]
        denses.append(tied_to.get_layer("code"))
        tied = [
            DenseTranspose(dense, use_bias=number == 0 or not batch_normalization, name="dense")
            for number, dense in enumerate(denses)
        ]
    layers = [keras.layers.Input((latent_dim,), name="latents")]
    for number in range(len(hidden_units), 0, -1):
        name = f"hidden_{number}"
        layers.append(
            hidden_block(widths[number], activation, batch_normalization, name, tied[number])
        )
    output = tied[0] or keras.layers.Dense(widths[0], name="logits")
    # The loss needs float32 logits, also in mixed precision.
    layers += [output, keras.layers.Reshape(tuple(image_shape), dtype="float32", name="images")]
    return keras.Sequential(layers, name="decoder")


def hidden_blocks(network: keras.Sequential) -> list[keras.Sequential]:
    """The hidden blocks of a dense encoder or decoder, in the order of the forward pass."""
    return [layer for layer in network.layers if layer.name.startswith("hidden_")]
