"""The sparsity penalty against the formula, wherever Keras puts it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ae.regularizers import KLDivergenceRegularizer


def formula(weight, target, activations):
    mean = np.float64(activations).reshape(len(activations), -1).mean(axis=0)
    divergence = target * np.log(target / mean)
    divergence += (1.0 - target) * np.log((1.0 - target) / (1.0 - mean))
    return weight * divergence.sum()


def sparse_model(weight=2.0, target=0.1, inputs=6, units=5, **arguments):
    keras.utils.set_random_seed(0)
    images = keras.Input((inputs,))
    dense = keras.layers.Dense(
        units,
        activation="sigmoid",
        activity_regularizer=KLDivergenceRegularizer(weight, target),
        name="code",
        **arguments,
    )
    return keras.Model(images, dense(images))


def images_of(num, tile=1, inputs=6):
    images = np.random.default_rng(5).uniform(size=(num, inputs)).astype("float32")
    return np.tile(images, (tile, 1))


def test_penalty_is_the_formula():
    activations = np.random.default_rng(0).uniform(size=(32, 7)).astype("float32")
    penalty = KLDivergenceRegularizer(3.0, 0.2).penalty(activations)
    np.testing.assert_allclose(penalty, formula(3.0, 0.2, activations), rtol=1e-5)


def test_penalty_of_a_convolutional_code_sums_over_every_unit():
    activations = np.random.default_rng(0).uniform(size=(8, 3, 4, 2)).astype("float32")
    penalty = KLDivergenceRegularizer(1.0, 0.2).penalty(activations)
    np.testing.assert_allclose(penalty, formula(1.0, 0.2, activations), rtol=1e-5)


@pytest.mark.parametrize("in_function", [False, True])
@pytest.mark.parametrize("tile", [1, 8])
def test_a_layer_adds_the_formula_whatever_the_batch_size(tile, in_function):
    dense = sparse_model().get_layer("code")
    images = tf.constant(images_of(8, tile))

    def loss_of(batch):
        activations = dense(batch)
        assert len(dense.losses) == 1
        return dense.losses[0], activations

    if in_function:
        loss_of = tf.function(loss_of, input_signature=[tf.TensorSpec((None, 6), tf.float32)])
    loss, activations = loss_of(images)
    np.testing.assert_allclose(loss, formula(2.0, 0.1, activations), rtol=1e-5)


def test_tiling_the_batch_does_not_change_the_loss():
    model = sparse_model()
    model(images_of(8))
    (few,) = model.losses
    model(images_of(8, tile=8))
    (many,) = model.losses
    np.testing.assert_allclose(few, many, rtol=1e-6)
    assert few > 0.5  # eight-fold differences could not hide


@pytest.mark.parametrize("num, tile", [(8, 1), (8, 8)])
def test_fit_and_evaluate_report_the_reconstruction_plus_the_formula(num, tile):
    model = sparse_model()
    images = images_of(num, tile)
    targets = np.zeros((len(images), 5), "float32")
    codes = model.predict(images, verbose=0)
    expected = np.mean(np.float64(codes) ** 2) + formula(2.0, 0.1, codes)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    assert model.evaluate(images, targets, batch_size=64, verbose=0) == pytest.approx(
        expected, 1e-5
    )
    history = model.fit(images, targets, batch_size=64, verbose=0)
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_a_mixed_precision_layer_adds_the_formula():
    model = sparse_model(dtype="mixed_float16")
    codes = model(images_of(64))
    assert codes.dtype == tf.float16
    (loss,) = model.losses
    np.testing.assert_allclose(loss, formula(2.0, 0.1, codes), rtol=2e-3)


@pytest.mark.parametrize("bias", [-200.0, 200.0])
def test_saturated_units_give_a_finite_loss(bias):
    model = sparse_model(bias_initializer=keras.initializers.Constant(bias))
    codes = model(images_of(8)).numpy()
    assert set(np.unique(codes)) <= {0.0, 1.0}
    (loss,) = model.losses
    assert 1.0 < float(loss) < 1000.0


def test_training_brings_the_mean_activation_to_the_target():
    model = sparse_model(target=0.1, weight=1.0)
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=None)
    model.fit(images_of(64, tile=150), batch_size=64, shuffle=False, verbose=0)  # 150 steps
    means = model.predict(images_of(64), verbose=0).mean(axis=0)
    np.testing.assert_allclose(means, 0.1, atol=0.02)


def test_config_round_trip():
    regularizer = KLDivergenceRegularizer(weight=0.5, target=0.05)
    assert regularizer.get_config() == {"weight": 0.5, "target": 0.05}
    again = KLDivergenceRegularizer.from_config(regularizer.get_config())
    assert (again.weight, again.target) == (0.5, 0.05)


def test_keras_serialises_it_without_custom_objects():
    config = keras.saving.serialize_keras_object(KLDivergenceRegularizer(0.5, 0.05))
    again = keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert isinstance(again, KLDivergenceRegularizer)
    assert (again.weight, again.target) == (0.5, 0.05)


def test_a_saved_model_keeps_the_penalty(tmp_path):
    model = sparse_model(weight=2.0, target=0.1)
    model.save(tmp_path / "sparse.keras")
    loaded = keras.models.load_model(tmp_path / "sparse.keras")
    codes = loaded(images_of(16))
    (loss,) = loaded.losses
    np.testing.assert_allclose(loss, formula(2.0, 0.1, codes), rtol=1e-5)


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_bad_weight_is_named(weight):
    with pytest.raises(ValueError, match=f"weight must be a number >= 0; received {weight}"):
        KLDivergenceRegularizer(weight=weight)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_bad_target_is_named(target):
    with pytest.raises(ValueError, match=f"target must lie between .* received {target}"):
        KLDivergenceRegularizer(target=target)
