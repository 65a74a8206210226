"""What a functional model has: symbolic input and output, their shapes, and the summary."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_variants import SHAPE, pictures, small

KINDS = ["deep", "vae", "vq_vae", "conv_vq_vae", "conditional_vae"]


@pytest.mark.parametrize("name", KINDS)
def test_input_and_output_are_symbolic_tensors_of_the_model(name):
    model, images = small(name), pictures(7)
    for tensor in (model.input, model.output, *model.inputs, *model.outputs):
        assert isinstance(tensor, keras.KerasTensor)
        assert tensor.shape == (None, *SHAPE)
    assert model.input_shape == model.output_shape == (None, *SHAPE)
    same = keras.Model(model.input, model.output)
    np.testing.assert_array_equal(same(images), model(tf.constant(images)))
    assert not any(isinstance(loss, keras.KerasTensor) for loss in model.losses)


def test_a_model_of_the_encoder_is_made_from_the_symbolic_input():
    model, images = small("deep"), pictures(7)
    model(tf.constant(images))
    encoder = keras.Model(model.input, model.encoder(model.input))
    np.testing.assert_allclose(encoder(images), model.encode(images), rtol=1e-6)


def test_a_symbolic_call_of_the_user_is_the_one_that_counts():
    model, images = small("deep"), keras.Input(SHAPE)
    outputs = model(images)
    assert model.input is images
    assert model.output is outputs


def test_a_model_with_symbolic_tensors_is_trained_and_saved(tmp_path):
    model = small("vae")
    assert model.input.shape == (None, *SHAPE)
    model.train_on_batch(pictures())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.encode(pictures()), model.encode(pictures()))


def summary_of(model):
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text), line_length=100)
    return "\n".join(lines)


@pytest.mark.parametrize("name", KINDS)
def test_summary_counts_the_parameters_of_the_model_only(name):
    model = small(name)
    before = summary_of(model)
    model.optimizer.build(model.trainable_variables)  # as fit does
    assert summary_of(model) == before
    assert f"Total params: {model.count_params():,} " in before
    assert model.compiled


@pytest.mark.parametrize("name", KINDS)
def test_summary_shows_the_shapes_of_batches_of_any_size(name):
    model = small(name)
    code = ", ".join(map(str, model.code_shape))
    rows = [line for line in summary_of(model).splitlines() if "bottleneck" in line]
    if name == "conv_vq_vae":  # its latents are maps of vectors
        code = ", ".join(map(str, model.bottleneck.output_shape[1:]))
        assert model.decoder.input_shape == model.bottleneck.output_shape
    assert [f"(None, {code})" in row for row in rows] == [True]
