"""The fitted priors, on codes whose distribution is known."""

import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy.stats import logistic, multivariate_normal

from keras_ae.layers import ConditionalBottleneck, VectorQuantizer
from keras_ae.priors import autoregressive, fit, mixtures
from keras_ae.priors.autoregressive import AutoregressivePrior, log_mass, masked_network
from keras_ae.priors.fit import fit_prior
from keras_ae.priors.mixtures import BernoulliMixturePrior, GaussianMixturePrior

# Without graph optimization the rounding differs, and the short fit below can end in a bad optimum.
pytestmark = pytest.mark.xla


def fake(encode, bottleneck=None, scalar_codebooks=None):
    """A fake autoencoder with the methods that `fit_prior` uses."""
    snap = bottleneck.snap if bottleneck else lambda latents: latents
    return SimpleNamespace(encode=encode, snap_latents=snap, scalar_codebooks=scalar_codebooks)


# ---- Gaussian mixtures ----


def blobs(num=4000, seed=0):
    """Codes from two Gaussians with weights 0.3 and 0.7; the second one is correlated."""
    random = np.random.default_rng(seed)
    second = random.random(num) < 0.7
    narrow = random.normal([-5, 200], [0.5, 10], (num, 2))
    tilted = random.multivariate_normal([5, 100], [[1.0, 18.0], [18.0, 400.0]], num)
    return np.where(second[:, None], tilted, narrow).astype("float32")


def test_mixture_recovers_weights_means_and_covariances():
    samples = GaussianMixturePrior(blobs(), seed=0, num_components=2).sample(20_000, 1)
    right = samples[:, 0] > 0
    assert right.mean() == pytest.approx(0.7, abs=0.02)
    np.testing.assert_allclose(samples[~right].mean(axis=0), [-5, 200], rtol=0.02)
    np.testing.assert_allclose(samples[right].mean(axis=0), [5, 100], rtol=0.02)
    assert np.corrcoef(samples[right].T)[0, 1] == pytest.approx(0.9, abs=0.02)
    assert samples[right].std(axis=0) == pytest.approx([1, 20], rel=0.06)


def test_samples_are_seeded_and_shuffled():
    prior, twin = (GaussianMixturePrior(blobs(), seed=3) for _ in range(2))
    first = prior.sample(500, 5)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, prior.sample(500, 5))
    np.testing.assert_array_equal(first, twin.sample(500, 5))
    assert (first != prior.sample(500, 6)).any()
    for part in np.split(first, 5):  # figures show only the first 16
        assert 0.5 < (part[:, 0] > 0).mean() < 0.9


def test_samples_stay_within_the_range_of_the_codes():
    random = np.random.default_rng(0)
    codes = np.maximum(random.normal(size=(3000, 3)), 0.0)  # ReLU: half of them are zero
    samples = GaussianMixturePrior(codes, seed=0, num_components=1).sample(3000, 0)
    assert samples.min() == 0.0
    assert (samples <= codes.max(axis=0).astype("float32")).all()
    assert (samples == 0).mean() > 0.1


def test_dead_units_stay_zero_and_tiny_ones_keep_their_scale():
    random = np.random.default_rng(0)
    codes = np.column_stack([np.full(500, 3.25), random.normal(0, 1e-6, 500), np.zeros(500)])
    samples = GaussianMixturePrior(codes, seed=0).sample(2000, 0)
    np.testing.assert_array_equal(samples[:, 0], np.float32(3.25))
    np.testing.assert_array_equal(samples[:, 2], 0)
    assert samples[:, 1].std() == pytest.approx(1e-6, rel=0.15)


def test_identical_and_few_codes_are_fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = GaussianMixturePrior(np.full((50, 4), 2.0), seed=0).sample(10, 0)
        few = GaussianMixturePrior(np.eye(5), seed=0)
    np.testing.assert_array_equal(same, 2.0)
    assert few.mixture.n_components == 1 and few.sample(3, 0).shape == (3, 5)
    assert (
        GaussianMixturePrior(np.random.default_rng(0).random((350, 5)), seed=0).mixture.n_components
        == 7
    )


def test_samples_keep_the_shape_of_higher_rank_codes():
    random = np.random.default_rng(0)
    steps = np.arange(12, dtype=float).reshape(2, 3, 2)
    codes = steps + random.normal(0, 0.1, (2000, 2, 3, 2))
    samples = GaussianMixturePrior(codes, seed=0).sample(1000, 0)
    assert samples.shape == (1000, 2, 3, 2)
    np.testing.assert_allclose(samples.mean(axis=0), steps, atol=0.05)


def test_large_sets_of_codes_are_subsampled_with_the_seed(monkeypatch):
    monkeypatch.setattr(fit, "MAX_CODES", 300)
    asked = []

    def encode(images):
        asked.append(images)
        return images.reshape(len(images), -1)

    images = blobs(1000).reshape(-1, 1, 2)
    model = fake(encode)
    samples = [fit_prior(model, images, seed=seed).sample(5, 0) for seed in (0, 0, 1)]
    assert [len(part) for part in asked] == [300] * 3
    np.testing.assert_array_equal(asked[0], asked[1])
    np.testing.assert_array_equal(samples[0], samples[1])
    assert (asked[0] != asked[2]).any()
    assert len(np.unique(asked[0][:, 0, 0])) > 290  # drawn without replacement, not the first ones


def test_wide_codes_are_fitted_on_principal_components(monkeypatch):
    monkeypatch.setattr(mixtures, "MAX_DIMENSIONS", 2)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 2)))[0].T
    codes = blobs()
    codes = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    samples = GaussianMixturePrior(codes @ turn * 3 + 5, seed=0, num_components=2).sample(20_000, 1)
    back = (samples - 5) / 3 @ turn.T
    np.testing.assert_allclose(back @ turn * 3 + 5, samples, atol=0.35)  # except for clipping
    np.testing.assert_allclose(np.corrcoef(back.T), np.corrcoef(codes.T), atol=0.03)
    found = np.histogram(back[:, 0], bins=20, range=(-3, 3), density=True)[0]
    expected = np.histogram(codes[:, 0], bins=20, range=(-3, 3), density=True)[0]
    assert np.abs(found - expected).max() < 0.1 and expected.max() > 0.8  # bimodal


def test_codes_of_64_dimensions_are_fitted_without_pca():
    codes = np.random.default_rng(0).normal(size=(200, 65))
    assert GaussianMixturePrior(codes[:, :64], seed=0).axes is None
    assert GaussianMixturePrior(codes, seed=0).axes.shape == (64, 65)
    assert GaussianMixturePrior(codes[:40], seed=0).sample(3, 0).shape == (3, 65)


# ---- discrete codes ----


def test_samples_of_a_shared_codebook_are_its_vectors():
    bottleneck = VectorQuantizer(3)
    bottleneck.build((None, 2, 2))
    book = np.float32([[0, 0], [1, 5], [-3, 2]])
    bottleneck.embeddings.assign(book)
    chosen = np.random.default_rng(0).integers(0, 3, (900, 2))
    model = fake(lambda images: book[images], bottleneck)
    samples = fit_prior(model, chosen, seed=0).sample(600, 0)
    assert samples.shape == (600, 2, 2) and samples.dtype == np.float32
    found = (samples[:, :, None] == book).all(axis=-1)
    assert found.any(axis=-1).all()
    np.testing.assert_allclose(found.mean(axis=(0, 1)), 1 / 3, atol=0.07)


def test_sampled_codes_keep_valid_labels():
    """Codes and samples of a class have the same mean."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 3000)
    codes = np.column_stack([random.normal(labels * 10, 1), random.normal(size=3000)])
    codes = np.column_stack([codes, np.eye(3)[labels]]).astype("float32")
    model = fake(lambda images: codes[images], ConditionalBottleneck(3))
    samples = fit_prior(model, np.arange(3000), seed=0).sample(2000, 1)
    assert set(np.unique(samples[:, 2:])) == {0, 1} and (samples[:, 2:].sum(axis=1) == 1).all()
    sampled = samples[:, 2:].argmax(axis=1)
    np.testing.assert_allclose(np.bincount(sampled) / 2000, 1 / 3, atol=0.05)
    for label in range(3):
        assert samples[sampled == label, 0].mean() == pytest.approx(label * 10, abs=0.3)


def bits(num, seed=0):
    """Three 4-bit patterns with weights 0.2, 0.3 and 0.5; a tenth of the bits is flipped."""
    random = np.random.default_rng(seed)
    kinds = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 1]])
    chosen = kinds[random.choice(3, num, p=[0.2, 0.3, 0.5])]
    return np.abs(chosen - (random.random((num, 4)) < 0.1)).astype("float32")


def true_probabilities():
    every = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    kinds = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 1]])
    same = (every[:, None] == kinds).sum(axis=-1)
    return every, (0.9**same * 0.1 ** (4 - same)) @ [0.2, 0.3, 0.5]


def test_binary_prior_recovers_the_true_probabilities():
    every, expected = true_probabilities()
    model = fake(lambda images: bits(6000)[images])
    prior = fit_prior(model, np.arange(6000), seed=0)
    assert isinstance(prior, BernoulliMixturePrior)
    found = np.exp(-prior.negative_log_likelihood(every))
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, expected, atol=0.015)
    assert prior.uniform == pytest.approx(np.log(16))
    nats = prior.negative_log_likelihood(bits(4000, seed=1)).mean()
    assert nats == pytest.approx(-(expected * np.log(expected)).sum(), abs=0.03)


def test_binary_samples_are_seeded_and_follow_the_fit():
    every, expected = true_probabilities()
    prior = BernoulliMixturePrior(bits(6000).reshape(-1, 2, 2), seed=0)
    samples = prior.sample(20_000, 1)
    assert samples.shape == (20_000, 2, 2) and samples.dtype == np.float32
    places = samples.reshape(-1, 4) @ [8, 4, 2, 1]
    shares = np.bincount(places.astype(int), minlength=16) / 20_000
    np.testing.assert_allclose(shares, expected, atol=0.02)
    np.testing.assert_array_equal(samples, prior.sample(20_000, 1))
    assert (samples != prior.sample(20_000, 2)).any()


def test_bit_probabilities_are_never_0_or_1():
    prior = BernoulliMixturePrior(np.zeros((30, 3)), seed=0)
    assert np.isfinite(prior.negative_log_likelihood(np.ones((1, 3)))).all()
    assert prior.sample(5, 0).shape == (5, 3)


# ---- autoregressive prior over code indices ----

SCALARS = np.array([-1.0, 0.0, 1.1, 2.0, 2.1, 7.0])
RELATED = np.array([3, 0, 5, 2])  # the second index for each of the four values of the first


def indices(num, seed=0):
    """First: uniform over four of six. Second: a function of the first. Third: 0 or 5."""
    random = np.random.default_rng(seed)
    first = random.integers(0, 4, num)
    return np.column_stack([first, RELATED[first], 5 * (random.random(num) < 0.25)])


ENTROPY = np.log(4) + 0.0 - 0.25 * np.log(0.25) - 0.75 * np.log(0.75)


@pytest.fixture(scope="module")
def codebooks():
    """Unsorted codebooks of three dimensions, each with another scale."""
    order = np.random.default_rng(1).permutation(6)
    return np.stack([SCALARS[order], 100 * SCALARS[order] + 40, 0.01 * SCALARS[order]]).astype(
        "float32"
    )


def scalars(codebooks, chosen):
    return np.column_stack([np.sort(book)[chosen[:, d]] for d, book in enumerate(codebooks)])


def numbers(codebooks, latents):
    return np.column_stack(
        [np.searchsorted(np.sort(book), latents[:, d]) for d, book in enumerate(codebooks)]
    )


@pytest.fixture(scope="module")
def prior(codebooks):
    """The prior of a fake model that encodes images `(3, 1)` of code indices."""
    model = fake(lambda images: scalars(codebooks, images[:, :, 0]), scalar_codebooks=codebooks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autoregressive, "EPOCHS", 24)
        return fit_prior(model, indices(6000)[:, :, None], seed=0)


def test_autoregressive_prior_learns_the_dependencies(prior, codebooks):
    samples = prior.sample(2000, 0)
    assert np.isin(samples[:, 1], codebooks[1]).all()
    found = numbers(codebooks, samples)
    known = found[:, 0] < 4
    assert known.mean() > 0.98
    follows = RELATED[found[known, 0]] == found[known, 1]
    assert follows.mean() > 0.95
    # Independent dimensions with the same marginals would agree in one of four cases.
    apart = np.random.default_rng(0).permutation(found[known, 1])
    assert (RELATED[found[known, 0]] == apart).mean() < 0.3
    np.testing.assert_allclose(np.bincount(found[:, 0], minlength=6)[:4] / 2000, 0.25, atol=0.05)
    assert (found[:, 2] == 5).mean() == pytest.approx(0.25, abs=0.04)


def test_autoregressive_likelihood_is_the_entropy_of_the_codes(prior, codebooks):
    fresh = scalars(codebooks, indices(2000, seed=9))
    nats = prior.negative_log_likelihood(fresh)
    assert nats.shape == (2000,)
    assert nats.mean() == pytest.approx(ENTROPY, abs=0.1)
    assert prior.uniform == pytest.approx(3 * np.log(6))
    shuffled = np.column_stack(
        [np.random.default_rng(d).permutation(fresh[:, d]) for d in range(3)]
    )
    assert prior.negative_log_likelihood(shuffled).mean() > ENTROPY + 1


def test_probabilities_of_all_codes_sum_to_one(prior, codebooks):
    everything = np.stack(np.meshgrid(*[np.arange(6)] * 3), axis=-1).reshape(-1, 3)
    nats = prior.negative_log_likelihood(scalars(codebooks, everything))
    assert nats.min() >= 0
    assert np.exp(-nats.astype("float64")).sum() == pytest.approx(1, abs=1e-4)


def test_autoregressive_samples_are_seeded(prior):
    np.testing.assert_array_equal(prior.sample(50, 1), prior.sample(50, 1))
    assert (prior.sample(50, 1) != prior.sample(50, 2)).any()


def test_fit_does_not_depend_on_the_global_seed(monkeypatch, codebooks):
    monkeypatch.setattr(autoregressive, "EPOCHS", 1)
    latents = scalars(codebooks, indices(128))

    def fitted(seed, global_seed):
        keras.utils.set_random_seed(global_seed)
        return AutoregressivePrior(codebooks, latents, seed=seed).negative_log_likelihood(latents)

    first = fitted(0, 1)
    np.testing.assert_allclose(first, fitted(0, 2), rtol=1e-5)
    assert np.abs(first - fitted(1, 1)).max() > 1e-3


def test_single_dimension_and_constant_codebook_are_fitted():
    random = np.random.default_rng(0)
    codes = random.choice([0.0, 1.0], p=[0.2, 0.8], size=(2000, 1))
    prior = AutoregressivePrior(np.array([[0.0, 0.0, 1.0]]), codes, seed=0)
    assert (prior.sample(2000, 0) == 1).mean() == pytest.approx(0.8, abs=0.05)
    same = AutoregressivePrior(np.full((2, 4), 0.5), np.full((64, 2), 0.5), seed=0)
    np.testing.assert_array_equal(same.sample(5, 0), 0.5)
    np.testing.assert_allclose(same.negative_log_likelihood(np.full((3, 2), 0.5)), 0, atol=1e-5)


def test_dimensions_depend_on_earlier_ones_only():
    network = masked_network(5, seed=0)
    start = np.random.default_rng(0).normal(size=(1, 5)).astype("float32")
    before = network(start).numpy()
    for changed in range(5):
        moved = start.copy()
        moved[0, changed] += 1
        reached = np.abs(network(moved).numpy() - before).max(axis=(0, 2, 3)) > 0
        np.testing.assert_array_equal(reached, np.arange(5) > changed)


def test_log_mass_matches_scipy():
    random = np.random.default_rng(0)
    parameters = random.normal(size=(40, 3, 3))
    lower = random.normal(0, 6, 40)
    width = 10.0 ** random.uniform(-6, 1, 40)
    lower[:4] = 12, 15, -12, -15  # far in the tails, where 1 - cdf is 0 in float32
    cells = np.stack([lower, lower + width, width], axis=-1)[:, None].astype("float32")
    weights = np.exp(parameters[..., 0])
    weights /= weights.sum(axis=-1, keepdims=True)
    law = logistic(parameters[..., 1], np.exp(parameters[..., 2]))
    a, b = lower[:, None], (lower + width)[:, None]
    upper_tail = law.sf(a) - law.sf(b)
    mass = np.where(a > parameters[..., 1], upper_tail, law.cdf(b) - law.cdf(a))
    expected = np.log((weights * mass).sum(axis=-1))
    found = log_mass(cells, parameters.astype("float32")).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_mixture_likelihood_matches_the_true_density():
    """Oracle of the whole fit: SciPy's density of the true mixture."""
    fresh = blobs(2000, seed=5).astype("float64")
    prior = GaussianMixturePrior(blobs(), seed=0, num_components=2)
    standardized = (fresh - prior.mean) / prior.scale
    found = prior.mixture.score_samples(standardized).mean() - np.log(prior.scale).sum()
    density = 0.3 * multivariate_normal([-5, 200], [[0.25, 0], [0, 100]]).pdf(fresh)
    density += 0.7 * multivariate_normal([5, 100], [[1.0, 18.0], [18.0, 400.0]]).pdf(fresh)
    assert found == pytest.approx(np.log(density).mean(), abs=0.05)
