"""The network that tells real images from made ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

NUM_UNITS = 64  # of the dense layer before the verdict


def discriminator(image_shape: Sequence[int], filters: Sequence[int]) -> keras.Model:
    """Images `(batch, *image_shape)` to features and a logit, high for a real image.

    3x3 convolutions of stride 2, a dense layer, the logit; leaky ReLUs of slope 0.2 between them
    (Radford et al., arXiv 1511.06434, section 3). There is no normalisation, so no image of a batch
    has a say in what another one gets.

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`.
        filters: Filters of each convolution, outermost first; there is one at least.

    Returns:
        A model with two outputs, both float32: what the last convolution gives, flattened, and
        the logit, `(batch, 1)`.
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
