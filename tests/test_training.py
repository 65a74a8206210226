"""The multi-step execution of `fit` matches single steps, in the same order."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_variants import small

from keras_ae import VARIANTS, Deep
from keras_ae.training import trainer
from keras_ae.training.feed import MemoryFeed, epoch_order, needs_every_batch

SHAPE = (6, 5)


def pictures(num=200, seed=0):
    random = np.random.default_rng(seed)
    prototypes = random.random((4, *SHAPE)) > 0.5
    weights = random.dirichlet(np.full(4, 0.3), size=num)
    # Noise, because gradients of constant pixels are rounding errors, which Adam amplifies.
    noise = 0.1 * random.random((num, *SHAPE))
    return (np.tensordot(weights, 0.9 * prototypes, axes=1) + noise).astype("float32")


def built(name="deep", seed=5, **compile_arguments):
    keras.utils.set_random_seed(seed)
    arguments = {} if name == "shallow" else {"hidden_units": (12, 8)}
    model = VARIANTS[name](image_shape=SHAPE, latent_dim=3, seed=seed, **arguments)
    model.compile(**compile_arguments)
    return model


def slow_loop(model, images, batch_size, epochs):
    """The simple version: one eager train_step after another."""
    losses = []
    with model._momentum_for(-(-len(images) // batch_size)):
        for epoch in range(epochs):
            order = epoch_order(len(images), model._shuffle_seed, epoch).numpy()
            model.reset_metrics()
            for start in range(0, len(images), batch_size):
                model.train_step((tf.constant(images[order[start : start + batch_size]]),))
            losses.append(float(model.get_metrics_result()["loss"]))
    return losses


@pytest.mark.xla
@pytest.mark.parametrize(
    "name",
    [
        "deep",
        "vae",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sparse", "denoising", "vq_vae")),
    ],
)
def test_compiled_epochs_match_single_eager_steps(name):
    images = pictures()
    fast, slow = built(name), built(name)
    history = fast.fit(images, batch_size=64, epochs=3, verbose=0).history
    losses = slow_loop(slow, images, 64, 3)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
    for ours, theirs in zip(fast.weights, slow.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=2e-3, err_msg=ours.path)


@pytest.mark.xla
def test_batch_callbacks_get_every_batch_without_side_effects():
    class Batches(keras.callbacks.Callback):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            type(self).seen += 1
            assert logs["loss"] > 0

    images = pictures()
    plain, watched = built(), built()
    expected = plain.fit(images, batch_size=64, epochs=2, verbose=0).history
    got = watched.fit(images, batch_size=64, epochs=2, callbacks=[Batches()], verbose=0).history
    assert Batches.seen == 2 * 4
    assert got == expected
    assert watched.steps_per_execution == 1


@pytest.mark.parametrize(("units", "steps"), [(8, 4), (2**9, 2), (2**12, 1)])
def test_steps_per_call_are_limited_by_their_duration(monkeypatch, units, steps):
    middle = Deep(SHAPE, 3, hidden_units=(2**9,)).count_params()
    monkeypatch.setattr(trainer, "MAX_WORK_PER_CALL", 2 * 64 * middle)
    model = Deep(SHAPE, 3, hidden_units=(units,), seed=1)
    model.compile(jit_compile=False)
    asked = []
    set_steps = model._use_steps_per_execution
    monkeypatch.setattr(
        model, "_use_steps_per_execution", lambda number: asked.append(number) or set_steps(number)
    )
    model.fit(pictures(), batch_size=64, epochs=1, verbose=0)
    assert asked[0] == steps


def test_callbacks_that_need_every_batch_are_detected():
    class OnBatch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            pass

    assert needs_every_batch(OnBatch())
    assert needs_every_batch(
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    )
    assert needs_every_batch(keras.callbacks.ModelCheckpoint("m.keras", save_freq=3))
    assert not needs_every_batch(keras.callbacks.ModelCheckpoint("m.keras"))
    assert not needs_every_batch(keras.callbacks.EarlyStopping())
    assert not needs_every_batch(keras.callbacks.TerminateOnNaN())
    assert not needs_every_batch(keras.callbacks.CSVLogger("log.csv"))


def test_epoch_order_is_a_permutation_of_seed_and_epoch():
    orders = {
        (seed, epoch): epoch_order(1000, seed, epoch).numpy() for seed in (1, 2) for epoch in (0, 1)
    }
    for order in orders.values():
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    kept = list(orders.values())
    for first in range(4):
        for second in range(first):
            assert np.mean(kept[first] == kept[second]) < 0.05
    np.testing.assert_array_equal(orders[1, 0], epoch_order(1000, 1, 0).numpy())


def test_epochs_differ_in_order_and_are_reproducible():
    feed = MemoryFeed(pictures(), None, None, batch_size=64, seed=3)
    feed.begin(0)
    first = feed.batches.numpy()
    feed.begin(1)
    assert np.any(feed.batches.numpy() != first)
    feed.begin(0)
    np.testing.assert_array_equal(feed.batches.numpy(), first)
    assert feed.batches.shape == (3, 64) and feed.last_batch.shape == (8,)


@pytest.mark.xla
def test_fit_in_two_parts_equals_one_bit_for_bit():
    images = pictures()
    whole, parts = built("vae"), built("vae")
    whole.fit(images, batch_size=64, epochs=4, verbose=0)
    parts.fit(images, batch_size=64, epochs=2, verbose=0)
    parts.fit(images, batch_size=64, epochs=4, initial_epoch=2, verbose=0)
    for ours, theirs in zip(whole.weights, parts.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.xla
def test_compiled_steps_read_nothing_from_the_host():
    # Works without a GPU: the compiled loop must contain no op that reads from the host.
    model = built("vae")
    feed = MemoryFeed(pictures(), None, None, batch_size=64, seed=3)
    model._feed = feed
    model.make_train_function()
    graph = model._multi_step.get_concrete_function(
        feed.data, feed.batches, tf.constant(0), tf.constant(2)
    ).graph.as_graph_def()
    ops = {node.op for node in graph.node}
    ops |= {node.op for function in graph.library.function for node in function.node_def}
    assert "While" in ops or "StatelessWhile" in ops
    host = ("PyFunc", "Iterator", "Dataset", "Send", "Recv", "Print", "Summary", "ReadFile")
    assert not [op for op in ops if any(word in op for word in host)]


def test_evaluate_before_fit_does_not_shorten_validation():
    # Keras bakes steps_per_execution into the traced evaluation: a stale one sees one batch only.
    images, validation = pictures(), pictures(90, seed=1)
    model = built()
    model.evaluate(validation, batch_size=16, verbose=0)
    history = model.fit(
        images, validation_data=validation, validation_batch_size=16, epochs=1, verbose=0
    ).history
    after = model.evaluate(validation, batch_size=16, verbose=0, return_dict=True)
    assert history["val_loss"][0] == pytest.approx(after["loss"], rel=1e-5)
    assert model.predict(validation, verbose=0).shape == validation.shape


def test_batch_size_above_the_number_of_images_takes_all_as_in_keras():
    images = pictures(40)
    losses = [
        built().fit(images, batch_size=size, epochs=2, verbose=0).history["loss"]
        for size in (40, 64)
    ]
    assert losses[0] == losses[1]


def averages(model):
    return [w.numpy() for w in model.weights if "moving" in w.path]


@pytest.mark.parametrize("as_dataset", [False, True])
def test_batch_normalization_follows_an_epoch_of_few_steps(as_dataset):
    # With momentum 0.99 the averages after 20 steps would still be nearly the initial ones.
    images = pictures(64)
    model = built(optimizer=keras.optimizers.SGD(0.0))
    data = tf.data.Dataset.from_tensor_slices(images).batch(32) if as_dataset else images
    model.fit(data, batch_size=None if as_dataset else 32, epochs=20, shuffle=False, verbose=0)
    first = model.encoder.layers[1]
    outputs = first.get_layer("dense")(images.reshape(64, -1)).numpy().astype("float64")
    halves = outputs.reshape(2, 32, -1)
    # Two steps per epoch: the momentum is 1/2, so the last half counts 2/3, the first one 1/3.
    mean = halves.mean(axis=1)[0] / 3 + halves.mean(axis=1)[1] * 2 / 3
    normalization = first.get_layer("batch_normalization")
    np.testing.assert_allclose(normalization.moving_mean.numpy(), mean, rtol=1e-3, atol=1e-5)
    assert normalization.momentum == 0.99


def test_batch_normalization_is_unchanged_from_100_steps_on():
    model = built()
    normalization = model.encoder.layers[1].get_layer("batch_normalization")
    for steps, momentum in ((100, 0.99), (215, 0.99), (None, 0.99), (4, 0.75), (1, 0.0)):
        with model._momentum_for(steps):
            assert normalization.momentum == pytest.approx(momentum)


def test_second_fit_with_other_steps_uses_its_own_momentum():
    images = pictures(64)
    one, two = built(), built()
    one.fit(images[:32], batch_size=32, epochs=1, verbose=0)
    one.fit(images, batch_size=8, epochs=2, initial_epoch=1, verbose=0)
    two.fit(images[:32], batch_size=32, epochs=1, verbose=0)
    two._reset_functions()
    two.fit(images, batch_size=8, epochs=2, initial_epoch=1, verbose=0)
    for ours, theirs in zip(averages(one), averages(two), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_fit_takes_images_pairs_and_datasets():
    images = pictures()
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(64)
    pairs = tf.data.Dataset.from_tensor_slices((images, images)).batch(64)
    losses = []
    for arguments in ((images, None, 64), (images, images, 64), (dataset,), (pairs,)):
        history = built().fit(*arguments, shuffle=False, epochs=2, verbose=0).history
        losses.append(history["loss"])
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-4)


def test_separate_targets_are_used():
    images = pictures()
    model = built()
    model.fit(images, 1 - images, batch_size=64, epochs=60, verbose=0)
    inverted = model.evaluate(images, 1 - images, verbose=0, return_dict=True)["loss"]
    assert inverted < 0.8 * model.evaluate(images, verbose=0, return_dict=True)["loss"]


def test_sample_weight_scales_the_reconstruction_loss():
    images = pictures(64)
    weight = np.linspace(0, 2, 64).astype("float32")
    model = built(jit_compile=False)
    weighted = model.evaluate(images, sample_weight=weight, verbose=0, return_dict=True)
    per_image = model.anomaly_score(images)
    assert weighted["reconstruction_loss"] == pytest.approx(np.mean(weight * per_image), rel=1e-4)
    ones, none = built(), built()
    first = ones.fit(images, sample_weight=np.ones(64), epochs=2, verbose=0).history["loss"]
    second = none.fit(images, epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_validation_split_takes_the_last_images_as_in_keras():
    images = pictures(100)
    images[80:] = 0
    history = built().fit(images, validation_split=0.2, epochs=1, verbose=0).history
    model = built()
    explicit = model.fit(images[:80], validation_data=images[80:], epochs=1, verbose=0).history
    np.testing.assert_allclose(history["val_loss"], explicit["val_loss"], rtol=1e-5)


def test_keras_callbacks_work(tmp_path):
    images = pictures()
    stop = keras.callbacks.EarlyStopping(patience=0, min_delta=1e9, monitor="val_loss")
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True)
    model = built()
    history = model.fit(
        images, validation_data=images, epochs=9, callbacks=[stop, checkpoint], verbose=0
    )
    assert len(history.history["loss"]) == 2
    assert keras.models.load_model(tmp_path / "best.keras").get_config() == model.get_config()


def test_eager_mode_and_additional_metrics_work():
    images = pictures(64)
    model = built(run_eagerly=True, metrics=["mae"])
    history = model.fit(images, epochs=1, verbose=0).history
    expected = np.abs(model.predict(images, verbose=0) - images).mean()
    assert model.evaluate(images, verbose=0, return_dict=True)["mae"] == pytest.approx(
        expected, rel=1e-4
    )
    assert "mae" in history


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": pictures() * 255}, "Divide them by 255"),
        ({"x": np.full((9, *SHAPE), np.nan)}, "NaN"),
        ({"x": pictures()[..., None]}, r"\(200, 6, 5, 1\)"),
        ({"x": pictures()[:0]}, "at least one image"),
        ({"x": pictures(), "batch_size": 0}, "batch_size must be a whole number >= 1"),
        ({"x": pictures(), "y": np.arange(200)}, "Labels are not targets"),
        ({"x": pictures(), "y": pictures(100)}, "targets must .* 200 images and 100"),
        ({"x": pictures(), "sample_weight": np.ones(3)}, "sample_weight must have the shape"),
        ({"x": pictures(), "class_weight": {0: 1.0}}, "class_weight"),
        ({"x": pictures(), "validation_data": pictures() - 1}, "pixels from -0.99"),
    ],
)
def test_unusable_arguments_are_refused_in_one_line(arguments, words):
    with pytest.raises(ValueError, match=words) as caught:
        built(jit_compile=False).fit(**arguments, verbose=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_other_methods_refuse_what_fit_refuses(name):
    model = built(jit_compile=False)
    for images, words in [(pictures() * 255, "Divide them by 255"), (pictures() * np.nan, "NaN")]:
        with pytest.raises(ValueError, match=words):
            getattr(model, name)(images, verbose=0)
    answers = getattr(model, name)((pictures() > 0.5).astype("uint8"), verbose=0)
    assert np.isfinite(answers).all()


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ((pictures(), np.arange(200)), "Labels are not targets"),
        (pictures() * 255, "Divide them by 255"),
        ((pictures() * 255).astype("uint8"), "Divide them by 255"),
        (pictures()[..., None], "must have the shape"),
        (pictures() * np.nan, "NaN"),
    ],
)
def test_unusable_datasets_are_refused_in_one_line(tensors, words):
    data = tf.data.Dataset.from_tensor_slices(tensors).batch(50)
    with pytest.raises(ValueError, match=words) as caught:
        built().fit(data, verbose=0)
    assert "\n" not in str(caught.value)


def test_uncompiled_model_and_empty_input_are_refused():
    with pytest.raises(ValueError, match="compile"):
        Deep(SHAPE).fit(pictures())
    with pytest.raises(ValueError, match="x=None"):
        built().fit(None)


def test_compile_refuses_a_loss():
    with pytest.raises(ValueError, match="loss='mse'"):
        Deep(SHAPE).compile(loss="mse")


@pytest.mark.slow
def test_two_replicas_match_one():
    # Gradients are summed over replicas: a step that does not scale its loss is twice too large.
    program = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, keras_ae
images = np.random.default_rng(0).random((128, 6, 5), dtype="float32")
def losses(strategy):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras_ae.VQVAE((6, 5), 3, hidden_units=(8,), batch_normalization=False, seed=1)
        model.compile(keras.optimizers.SGD(0.05))
    history = model.fit(images, batch_size=64, epochs=3, shuffle=False, verbose=0).history
    return history["loss"], history["perplexity"]
two = losses(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
one = losses(tf.distribute.get_strategy())
np.testing.assert_allclose(two, one, rtol=1e-4)
print("equal")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip().endswith("equal"), result.stderr[-3000:]


# ---- a moving average of the weights ----


def with_average(momentum=0.8):
    return keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=momentum)


def test_average_of_compiled_steps_matches_single_eager_steps():
    """It starts with the weights after the first update, as Keras's does."""
    images, seen = pictures(), []
    slow = built(optimizer=keras.optimizers.SGD(0.01))
    apply = slow.optimizer.apply

    def record(gradients, variables):
        apply(gradients, variables)
        seen.append([variable.numpy().astype(np.float64) for variable in variables])

    slow.optimizer.apply = record
    slow_loop(slow, images, 64, 2)
    assert len(seen) == 8
    fast = built(optimizer=with_average())
    fast.fit(images, batch_size=64, epochs=2, verbose=0)
    expected = seen[0]
    for weights in seen[1:]:
        expected = [0.8 * old + 0.2 * new for old, new in zip(expected, weights, strict=True)]
    for ours, theirs in zip(fast.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5, err_msg=ours.path)


def test_keras_callback_validates_with_the_averages():
    images, validation = pictures(), pictures(50, seed=1)
    found = {}
    for name, callbacks in {"raw": [], "averages": [keras.callbacks.SwapEMAWeights()]}.items():
        model = built(optimizer=with_average())
        history = model.fit(
            images, batch_size=64, epochs=2, validation_data=validation, callbacks=callbacks,
            verbose=0,
        ).history  # fmt: skip
        found[name] = history["val_loss"]
        final = model.evaluate(validation, verbose=0, return_dict=True)["loss"]
    assert found["averages"][-1] == pytest.approx(final, rel=1e-5)
    assert found["raw"][-1] != pytest.approx(final, rel=1e-3)


def test_average_of_a_vae_gan_is_that_of_encoder_and_decoder():
    model = small("vae_gan")
    model.compile(keras.optimizers.Adam(use_ema=True, ema_momentum=0.5), jit_compile=False)
    model.fit(pictures(), batch_size=100, epochs=1, verbose=0)
    parts = [*model.encoder.trainable_variables, *model.decoder.trainable_variables]
    averages = model.optimizer._model_variables_moving_average
    for variable, average in zip(parts, averages, strict=True):
        np.testing.assert_array_equal(variable.numpy(), average.numpy())


@pytest.mark.parametrize("scaled", [False, True])
def test_stacked_refuses_an_average(scaled):
    optimizer = with_average()
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    with pytest.raises(ValueError, match="use_ema"):
        small("stacked").compile(optimizer)
