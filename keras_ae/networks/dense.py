"""Encoders and decoders of dense layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from keras_ae.layers import DenseTranspose


def bake_off_hidden_units(latent_dim: int) -> tuple[int, int]:
    """The bake-off's two hidden widths: (341, 113) for 20 dimensions, (146, 20) for 2.

    Each layer divides by the same whole number, the largest whose cube times `latent_dim` stays
    below 1024, the pixels of the padded images that the published nets were sized for.
    """
    shrinkage = 1
    while (shrinkage + 1) ** 3 * latent_dim < 1024:
        shrinkage += 1
    return 1024 // shrinkage, 1024 // shrinkage**2


def kernel_initializer(activation) -> str:
    """LeCun normal for SELU, as self-normalisation needs; Keras's default otherwise."""
    return "lecun_normal" if activation == "selu" else "glorot_uniform"


def hidden_block(
    units: int, activation, batch_normalization: bool, name: str, dense=None
) -> keras.Sequential:
    """Dense -> batch normalisation -> activation; the dense layer has a bias only without norm.

    `dense` replaces the dense layer, for tied decoders.
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
    activation="relu",
    code_activation=None,
    batch_normalization: bool = True,
    corruption: keras.layers.Layer | None = None,
) -> keras.Sequential:
    """Images `(batch, *image_shape)` to codes `(batch, code_units)`.

    Args:
        image_shape: Shape of one image.
        hidden_units: Width of each hidden block, outermost first; may be empty.
        code_units: Width of the output.
        activation: Of the hidden blocks.
        code_activation: Of the output; linear by default.
        batch_normalization: Whether the hidden blocks normalise.
        corruption: A layer applied to the images first, such as `GaussianCorruption`.
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
    activation="relu",
    batch_normalization: bool = True,
    tied_to: keras.Sequential | None = None,
) -> keras.Sequential:
    """Latents `(batch, latent_dim)` to logits `(batch, *image_shape)`.

    Args:
        latent_dim: Width of the input.
        hidden_units: Width of each hidden block of the *encoder*, outermost first.
        image_shape: Shape of one image.
        activation: Of the hidden blocks.
        batch_normalization: Whether the hidden blocks normalise.
        tied_to: A `dense_encoder` whose kernels to use, transposed.
    """
    widths = [math.prod(image_shape), *hidden_units]
    tied = [None] * len(widths)
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
    # Logits feed the loss: float32 whatever the precision of the hidden layers.
    layers += [output, keras.layers.Reshape(tuple(image_shape), dtype="float32", name="images")]
    return keras.Sequential(layers, name="decoder")


def hidden_blocks(network: keras.Sequential) -> list[keras.Sequential]:
    """The hidden blocks of a dense encoder or decoder, in the order they are applied."""
    return [layer for layer in network.layers if layer.name.startswith("hidden_")]
