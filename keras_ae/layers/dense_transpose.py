"""Tied weights: a dense layer with the transposed kernel of another dense layer."""

from __future__ import annotations

import uuid
import weakref
from typing import Any

import keras
from keras import ops

from keras_ae.attributes import FixedArgument

# Keras copies a model layer by layer, from the configs of the layers: `clone_model`, `from_config`
# and `model_from_json` would give a copied transpose a dense layer of its own. Hence every shared
# dense layer has a key in its config, and these tables find the copy that a transpose belongs to.
_LATEST_COPY: weakref.WeakValueDictionary[str, keras.layers.Dense] = weakref.WeakValueDictionary()
_TRANSPOSES: weakref.WeakKeyDictionary[keras.layers.Dense, set[str]] = weakref.WeakKeyDictionary()


@keras.saving.register_keras_serializable(package="keras_ae")
class Dense(keras.layers.Dense):
    """The class that `DenseTranspose` gives the dense layer whose kernel it uses.

    It computes what `keras.layers.Dense` computes and has the same name, since Keras names weights
    in files after the class. Its config has a key that identifies the layer among the configs of a
    model.
    """

    _tie_key: str

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tie": self._tie_key}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Dense:
        config = dict(config)
        key = config.pop("tie")
        layer = super().from_config(config)
        layer._register(key)
        return layer

    def _register(self, key: str) -> None:
        self._tie_key = key
        _LATEST_COPY[key] = self
        _TRANSPOSES[self] = set()


def _share(dense: keras.layers.Dense) -> None:
    """Give a dense layer a key, so that copies of the model stay tied."""
    if not isinstance(dense, Dense):
        object.__setattr__(dense, "__class__", Dense)
        dense._register(uuid.uuid4().hex)


@keras.saving.register_keras_serializable(package="keras_ae")
class DenseTranspose(keras.layers.Layer):
    """Dense layer with tied weights: the transposed kernel of another dense layer, its own bias.

    After A. Geron, "Hands-On Machine Learning", chapter 17, "Tying Weights". The kernel is one
    variable: both layers train it, and files contain it once.

    A copy of a model that contains both layers is tied like the original: `load_model`,
    `clone_model`, `from_config`, `model_from_json`, `copy.deepcopy`. Copies of an encoder and then
    of its decoder are tied to each other. The copy of a decoder alone has a kernel of its own.

    Example:

    ```python
    code = keras.layers.Dense(30, activation="relu")
    model = keras.Sequential([keras.Input((784,)), code, DenseTranspose(code)])   # 784 -> 784
    ```

    Args:
        dense: A `keras.layers.Dense` with a kernel of shape `(inputs, units)`. This layer maps
            `(batch, ..., units)` to `(batch, ..., inputs)`.
        activation: As in `keras.layers.Dense`.
        use_bias: Whether to add a bias.

    Raises:
        ValueError: `dense` is not a dense layer, or an instance of a subclass, or it is not built
            when this layer is built.
    """

    dense = FixedArgument()
    activation = FixedArgument()
    use_bias = FixedArgument()

    def __init__(
        self,
        dense: keras.layers.Dense,
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Any,
    ):
        tie = kwargs.pop("tie", None)
        super().__init__(**kwargs)
        if type(dense) not in (keras.layers.Dense, Dense):
            raise ValueError(
                "dense must be a keras.layers.Dense (a subclass could not stay tied in copies); "
                f"received {dense!r}."
            )
        _share(dense)
        self.dense = dense
        self._tie_key = tie or uuid.uuid4().hex
        _TRANSPOSES[dense].add(self._tie_key)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias

    def build(self, input_shape: Any) -> None:
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
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.dense.kernel.shape[0],), initializer="zeros"
            )

    def call(self, inputs: Any) -> Any:
        kernel = ops.cast(ops.convert_to_tensor(self.dense.kernel), inputs.dtype)
        outputs = ops.matmul(inputs, ops.transpose(kernel))
        if self.use_bias:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.dense.kernel.shape[0])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dense": keras.saving.serialize_keras_object(self.dense),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "tie": self._tie_key,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DenseTranspose:
        config = dict(config)
        dense = _LATEST_COPY.get(config["dense"]["config"].get("tie", ""))
        if dense is None or config["tie"] in _TRANSPOSES[dense]:
            # The config of the dense layer was not copied before: this is no copy of a whole model,
            # or it is a file of version 0.1.0, where Keras itself finds the shared layer.
            dense = keras.saving.deserialize_keras_object(config["dense"])
        return super().from_config({**config, "dense": dense})
