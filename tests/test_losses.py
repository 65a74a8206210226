"""Losses against float64 NumPy, closed forms and a Monte Carlo estimate."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from keras_ae import losses


def images_and_logits(*shape, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.uniform(size=shape).astype("float32")
    return images, generator.normal(0.0, 3.0, size=shape).astype("float32")


def slow_bce(targets, logits):
    """BCE summed over the pixels of each image, in float64."""
    targets, logits = np.float64(targets), np.float64(logits)
    pixels = -targets * special.log_expit(logits) - (1.0 - targets) * special.log_expit(-logits)
    return np.array([image.sum() for image in pixels])


def slow_gaussian_kl(z_mean, z_log_var):
    z_mean, z_log_var = np.float64(z_mean), np.float64(z_log_var)
    # The power series keeps every digit where exp(v) - 1 - v would cancel.
    series = z_log_var**2 / 2 + z_log_var**3 / 6 + z_log_var**4 / 24
    direct = np.exp(z_log_var) - 1.0 - z_log_var
    variance_part = np.where(np.abs(z_log_var) < 1e-3, series, direct)
    return 0.5 * (z_mean**2 + variance_part).sum(axis=-1)


def slow_bernoulli_kl(target, activations):
    total = 0.0
    for mean in np.float64(activations).reshape(len(activations), -1).mean(axis=0):
        total += stats.entropy([target, 1.0 - target], [mean, 1.0 - mean])
    return total


# ---- per_image_bce ----


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 7, 6, 3), (5, 9), (1, 1, 1)])
def test_bce_matches_the_float64_sum_over_pixels(shape):
    images, logits = images_and_logits(*shape)
    result = losses.per_image_bce(images, logits)
    assert result.shape == shape[:1]
    np.testing.assert_allclose(result, slow_bce(images, logits), rtol=1e-5)


def test_bce_is_finite_and_exact_at_saturated_logits():
    logits = np.array([[[100.0]], [[-100.0]], [[100.0]], [[-100.0]], [[100.0]]], "float32")
    targets = np.array([[[0.0]], [[1.0]], [[1.0]], [[0.0]], [[0.25]]], "float32")
    result = losses.per_image_bce(targets, logits).numpy()
    np.testing.assert_allclose(result, [100.0, 100.0, 0.0, 0.0, 75.0], atol=1e-30)


def test_bce_of_a_perfect_reconstruction_is_the_entropy_floor():
    images, _ = images_and_logits(6, 28, 28)
    images[:, :10] = np.round(images[:, :10])  # as in MNIST: many pixels are exactly black or white
    logits = special.logit(np.clip(np.float64(images), 1e-8, 1.0 - 1e-8))
    perfect = losses.per_image_bce(images, logits).numpy()
    np.testing.assert_allclose(perfect, losses.entropy_floor(images), atol=1e-3)


def test_no_reconstruction_is_below_the_entropy_floor():
    images, logits = images_and_logits(50, 8, 8)
    assert (losses.per_image_bce(images, logits).numpy() > losses.entropy_floor(images)).all()


def test_bce_of_half_precision_inputs_is_computed_in_float32():
    images, logits = images_and_logits(3, 64, 64)
    images, logits = images.astype("float16"), 20.0 * logits.astype("float16")
    result = losses.per_image_bce(tf.constant(images), tf.constant(logits))
    assert result.dtype == tf.float32
    expected = slow_bce(images, logits)
    assert (expected > np.finfo("float16").max).all()  # a float16 sum would have overflowed
    np.testing.assert_allclose(result, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "targets",
    [np.zeros(4, "int64"), np.zeros((4, 8, 8, 1)), np.zeros((4, 8, 7)), np.zeros((1, 8, 8))],
)
def test_bce_names_the_wrong_shape_of_targets(targets):
    with pytest.raises(ValueError) as error:
        losses.per_image_bce(targets, np.zeros((4, 8, 8), "float32"))
    assert f"received targets of the shape {targets.shape}" in str(error.value)
    assert "\n" not in str(error.value)


def test_bce_names_the_wrong_shape_of_targets_during_tracing():
    traced = tf.function(losses.per_image_bce, autograph=False)
    with pytest.raises(ValueError, match="received targets of the shape"):
        traced.get_concrete_function(
            tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None, 8, 8), tf.float32)
        )


def test_bce_accepts_an_unknown_batch_size():
    traced = tf.function(
        losses.per_image_bce, input_signature=[tf.TensorSpec((None, 4, 4), tf.float32)] * 2
    )
    images, logits = images_and_logits(3, 4, 4)
    np.testing.assert_allclose(traced(images, logits), slow_bce(images, logits), rtol=1e-5)


# ---- entropy_floor ----


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 5, 6, 3)])
def test_entropy_floor_matches_the_summed_pixel_entropy(shape):
    images, _ = images_and_logits(*shape)
    expected = [
        sum(stats.entropy([pixel, 1.0 - pixel]) for pixel in np.float64(image).ravel())
        for image in images
    ]
    np.testing.assert_allclose(losses.entropy_floor(images), expected, rtol=1e-12)


def test_entropy_floor_of_a_gray_image_is_one_bit_per_pixel():
    floor = losses.entropy_floor(np.full((2, 3, 4), 0.5, "float32"))
    np.testing.assert_allclose(floor, 12 * np.log(2.0), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bool", "uint8"])
def test_entropy_floor_of_binary_images_is_exactly_zero(dtype):
    images = np.random.default_rng(0).integers(0, 2, (5, 8, 8)).astype(dtype)
    np.testing.assert_array_equal(losses.entropy_floor(images), np.zeros(5))


# ---- gaussian_kl ----


def test_gaussian_kl_matches_the_closed_form():
    generator = np.random.default_rng(1)
    z_mean = generator.normal(0.0, 2.0, (40, 5)).astype("float32")
    z_log_var = generator.normal(0.0, 3.0, (40, 5)).astype("float32")
    result = losses.gaussian_kl(z_mean, z_log_var)
    assert result.shape == (40,)
    np.testing.assert_allclose(result, slow_gaussian_kl(z_mean, z_log_var), rtol=1e-5)


def test_gaussian_kl_matches_a_monte_carlo_estimate():
    z_mean, z_log_var = np.array([0.7, -1.2]), np.array([-1.0, 0.4])
    scale = np.exp(0.5 * z_log_var)
    z = np.random.default_rng(2).normal(z_mean, scale, (400_000, 2))
    log_ratio = (stats.norm.logpdf(z, z_mean, scale) - stats.norm.logpdf(z)).sum(axis=1)
    standard_error = log_ratio.std() / np.sqrt(len(log_ratio))
    result = losses.gaussian_kl(z_mean[None], z_log_var[None]).numpy()
    assert abs(result[0] - log_ratio.mean()) < 4 * standard_error
    assert standard_error < 0.003


def test_gaussian_kl_at_the_prior_is_exactly_zero():
    np.testing.assert_array_equal(
        losses.gaussian_kl(np.zeros((3, 4)), np.zeros((3, 4))), np.zeros(3)
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gaussian_kl_is_never_negative(jit_compile):
    magnitudes = np.geomspace(1e-12, 50.0, 20_000)
    z_log_var = np.concatenate([magnitudes, -magnitudes])[:, None].astype("float32")
    kl = tf.function(losses.gaussian_kl, jit_compile=jit_compile)
    assert kl(tf.zeros_like(z_log_var), tf.constant(z_log_var)).numpy().min() >= 0.0


@pytest.mark.parametrize("z_log_var", [1e-4, -1e-4, 1e-3, -1e-3])
def test_gaussian_kl_is_precise_near_the_prior(z_log_var):
    z_log_var = np.full((1, 20), z_log_var, "float32")
    result = losses.gaussian_kl(np.zeros((1, 20)), z_log_var)
    np.testing.assert_allclose(result, slow_gaussian_kl(0.0, z_log_var), rtol=2e-3)


def test_gaussian_kl_in_half_precision_does_not_overflow():
    z_log_var = tf.constant([[12.0]], tf.float16)  # exp(12) is above the largest float16
    result = losses.gaussian_kl(tf.zeros((1, 1), tf.float16), z_log_var)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, [0.5 * (np.exp(12.0) - 13.0)], rtol=1e-6)


def test_gaussian_kl_gradients_match_the_closed_form():
    generator = np.random.default_rng(3)
    z_mean, z_log_var = tf.constant(generator.normal(size=(2, 6, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([z_mean, z_log_var])
        kl = losses.gaussian_kl(z_mean, z_log_var)
    mean_gradient, log_var_gradient = tape.gradient(kl, [z_mean, z_log_var])
    np.testing.assert_allclose(mean_gradient, z_mean, rtol=1e-6)
    np.testing.assert_allclose(log_var_gradient, 0.5 * np.expm1(z_log_var), rtol=1e-5, atol=1e-7)


# ---- bernoulli_kl ----


@pytest.mark.parametrize("target", [0.05, 0.25, 0.9])
@pytest.mark.parametrize("shape", [(16, 5), (16, 3, 2, 2), (1, 4)])
def test_bernoulli_kl_matches_the_formula(target, shape):
    activations = np.random.default_rng(4).uniform(size=shape).astype("float32")
    result = losses.bernoulli_kl(target, activations)
    assert result.shape == ()
    np.testing.assert_allclose(result, slow_bernoulli_kl(target, activations), rtol=1e-5)


def test_bernoulli_kl_is_zero_at_the_target_mean():
    activations = np.tile([[0.0, 0.5], [0.0, 0.0], [0.0, 0.25], [1.0, 0.25]], (4, 1))
    result = losses.bernoulli_kl(0.25, activations.astype("float32")).numpy()
    assert 0.0 <= result < 1e-6


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_bernoulli_kl_of_saturated_units_is_finite(value, dtype):
    activations = tf.fill((8, 3), tf.constant(value, dtype))
    with tf.GradientTape() as tape:
        tape.watch(activations)
        result = losses.bernoulli_kl(0.25, activations)
    assert 3 * 2.0 < result.numpy() < 3 * 20.0
    assert np.isfinite(tape.gradient(result, activations).numpy()).all()


def test_bernoulli_kl_gradient_points_to_the_target():
    activations = tf.constant(np.tile([0.1, 0.6], (10, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(activations)
        result = losses.bernoulli_kl(0.25, activations)
    mean = np.array([0.1, 0.6])
    expected = np.tile((-0.25 / mean + 0.75 / (1.0 - mean)) / 10, (10, 1))
    np.testing.assert_allclose(tape.gradient(result, activations), expected, rtol=1e-5)


def test_bce_of_probabilities_is_that_of_their_logits():
    random = np.random.default_rng(0)
    images, p = random.random((3, 4, 5)), random.uniform(0.01, 0.99, (3, 4, 5))
    expected = losses.per_image_bce(images, np.log(p / (1 - p)))
    np.testing.assert_allclose(losses.probabilities_bce(images, p), expected, rtol=1e-5)
    same = losses.probabilities_bce(images, p[0])  # one reconstruction for all images
    again = losses.probabilities_bce(images, np.broadcast_to(p[0], images.shape))
    np.testing.assert_array_equal(same, again)
