"""The reparameterisation trick."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.layers.noisy import NoisyLayer, standard_normal


@keras.saving.register_keras_serializable(package="keras_ae")
class Sampling(NoisyLayer):
    """Draws z ~ N(z_mean, exp(z_log_var)) so that gradients reach both parameters.

    Kingma and Welling (arXiv 1312.6114), section 2.4. Called on `(z_mean, z_log_var)`, each of
    shape `(batch, latent_dim)`; returns z of that shape. It samples at every call, in training
    or not; `GaussianBottleneck` is the layer that returns the mean outside training.

    Args:
        seed: Integer or None. The noise's state is a variable: it is saved with the model, so a
            resumed training draws what an uninterrupted one would have drawn.
    """

    def call(self, inputs):
        z_mean, z_log_var = inputs
        dtype = z_mean.dtype
        # In float16 the exponential of a large log-variance overflows.
        z_mean, z_log_var = tf.cast(z_mean, tf.float32), tf.cast(z_log_var, tf.float32)
        noise = standard_normal(tf.shape(z_mean), self.next_seed(), bits=23)
        return tf.cast(z_mean + tf.exp(0.5 * z_log_var) * noise, dtype)

    def compute_output_shape(self, input_shape):
        return input_shape[0]
