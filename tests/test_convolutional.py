"""The convolutional autoencoder and the convolutional VAE."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_ae


def images_of(shape, num=6):
    return np.random.default_rng(0).uniform(size=(num, *shape)).astype("float32")


def test_default_code_is_the_feature_map_of_the_book(tmp_path):
    model = keras_ae.Convolutional()
    assert model.count_params() == 46_529
    assert model.code_shape == (3, 3, 64) and model.latent_dim == 576
    assert model.get_config()["latent_dim"] is None
    images = images_of((28, 28))
    assert model.encode(images).shape == (6, 3, 3, 64)
    np.testing.assert_allclose(model.decode(model.encode(images)), model.reconstruct(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.encode(images), model.encode(images))


def test_latent_dim_adds_a_dense_layer_on_each_side_of_the_code():
    model = keras_ae.Convolutional(latent_dim=20)
    assert model.code_shape == (20,) and model.get_config()["latent_dim"] == 20
    assert model.count_params() == 46_529 + 576 * 20 + 20 + 20 * 576 + 576
    assert model.encode(images_of((28, 28))).shape == (6, 20)


@pytest.mark.filterwarnings("ignore:The posterior of ConvVAE")  # the images are noise
@pytest.mark.parametrize("shape", [(6, 5), (7, 7, 3), (1, 9)])
@pytest.mark.parametrize("variant", [keras_ae.Convolutional, keras_ae.ConvVAE])
def test_odd_and_small_image_sizes_train(variant, shape, eager):
    keras.utils.set_random_seed(0)
    images = images_of(shape, 32)
    model = variant(shape, 4, filters=(4, 6, 8), seed=0)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    losses = model.fit(images, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.reconstruct(images).shape == images.shape


@pytest.mark.parametrize("variant", [keras_ae.Convolutional, keras_ae.ConvVAE])
@pytest.mark.parametrize("argument", [{"filters": ()}, {"filters": 0}, {"filters": (4, 0)}])
def test_bad_filters_are_refused(variant, argument):
    with pytest.raises(ValueError, match="filters must .*; received") as error:
        variant((8, 8), 4, **argument)
    assert repr(argument["filters"]) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("argument", [{"latent_dim": 0}, {"image_shape": 28}])
def test_bad_sizes_are_refused(argument):
    ((name, value),) = argument.items()
    with pytest.raises(ValueError, match=f"{name} must .*; received {value}"):
        keras_ae.Convolutional(**argument)


# ---- ConvVAE ----


def test_feature_map_becomes_576_means_and_log_variances():
    model = keras_ae.ConvVAE()
    assert model.encoder.get_layer("code").kernel.shape == (576, 2 * 576)
    assert model.decoder.get_layer("dense").kernel.shape == (576, 576)
    assert [part.shape for part in model.posterior(images_of((28, 28)))] == [(6, 576)] * 2
    dense = 576 * 1152 + 1152 + 576 * 576 + 576
    # Two values are the state of the noise generator.
    assert sum(np.prod(w.shape) for w in model.trainable_variables) == 46_529 + dense


def test_latent_loss_is_beta_times_the_kl_divergence():
    images = images_of((6, 5), 16)
    model = keras_ae.ConvVAE((6, 5), 4, filters=(4, 6), beta=3.0)
    model.compile(jit_compile=False)
    z_mean, z_log_var = (np.float64(part) for part in model.posterior(images))
    divergence = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(axis=1)
    reported = model.evaluate(images, verbose=0, return_dict=True)["latent_loss"]
    assert reported == pytest.approx(3 * divergence.mean(), rel=1e-4)
    np.testing.assert_allclose(model.encode(images), z_mean, atol=1e-6)


@pytest.mark.parametrize("variant", [keras_ae.Convolutional, keras_ae.ConvVAE])
def test_single_number_of_filters_is_one_convolution(variant):
    one, listed = variant((6, 5), 4, filters=3, seed=0), variant((6, 5), 4, filters=(3,), seed=0)
    assert one.filters == listed.filters == (3,)
    assert one.count_params() == listed.count_params()
