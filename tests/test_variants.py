"""The common contract of all variants, and the properties of each variant."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_variants import NAMES, SHAPE, inputs, is_dense, pictures, small

import keras_ae
from keras_ae import VARIANTS
from keras_ae.networks import bake_off_hidden_units


@pytest.fixture(scope="module", params=NAMES)
def trained(request):
    """A trained model and its history, for tests that change neither."""
    model = small(request.param)
    seen = inputs(model, pictures())
    unseen = inputs(model, pictures()[:32])
    history = model.fit(seen, batch_size=16, epochs=12, validation_data=(unseen,), verbose=0)
    return model, history.history


def test_fit_losses_add_up_and_decrease(trained):
    _, history = trained
    for prefix in ("", "val_"):
        loss = np.array(history[f"{prefix}loss"])
        reconstruction = np.array(history[f"{prefix}reconstruction_loss"])
        latent = np.array(history[f"{prefix}latent_loss"])
        np.testing.assert_allclose(loss, reconstruction + latent, rtol=1e-5)
        assert (latent >= 0).all()
    assert history["loss"][-1] < history["loss"][0]


def test_evaluate_matches_the_loss_of_the_reconstructions(trained):
    model, _ = trained
    images = pictures()
    seen = inputs(model, images)
    reported = model.evaluate(seen, verbose=0, return_dict=True)["reconstruction_loss"]
    rebuilt = model.predict(seen, verbose=0).astype("float64")
    if model.reconstruction_loss == "mse":
        expected = np.square(rebuilt - images).sum(axis=(1, 2))
    else:
        expected = -images * np.log(rebuilt) - (1 - images) * np.log(1 - rebuilt)
        expected = expected.sum(axis=(1, 2))
    assert reported == pytest.approx(expected.mean(), rel=1e-4)
    np.testing.assert_allclose(model.anomaly_score(seen), expected, rtol=1e-3)


@pytest.mark.parametrize("shape", [SHAPE, (6, 5, 3)])
def test_anomaly_scores_are_chosen_by_name(shape):
    images = pictures(20, shape)
    model = small("deep", shape)
    residual = model.reconstruct(images).astype("float64") - images
    expected = residual.reshape(20, -1).sum(axis=1)
    answer = model.anomaly_score(images, score="signed_residual")
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)
    assert np.all(np.abs(expected) < np.abs(residual).reshape(20, -1).sum(axis=1) - 0.1)
    as_tensor = model.anomaly_score(tf.constant(images), score="signed_residual")
    assert tf.is_tensor(as_tensor)
    np.testing.assert_allclose(as_tensor, expected, rtol=1e-4, atol=1e-4)
    squared = np.square(residual).reshape(20, -1).sum(axis=1)
    np.testing.assert_allclose(model.anomaly_score(images, score="mse"), squared, rtol=1e-4)
    bce = model.anomaly_score(images, score="bce")
    np.testing.assert_array_equal(bce, model.anomaly_score(images))
    for unknown in ("mae", 3, ["bce"]):
        with pytest.raises(ValueError, match="bce, mse, .*; received") as error:
            model.anomaly_score(images, score=unknown)
        assert repr(unknown) in str(error.value) and "\n" not in str(error.value)


def test_losses_do_not_depend_on_the_batch_size(trained):
    model, _ = trained
    some = inputs(model, pictures(8))
    many = tf.nest.map_structure(lambda array: np.concatenate([array] * 8), some)
    small_batch, large_batch = (
        model.evaluate(each, batch_size=64, verbose=0, return_dict=True) for each in (some, many)
    )
    for loss in ("loss", "reconstruction_loss", "latent_loss"):
        assert small_batch[loss] == pytest.approx(large_batch[loss], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_trainable_parameter_receives_a_gradient(name):
    model = small(name, **({"activation": "tanh"} if is_dense(name) else {}))
    images = tf.constant(pictures(64))
    with tf.GradientTape() as tape:
        seen = tf.nest.map_structure(tf.constant, inputs(model, images))
        per_image, latent_loss, _ = model._batch_losses(seen, images, training=True)
        loss = tf.reduce_mean(per_image) + latent_loss
    model._build_optimizers()
    variables = model.optimizer._trainable_variables  # except those with another optimizer
    for weight, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert gradient is not None, weight.path
        assert np.any(tf.convert_to_tensor(gradient).numpy() != 0), weight.path


def test_images_of_a_batch_are_independent(trained):
    model, _ = trained
    images = pictures(8)
    together = model.reconstruct(images)
    changed = images.copy()
    changed[1:] = 1 - changed[1:]
    np.testing.assert_allclose(model.reconstruct(changed)[0], together[0], atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(images[:1])[0], together[0], atol=1e-6)


def test_outputs_have_the_documented_shapes_and_ranges(trained):
    model, _ = trained
    images = pictures(10)
    codes = model.encode(images)
    assert codes.shape == (10, *model.code_shape)
    np.testing.assert_array_equal(codes, model.encode(images))
    np.testing.assert_allclose(model.decode(codes), model.reconstruct(images), atol=1e-6)
    path = model.interpolate(images[0], images[1], num_steps=5)
    np.testing.assert_allclose(path[[0, -1]], model.reconstruct(images[:2]), atol=1e-6)
    for answer in (path, model.reconstruct(images)):
        assert answer.shape[1:] == SHAPE
        if model.output_activation == "sigmoid":
            assert answer.min() >= 0 and answer.max() <= 1
    assert model.anomaly_score(images).shape == (10,)
    if model.can_sample:
        assert model.sample(3, seed=1).shape == (3, *SHAPE)
        np.testing.assert_array_equal(model.sample(3, seed=1), model.sample(3, seed=1))
        assert np.any(model.sample(3, seed=1) != model.sample(3, seed=2))
    else:
        with pytest.raises(ValueError, match="vae.*vq_vae"):
            model.sample(3)


@pytest.mark.parametrize("name", NAMES)
def test_color_images_and_selu_without_normalization(name, eager):
    images = pictures(40, (4, 5, 3))
    arguments = {"activation": "selu", "batch_normalization": False} if is_dense(name) else {}
    model = small(name, (4, 5, 3), **arguments)
    assert model.reconstruct(images).shape == images.shape
    seen = inputs(model, images)
    assert np.isfinite(model.fit(seen, epochs=2, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("name", ["deep", "vae", "vq_vae"])
def test_mixed_precision_trains_with_finite_losses(name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        history = small(name).fit(pictures(), batch_size=16, epochs=4, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("class_name", "arguments"),
    [
        ("VAE", {"image_shape": 28}),
        ("VAE", {"image_shape": (28,)}),
        ("VAE", {"hidden_units": 0}),
        ("VAE", {"hidden_units": True}),
        ("VAE", {"latent_dim": 0}),
        ("VAE", {"latent_dim": None}),
        ("VAE", {"latent_dim": "abc"}),
        ("VAE", {"beta": "x"}),
        ("VAE", {"beta": float("inf")}),
        ("Sparse", {"sparsity": 2}),
        ("Denoising", {"noise_stddev": -1}),
        ("VQVAE", {"num_embeddings": 1}),
        ("Deep", {"tied": "no"}),
        ("Deep", {"batch_normalization": "no"}),
        ("Stacked", {"objective": "pictures"}),
    ],
)
def test_bad_arguments_are_refused(class_name, arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError) as caught:
        getattr(keras_ae, class_name)(**arguments)
    message = str(caught.value)
    assert name in message and f"received {value!r}" in message and "\n" not in message


def test_presets_have_the_published_sizes():
    assert bake_off_hidden_units(20) == (341, 113)
    assert bake_off_hidden_units(2) == (146, 20)
    model = keras_ae.Deep()
    kernels = [tuple(w.shape) for w in model.weights if w.path.endswith("kernel")]
    assert kernels == [(784, 341), (341, 113), (113, 20), (20, 113), (113, 341), (341, 784)]
    assert VARIANTS["beta_vae_strict"]().beta == 2.0
    assert VARIANTS["beta_vae_loose"]().beta == 0.5
    assert VARIANTS["vq_vae"]().bottleneck.embeddings.shape == (20, 512)
    assert VARIANTS["sparse"]().bottleneck.activity_regularizer.target == 0.25
    assert VARIANTS["denoising"]().noise_stddev == 0.5


def test_compile_defaults_to_adam_at_1e_3():
    model = keras_ae.Deep(SHAPE)
    model.compile()
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)


# ---- individual variants ----


def test_denoising_targets_are_clean_and_inference_adds_no_noise():
    images = pictures(32)
    model = small("denoising", noise_stddev=0.5)
    np.testing.assert_array_equal(model.encode(images), model.encode(images))
    seen = []
    original = model._batch_losses
    model._batch_losses = lambda inputs, targets, training: (
        seen.append((inputs, targets)) or original(inputs, targets, training)
    )
    model.compile(run_eagerly=True)
    model.fit(images, batch_size=32, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(seen[0][1], images)
    corrupted = model.encoder.get_layer("corruption")(images, training=True)
    assert np.std(corrupted - images) > 0.2


def test_vae_samples_in_training_only():
    images = tf.constant(pictures(16))
    model = small("vae")
    means = model.encoder(images)[:, :4]
    np.testing.assert_array_equal(model.encode(images), means)
    drawn = [model(images, training=True, details=True)["latents"] for _ in range(2)]
    assert np.any(drawn[0] != drawn[1])


def test_vae_sample_latents_are_standard_normal():
    latents = small("vae")._sample_latents(20_000, [5, 0]).numpy()
    np.testing.assert_allclose(latents.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(latents.T), np.eye(4), atol=0.04)


def test_vq_codes_are_scalars_of_the_codebooks_and_usage_is_logged():
    images = pictures()
    model = small("vq_vae", num_embeddings=16)
    history = model.fit(images, epochs=2, validation_data=images, verbose=0).history
    codebooks = model.bottleneck.embeddings.numpy()
    for dimension, codes in enumerate(model.encode(images).T):
        assert np.isin(codes, codebooks[dimension]).all()
    for name in ("perplexity", "val_perplexity"):
        assert 1 <= history[name][-1] <= 16
    # The metric matches the codes.
    usage = np.mean([len(np.unique(codes)) / 16 for codes in model.encode(images).T])
    logged = model.evaluate(images, verbose=0, return_dict=True)["codebook_usage"]
    assert logged == pytest.approx(usage)


class Watcher(keras.callbacks.Callback):
    """Records the weights and the optimizer after every epoch."""

    def __init__(self):
        super().__init__()
        self.stages, self.weights, self.optimizers = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.stages.append(self.model._stage)
        self.weights.append({w.path: np.asarray(w) for w in self.model.weights})
        self.optimizers.append(self.model.optimizer)


@pytest.mark.parametrize("objective", ["pixels", "codes"])
def test_stacked_trains_one_pair_per_stage(objective):
    model = small("stacked", objective=objective)
    before = {w.path: np.asarray(w) for w in model.weights}
    watcher = Watcher()
    model.fit(pictures(), batch_size=16, epochs=7, callbacks=[watcher], verbose=0)
    assert watcher.stages == [0, 0, 0, 1, 1, 2, 2]
    assert len(set(map(id, watcher.optimizers))) == 3
    for stage, epoch in enumerate((2, 4, 6)):
        after = watcher.weights[epoch]
        moved = {path for path in after if np.any(after[path] != before[path])}
        assert moved == {w.path for layer in model._pairs()[stage] for w in layer.weights}
        before = after
    assert model._stage is None and all(layer.trainable for layer in model.layers)


def test_stacked_last_stage_loss_is_that_of_the_whole_network():
    images = pictures()
    model = small("stacked")
    history = model.fit(images, batch_size=16, epochs=6, validation_data=images, verbose=0).history
    whole = model.evaluate(images, batch_size=16, verbose=0, return_dict=True)
    assert whole["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-4)


def test_stacked_warns_about_fewer_epochs_than_stages():
    with pytest.warns(UserWarning, match="3 stages need more than 2 epochs"):
        small("stacked").fit(pictures(), epochs=2, verbose=0)


def test_stacked_early_stop_warns_about_untrained_pairs():
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e9, patience=0)
    with pytest.warns(UserWarning, match="stopped in stage 1 of 3"):
        small("stacked").fit(pictures(), epochs=9, callbacks=[stop], verbose=0)


def test_stacked_works_on_a_tf_dataset():
    data = tf.data.Dataset.from_tensor_slices(pictures()).batch(16)
    history = small("stacked").fit(data, epochs=6, verbose=0).history
    assert len(history["loss"]) == 6
