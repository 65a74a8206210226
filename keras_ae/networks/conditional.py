"""The encoder of the conditional variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_ae.networks.dense import dense_encoder


def conditional_encoder(
    image_shape: Sequence[int],
    num_classes: int,
    hidden_units: Sequence[int],
    code_units: int,
    **style: Any,
) -> keras.Model:
    """Build an encoder of images and labels; the output is the code, then the label.

    Args:
        image_shape: Shape of one image.
        num_classes: Number of classes, the width of a one-hot label.
        hidden_units: Widths of the hidden layers, see `dense_encoder`. Its input is the
            concatenation of the pixels and the label.
        code_units: Width of the code without the label.
        **style: `activation` and `batch_normalization` of `dense_encoder`.

    Returns:
        A model from `{"images": (batch, *image_shape), "labels": (batch, num_classes)}` to
        `(batch, code_units + num_classes)`.
    """
    num_pixels = math.prod(image_shape)
    images = keras.layers.Input(tuple(image_shape), name="images")
    labels = keras.layers.Input((num_classes,), name="labels")
    pixels = keras.layers.Reshape((num_pixels,), name="pixels")(images)
    both = keras.layers.Concatenate(name="pixels_and_labels")([pixels, labels])
    code = dense_encoder((num_pixels + num_classes,), hidden_units, code_units, **style)(both)
    outputs = keras.layers.Concatenate(name="code_and_labels")([code, labels])
    return keras.Model({"images": images, "labels": labels}, outputs, name="encoder")
