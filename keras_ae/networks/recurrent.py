"""Recurrent encoders and decoders (LSTM), which process an image row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from keras_ae.layers.lstm import LSTM


def recurrent_encoder(image_shape: Sequence[int], units: int, latent_dim: int) -> keras.Sequential:
    """Build a recurrent encoder: two LSTMs over the rows of an image.

    The code is the output of the second LSTM at the last row, so it is in (-1, 1). After A. Geron,
    "Hands-On Machine Learning", chapter 17, "Recurrent Autoencoders".

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`; the
            channels belong to the rows.
        units: Units of the first LSTM.
        latent_dim: Units of the second LSTM.

    Returns:
        A model from `(batch, *image_shape)` to `(batch, latent_dim)`.
    """
    layers = [
        keras.layers.Input(tuple(image_shape), name="images"),
        keras.layers.Reshape((image_shape[0], math.prod(image_shape[1:])), name="rows"),
        LSTM(units, return_sequences=True, name="hidden"),
        LSTM(latent_dim, name="code"),
    ]
    return keras.Sequential(layers, name="encoder")


def recurrent_decoder(latent_dim: int, units: int, image_shape: Sequence[int]) -> keras.Sequential:
    """Build a recurrent decoder: an LSTM that gets the code at every row, and a dense layer.

    The dense layer, the same at every row, maps the output of the LSTM to the pixels of the row.

    Args:
        latent_dim: Width of the input.
        units: Units of the LSTM.
        image_shape: `(height, width)` or `(height, width, channels)`.

    Returns:
        A model from `(batch, latent_dim)` to logits, `(batch, *image_shape)` float32.
    """
    layers = [
        keras.layers.Input((latent_dim,), name="latents"),
        keras.layers.RepeatVector(image_shape[0], name="repeated"),
        LSTM(units, return_sequences=True, name="hidden"),
        keras.layers.Dense(math.prod(image_shape[1:]), name="logits"),
        # The loss needs float32 logits, also in mixed precision.
        keras.layers.Reshape(tuple(image_shape), dtype="float32", name="images"),
    ]
    return keras.Sequential(layers, name="decoder")
