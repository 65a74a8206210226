"""Activity regularizers against their formulas, in layers, in `fit` and in saved models."""

from __future__ import annotations

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ae.regularizers import KLDivergenceRegularizer, L1Regularizer


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


def test_penalty_matches_the_formula():
    activations = np.random.default_rng(0).uniform(size=(32, 7)).astype("float32")
    penalty = KLDivergenceRegularizer(3.0, 0.2).penalty(activations)
    np.testing.assert_allclose(penalty, formula(3.0, 0.2, activations), rtol=1e-5)


def test_penalty_of_a_convolutional_code_sums_over_every_unit():
    activations = np.random.default_rng(0).uniform(size=(8, 3, 4, 2)).astype("float32")
    penalty = KLDivergenceRegularizer(1.0, 0.2).penalty(activations)
    np.testing.assert_allclose(penalty, formula(1.0, 0.2, activations), rtol=1e-5)


@pytest.mark.parametrize("in_function", [False, True])
@pytest.mark.parametrize("tile", [1, 8])
def test_layer_loss_does_not_depend_on_the_batch_size(tile, in_function):
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


def test_repeating_the_batch_does_not_change_the_loss():
    model = sparse_model()
    model(images_of(8))
    (few,) = model.losses
    model(images_of(8, tile=8))
    (many,) = model.losses
    np.testing.assert_allclose(few, many, rtol=1e-6)
    assert few > 0.5  # an eight-fold difference would be visible


@pytest.mark.parametrize("num, tile", [(8, 1), (8, 8)])
def test_fit_and_evaluate_report_reconstruction_plus_penalty(num, tile):
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


def test_mixed_precision_layer_adds_the_formula():
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


def test_training_moves_the_mean_activation_to_the_target():
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


def test_serialization_needs_no_custom_objects():
    config = keras.saving.serialize_keras_object(KLDivergenceRegularizer(0.5, 0.05))
    again = keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert isinstance(again, KLDivergenceRegularizer)
    assert (again.weight, again.target) == (0.5, 0.05)


def test_saved_model_keeps_the_penalty(tmp_path):
    model = sparse_model(weight=2.0, target=0.1)
    model.save(tmp_path / "sparse.keras")
    loaded = keras.models.load_model(tmp_path / "sparse.keras")
    codes = loaded(images_of(16))
    (loss,) = loaded.losses
    np.testing.assert_allclose(loss, formula(2.0, 0.1, codes), rtol=1e-5)


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_bad_weight_is_refused(weight):
    with pytest.raises(ValueError, match=f"weight must be a number >= 0; received {weight}"):
        KLDivergenceRegularizer(weight=weight)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_bad_target_is_refused(target):
    with pytest.raises(ValueError, match=f"target must be .* received {target}"):
        KLDivergenceRegularizer(target=target)


# ---- settings ----


class CallOnEpochBegin(keras.callbacks.Callback):
    """Call a function at the start of each epoch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_epoch_begin(self, epoch, logs=None):
        self.function(epoch)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_callback_changes_of_weight_and_target_take_effect(jit_compile):
    model = sparse_model()
    regularizer = model.get_layer("code").activity_regularizer
    images = images_of(32)
    codes = model.predict(images, verbose=0)
    values = [(2.0, 0.1), (0.0, 0.1), (0.7, 0.1), (0.7, 0.6)]

    def set_values(epoch):
        regularizer.weight, regularizer.target = values[epoch]

    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=None, jit_compile=jit_compile)
    losses = model.fit(
        images, epochs=4, verbose=0, callbacks=[CallOnEpochBegin(set_values)]
    ).history["loss"]
    expected = [formula(weight, target, codes) for weight, target in values]
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
    assert regularizer.get_config() == {"weight": 0.7, "target": 0.6}
    with pytest.raises(ValueError, match="target must be"):
        regularizer.target = 1.0
    assert regularizer.target == 0.6


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_have_independent_settings(copied):
    codes = np.random.default_rng(0).uniform(size=(8, 3)).astype("float32")
    original = KLDivergenceRegularizer(2.0, 0.1)
    other = copied(original)
    other.weight = 5.0
    np.testing.assert_allclose(original.penalty(codes), formula(2.0, 0.1, codes), rtol=1e-5)
    np.testing.assert_allclose(other.penalty(codes), formula(5.0, 0.1, codes), rtol=1e-5)


def test_exported_model_with_a_regularizer_contains_its_variables(tmp_path):
    model = sparse_model()
    images = images_of(8)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", model.__call__, [tf.TensorSpec((None, 6), tf.float32)])
    archive.write_out(str(tmp_path / "export"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(served.serve(images), model(images), rtol=1e-6)


# ---- L1Regularizer ----


@pytest.mark.parametrize("shape", [(8, 5), (4, 3, 2, 5)])
def test_l1_matches_keras(shape):
    codes = np.random.default_rng(0).normal(size=shape).astype("float32")
    ours, theirs = (
        keras.layers.Activation("tanh", activity_regularizer=regularizer)
        for regularizer in (L1Regularizer(0.784), keras.regularizers.L1(0.784))
    )
    for layer in (ours, theirs):
        layer(codes)
    np.testing.assert_array_equal(ours.losses, theirs.losses)
    expected = 0.784 * np.abs(np.tanh(np.float64(codes))).sum() / len(codes)
    np.testing.assert_allclose(ours.losses, [expected], rtol=1e-5)


def test_l1_set_later_takes_effect_and_is_saved():
    layer = keras.layers.Activation("linear", activity_regularizer=L1Regularizer(0.1))
    function = tf.function(lambda codes: (layer(codes), layer.losses[0])[1], jit_compile=True)
    codes = tf.ones((4, 5))
    np.testing.assert_allclose(function(codes), 0.5, rtol=1e-6)
    layer.activity_regularizer.l1 = 2.0
    np.testing.assert_allclose(function(codes), 10.0, rtol=1e-6)
    again = keras.layers.Activation.from_config(layer.get_config())
    assert isinstance(again.activity_regularizer, L1Regularizer)
    assert again.activity_regularizer.l1 == 2.0
    with pytest.raises(ValueError, match="l1 must be a number >= 0; received -1"):
        L1Regularizer(-1)
