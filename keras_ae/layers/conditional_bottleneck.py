"""The bottleneck of the conditional VAE."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_size
from keras_ae.layers.gaussian_bottleneck import GaussianBottleneck


@keras.saving.register_keras_serializable(package="keras_ae")
class ConditionalBottleneck(GaussianBottleneck):
    """A Gaussian code that keeps the label it is conditioned on.

    Input `(batch, 2 * latent_dim + num_classes)`: the means, the log-variances, the one-hot label;
    output `(batch, latent_dim + num_classes)`: the code, then the label as it came. The loss is
    that of `GaussianBottleneck`; a label costs nothing.

    Args:
        num_classes: Width of the label, >= 1.
        **gaussian: See `GaussianBottleneck`.
    """

    def __init__(self, num_classes: int, **gaussian):
        super().__init__(**gaussian)
        self.num_classes = check_size("num_classes", num_classes)

    def build(self, input_shape):
        super().build((*input_shape[:-1], input_shape[-1] - self.num_classes))

    def call(self, inputs, training=False):
        parameters, labels = inputs[:, : -self.num_classes], inputs[:, -self.num_classes :]
        return tf.concat([super().call(parameters, training), labels], axis=-1)

    def compute_output_shape(self, input_shape):
        *batch, width = input_shape
        return (*batch, (width - self.num_classes) // 2 + self.num_classes)

    def get_config(self) -> dict:
        return {**super().get_config(), "num_classes": self.num_classes}
