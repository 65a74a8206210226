"""What several comparisons share."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ae.evaluation.comparisons import common
from keras_ae.variants import VARIANTS

SHAPE = (4, 3)


def pictures(num):
    return np.random.default_rng(0).random((num, *SHAPE)).astype("float32")


def test_portions_are_all_images_in_order(monkeypatch):
    monkeypatch.setattr(common, "BATCH_SIZE", 4)
    images = pictures(10)
    parts = list(common.portions(images))
    assert [len(part) for part in parts] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(parts), images)


@pytest.mark.parametrize("variant", ["vae", "iwae"])
def test_the_posterior_is_what_the_encoder_gives(variant, monkeypatch):
    monkeypatch.setattr(common, "BATCH_SIZE", 4)
    model = VARIANTS[variant](image_shape=SHAPE, latent_dim=2, hidden_units=(5,))
    z_mean, z_log_var = common.posterior(model, pictures(10))
    encoded = model.encoder(tf.constant(pictures(10))).numpy()
    np.testing.assert_allclose(np.hstack([z_mean, z_log_var]), encoded, atol=1e-6)
    np.testing.assert_allclose(z_mean, model.encode(pictures(10)), atol=1e-6)


def test_only_a_gaussian_code_has_a_posterior_and_only_a_sigmoid_a_cross_entropy():
    deep = VARIANTS["deep"](image_shape=SHAPE, latent_dim=2, hidden_units=(5,))
    linear = VARIANTS["linear"](image_shape=SHAPE, latent_dim=2)
    assert common.posterior(deep, pictures(3)) is None
    assert common.has_bce(deep) and not common.has_bce(linear)
    assert common.has_bce(object())


def test_images_lie_between_0_and_1():
    np.testing.assert_array_equal(common.clip_to_images([-0.5, 0.25, 1.5]), [0, 0.25, 1])
