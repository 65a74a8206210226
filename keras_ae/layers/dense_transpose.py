"""Tied weights."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_ae")
class DenseTranspose(keras.layers.Layer):
    """A dense layer that uses another one's kernel, transposed, and has its own bias.

    After A. Geron, "Hands-On Machine Learning", chapter 17, "Tying Weights". The kernel is one
    variable: it is trained by both layers and stored once.

    Args:
        dense: The `keras.layers.Dense` to mirror, of kernel `(inputs, units)`. This layer maps
            `(batch, units)` to `(batch, inputs)`.
        activation: As in `keras.layers.Dense`.
        use_bias: Whether to add a bias of its own.

    Raises:
        ValueError: `dense` is not a dense layer, or is not built when this layer is.
    """

    def __init__(self, dense: keras.layers.Dense, activation=None, use_bias: bool = True, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(dense, keras.layers.Dense):
            raise ValueError(f"dense must be a keras.layers.Dense; received {dense!r}.")
        self.dense = dense
        announce_sharing(dense)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias

    def build(self, input_shape):
        if not self.dense.built:
            raise ValueError(
                f"The layer {self.dense.name!r} has no kernel to share yet: build the encoder "
                "(give it an input shape) before the decoder."
            )
        if input_shape[-1] != self.dense.kernel.shape[1]:
            raise ValueError(
                f"The input must have {self.dense.kernel.shape[1]} features, as many as "
                f"{self.dense.name!r} has units; received the shape {tuple(input_shape)}."
            )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.dense.kernel.shape[0],), initializer="zeros"
            )

    def call(self, inputs):
        kernel = ops.cast(ops.convert_to_tensor(self.dense.kernel), inputs.dtype)
        outputs = ops.matmul(inputs, ops.transpose(kernel))
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.dense.kernel.shape[0])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "dense": keras.saving.serialize_keras_object(self.dense),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }

    @classmethod
    def from_config(cls, config: dict) -> DenseTranspose:
        config = dict(config)
        config["dense"] = keras.saving.deserialize_keras_object(config["dense"])
        return cls(**config)


def announce_sharing(layer: keras.layers.Layer) -> None:
    """Makes Keras write down, wherever it serialises `layer`, that other layers refer to it.

    A `Sequential` copies the configs of its layers, so the copy that Keras would mark as shared
    when it meets the layer a second time is no longer the one in the file, and the loaded decoder
    would get dense layers of its own. Marking it the first time keeps them one.
    """
    from keras.src.saving import serialization_lib

    plain_get_config = type(layer).get_config

    def get_config():
        serialization_lib.record_object_after_serialization(layer, {"module": None})
        return plain_get_config(layer)

    layer.get_config = get_config
