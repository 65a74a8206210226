"""Convolutional VQ-VAE: its feature map, logged metrics and prior."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_ae import VARIANTS, ConvVQVAE

SHAPE = (6, 5)


def pictures(num=96, shape=SHAPE, seed=0):
    """Images with a bright left or right half, with a little noise."""
    random = np.random.default_rng(seed)
    side = random.integers(0, 2, (num, *[1] * len(shape)))
    columns = np.arange(shape[1]).reshape(1, 1, -1, *[1] * (len(shape) - 2))
    bright = (columns < shape[1] // 2) == side
    return np.clip(bright + random.normal(0, 0.05, (num, *shape)), 0, 1).astype("float32")


def small(shape=SHAPE, **arguments):
    keras.utils.set_random_seed(3)
    default = {"filters": (4, 6), "embedding_dim": 2, "num_embeddings": 8, "revive_after": 5}
    prior = {"prior_filters": 8, "prior_blocks": 1}
    model = ConvVQVAE(shape, **{"seed": 3, **default, **prior, **arguments})
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    return model


@pytest.fixture(scope="module")
def trained():
    """A briefly trained model and its training images."""
    model, images = small(), pictures()
    model.fit(images, epochs=3, batch_size=16, verbose=0)
    return model, images


def weights_of(layer):
    return {weight.path: weight.numpy() for weight in layer.weights}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for path, value in one.items():
        np.testing.assert_array_equal(value, other[path], err_msg=path)


# ---- networks ----


def test_preset_encodes_28x28_images_as_a_7x7_map():
    model = VARIANTS["conv_vq_vae"]()
    assert model.code_shape == (7, 7, 16) and model.latent_dim == 7 * 7 * 16
    assert model.bottleneck.embeddings.shape == (64, 16)
    assert model.bottleneck.ema_decay == 0.99 and model.bottleneck.revive_after == 100

    def convolution(size, inputs, outputs):
        return size * size * inputs * outputs + outputs

    residual = convolution(3, 64, 32) + convolution(1, 32, 64)
    encoder = convolution(4, 1, 32) + convolution(4, 32, 64) + residual + convolution(1, 64, 16)
    decoder = convolution(3, 16, 64) + residual + convolution(4, 64, 32) + convolution(4, 32, 1)
    assert model.encoder.count_params() == encoder
    assert model.decoder.count_params() == decoder
    sizes = [np.prod(weight.shape) for weight in model.trainable_variables]
    assert sum(sizes) == encoder + decoder  # without codebook and prior


@pytest.mark.parametrize(
    ("shape", "filters", "map_shape"),
    [
        ((6, 5), (3, 4), (2, 2)),
        ((9, 7, 3), (3, 4), (3, 2)),
        ((28, 28), (2, 3, 4), (4, 4)),
        ((8, 3), (3,), (4, 2)),
        ((1, 1), (3, 4), (1, 1)),
    ],
)
def test_reconstructions_have_the_shape_of_the_images(shape, filters, map_shape):
    model = small(shape, filters=filters)
    images = np.random.default_rng(0).random((3, *shape)).astype("float32")
    assert model.encode(images).shape == (3, *map_shape, 2)
    assert model.indices(images).shape == (3, *map_shape)
    assert model.reconstruct(images).shape == (3, *shape)
    assert model.prior.map_shape == map_shape


@pytest.mark.parametrize(
    ("shape", "filters", "map_shape"),
    [
        ((28, 28), (32, 64), (7, 7)),
        ((8, 8), (32, 64), (2, 2)),
        ((64, 64, 3), (32, 64), (16, 16)),
        ((127, 200), (32, 64), (32, 50)),
        ((128, 128, 3), (32, 64, 128), (16, 16)),
        ((256, 300, 3), (32, 64, 128, 128), (16, 19)),
    ],
)
def test_default_depth_follows_the_size_of_the_images(shape, filters, map_shape):
    model = ConvVQVAE(shape, prior_filters=2, prior_blocks=1)
    assert model.filters == filters and model.code_shape == (*map_shape, 16)
    assert model.reconstruct(np.zeros((1, *shape), "float32")).shape == (1, *shape)


def test_saved_filters_outlast_another_default():
    config = ConvVQVAE((128, 128), filters=(32, 64), prior_filters=2, prior_blocks=1).get_config()
    assert ConvVQVAE.from_config(config).code_shape == (32, 32, 16)


def test_codes_are_the_vectors_of_their_indices(trained):
    model, images = trained
    indices = model.indices(images)
    assert indices.dtype == np.int32
    codebook = model.bottleneck.embeddings.numpy()
    np.testing.assert_array_equal(model.encode(images), codebook[indices])
    np.testing.assert_array_equal(model.indices(tf.constant(images)), indices)


def test_perplexity_and_usage_match_the_indices(trained):
    model, images = trained
    logs = model.evaluate(images, batch_size=40, verbose=0, return_dict=True)
    counts = np.bincount(model.indices(images).ravel(), minlength=8)
    assert logs["perplexity"] == pytest.approx(np.exp(stats.entropy(counts)), rel=1e-4)
    assert logs["codebook_usage"] == pytest.approx((counts > 0).mean())
    assert logs["perplexity"] > 1.5


def test_latent_loss_is_the_commitment_loss_summed_over_the_map(trained):
    model, images = trained
    encoded, quantized = model.encoder(images).numpy(), model.encode(images)
    expected = 0.25 * np.square(np.float64(encoded) - quantized).sum(axis=(1, 2, 3)).mean()
    logs = model.evaluate(images, verbose=0, return_dict=True)
    assert logs["latent_loss"] == pytest.approx(expected, rel=1e-4)


# ---- prior ----


def test_fit_and_fit_prior_change_separate_weights():
    model, images = small(), pictures()
    model.fit_prior(images, epochs=1)
    prior = weights_of(model.prior)
    trained = {id(variable) for variable in model.trainable_variables}
    assert not trained & {id(weight) for weight in model.prior.weights}
    model.fit(images, epochs=2, verbose=0)
    assert_same(weights_of(model.prior), prior)

    rest = {path: value for path, value in weights_of(model).items() if path not in prior}
    before = model.evaluate(images, verbose=0, return_dict=True)
    steps = int(model.optimizer.iterations)
    model.fit_prior(images, epochs=2)
    after = weights_of(model)
    assert_same({path: after[path] for path in rest}, rest)
    assert np.any(after["prior/logits/kernel"] != prior["prior/logits/kernel"])
    assert model.evaluate(images, verbose=0, return_dict=True) == before
    assert int(model.optimizer.iterations) == steps
    model.fit(images, epochs=1, verbose=0)  # training can continue


def test_fit_prior_depends_only_on_the_model_and_its_seed():
    images, model, twin = pictures(), small(), small()
    first = model.fit_prior(images, epochs=2)
    prior = weights_of(model.prior)
    assert model.fit_prior(images, epochs=2) == first
    assert_same(weights_of(model.prior), prior)
    keras.utils.set_random_seed(99)
    assert twin.fit_prior(images, epochs=2) == first
    assert_same(weights_of(twin.prior), prior)
    other = small(seed=4)
    other.set_weights(model.get_weights())
    assert other.fit_prior(images, epochs=2) != first
    assert (other.bottleneck.seed, other.prior.seed) == (4, 4)


def test_samples_of_a_fitted_prior_resemble_the_images():
    model, images = small(), pictures(256)
    model.fit(images, epochs=25, batch_size=32, verbose=0)

    def distance(samples):
        """Mean absolute difference per pixel from the nearer of the two prototypes."""
        left, right = (np.arange(5) < 2).astype(float), (np.arange(5) >= 2).astype(float)
        errors = [np.abs(samples - half).mean(axis=(1, 2)) for half in (left, right)]
        return np.minimum(*errors).mean(), (errors[0] < errors[1]).mean()

    with pytest.warns(UserWarning, match="uniform until fit_prior"):
        unfitted, _ = distance(model.sample(200, seed=1))
    history = model.fit_prior(images, epochs=40, batch_size=32, learning_rate=1e-2)
    assert history[-1] < 0.5 * history[0] < 0.5 * 4 * np.log(8) + 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted, share = distance(model.sample(200, seed=1))
    assert unfitted > 0.1 and fitted < 0.05
    assert 0.3 < share < 0.7


def test_saved_model_gives_the_same_samples(tmp_path):
    model, images = small(), pictures()
    model.fit(images, epochs=1, verbose=0)
    model.fit_prior(images, epochs=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.prior.is_fitted
    np.testing.assert_array_equal(loaded.sample(5, seed=1), model.sample(5, seed=1))
    assert loaded.fit_prior(images, epochs=1) == model.fit_prior(images, epochs=1)
    trainable = [variable.path for variable in model.trainable_variables]
    assert [variable.path for variable in loaded.trainable_variables] == trainable


def test_prior_uses_float32_in_a_mixed_precision_model():
    model = small(dtype="mixed_float16")
    assert model.encoder.get_layer("code").compute_dtype == "float16"
    assert model.prior.left[0].compute_dtype == "float32"
    history = model.fit(pictures(), epochs=4, batch_size=16, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert {weight.dtype for weight in model.bottleneck.weights} == {"float32"}


def test_latent_dim_implied_by_the_image_shape_is_accepted():
    assert ConvVQVAE(latent_dim=784).get_config()["latent_dim"] is None


def test_frozen_prior_error_says_how_to_fit_it(trained):
    model, images = trained
    with pytest.raises(ValueError, match=r"fit_prior\(images\)"):
        model.prior.fit(model.indices(images))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latent_dim", 20),
        ("filters", ()),
        ("filters", 0),
        ("num_residual_blocks", 0),
        ("embedding_dim", 0),
        ("num_embeddings", 1),
        ("ema_decay", 2),
        ("revive_after", 0.5),
        ("prior_filters", 0),
        ("prior_blocks", "two"),
    ],
)
def test_bad_arguments_are_refused(name, value):
    with pytest.raises(ValueError) as caught:
        ConvVQVAE(SHAPE, **{name: value})
    message = str(caught.value)
    named = {"prior_filters": "filters", "prior_blocks": "num_blocks"}.get(name, name)
    assert named in message and f"received {value!r}" in message and "\n" not in message
