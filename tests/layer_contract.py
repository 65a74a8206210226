"""The common contract of all layers, as one check. Start the tests of a new layer with it.

def test_my_layer_fulfills_the_contract(tmp_path):
    layer_contract(MyLayer(stddev=0.5, seed=1), (8, 4), tmp_path, settable={"stddev": 2.0})
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

BASE_ARGUMENTS = {"name", "trainable", "dtype", "activity_regularizer", "tie"}


def layer_contract(
    layer: keras.layers.Layer,
    shape: Sequence[int] | Sequence[Sequence[int]],
    tmp_path: Path,
    *,
    settable: Mapping[str, float] = {},
    half_tolerance: float = 0.02,
) -> None:
    """Assert that a layer does what Keras and the users of this package expect of every layer.

    - Its config goes through JSON and gives an equal layer, with the same initial weights.
    - `compute_output_shape` is the shape of the output, also for an unknown batch size.
    - A loaded layer continues like the saved one, bit for bit, noise included.
    - Compiled by XLA, it gives the outputs, losses and weights of eager mode.
    - With the policy mixed_float16 the output is float16 and near that of float32.
    - Each constructor argument can be set, with effect in a function that is compiled already, or
      raises an AttributeError of one line.

    Args:
        layer: The layer, not built. If it draws random numbers it needs a seed.
        shape: Shape of the input with the batch size, or a list of the shapes of several inputs.
        tmp_path: An empty folder.
        settable: For each argument that can be set later, a value other than the layer's.
        half_tolerance: Largest difference between the outputs in half and single precision.
    """
    shapes = [tuple(shape)] if isinstance(shape[0], int) else [tuple(each) for each in shape]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(0.0, 1.0, each).astype("float32") for each in shapes]
    inputs = arrays[0] if isinstance(shape[0], int) else arrays
    modes = (False, True) if "training" in inspect.signature(layer.call).parameters else (None,)

    _check_config(layer, inputs)
    _check_shapes(layer, inputs, shapes)
    _check_loading(layer, inputs, modes[-1], tmp_path)
    for mode in modes:
        _check_compilation(layer, inputs, mode)
        _check_half_precision(layer, inputs, mode, half_tolerance)
    for name in layer.get_config().keys() - BASE_ARGUMENTS:
        if name in settable:
            assert settable[name] != getattr(layer, name), f"give another value of {name}"
            _check_setting(layer, inputs, modes[-1], name, settable[name])
        else:
            _check_refusal(layer, name)
    assert settable.keys() <= layer.get_config().keys()


def fresh(layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
    """A layer from the same config, with other values of some arguments."""
    return type(layer).from_config({**layer.get_config(), **changes})


def results(layer: keras.layers.Layer, inputs: Any, mode: bool | None) -> list[tf.Tensor]:
    """The output, the losses and then the weights of a layer after a call."""
    outputs = layer(inputs) if mode is None else layer(inputs, training=mode)
    weights = [tf.convert_to_tensor(weight) for weight in layer.weights]
    return [outputs, *layer.losses, *weights]


def assert_close(found: list, expected: list, **tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.float64(one), np.float64(other), **tolerance)


def _check_config(layer: keras.layers.Layer, inputs: Any) -> None:
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    one, other = fresh(layer), fresh(layer)
    for each in (one, other):
        each(inputs)
    assert_close(one.get_weights(), other.get_weights(), rtol=0)


def _check_shapes(layer: keras.layers.Layer, inputs: Any, shapes: list[tuple]) -> None:
    symbols = [keras.Input(each[1:]) for each in shapes]
    symbols = symbols if isinstance(inputs, list) else symbols[0]
    given = shapes if isinstance(inputs, list) else shapes[0]
    output_shape = tuple(fresh(layer)(inputs).shape)
    built = fresh(layer)
    assert tuple(built(symbols).shape) == (None, *output_shape[1:])
    assert tuple(built.compute_output_shape(given)) == output_shape


def _check_loading(layer: keras.layers.Layer, inputs: Any, mode: bool | None, folder: Path) -> None:
    arrays = inputs if isinstance(inputs, list) else [inputs]
    symbols = [keras.Input(each.shape[1:]) for each in arrays]
    symbols = symbols if isinstance(inputs, list) else symbols[0]
    saved = fresh(layer)
    model = keras.Model(symbols, saved(symbols))
    results(saved, inputs, mode)
    model.save(folder / "layer.keras")
    loaded = keras.models.load_model(folder / "layer.keras").get_layer(saved.name)
    copied = copy.deepcopy(saved)
    following = results(saved, inputs, mode)
    for each in (loaded, copied):
        assert type(each) is type(layer)
        assert_close(results(each, inputs, mode), following, rtol=0)


def _check_compilation(layer: keras.layers.Layer, inputs: Any, mode: bool | None) -> None:
    eager, compiled = fresh(layer), fresh(layer)
    for each in (eager, compiled):
        results(each, inputs, mode)  # builds it
    compiled.set_weights(eager.get_weights())
    function = tf.function(lambda batch: results(compiled, batch, mode), jit_compile=True)
    batch = tf.nest.map_structure(tf.constant, inputs)
    for _ in range(2):
        assert_close(function(batch), results(eager, inputs, mode), rtol=1e-4, atol=1e-5)


def _check_half_precision(
    layer: keras.layers.Layer, inputs: Any, mode: bool | None, tolerance: float
) -> None:
    single, half = fresh(layer, dtype="float32"), fresh(layer, dtype="mixed_float16")
    results(single, inputs, mode)
    results(half, inputs, mode)
    half.set_weights(single.get_weights())
    assert {weight.dtype for weight in half.weights} <= {"float32"}
    # The same half precision numbers for both, else quantizers may choose different codes.
    rounded = tf.nest.map_structure(lambda array: array.astype("float16"), inputs)
    outputs = results(half, rounded, mode)[0]
    assert outputs.dtype == tf.float16
    expected = results(single, tf.nest.map_structure(np.float32, rounded), mode)[0]
    np.testing.assert_allclose(outputs, expected, atol=tolerance, rtol=tolerance)


def _check_setting(
    layer: keras.layers.Layer, inputs: Any, mode: bool | None, name: str, value: float
) -> None:
    changed, expected = fresh(layer), fresh(layer, **{name: value})
    function = tf.function(lambda batch: results(changed, batch, mode), jit_compile=True)
    batch = tf.nest.map_structure(tf.constant, inputs)
    for each in (changed, expected):
        each(inputs)  # builds it
    expected.set_weights(changed.get_weights())
    before = function(batch)  # compiles it
    results(expected, inputs, mode)
    setattr(changed, name, value)
    expected.set_weights(changed.get_weights())
    after = function(batch)
    assert_close(after, results(expected, inputs, mode), rtol=1e-4, atol=1e-5)
    differences = [
        np.abs(np.float64(one) - np.float64(other)).max()
        for one, other in zip(before, after, strict=True)
    ]
    assert max(differences) > 1e-4, f"{name} has no effect"
    assert getattr(changed, name) == value and isinstance(getattr(changed, name), float)
    assert changed.get_config()[name] == value
    with pytest.raises(ValueError, match=name) as error:
        setattr(changed, name, float("nan"))
    assert "\n" not in str(error.value)
    assert getattr(changed, name) == value


def _check_refusal(layer: keras.layers.Layer, name: str) -> None:
    with pytest.raises(AttributeError, match=rf"{type(layer).__name__}\.{name} ") as error:
        setattr(layer, name, 0.5)
    assert "create a new" in str(error.value) and "\n" not in str(error.value)
