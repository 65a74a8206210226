"""Encoders and decoders that read and write an image row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras


def recurrent_encoder(image_shape: Sequence[int], units: int, latent_dim: int) -> keras.Sequential:
    """Images `(batch, *image_shape)` to codes `(batch, latent_dim)`: two LSTMs over the rows.

    The code is what the second LSTM gives at the last row, so it lies in (-1, 1). After A. Geron,
    "Hands-On Machine Learning", chapter 17, "Recurrent Autoencoders".

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`; a row holds its channels.
        units: Of the first LSTM.
        latent_dim: Of the second.
    """
    layers = [
        keras.layers.Input(tuple(image_shape), name="images"),
        keras.layers.Reshape((image_shape[0], math.prod(image_shape[1:])), name="rows"),
        keras.layers.LSTM(units, return_sequences=True, name="hidden"),
        keras.layers.LSTM(latent_dim, name="code"),
    ]
    return keras.Sequential(layers, name="encoder")


def recurrent_decoder(latent_dim: int, units: int, image_shape: Sequence[int]) -> keras.Sequential:
    """Latents `(batch, latent_dim)` to logits `(batch, *image_shape)`.

    An LSTM sees the code at every row; one dense layer, the same for all, makes rows of its
    states.

    Args:
        latent_dim: Width of the input.
        units: Of the LSTM.
        image_shape: `(height, width)` or `(height, width, channels)`.
    """
    layers = [
        keras.layers.Input((latent_dim,), name="latents"),
        keras.layers.RepeatVector(image_shape[0], name="repeated"),
        keras.layers.LSTM(units, return_sequences=True, name="hidden"),
        keras.layers.Dense(math.prod(image_shape[1:]), name="logits"),
        # Logits feed the loss: float32 whatever the precision of the hidden layers.
        keras.layers.Reshape(tuple(image_shape), dtype="float32", name="images"),
    ]
    return keras.Sequential(layers, name="decoder")
