"""The discriminator of the VAE-GAN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

NUM_UNITS = 64  # width of the dense layer before the logit


def discriminator(image_shape: Sequence[int], filters: Sequence[int]) -> keras.Model:
    """Build a discriminator: a logit that is high for real images, and its features.

    3x3 convolutions of stride 2, a dense layer and the logit, with leaky ReLUs of slope 0.2 between
    them (Radford et al., arXiv 1511.06434, section 3). Without batch normalization, the output for
    an image does not depend on the other images of the batch.

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`.
        filters: Filters of each convolution, outermost first; at least one.

    Returns:
        A model from `(batch, *image_shape)` to two float32 outputs: the flattened output of the
        last convolution, and the logit, `(batch, 1)`.
    """
    images = keras.layers.Input(tuple(image_shape), name="images")
    pixels = (*image_shape[:2], math.prod(image_shape[2:]))
    hidden = keras.layers.Reshape(pixels, name="pixels")(images)
    for number, num_filters in enumerate(filters, start=1):
        name = f"convolution_{number}"
        hidden = keras.layers.Conv2D(num_filters, 3, 2, padding="same", name=name)(hidden)
        hidden = keras.layers.LeakyReLU(0.2, name=f"activation_{number}")(hidden)
    features = keras.layers.Flatten(dtype="float32", name="features")(hidden)
    hidden = keras.layers.Dense(NUM_UNITS, name="dense")(features)
    hidden = keras.layers.LeakyReLU(0.2, name="activation")(hidden)
    logit = keras.layers.Dense(1, dtype="float32", name="logit")(hidden)
    return keras.Model(images, [features, logit], name="discriminator")
