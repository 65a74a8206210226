"""The sparse autoencoder with an l1 penalty."""

from __future__ import annotations

import math

import keras

from keras_ae.checks import check_number, check_sizes
from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class SparseL1(DenseAutoencoder):
    """A wide sigmoid code whose activations cost something each.

    The latent loss is `l1 * num_pixels * sum over units of |activation|`, averaged over the batch.
    After A. Geron, "Hands-On Machine Learning", chapter 17, "Sparse Autoencoders": 100 units, then
    a code of 300. His 1e-3 stands beside a cross-entropy *averaged* over the pixels; beside their
    sum, as here, the same pull takes `num_pixels` times that.

    Args:
        l1: Factor on the activations, >= 0, in nats a unit and pixel (and channel) of the image.
        hidden_units: See `DenseAutoencoder`.
        batch_normalization: See `DenseAutoencoder`. Off, for a normalised decoder undoes any
            scale: a code of tiny activations would escape the penalty without being sparse.
        **network: See `DenseAutoencoder`.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 300,
        *,
        l1: float = 1e-3,
        hidden_units=(100,),
        batch_normalization: bool = False,
        **network,
    ):
        num_pixels = math.prod(check_sizes("image_shape", image_shape, lengths=(2, 3)))
        bottleneck = keras.layers.Activation(
            "sigmoid",
            # Keras (3.14 on) divides what this returns by the batch size: a mean over the batch.
            activity_regularizer=keras.regularizers.L1(check_number("l1", l1) * num_pixels),
            dtype="float32",
            name="bottleneck",
        )
        super().__init__(
            image_shape,
            latent_dim,
            bottleneck=bottleneck,
            hidden_units=hidden_units,
            batch_normalization=batch_normalization,
            **network,
        )
        self.l1 = l1

    def get_config(self) -> dict:
        return {**super().get_config(), "l1": self.l1}
