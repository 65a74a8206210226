"""Interpolation, arithmetic and traversal in latent space, against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.stats import norm

from keras_ae.variants import VARIANTS
from keras_ae.variants.latents import slerp

SHAPE = (2, 3)


def made(variant, latent_dim, **arguments):
    keras.utils.set_random_seed(1)
    return VARIANTS[variant](
        image_shape=SHAPE, latent_dim=latent_dim, hidden_units=(7,), seed=0, **arguments
    )


def pictures(num, seed=0):
    return np.random.default_rng(seed).random((num, *SHAPE)).astype("float32")


@pytest.fixture(scope="module")
def vae():
    """A 3-D VAE with enlarged weights, so that the codes are not all near zero."""
    model = made("vae", 3)
    model.set_weights([2.0 * weight for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def flat_vae():
    return made("vae", 2)


@pytest.fixture(scope="module")
def deep():
    return made("deep", 2)


# ---- spherical interpolation ----


def shoemake(start, end, fractions):
    """Shoemake's slerp formula for vectors of equal length at an angle between 0 and pi."""
    angle = np.arccos(start @ end / np.linalg.norm(start) / np.linalg.norm(end))
    weights = np.sin([(1 - fractions) * angle, fractions * angle]) / np.sin(angle)
    return weights.T @ np.stack([start, end])


@pytest.mark.parametrize("size", [2, 3, 20])
def test_slerp_of_equal_lengths_matches_shoemakes_formula(size):
    random = np.random.default_rng(size)
    start, end = random.normal(size=(2, size))
    end *= np.linalg.norm(start) / np.linalg.norm(end)
    fractions = np.linspace(0, 1, 9)
    found = slerp(start, end, fractions)
    np.testing.assert_allclose(found, shoemake(start, end, fractions), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(start))


def test_slerp_changes_angle_and_length_linearly():
    found = slerp(np.array([2.0, 0.0]), np.array([0.0, 5.0]), np.linspace(0, 1, 4))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [2, 3, 4, 5])
    np.testing.assert_allclose(np.degrees(np.arctan2(*found.T[::-1])), [0, 30, 60, 90], atol=1e-9)


@pytest.mark.parametrize("size", [2, 5])
def test_slerp_of_opposite_vectors_turns_half_a_circle(size):
    start = np.random.default_rng(0).normal(size=size)
    found = slerp(start, -2 * start, np.linspace(0, 1, 5))
    length = np.linalg.norm(start)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), length * np.linspace(1, 2, 5))
    np.testing.assert_allclose(found[[0, -1]], [start, -2 * start], atol=1e-12)
    assert found[2] @ start == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ([1, 2, 3], [2, 4, 6]),
        ([1, 2, 3], [1, 2, 3]),
        ([0, 0, 0], [1, 2, 3]),
        ([1, 2, 3], [0, 0, 0]),
        ([0, 0], [0, 0]),
        ([2], [-1]),
        ([1, 2, 3], [1 + 1e-12, 2, 3]),
    ],
)
def test_slerp_without_an_angle_is_linear(start, end):
    start, end = np.array(start, float), np.array(end, float)
    fractions = np.linspace(0, 1, 6)
    line = start + fractions[:, None] * (end - start)
    np.testing.assert_allclose(slerp(start, end, fractions), line, atol=1e-9)


# ---- interpolation ----


def test_spherical_interpolation_decodes_the_slerp_of_the_means(vae):
    start, end = pictures(2)
    means = vae.encode(np.stack([start, end]))
    expected = vae.decode(slerp(*means, np.linspace(0, 1, 7)))
    found = vae.interpolate(start, end, num_steps=7, spherical=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    line = vae.interpolate(start, end, num_steps=7)
    np.testing.assert_allclose(found[[0, -1]], line[[0, -1]], atol=1e-5)
    assert np.abs(found - line)[1:-1].max() > 1e-3
    np.testing.assert_allclose(line, vae.decode(np.linspace(*means, 7, dtype="float32")), atol=1e-5)


def test_log_variances_are_interpolated_linearly(vae, monkeypatch):
    encoded = []
    decoded = type(vae)._decoded
    monkeypatch.setattr(
        type(vae), "_decoded", lambda model, x: encoded.append(x.numpy()) or decoded(model, x)
    )
    vae.interpolate(*pictures(2), num_steps=5, spherical=True)
    ends = vae.encoder(pictures(2)).numpy()[:, 3:]
    np.testing.assert_allclose(encoded[0][:, 3:], np.linspace(*ends, 5), atol=1e-5)


def test_spherical_interpolation_needs_a_gaussian_code(deep):
    with pytest.raises(ValueError, match="spherical must be False for Deep.*received True"):
        deep.interpolate(*pictures(2), spherical=True)
    with pytest.raises(ValueError, match="spherical must be True or False; received 'yes'"):
        deep.interpolate(*pictures(2), spherical="yes")


# ---- arithmetic ----


@pytest.mark.parametrize("variant", ["vae", "deep", "sparse"])
def test_arithmetic_sums_the_encoder_outputs(variant):
    model = made(variant, 3)
    a, b, c = pictures(3)
    several = pictures(5, seed=1)
    encode = lambda images: model.encoder(images).numpy().astype(float)  # noqa: E731
    sums = encode(a[None]) + encode(several).mean(axis=0) - encode(b[None]) - encode(c[None])
    code = model.bottleneck(sums.astype("float32"), training=False)
    expected = model.decode(np.asarray(code))[0]
    found = model.latent_arithmetic(plus=[a, several], minus=[b, c])
    assert found.shape == SHAPE and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_adding_and_subtracting_an_image_cancels(vae):
    a, b = pictures(2)
    np.testing.assert_allclose(
        vae.latent_arithmetic([a, b], [b]), vae.reconstruct(a[None])[0], atol=1e-5
    )
    np.testing.assert_array_equal(
        vae.latent_arithmetic(np.stack([a, b])), vae.latent_arithmetic([a, b])
    )


def test_quantized_sum_is_one_of_the_codes():
    model = made("vq_vae", 3, num_embeddings=4)
    model.bottleneck.embeddings.assign(np.linspace(-1, 1, 4)[None].repeat(3, 0))
    decoded = []
    model.decode = lambda codes: decoded.append(codes) or codes
    model.latent_arithmetic(pictures(2), pictures(1, seed=3))
    assert np.isin(decoded[0], np.float32(np.linspace(-1, 1, 4))).all()


@pytest.mark.parametrize(
    ("plus", "minus", "words"),
    [
        ([], [], "plus must hold at least one image; received none"),
        (
            [pictures(1)[0, :1]],
            [],
            r"plus\[0\] must be one image of the shape \(2, 3\); received \(1, 3\)",
        ),
        (pictures(1), [pictures(1)[0] * 255], r"minus\[0\] must have pixels in \[0, 1\]"),
    ],
)
def test_arithmetic_refuses_terms_that_are_not_images(vae, plus, minus, words):
    with pytest.raises(ValueError, match=words):
        vae.latent_arithmetic(plus, minus)


# ---- traversals ----


def test_traversal_changes_one_dimension_only(vae):
    image = pictures(1)
    codes = vae.encode(image).repeat(5, axis=0)
    codes[:, 1] = [-3, -1.5, 0, 1.5, 3]
    np.testing.assert_allclose(vae.traverse(image[0], 1, 5), vae.decode(codes), atol=1e-6)
    codes[:, 1] = np.linspace(0.5, 2, 5)
    found = vae.traverse(image[0], 1, 5, low=0.5, high=2)
    np.testing.assert_allclose(found, vae.decode(codes), atol=1e-6)


def test_traversal_counts_flattened_feature_map_units():
    keras.utils.set_random_seed(0)
    model = VARIANTS["convolutional"](image_shape=(8, 8), filters=(3, 2), seed=0)
    image = np.random.default_rng(0).random((1, 8, 8)).astype("float32")
    codes = model.encode(image).repeat(3, axis=0)
    assert codes.ndim == 4
    codes.reshape(3, -1)[:, 5] = [0, 1, 2]
    found = model.traverse(image[0], 5, 3, low=0, high=2)
    np.testing.assert_allclose(found, model.decode(codes), atol=1e-6)


@pytest.mark.parametrize("dimension", [-1, 3, 1.5, True, "1"])
def test_traversal_of_a_missing_dimension_is_refused(vae, dimension):
    with pytest.raises(ValueError, match="dimension must be a whole number from 0 to 2; received"):
        vae.traverse(pictures(1)[0], dimension)


def test_traversal_without_a_prior_needs_a_range(deep):
    with pytest.raises(ValueError, match="high must be given: Deep .*received None"):
        deep.traverse(pictures(1)[0], 0, low=0)
    assert deep.traverse(pictures(1)[0], 0, low=-5, high=-4).shape == (10, *SHAPE)
    with pytest.raises(ValueError, match="num_steps must be >= 2"):
        deep.traverse(pictures(1)[0], 0, 1, low=0, high=1)


# ---- manifolds ----


def test_gaussian_manifold_is_spaced_by_equal_probability(flat_vae):
    values = norm.ppf([1 / 8, 3 / 8, 5 / 8, 7 / 8])
    found = flat_vae.manifold(4)
    assert found.shape == (4, 4, *SHAPE)
    for row in range(4):
        for column in range(4):
            code = np.array([[values[column], values[3 - row]]])
            np.testing.assert_allclose(found[row, column], flat_vae.decode(code)[0], atol=1e-6)


def test_manifold_of_other_codes_spans_those_of_the_images(deep):
    images = pictures(40)
    codes = deep.encode(images)
    low, high = np.quantile(codes, [1 / 6, 5 / 6], axis=0)
    found = deep.manifold(3, images)
    np.testing.assert_allclose(found[2, 0], deep.decode(low[None])[0], atol=1e-6)
    np.testing.assert_allclose(found[0, 2], deep.decode(high[None])[0], atol=1e-6)
    middle = np.array([[low[0], (low[1] + high[1]) / 2]])
    np.testing.assert_allclose(found[1, 0], deep.decode(middle)[0], atol=1e-6)
    with pytest.raises(ValueError, match="images must be given: Deep .*received None"):
        deep.manifold()


def test_manifold_needs_two_dimensions(vae):
    with pytest.raises(ValueError, match=r"needs a code of 2 dimensions; received .*\(3,\)"):
        vae.manifold()
