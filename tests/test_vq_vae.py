"""Dense VQ-VAE with a shared codebook of vectors."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import stats

from keras_ae import VQVAE

SHAPE = (6, 5)


def pictures(num=96, seed=0):
    return np.random.default_rng(seed).random((num, *SHAPE)).astype("float32")


def small(**arguments):
    keras.utils.set_random_seed(3)
    default = {"hidden_units": (12,), "num_embeddings": 9, "embedding_dim": 3, "seed": 3}
    model = VQVAE(SHAPE, 6, **{**default, **arguments})
    model.compile(jit_compile=False)
    return model


def test_code_vectors_are_in_the_shared_codebook():
    model, images = small(), pictures()
    model.fit(images, batch_size=32, epochs=3, verbose=0)
    codebook = model.bottleneck.embeddings.numpy()
    assert codebook.shape == (9, 3)
    codes = model.encode(images)
    assert codes.shape == (96, 6) and model.code_shape == (6,)
    samples = model._sample_latents(50, [1, 2]).numpy()
    assert samples.shape == (50, 6)
    known = {tuple(vector) for vector in codebook}
    assert {tuple(vector) for vector in np.vstack([codes, samples]).reshape(-1, 3)} <= known
    encoded = np.float64(model.encoder(images)).reshape(-1, 1, 3)
    nearest = np.square(encoded - codebook).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(codes, codebook[nearest].reshape(96, 6))
    logs = model.evaluate(images, verbose=0, return_dict=True)
    counts = np.bincount(nearest, minlength=9)
    assert logs["perplexity"] == pytest.approx(np.exp(stats.entropy(counts)), rel=1e-4)
    assert logs["codebook_usage"] == pytest.approx((counts > 0).mean())


def test_samples_are_uniform_over_the_codebook():
    model = small()
    indices = model.bottleneck.indices(model._sample_latents(2000, [1, 2]))
    assert indices.shape == (2000, 2)
    for place in range(2):
        counts = np.bincount(indices[:, place], minlength=9)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_latent_loss_is_the_squared_error_summed_over_the_code():
    model, images = small(commitment_cost=0.5), pictures()
    error = np.square(np.float64(model.encoder(images)) - model.encode(images)).sum(axis=1)
    logs = model.evaluate(images, verbose=0, return_dict=True)
    assert logs["latent_loss"] == pytest.approx(1.5 * error.mean(), rel=1e-4)


def test_loaded_model_predicts_and_trains_the_same(tmp_path):
    model, images = small(), pictures()
    model.fit(images, batch_size=16, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        one.fit(images, batch_size=16, epochs=1, verbose=0)
    for before, after in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))


def test_config_without_embedding_dim_means_scalars():
    """Configs of version 0.1.0 have no embedding_dim."""
    config = small(embedding_dim=1).get_config()
    assert config.pop("embedding_dim") == 1
    model = VQVAE.from_config(config)
    assert model.bottleneck.embeddings.shape == (6, 9)
    assert [weight.name for weight in model.bottleneck.weights] == ["embeddings"]
    assert model._usage.counts.shape == (6, 9)


@pytest.mark.parametrize("value", [4, 7, 0, 1.5])
def test_embedding_dim_must_divide_latent_dim(value):
    with pytest.raises(ValueError, match=f"embedding_dim must .*; received {value}"):
        VQVAE(SHAPE, 6, embedding_dim=value)
