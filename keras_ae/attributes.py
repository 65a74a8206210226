"""Attributes of layers and regularizers: numbers that can be set during training, fixed arguments.

A Python number that a layer reads is a constant of the compiled training step: setting it later
has no effect. `SettableNumber` keeps the number in a variable that the compiled step reads.
`FixedArgument` refuses to be set after construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_ae.checks import check_number


class SettableNumber:
    """Descriptor: a number that takes effect whenever it is set, also in a compiled epoch.

    Reading the attribute gives a Python float. The layer computes with `current_value`, which reads
    a float64 variable: arithmetic on it, cast to the layer's precision at the end, gives the same
    digits as a Python float would. The variable is not a Keras weight, so weights files do not
    contain it; `get_config` saves the float.

    ```python
    class Scale(keras.layers.Layer):
        factor = SettableNumber()

        def __init__(self, factor=1.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, inputs):
            return current_value(self, "factor", inputs.dtype) * inputs
    ```

    Args:
        check: Function of the attribute's name and the value that returns the value as a float, or
            raises a ValueError.
        optional: Whether the value may be None. None means that the layer was built without the
            part that needs the number, so None cannot be changed into a number later, nor a number
            into None.
    """

    def __init__(
        self, check: Callable[[str, Any], float] = check_number, *, optional: bool = False
    ):
        self._check = check
        self._optional = optional

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self._variable_name = f"_{name}_variable"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else _stored(instance, self._name)

    def __set__(self, instance: Any, value: Any) -> None:
        state = vars(instance)
        is_new = self._name not in state
        if self._optional and not is_new and (value is None) != (state[self._name] is None):
            raise AttributeError(
                f"{type(instance).__name__}.{self._name} is {state[self._name]!r} and cannot be "
                f"changed to {value!r} after construction: {_remedy(instance, self._name, value)}"
            )
        if self._optional and value is None:
            state[self._name] = None
            return
        number = self._check(self._name, value)
        if is_new:
            with tf.init_scope():
                variable = tf.Variable(number, False, dtype=tf.float64, name=self._name)  # type: ignore[arg-type]
            setattr(instance, self._variable_name, variable)  # so that exports include it
        else:
            state[self._variable_name].assign(number)
        state[self._name] = number


def current_value(instance: Any, name: str, dtype: Any = tf.float32) -> tf.Tensor:
    """The value of a `SettableNumber` as a scalar tensor, for the computation of a layer."""
    return tf.cast(vars(instance)[f"_{name}_variable"], dtype)


class FixedArgument:
    """Descriptor: a constructor argument that is an attribute and cannot be set again."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else _stored(instance, self._name)

    def __set__(self, instance: Any, value: Any) -> None:
        if self._name in vars(instance):
            raise AttributeError(
                f"{type(instance).__name__}.{self._name} cannot be changed after construction: "
                f"{_remedy(instance, self._name, value)}"
            )
        vars(instance)[self._name] = value


def _stored(instance: Any, name: str) -> Any:
    try:
        return vars(instance)[name]
    except KeyError:
        raise AttributeError(f"{type(instance).__name__} has no {name!r} yet.") from None


def _remedy(instance: Any, name: str, value: Any) -> str:
    text = repr(value)
    text = text if len(text) <= 60 and "\n" not in text else "..."
    return f"create a new {type(instance).__name__}(..., {name}={text})."
