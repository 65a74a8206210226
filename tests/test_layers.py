"""Layers: the common contract, closed forms, slow versions and statistics."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_contract import layer_contract
from scipy import stats

import keras_ae
from keras_ae import layers
from keras_ae.metrics import CodebookUsage
from keras_ae.regularizers import KLDivergenceRegularizer


def codes(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0.0, scale, shape).astype("float32")


def saved_and_loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def stored_shapes(path):
    """The shapes of all arrays in the weights file of a .keras archive."""
    shapes = []
    with zipfile.ZipFile(path) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights) as file:
        file.visititems(
            lambda _, item: shapes.append(item.shape) if isinstance(item, h5py.Dataset) else None
        )
    return shapes


# ---- the contract of every layer ----


def built_transpose():
    dense = keras.layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    dense.build((None, 9))
    return layers.DenseTranspose(dense, activation="tanh")


LAYERS = {
    "sampling": (layers.Sampling(seed=1), [(8, 3), (8, 3)], {}),
    "gaussian bottleneck": (layers.GaussianBottleneck(0.5, seed=3), (8, 6), {"beta": 2.0}),
    "with warm-up": (layers.GaussianBottleneck(0.0, 3, warmup_epochs=4), (8, 6), {"beta": 0.3}),
    "conditional bottleneck": (layers.ConditionalBottleneck(2, 0.5, 3), (8, 8), {"beta": 0.0}),
    "binary bottleneck": (layers.BinaryBottleneck(seed=3), (8, 5), {"stddev": 0.0}),
    "binary without noise": (layers.BinaryBottleneck(0.0, seed=3), (8, 5), {"stddev": 2.0}),
    "identity": (layers.IdentityBottleneck(), (4, 3, 2), {}),
    "activation": (layers.IdentityBottleneck("sigmoid"), (4, 8), {}),
    "gaussian corruption": (layers.GaussianCorruption(0.25, seed=3), (4, 8, 9, 3), {"stddev": 0.0}),
    "without noise": (layers.GaussianCorruption(0.0, seed=3), (4, 8, 9), {"stddev": 0.3}),
    "dropout": (layers.DropoutCorruption(0.25, seed=3), (4, 8, 9), {"rate": 0.6}),
    "no dropout": (layers.DropoutCorruption(0.0, seed=3), (4, 8, 9), {"rate": 0.3}),
    "transpose": (built_transpose(), (5, 3, 4), {}),
    "scalar quantizer": (layers.ScalarQuantizer(7, 0.25, 3), (9, 4), {"commitment_cost": 2.0}),
    "vector quantizer": (layers.VectorQuantizer(7, seed=3), (9, 5, 4), {"commitment_cost": 2.0}),
    "moving averages": (
        layers.VectorQuantizer(7, 2, 0.5, 0.9, 3, seed=3),
        (9, 5, 4),
        {"commitment_cost": 2.0, "ema_decay": 0.5},
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_fulfills_the_contract(name, tmp_path):
    layer, shape, settable = LAYERS[name]
    layer_contract(layer, shape, tmp_path, settable=settable)


def test_every_public_layer_is_in_the_contract_test():
    tested = {type(layer).__name__ for layer, _, _ in LAYERS.values()}
    # LSTM has the settable attributes of Keras's layer; test_networks.py tests it.
    assert tested == set(layers.__all__) - {"Bottleneck", "LSTM"}


def test_moving_averages_cannot_be_added_or_removed_later():
    for before, after in ((None, 0.9), (0.9, None)):
        quantizer = layers.VectorQuantizer(4, ema_decay=before)
        with pytest.raises(AttributeError, match="ema_decay is .* create a new VectorQuantizer"):
            quantizer.ema_decay = after
        assert quantizer.ema_decay == before


@pytest.mark.slow
def test_beta_set_by_a_callback_takes_effect_on_two_replicas():
    program = """
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras
from keras_ae.layers import GaussianBottleneck

BETAS = [1.0, 0.0, 3.0]

class Anneal(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.layers[-1].beta = BETAS[epoch]

with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, GaussianBottleneck(seed=1)(inputs))
    model.compile("sgd", jit_compile=False)
parameters = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
losses = model.fit(parameters, epochs=3, verbose=0, callbacks=[Anneal()]).history["loss"]
mean, log_var = np.split(np.float64(parameters), 2, axis=1)
kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1).mean()
np.testing.assert_allclose(losses, [beta * kl for beta in BETAS], rtol=1e-5)
print("passed")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip().endswith("passed"), result.stderr[-3000:]


# ---- the interface of bottlenecks ----

BOTTLENECKS = {
    name: layer for name, (layer, _, _) in LAYERS.items() if isinstance(layer, layers.Bottleneck)
}


def test_is_discrete_marks_the_discrete_bottlenecks():
    discrete = {type(each).__name__ for each in BOTTLENECKS.values() if each.is_discrete}
    assert discrete == {"BinaryBottleneck", "ScalarQuantizer", "VectorQuantizer"}


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_emitted_latents_are_snapped_to_themselves(name):
    layer, shape, _ = LAYERS[name]
    bottleneck = type(layer).from_config(layer.get_config())
    encoded = codes(*shape)
    if isinstance(layer, layers.ConditionalBottleneck):
        encoded[:, -2:] = np.eye(2)[np.arange(len(encoded)) % 2]
    latents = bottleneck(encoded).numpy()
    np.testing.assert_array_equal(bottleneck.snap(latents), latents)


def test_snap_moves_latents_to_the_nearest_that_can_be_emitted():
    latents = codes(30, 4, seed=1)
    identity, gaussian = layers.IdentityBottleneck(), layers.GaussianBottleneck()
    assert identity.snap(latents) is latents and gaussian.snap(latents) is latents
    bits = np.float32([[0.2, 0.51, 0.5, 7.0, -3.0]])
    np.testing.assert_array_equal(layers.BinaryBottleneck().snap(bits), [[0, 1, 0, 1, 0]])
    conditional = layers.ConditionalBottleneck(2)
    expected = np.hstack([latents[:, :2], np.eye(2)[latents[:, 2:].argmax(axis=1)]])
    np.testing.assert_array_equal(conditional.snap(latents), expected)
    scalars = quantizer_with(codes(4, 7))
    np.testing.assert_array_equal(scalars.snap(latents), scalars(latents))


def test_code_statistics_of_quantizers_match_the_metric():
    encoded = codes(5000, 6, scale=0.2)  # more than one batch
    scalars = layers.ScalarQuantizer(30, seed=1)
    vectors = layers.VectorQuantizer(30, 3, seed=1)
    for quantizer, num_codebooks in ((scalars, 6), (vectors, 1)):
        quantizer(encoded)
        usage = CodebookUsage(num_codebooks, 30)
        usage.update_state(quantizer.indices(encoded))
        result = usage.result()
        statistics = quantizer.code_statistics(encoded)
        assert statistics.keys() == {"perplexity", "codes_used"}
        np.testing.assert_allclose(statistics["perplexity"], result["perplexity"], rtol=1e-6)
        np.testing.assert_allclose(statistics["codes_used"], result["codebook_usage"], rtol=1e-6)


def test_code_statistics_are_empty_without_a_codebook():
    for bottleneck in (layers.IdentityBottleneck(), layers.BinaryBottleneck()):
        assert bottleneck.code_statistics(codes(5, 4)) == {}
    assert layers.GaussianBottleneck().code_statistics(codes(5, 4)) == {}


def test_identity_bottleneck_is_the_activation_with_its_penalty():
    inputs = codes(16, 5)
    ours = layers.IdentityBottleneck("sigmoid", activity_regularizer=KLDivergenceRegularizer())
    keras_layer = keras.layers.Activation("sigmoid", activity_regularizer=KLDivergenceRegularizer())
    np.testing.assert_array_equal(ours(inputs), keras_layer(inputs))
    np.testing.assert_array_equal(ours.losses, keras_layer.losses)
    np.testing.assert_array_equal(layers.IdentityBottleneck()(inputs), inputs)
    again = layers.IdentityBottleneck.from_config(ours.get_config())
    assert isinstance(again.activity_regularizer, KLDivergenceRegularizer)


# ---- Sampling ----


def test_sampling_has_the_given_mean_and_variance():
    z_mean, z_log_var = np.array([0.0, 2.0, -3.0]), np.array([0.0, -2.0, 1.0])
    num = 100_000
    draws = layers.Sampling(seed=1)(
        (
            np.tile(z_mean, (num, 1)).astype("float32"),
            np.tile(z_log_var, (num, 1)).astype("float32"),
        )
    )
    draws, variance = np.float64(draws), np.exp(z_log_var)
    assert (np.abs(draws.mean(axis=0) - z_mean) < 4.5 * np.sqrt(variance / num)).all()
    assert (np.abs(draws.var(axis=0) - variance) < 4.5 * variance * np.sqrt(2 / num)).all()
    standard = (draws - z_mean) / np.sqrt(variance)
    assert min(stats.kstest(column, "norm").pvalue for column in standard.T) > 1e-3
    assert np.abs(np.corrcoef(standard.T) - np.eye(3)).max() < 4.5 / np.sqrt(num)


def test_sampling_gradients_match_the_closed_form():
    z_mean, z_log_var = tf.constant(codes(2, 9, 4))
    with tf.GradientTape() as tape:
        tape.watch([z_mean, z_log_var])
        z = layers.Sampling(seed=1)((z_mean, z_log_var))
    mean_gradient, log_var_gradient = tape.gradient(z, [z_mean, z_log_var])
    np.testing.assert_array_equal(mean_gradient, np.ones((9, 4)))
    np.testing.assert_allclose(log_var_gradient, 0.5 * (z - z_mean), rtol=1e-4, atol=1e-6)


def test_sampling_noise_depends_on_call_and_seed_only():
    parameters = (codes(5, 3), codes(5, 3, seed=1))
    first, again, other = layers.Sampling(seed=1), layers.Sampling(seed=1), layers.Sampling(seed=2)
    draws = [first(parameters).numpy() for _ in range(2)]
    assert (draws[0] != draws[1]).all()
    assert (draws[0] != other(parameters).numpy()).all()
    np.testing.assert_array_equal(draws, [again(parameters).numpy() for _ in range(2)])


def test_unseeded_sampling_layers_draw_different_noise():
    parameters = (codes(5, 3), codes(5, 3, seed=1))
    assert (layers.Sampling()(parameters).numpy() != layers.Sampling()(parameters).numpy()).all()


# ---- GaussianBottleneck ----


def mean_kl(parameters):
    z_mean, z_log_var = np.split(np.float64(parameters), 2, axis=1)
    return 0.5 * (z_mean**2 + np.exp(z_log_var) - 1.0 - z_log_var).sum(axis=1).mean()


@pytest.mark.parametrize("arguments", [{}, {"training": False}])
def test_bottleneck_returns_the_mean_outside_training(arguments):
    parameters = codes(8, 6)
    z = layers.GaussianBottleneck(seed=1)(parameters, **arguments)
    np.testing.assert_array_equal(z, parameters[:, :3])


def test_bottleneck_samples_in_training():
    parameters = codes(8, 6)
    expected = layers.Sampling(seed=1)((parameters[:, :3], parameters[:, 3:]))
    bottleneck = layers.GaussianBottleneck(seed=1)
    np.testing.assert_allclose(bottleneck(parameters, training=True), expected, rtol=1e-6)
    assert (bottleneck(parameters, training=True).numpy() != expected.numpy()).all()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_bottleneck_adds_beta_times_the_mean_kl_once_per_call(beta, training):
    bottleneck = layers.GaussianBottleneck(beta, seed=1)
    for seed in range(3):
        parameters = codes(16, 10, seed=seed)
        bottleneck(parameters, training=training)
        (loss,) = bottleneck.losses
        np.testing.assert_allclose(loss, beta * mean_kl(parameters), rtol=1e-5)


def test_bottleneck_loss_does_not_depend_on_the_batch_size():
    bottleneck = layers.GaussianBottleneck()
    parameters = codes(8, 6)
    bottleneck(np.tile(parameters, (8, 1)))
    np.testing.assert_allclose(bottleneck.losses, [mean_kl(parameters)], rtol=1e-5)


def test_bottleneck_loss_reaches_the_loss_that_fit_reports():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.GaussianBottleneck(beta=3.0)(inputs))
    model.compile(optimizer="sgd")
    parameters = codes(32, 6)
    assert model.evaluate(parameters, verbose=0) == pytest.approx(3.0 * mean_kl(parameters), 1e-5)


def test_bottleneck_gradient_matches_the_closed_form():
    parameters = tf.constant(codes(8, 6))
    bottleneck = layers.GaussianBottleneck(beta=2.0)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        bottleneck(parameters)
        (loss,) = bottleneck.losses
    z_mean, z_log_var = np.split(parameters.numpy(), 2, axis=1)
    expected = 2.0 / 8 * np.hstack([z_mean, 0.5 * np.expm1(z_log_var)])
    np.testing.assert_allclose(tape.gradient(loss, parameters), expected, rtol=1e-4, atol=1e-6)


def test_bottleneck_refuses_an_odd_width_and_a_negative_beta():
    with pytest.raises(ValueError, match=r"the log-variances; received \(4, 7\)"):
        layers.GaussianBottleneck()(codes(4, 7))
    for beta in (-0.5, float("nan")):
        with pytest.raises(ValueError, match=f"beta must be a number >= 0; received {beta}"):
            layers.GaussianBottleneck(beta)


def test_bottleneck_loss_is_float32_in_mixed_precision():
    parameters = np.array([[0.0, 12.0]], "float16")  # exp(12) is above the largest float16
    bottleneck = layers.GaussianBottleneck(seed=1, dtype="mixed_float16")
    assert bottleneck(parameters, training=True).dtype == tf.float16
    np.testing.assert_allclose(bottleneck.losses, [mean_kl(parameters)], rtol=1e-5)


# ---- GaussianCorruption ----


def noise_of(shape, stddev=0.05, seed=1, **arguments):
    """Standardized noise, from gray images that are far from the clipping bounds."""
    layer = layers.GaussianCorruption(stddev, seed=seed, **arguments)
    return (np.float64(layer(np.full(shape, 0.5, "float32"), training=True)) - 0.5) / stddev


@pytest.mark.parametrize("arguments", [{}, {"training": False}])
def test_corruption_passes_images_through_outside_training(arguments):
    images = codes(4, 5, 5, scale=3.0)  # even out-of-range pixels, which clipping would change
    np.testing.assert_array_equal(layers.GaussianCorruption(0.5)(images, **arguments), images)


def test_corruption_noise_is_standard_normal():
    noise = noise_of((400, 28, 28)).ravel()
    num = noise.size
    assert abs(noise.mean()) < 4.5 / np.sqrt(num)
    assert abs(noise.std() - 1.0) < 4.5 / np.sqrt(2 * num)
    assert abs(stats.skew(noise)) < 4.5 * np.sqrt(6 / num)
    assert abs(stats.kurtosis(noise)) < 4.5 * np.sqrt(24 / num) + 5e-3  # tails end at 4.4
    assert stats.kstest(noise, stats.norm.cdf).pvalue > 1e-3
    assert 3.9 < noise.max() < 4.5
    assert 3.9 < -noise.min() < 4.5


@pytest.mark.parametrize("distance", [1, 2, 28, 784, 39_200])  # 39,200: one random word
def test_corruption_noise_is_uncorrelated(distance):
    noise = noise_of((100, 28, 28)).ravel()
    limit = 4.5 / np.sqrt(noise.size - distance)
    for function in (np.asarray, np.abs):  # equal magnitudes would show in the second
        left, right = function(noise[:-distance]), function(noise[distance:])
        assert abs(np.corrcoef(left, right)[0, 1]) < limit


def test_corruption_clips_to_the_pixel_range():
    images = np.tile(np.linspace(0.0, 1.0, 64, dtype="float32"), (200, 1))
    corrupted = layers.GaussianCorruption(0.5, seed=1)(images, training=True).numpy()
    unclipped = images + 0.5 * noise_of(images.shape)
    np.testing.assert_allclose(corrupted, np.clip(unclipped, 0.0, 1.0), atol=1e-5)
    assert (corrupted == 0.0).any() and (corrupted == 1.0).any()


def test_corrupted_black_images_have_a_half_normal_mean():
    black = np.zeros((200, 28, 28), "float32")
    corrupted = np.float64(layers.GaussianCorruption(0.1, seed=1)(black, training=True))
    half_normal = np.maximum(stats.norm.ppf((np.arange(10**6) + 0.5) / 10**6), 0.0) * 0.1
    standard_error = half_normal.std() / np.sqrt(black.size)
    assert abs(corrupted.mean() - half_normal.mean()) < 4.5 * standard_error
    assert abs((corrupted == 0.0).mean() - 0.5) < 4.5 * 0.5 / np.sqrt(black.size)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5, 7), (1, 3, 3, 3), (7, 11)])
def test_corruption_works_for_an_odd_number_of_pixels(shape):
    noise = noise_of(shape)
    assert noise.shape == shape
    assert len(np.unique(noise)) == noise.size
    assert np.isfinite(noise).all()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_corruption_matches_eager_mode_at_any_batch_size(jit_compile):
    layer, eager = layers.GaussianCorruption(0.1, seed=1), layers.GaussianCorruption(0.1, seed=1)
    function = tf.function(
        lambda images: layer(images, training=True),
        input_signature=[tf.TensorSpec((None, 5, 5), tf.float32)],
        jit_compile=jit_compile,
    )
    for num in (1, 8):
        images = tf.fill((num, 5, 5), 0.5)
        np.testing.assert_allclose(function(images), eager(images, training=True), atol=1e-5)


def test_corruption_noise_depends_on_call_image_and_seed_only():
    gray = np.full((2, 10, 10), 0.5, "float32")
    layer = layers.GaussianCorruption(0.1, seed=1)
    draws = np.stack([layer(gray, training=True) for _ in range(2)])
    different = draws[0] != draws[1]
    assert different.mean() > 0.98  # of 65,536 levels a few pixels may coincide
    assert (draws[0, 0] != draws[0, 1]).mean() > 0.98
    assert (noise_of(gray.shape, 0.1, seed=2) != noise_of(gray.shape, 0.1, seed=1)).mean() > 0.98
    again = layers.GaussianCorruption(0.1, seed=1)
    np.testing.assert_array_equal(draws, [again(gray, training=True) for _ in range(2)])


def test_corruption_clips_to_another_pixel_range():
    noisy = layers.GaussianCorruption(0.5, seed=0, pixel_range=(-1, 1))(
        -np.ones((50, 6)), training=True
    )
    assert float(np.min(noisy)) == -1.0
    assert float(np.mean(noisy)) == pytest.approx(-1 + 0.5 / np.sqrt(2 * np.pi), abs=0.06)


def test_corruption_refuses_a_pixel_range_that_does_not_ascend():
    with pytest.raises(ValueError, match=r"pixel_range .* received \(1, 0\)"):
        layers.GaussianCorruption(pixel_range=(1, 0))


@pytest.mark.parametrize("variant", ["Denoising", "ConvDenoising"])
def test_noise_of_models_of_another_pixel_range_keeps_dark_pixels(variant):
    options = {"reconstruction_loss": "mse", "output_activation": "tanh"}
    model = getattr(keras_ae, variant)((8, 8), **options)
    assert model.encoder.get_layer("corruption").pixel_range == (-1.0, 1.0)


def test_corruption_refuses_a_negative_stddev():
    for stddev in (-0.1, float("nan")):
        with pytest.raises(ValueError, match=f"stddev must be a number >= 0; received {stddev}"):
            layers.GaussianCorruption(stddev)


def test_corruption_without_noise_is_the_identity():
    images = np.random.default_rng(0).uniform(size=(3, 4, 4)).astype("float32")
    np.testing.assert_array_equal(layers.GaussianCorruption(0.0)(images, training=True), images)


def test_corruption_works_in_half_precision():
    layer = layers.GaussianCorruption(0.05, seed=1, dtype="mixed_float16")
    corrupted = layer(np.full((20, 28, 28), 0.5, "float32"), training=True)
    assert corrupted.dtype == tf.float16
    half = (np.float64(corrupted) - 0.5) / 0.05
    np.testing.assert_allclose(half, noise_of((20, 28, 28)), atol=0.02)


# ---- DenseTranspose ----


def tied_autoencoder(use_bias=True):
    """An encoder and a decoder of dense layers, as in Geron's chapter on tied weights."""
    keras.utils.set_random_seed(0)
    dense_1 = keras.layers.Dense(9, activation="relu", name="dense_1")
    dense_2 = keras.layers.Dense(4, activation="relu", name="dense_2")
    encoder = keras.Sequential(
        [keras.Input((3, 5)), keras.layers.Flatten(), dense_1, dense_2], name="encoder"
    )
    decoder = keras.Sequential(
        [
            layers.DenseTranspose(dense_2, activation="relu", use_bias=use_bias),
            layers.DenseTranspose(dense_1, activation="sigmoid", use_bias=use_bias),
            keras.layers.Reshape((3, 5)),
        ],
        name="decoder",
    )
    return keras.Sequential([encoder, decoder])


def trained_tied_autoencoder(images):
    model = tied_autoencoder()
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="binary_crossentropy")
    model.fit(images, images, epochs=2, verbose=0)
    return model


def small_images(num=24):
    return np.random.default_rng(0).uniform(size=(num, 3, 5)).astype("float32")


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_transpose_is_the_product_with_the_transposed_kernel(use_bias, activation):
    dense = keras.layers.Dense(4)
    dense.build((None, 9))
    layer = layers.DenseTranspose(dense, activation=activation, use_bias=use_bias)
    inputs = codes(6, 4)
    layer(inputs)
    expected = np.float64(inputs) @ np.float64(dense.kernel).T
    if use_bias:
        layer.bias.assign(codes(9, seed=2))
        expected += layer.bias.numpy()
    if activation == "relu":
        expected = np.maximum(expected, 0.0)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-5, atol=1e-5)


def test_shared_kernel_gradient_is_the_sum_of_both_uses():
    dense = keras.layers.Dense(4, activation="tanh")
    dense.build((None, 9))
    transpose = layers.DenseTranspose(dense)
    inputs = tf.constant(codes(6, 9))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(transpose(dense(inputs)) - inputs))
    gradient = tape.gradient(loss, dense.kernel.value)

    down, up = tf.Variable(dense.kernel.numpy()), tf.Variable(dense.kernel.numpy().T)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(tf.tanh(inputs @ down) @ up - inputs))
    down_gradient, up_gradient = tape.gradient(loss, [down, up])
    np.testing.assert_allclose(gradient, down_gradient + tf.transpose(up_gradient), rtol=1e-4)
    assert np.abs(down_gradient).max() > 0.1 and np.abs(up_gradient).max() > 0.1


def test_shared_kernels_are_counted_once():
    model = tied_autoencoder()
    model(small_images())
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert sorted(shapes) == sorted([(15, 9), (9,), (9, 4), (4,), (9,), (15,)])
    assert len(model.trainable_variables) == 6
    assert model.count_params() == 15 * 9 + 9 + 9 * 4 + 4 + 9 + 15


def test_tied_autoencoder_trains_and_stays_tied():
    images = small_images()
    model = tied_autoencoder()
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="mse")
    before = [weight.numpy() for weight in model.weights]
    losses = model.fit(images, images, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert all((old != new.numpy()).any() for old, new in zip(before, model.weights, strict=True))
    encoder, decoder = model.layers
    kernel_1, kernel_2 = (layer.kernel.numpy() for layer in encoder.layers[1:])
    inputs = codes(3, 4)
    hidden = np.maximum(inputs @ kernel_2.T + decoder.layers[0].bias.numpy(), 0.0)
    logits = hidden @ kernel_1.T + decoder.layers[1].bias.numpy()
    expected = 1.0 / (1.0 + np.exp(-np.float64(logits)))
    np.testing.assert_allclose(decoder(inputs).numpy().reshape(3, 15), expected, rtol=1e-4)


def test_loaded_tied_autoencoder_is_still_tied(tmp_path):
    images = small_images()
    model = trained_tied_autoencoder(images)
    loaded = saved_and_loaded(model, tmp_path)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), model.predict(images, verbose=0))
    encoder, decoder = loaded.layers
    for transpose, dense in zip(decoder.layers, encoder.layers[:0:-1], strict=False):
        assert transpose.dense is dense
    assert len(loaded.trainable_variables) == 6

    loaded.fit(images, images, verbose=0)
    model.fit(images, images, verbose=0)
    kernel = encoder.get_layer("dense_2").kernel.numpy()
    transpose = decoder.layers[0]
    expected = np.maximum(codes(3, 4) @ kernel.T + transpose.bias.numpy(), 0.0)
    np.testing.assert_allclose(transpose(codes(3, 4)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-4
    )


def test_shared_kernels_are_stored_once(tmp_path):
    model = tied_autoencoder()
    model(small_images())
    model.save(tmp_path / "tied.keras")
    shapes = stored_shapes(tmp_path / "tied.keras")
    assert sorted(shapes) == sorted([(15, 9), (9,), (9, 4), (4,), (9,), (15,)])


def test_weights_files_keep_the_tie(tmp_path):
    images = small_images()
    model = trained_tied_autoencoder(images)
    model.save_weights(tmp_path / "tied.weights.h5")
    other = tied_autoencoder()
    other(images)
    other.load_weights(tmp_path / "tied.weights.h5")
    np.testing.assert_array_equal(
        other.predict(images, verbose=0), model.predict(images, verbose=0)
    )


def test_transpose_refuses_a_dense_layer_that_is_not_built():
    layer = layers.DenseTranspose(keras.layers.Dense(4, name="code"))
    with pytest.raises(ValueError, match="'code' has no kernel to share yet"):
        layer(codes(2, 4))


@pytest.mark.parametrize("dense", [keras.layers.Flatten(), "dense", None])
def test_transpose_refuses_other_layers(dense):
    with pytest.raises(ValueError, match="dense must be a keras.layers.Dense .*; received"):
        layers.DenseTranspose(dense)


def test_transpose_refuses_a_wrong_width():
    dense = keras.layers.Dense(4)
    dense.build((None, 9))
    with pytest.raises(ValueError, match=r"must have 4 features.* received the shape \(2, 9\)"):
        layers.DenseTranspose(dense)(codes(2, 9))


def test_transpose_works_in_half_precision():
    dense = keras.layers.Dense(4, dtype="mixed_float16")
    dense.build((None, 9))
    layer = layers.DenseTranspose(dense, dtype="mixed_float16")
    outputs = layer(codes(6, 4))
    assert outputs.dtype == tf.float16
    assert layer.bias.dtype == "float32"
    np.testing.assert_allclose(outputs, codes(6, 4) @ dense.kernel.numpy().T, atol=5e-3)


# ---- copies of tied models ----


def tied_flat():
    outer, inner = keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)
    back = [layers.DenseTranspose(inner), layers.DenseTranspose(outer)]
    return keras.Sequential([keras.Input((9,)), outer, inner, *back])


def tied_nested():
    outer, inner = keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)
    encoder = keras.Sequential([keras.Input((9,)), outer, inner], name="encoder")
    back = [layers.DenseTranspose(inner), layers.DenseTranspose(outer)]
    return keras.Sequential([encoder, keras.Sequential(back, name="decoder")])


def tied_functional():
    inputs = keras.Input((9,))
    outer, inner = keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)
    hidden = layers.DenseTranspose(inner)(inner(outer(inputs)))
    return keras.Model(inputs, layers.DenseTranspose(outer)(hidden))


def tied_functional_nested():
    outer, inner = keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)
    encoder = keras.Sequential([keras.Input((9,)), outer, inner], name="encoder")
    latents, inputs = keras.Input((3,)), keras.Input((9,))
    hidden = layers.DenseTranspose(inner)(latents)
    decoder = keras.Model(latents, layers.DenseTranspose(outer)(hidden), name="decoder")
    return keras.Model(inputs, decoder(encoder(inputs)))


COPIES = {
    "clone_model": keras.models.clone_model,
    "from_config": lambda model: type(model).from_config(model.get_config()),
    "model_from_json": lambda model: keras.models.model_from_json(model.to_json()),
    "deepcopy": copy.deepcopy,
    "clone of a clone": lambda model: keras.models.clone_model(keras.models.clone_model(model)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("make", [tied_flat, tied_nested, tied_functional, tied_functional_nested])
def test_copy_of_a_tied_model_is_tied_and_independent(make, copied):
    inputs = codes(5, 9)
    model = make()
    model(inputs)
    first, second = copied(model), copied(model)
    for each in (first, second):
        each(inputs)
        assert len(each.trainable_variables) == len(model.trainable_variables) == 6
    variables = [variable for each in (model, first, second) for variable in each.variables]
    assert len(set(map(id, variables))) == 18
    first.set_weights(model.get_weights())
    expected = model(inputs)
    np.testing.assert_allclose(first(inputs), expected, rtol=1e-6)
    second.set_weights([weight + 1.0 for weight in model.get_weights()])
    np.testing.assert_allclose(first(inputs), expected, rtol=1e-6)
    np.testing.assert_array_equal(model(inputs), expected)


def test_loaded_tied_model_can_be_cloned(tmp_path):
    model = tied_nested()
    model(codes(5, 9))
    clone = keras.models.clone_model(saved_and_loaded(model, tmp_path))
    clone(codes(5, 9))
    assert len(clone.trainable_variables) == 6


def test_earlier_encoder_copy_does_not_untie_a_model_copy():
    model = tied_nested()
    model(codes(5, 9))
    encoder = keras.models.clone_model(model.layers[0])
    clone = keras.models.clone_model(model)
    clone(codes(5, 9))
    assert len(clone.trainable_variables) == 6
    assert not {*map(id, encoder.variables)} & {*map(id, clone.variables)}


def test_copied_decoder_alone_has_its_own_kernels():
    model = tied_nested()
    model(codes(5, 9))
    decoder = keras.models.clone_model(model.layers[1])
    decoder(codes(5, 3))
    assert not {*map(id, decoder.variables)} & {*map(id, model.variables)}


def test_transpose_refuses_a_subclass_of_dense():
    class Special(keras.layers.Dense):
        pass

    with pytest.raises(ValueError, match="a subclass could not stay tied"):
        layers.DenseTranspose(Special(4))


# ---- ScalarQuantizer ----


def quantizer_with(codebooks, **arguments):
    codebooks = np.asarray(codebooks, "float32")
    quantizer = layers.ScalarQuantizer(codebooks.shape[1], **arguments)
    quantizer.build((None, codebooks.shape[0]))
    quantizer.embeddings.assign(codebooks)
    return quantizer


def assert_nearest(quantizer, inputs):
    """No scalar of a coordinate's codebook is nearer than the chosen one; ties may go either way.

    Where one scalar is nearest by more than rounding, it is the one chosen.
    """
    codebooks = np.float64(quantizer.embeddings)
    indices = quantizer.indices(inputs).numpy()
    assert indices.dtype == np.int32 and indices.shape == inputs.shape
    assert indices.min() >= 0 and indices.max() < codebooks.shape[1]
    distances = np.abs(np.float64(inputs)[:, :, None] - codebooks)
    chosen = np.take_along_axis(distances, indices[:, :, None], axis=2)[:, :, 0]
    rounding = 1e-6 * np.abs(codebooks).max()
    np.testing.assert_allclose(chosen, distances.min(axis=2), rtol=0, atol=rounding)
    ordered = np.sort(distances, axis=2)
    clear = ordered[:, :, 1] - ordered[:, :, 0] > 2 * rounding
    np.testing.assert_array_equal(indices[clear], distances.argmin(axis=2)[clear])
    return clear.mean()


@pytest.mark.parametrize("num_embeddings", [2, 3, 4, 5, 7, 8, 9, 512])
def test_indices_match_a_slow_nearest_search(num_embeddings):
    codebooks = codes(6, num_embeddings, seed=num_embeddings)
    inputs = codes(300, 6, seed=1, scale=2.0)  # many values beyond both ends of the codebook
    assert assert_nearest(quantizer_with(codebooks), inputs) > 0.99
    ends = np.array([[-100.0] * 6, [100.0] * 6], "float32")
    np.testing.assert_array_equal(
        quantizer_with(codebooks).indices(ends),
        [codebooks.argmin(axis=1), codebooks.argmax(axis=1)],
    )


@pytest.mark.parametrize("num_embeddings", [2, 3, 5, 8, 512])
def test_each_scalar_is_its_own_nearest(num_embeddings):
    order = np.random.default_rng(0).permutation(num_embeddings)  # unsorted
    codebooks = np.stack([order, order[::-1]]) * 0.25 - 10.0
    quantizer = quantizer_with(codebooks)
    expected = np.tile(np.arange(num_embeddings)[:, None], (1, 2))
    np.testing.assert_array_equal(quantizer.indices(codebooks.T.astype("float32")), expected)


@pytest.mark.parametrize("num_embeddings", [2, 3, 5, 8, 512])
def test_search_works_with_duplicate_scalars(num_embeddings):
    codebooks = np.round(codes(4, num_embeddings), 1)
    codebooks[0] = 0.5  # all equal
    codebooks[1, : num_embeddings // 2] = codebooks[1, -1]
    assert_nearest(quantizer_with(codebooks), codes(300, 4, seed=1))


@pytest.mark.parametrize("num_embeddings", [5, 512])
def test_search_works_at_initial_and_trained_scales(num_embeddings):
    quantizer = layers.ScalarQuantizer(num_embeddings, seed=1)
    quantizer.build((None, 3))
    limit = 1.0 / num_embeddings
    initial = quantizer.embeddings.numpy()
    assert (np.abs(initial) <= limit).all() and np.abs(initial).max() > 0.5 * limit
    assert_nearest(quantizer, codes(200, 3, scale=limit))
    optimizer = keras.optimizers.SGD(0.3)
    inputs = codes(200, 3, seed=1)
    for _ in range(5):
        with tf.GradientTape() as tape:
            quantizer(inputs, training=True)
            (loss,) = quantizer.losses
        optimizer.apply([tape.gradient(loss, quantizer.embeddings.value)], [quantizer.embeddings])
    assert np.abs(quantizer.embeddings.numpy()).max() > 2 * limit
    assert_nearest(quantizer, inputs)


def test_lookup_returns_the_scalars_at_the_indices():
    codebooks = codes(4, 7)
    indices = np.random.default_rng(0).integers(0, 7, (50, 4)).astype("int32")
    expected = np.stack([codebooks[dim, indices[:, dim]] for dim in range(4)], axis=1)
    np.testing.assert_array_equal(quantizer_with(codebooks).lookup(indices), expected)


@pytest.mark.parametrize("arguments", [{}, {"training": False}])
def test_inference_output_is_exactly_in_the_codebook(arguments):
    codebooks, inputs = codes(4, 7), codes(50, 4, seed=1)
    outputs = quantizer_with(codebooks)(inputs, **arguments).numpy()
    assert all(np.isin(outputs[:, dim], codebooks[dim]).all() for dim in range(4))
    nearest = np.abs(inputs[:, :, None] - codebooks).argmin(axis=2)
    np.testing.assert_array_equal(outputs, codebooks[np.arange(4), nearest])


def test_training_output_matches_inference_up_to_rounding():
    quantizer, inputs = quantizer_with(codes(4, 7)), codes(50, 4, seed=1)
    np.testing.assert_allclose(quantizer(inputs, training=True), quantizer(inputs), atol=1e-6)


def test_straight_through_gradient_skips_the_codebook():
    quantizer, inputs = quantizer_with(codes(4, 7)), tf.constant(codes(50, 4, seed=1))
    downstream = tf.constant(codes(50, 4, seed=2))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        reconstruction = tf.reduce_sum(downstream * quantizer(inputs, training=True))
    input_gradient, codebook_gradient = tape.gradient(
        reconstruction, [inputs, quantizer.embeddings.value]
    )
    np.testing.assert_array_equal(input_gradient, downstream)
    assert codebook_gradient is None


def quantized_by_hand(codebooks, inputs):
    codebooks, inputs = np.float64(codebooks), np.float64(inputs)
    nearest = np.abs(inputs[:, :, None] - codebooks).argmin(axis=2)
    return nearest, codebooks[np.arange(len(codebooks)), nearest]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("commitment_cost", [0.0, 0.25, 1.0])
def test_quantization_loss_is_the_summed_squared_error(commitment_cost, training):
    codebooks = codes(4, 7)
    quantizer = quantizer_with(codebooks, commitment_cost=commitment_cost)
    for tile in (1, 8):
        inputs = np.tile(codes(8, 4, seed=1), (tile, 1))
        quantizer(inputs, training=training)
        (loss,) = quantizer.losses
        _, quantized = quantized_by_hand(codebooks, inputs)
        error = ((inputs - quantized) ** 2).sum(axis=1).mean()
        np.testing.assert_allclose(loss, (1.0 + commitment_cost) * error, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_loss_gradients_match_the_two_terms(jit_compile):
    codebooks, inputs = codes(4, 7), codes(50, 4, seed=1)
    quantizer = quantizer_with(codebooks, commitment_cost=0.25)

    @tf.function(jit_compile=jit_compile)
    def gradients(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = quantizer(inputs, training=True)
            (loss,) = quantizer.losses
        found = tape.gradient(loss, [inputs, quantizer.embeddings.value])
        return outputs, loss, *map(tf.convert_to_tensor, found)

    outputs, loss, input_gradient, codebook_gradient = gradients(tf.constant(inputs))
    nearest, quantized = quantized_by_hand(codebooks, inputs)
    expected = np.zeros(codebooks.shape)
    for image in range(50):
        for dim in range(4):
            difference = quantized[image, dim] - inputs[image, dim]
            expected[dim, nearest[image, dim]] += 2.0 * difference / 50
    np.testing.assert_allclose(codebook_gradient, expected, rtol=1e-4, atol=1e-6)
    commitment = 0.25 * 2.0 * (inputs - quantized) / 50
    np.testing.assert_allclose(input_gradient, commitment, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(outputs, quantized, atol=1e-6)
    np.testing.assert_allclose(loss, 1.25 * ((inputs - quantized) ** 2).sum() / 50, rtol=1e-5)


def test_indices_compiled_by_xla_match_eager_mode():
    quantizer, inputs = quantizer_with(codes(6, 512)), codes(200, 6, seed=1)
    compiled = tf.function(quantizer.indices, jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant(inputs)), quantizer.indices(inputs))


def test_quantizer_refuses_bad_arguments_and_inputs():
    for num_embeddings in (1, 0, -3):
        with pytest.raises(
            ValueError,
            match=f"num_embeddings must be (a whole number )?>= [12]; received {num_embeddings}",
        ):
            layers.ScalarQuantizer(num_embeddings)
    for cost in (-0.1, float("nan")):
        with pytest.raises(
            ValueError, match=f"commitment_cost must be a number >= 0; received {cost}"
        ):
            layers.ScalarQuantizer(4, commitment_cost=cost)
    with pytest.raises(ValueError, match=r"\(batch, latent_dim\); received \(2, 3, 4\)"):
        layers.ScalarQuantizer(4)(codes(2, 3, 4))


def test_quantizer_in_half_precision_computes_in_float32():
    quantizer = quantizer_with(codes(4, 512), dtype="mixed_float16")
    inputs = codes(50, 4, seed=1, scale=200.0).astype("float16")  # whose squares overflow float16
    outputs = quantizer(inputs, training=True)
    assert outputs.dtype == tf.float16
    nearest, quantized = quantized_by_hand(quantizer.embeddings, inputs)
    expected = 2.0 * ((inputs - quantized) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(quantizer.losses, [expected], rtol=1e-5)
    np.testing.assert_array_equal(quantizer.indices(inputs), nearest)
    near = codes(50, 4, seed=1).astype("float16")
    _, quantized = quantized_by_hand(quantizer.embeddings, near)
    np.testing.assert_array_equal(quantizer(near), quantized.astype("float16"))


# ---- inputs of another shape ----


def zeros(*shape):
    return np.zeros(shape, "float32")


def unequal_parameters():
    return layers.Sampling()((zeros(8, 4), zeros(8, 3)))


WRONG_SHAPES = {
    "vector quantizer, rank": (lambda: layers.VectorQuantizer(4)(zeros(8)), r"channels\).*\(8,\)"),
    "scalar quantizer, map": (
        lambda: layers.ScalarQuantizer(4)(zeros(8, 7, 6, 4)),
        r"\(batch, latent_dim\); received \(8, 7, 6, 4\). Flatten it, or use VectorQuantizer",
    ),
    "gaussian, odd": (
        lambda: layers.GaussianBottleneck()(zeros(8, 5)),
        r"GaussianBottleneck must have the shape \(batch, 2 \* latent_dim\).*received \(8, 5\)",
    ),
    "gaussian, map": (lambda: layers.GaussianBottleneck()(zeros(8, 7, 6, 4)), "Flatten maps"),
    "conditional": (
        lambda: layers.ConditionalBottleneck(3)(zeros(8, 4)),
        r"\(batch, 2 \* latent_dim \+ 3\).*then the one-hot label; received \(8, 4\)",
    ),
    "sampling, one tensor": (
        lambda: layers.Sampling()(zeros(8, 4)),
        r"two tensors of one shape, \(z_mean, z_log_var\); received the shape \(8, 4\)",
    ),
    "sampling, one tensor of two rows": (lambda: layers.Sampling()(zeros(2, 4)), "two tensors"),
    "sampling, unequal": (unequal_parameters, r"one shape.*\(8, 4\), \(8, 3\)"),
}


@pytest.mark.parametrize("name", list(WRONG_SHAPES))
def test_an_input_of_another_shape_is_refused_in_one_line(name):
    call, message = WRONG_SHAPES[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [
        layers.VectorQuantizer(4),
        layers.ScalarQuantizer(4),
        layers.GaussianBottleneck(),
        layers.ConditionalBottleneck(2),
        built_transpose(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_later_input_of_another_width_is_refused(layer):
    layer(zeros(8, 4))
    with pytest.raises(ValueError, match=r"incompatible.*\(8, 6\)"):
        layer(zeros(8, 6))


@pytest.mark.parametrize("method", ["indices", "snap"])
@pytest.mark.parametrize("quantizer", [layers.VectorQuantizer(4), layers.ScalarQuantizer(4)])
def test_methods_of_quantizers_refuse_codes_of_another_width(quantizer, method):
    quantizer(zeros(8, 4))
    # Six numbers a row would fill one and a half vectors, and all of them twelve.
    with pytest.raises(ValueError, match=r"4\).*received.*\(8, 6\)"):
        getattr(quantizer, method)(zeros(8, 6))
