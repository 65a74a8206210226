"""Anomaly scores and error maps, against NumPy in float64, scikit-learn and closed forms."""

import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import BIAS, KERNEL, exact_log_likelihood, images_of, linear_model
from scipy import ndimage, stats
from sklearn.covariance import LedoitWolf
from sklearn.mixture import GaussianMixture
from small_variants import NAMES, SHAPE, inputs, pictures, small

from keras_ae.anomaly.codes import (
    fit_latent_density,
    fit_mahalanobis,
    latent_density,
    mahalanobis,
)
from keras_ae.anomaly.fitted import FeatureSample
from keras_ae.anomaly.maps import MapMoments
from keras_ae.anomaly.residuals import fit_local_residual, local_residual, window_step
from keras_ae.anomaly.state import AnomalyState
from keras_ae.anomaly.threshold import fit_to_normal
from keras_ae.anomaly.tools import fit_to_part
from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons import reconstruction
from keras_ae.evaluation.comparisons.base import EvaluationData
from keras_ae.priors.mixtures import BernoulliMixturePrior
from keras_ae.variants.variational import shared_noise

GAUSSIAN = ("elbo", "log_likelihood")
COMMON = ("bce", "mse", "ssim", "signed_residual", "latent_density", "mahalanobis")
COMMON += ("local_residual",)


@pytest.fixture(scope="module")
def model():
    return small("deep")


@pytest.mark.filterwarnings("ignore:.*few for the density")
@pytest.mark.parametrize("name", NAMES)
def test_every_variant_has_its_scores_and_names_them(name):
    model = small(name)
    images = pictures(40)
    wanted = COMMON if model.has_bce else COMMON[1:]
    if model.posterior(inputs(model, images)) is not None:
        wanted += GAUSSIAN
    assert model.score_names == wanted
    model.fit_scores(pictures(200))
    for score in wanted:
        samples = {"num_samples": 2} if score in GAUSSIAN else {}
        scores = model.anomaly_score(images, score, **samples)
        assert scores.shape == (40,) and scores.dtype == np.float32
        assert np.isfinite(scores).all()
        # The score of an image does not depend on the other images.
        np.testing.assert_allclose(
            model.anomaly_score(images[7:9], score, **samples), scores[7:9], rtol=1e-3, atol=1e-4
        )
    for unknown in {"mae", *GAUSSIAN} - set(wanted):
        with pytest.raises(ValueError, match=f"one of {', '.join(wanted)}; received") as error:
            model.anomaly_score(images, unknown)
        assert "\n" not in str(error.value)


# ---- SSIM ----


def ssim_by_loops(x, y, size, data_range):
    """Wang et al. (2004), eq. 13, in the windows that fit: `(height', width')`."""
    axis = np.arange(size) - (size - 1) / 2
    window = np.exp(-(axis**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    found = np.empty((x.shape[0] - size + 1, x.shape[1] - size + 1))
    for row, column in np.ndindex(*found.shape):
        a, b = (each[row : row + size, column : column + size] for each in (x, y))
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        variances = (window * a**2).sum() - mean_a**2 + (window * b**2).sum() - mean_b**2
        covariance = (window * a * b).sum() - mean_a * mean_b
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        found[row, column] = luminance * (2 * covariance + c2) / (variances + c2)
    return found


@pytest.mark.parametrize(
    ("shape", "size", "arguments"),
    [
        ((6, 5), 5, {}),
        ((4, 9), 3, {}),
        ((13, 15, 3), 11, {}),
        ((6, 5), 5, {"reconstruction_loss": "mse", "output_activation": "tanh"}),
    ],
)
def test_ssim_score_and_map(shape, size, arguments):
    model = small("deep", shape, **arguments)
    low, high = model.pixel_range
    images = pictures(4, shape) * (high - low) + low
    rebuilt = model.reconstruct(images).astype(np.float64)
    pairs = [
        (x.reshape(*shape[:2], -1).astype(np.float64) - low, y.reshape(*shape[:2], -1) - low)
        for x, y in zip(images, rebuilt, strict=True)
    ]
    expected = np.stack(
        [
            np.mean(
                [
                    ssim_by_loops(x[..., each], y[..., each], size, high - low)
                    for each in range(x.shape[-1])
                ],
                axis=0,
            )
            for x, y in pairs
        ]
    )
    np.testing.assert_allclose(
        model.anomaly_score(images, "ssim"), 1 - expected.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5
    )
    edge = size // 2
    padded = np.pad(1 - expected, [(0, 0), (edge, edge), (edge, edge)], mode="edge")
    np.testing.assert_allclose(
        model.anomaly_map(images, score="ssim"), padded, rtol=1e-3, atol=1e-4
    )


def test_images_too_small_for_ssim_have_no_such_score():
    model = small("deep", (2, 9))
    assert "ssim" not in model.score_names
    with pytest.raises(ValueError, match="one of bce, mse, signed_residual"):
        model.anomaly_map(pictures(3, (2, 9)), score="ssim")


# ---- scores of a Gaussian code ----


def linear_parts(images, wider):
    """Posterior mean and variance of the linear model, in float64."""
    variance = 1 / np.diag(np.eye(2) + 2 * KERNEL @ KERNEL.T)
    x = images.reshape(-1, 6).astype(np.float64)
    return x, (x - BIAS) @ (2 * KERNEL.T) * variance, variance * np.exp(wider)


def noise_of(num):
    return np.stack([shared_noise(step, 2)[0, 0] for step in range(num)]).astype(np.float64)


@pytest.mark.parametrize("wider", [0.0, 0.7])
def test_elbo_is_the_formula_and_comes_near_the_closed_form(wider):
    images = images_of(9)
    x, mean, variance = linear_parts(images, wider)
    divergence = 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(axis=1)
    constant = 3 * np.log(np.pi)
    draws = mean + np.sqrt(variance) * noise_of(5)[:, None]
    errors = np.square(x - draws @ KERNEL - BIAS).sum(axis=-1) + constant
    model = linear_model(wider)
    by_hand = errors.mean(axis=0) + divergence
    np.testing.assert_allclose(
        model.anomaly_score(images, "elbo", num_samples=5), by_hand, rtol=1e-4
    )
    # E|x - zK - b|^2 is the error of the mean plus the variances times the rows' lengths.
    expected = np.square(x - mean @ KERNEL - BIAS).sum(axis=1) + constant + divergence
    expected += (variance * np.square(KERNEL).sum(axis=1)).sum()
    many = model.anomaly_score(images, "elbo", num_samples=100)
    np.testing.assert_allclose(many, expected, atol=0.6)
    assert np.all(expected >= -exact_log_likelihood(images) - 1e-9)


@pytest.mark.slow
def test_elbo_is_that_of_the_evaluation():
    model = small("vae")
    model.fit(pictures(), epochs=3, verbose=0)
    images = pictures(400, seed=4)
    split = Split(*[Subset(images, None)] * 3)
    data = EvaluationData(split, (), None)
    metrics = [reconstruction.measure(model, data, seed=seed).metrics for seed in range(8)]
    theirs = [each["negative_elbo"] for each in metrics]
    ours = model.anomaly_score(images, "elbo", num_samples=50).mean()
    error = np.std(theirs, ddof=1) / np.sqrt(8)
    assert ours == pytest.approx(np.mean(theirs), abs=4 * error + 0.1)


def test_log_likelihood_score_is_exact_where_the_posterior_is():
    images = images_of(9)
    for num in (1, 7):  # every weight is the likelihood itself
        scores = linear_model().anomaly_score(images, "log_likelihood", num_samples=num)
        np.testing.assert_allclose(scores, -exact_log_likelihood(images), rtol=1e-4)


def test_log_likelihood_score_is_the_log_mean_weight():
    images = images_of(9)
    x, mean, variance = linear_parts(images, 0.7)
    draws = mean + np.sqrt(variance) * noise_of(6)[:, None]
    weights = -np.square(x - draws @ KERNEL - BIAS).sum(axis=-1) - 3 * np.log(np.pi)
    weights += stats.norm.logpdf(draws).sum(axis=-1)
    weights -= stats.norm(mean, np.sqrt(variance)).logpdf(draws).sum(axis=-1)
    expected = -np.log(np.exp(weights).mean(axis=0))
    model = linear_model(0.7)
    scores = model.anomaly_score(images, "log_likelihood", num_samples=6)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    # The samples of a threshold belong to it.
    fit = model.fit_threshold(images, 0.5, "log_likelihood", num_samples=6)
    assert fit.num_samples == 6
    np.testing.assert_array_equal(model.is_anomalous(images), scores > fit.threshold)
    assert model.fit_threshold(images, 0.5, "elbo").num_samples == 16
    for bad in (0, 2.5, "many"):
        with pytest.raises(ValueError, match="num_samples"):
            model.anomaly_score(images, "elbo", num_samples=bad)


# ---- scores of codes ----


def codes_of(num, width, seed=0):
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(width, width)) / np.sqrt(width)
    return (random.normal(size=(num, width)) @ mixing + random.normal(size=width)).astype("f4")


@pytest.mark.parametrize(("num", "width"), [(50, 4), (2000, 4), (30, 60), (60, 300)])
def test_mahalanobis_is_that_of_ledoit_and_wolf(num, width):
    codes, others = codes_of(num, width), 2 * codes_of(20, width, seed=1)
    statistics = fit_mahalanobis(codes)
    expected = LedoitWolf().fit(codes.astype(np.float64))
    assert statistics["shrinkage"][0] == pytest.approx(expected.shrinkage_, rel=1e-6)
    for each in (codes, others):
        distances = np.sqrt(expected.mahalanobis(each.astype(np.float64)))
        np.testing.assert_allclose(mahalanobis(statistics, each), distances, rtol=1e-5)


def test_mahalanobis_of_wide_codes_gives_the_other_axes_their_mean_variance():
    codes, others = codes_of(700, 300), codes_of(20, 300, seed=1)
    statistics = fit_mahalanobis(codes)
    assert statistics["axes"].shape == (256, 300)
    axes = statistics["axes"]
    covariance = axes.T @ np.diag(statistics["variances"]) @ axes
    covariance += statistics["others"][0] * (np.eye(300) - axes.T @ axes)
    np.testing.assert_allclose(np.trace(covariance), codes.var(axis=0).sum(), rtol=1e-4)
    centered = others - statistics["mean"]
    expected = np.sqrt(np.einsum("nd,nd->n", centered, np.linalg.solve(covariance, centered.T).T))
    np.testing.assert_allclose(mahalanobis(statistics, others), expected, rtol=1e-5)


def test_mahalanobis_of_dead_units_is_finite_and_high_where_they_wake():
    codes = np.pad(codes_of(5000, 3), [(0, 0), (0, 2)])
    awake = codes[:1].copy()
    awake[0, 4] = 0.5
    statistics = fit_mahalanobis(codes)
    distances = mahalanobis(statistics, np.concatenate([codes, awake])).numpy()
    assert np.isfinite(distances).all() and distances[-1] > distances[:-1].max()
    same = fit_mahalanobis(np.ones((9, 4), "f4"))
    assert mahalanobis(same, np.ones((1, 4), "f4")).numpy() == 0.0


def test_latent_density_is_that_of_a_gaussian_mixture():
    random = np.random.default_rng(0)
    codes = np.concatenate([codes_of(500, 3), codes_of(500, 3, seed=1) * 0.3 + 4])
    codes[:, 2] *= 10
    statistics = fit_latent_density(codes)
    mean, scale = codes.astype("f8").mean(axis=0), codes.astype("f8").std(axis=0)
    mixture = GaussianMixture(10, reg_covar=1e-4, max_iter=200, random_state=0)
    mixture.fit((codes.astype("f8") - mean) / scale)
    others = random.normal(size=(30, 3)).astype("f4") * 3
    expected = np.log(scale).sum() - mixture.score_samples((others.astype("f8") - mean) / scale)
    np.testing.assert_allclose(latent_density(statistics, others), expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*few for the density")
def test_latent_density_of_wide_codes_is_one_gaussian_of_all_dimensions():
    codes, others = codes_of(600, 90), codes_of(20, 90, seed=1)
    statistics = fit_latent_density(codes)
    axes, scale = statistics["axes"], statistics["scale"]
    assert axes.shape == (64, 90) and len(statistics["centers"]) == 1
    inverse = statistics["factors"][0] @ statistics["factors"][0].T
    covariance = axes.T @ np.linalg.inv(inverse) @ axes
    covariance += statistics["others"][0] * (np.eye(90) - axes.T @ axes)
    covariance = covariance * np.outer(scale, scale)
    mean = statistics["mean"] + (statistics["centers"][0] @ axes) * scale
    expected = -stats.multivariate_normal(mean, covariance).logpdf(others)
    np.testing.assert_allclose(latent_density(statistics, others), expected, rtol=1e-5)


def test_latent_density_of_bits_is_that_of_their_prior():
    bits = (np.random.default_rng(0).random((400, 6)) < 0.3).astype("f4")
    expected = BernoulliMixturePrior(bits, seed=0).negative_log_likelihood(bits)
    np.testing.assert_allclose(latent_density(fit_latent_density(bits), bits), expected, rtol=1e-6)


def test_few_codes_for_a_density_cause_a_warning(model):
    with pytest.warns(UserWarning, match="20 images are few .* 4 dimensions: .* about 40"):
        model.fit_scores(pictures(20))


def test_scores_of_codes_rise_with_the_distance(model):
    model.fit_scores(pictures(400))
    codes = model.encode(pictures(400)).astype(np.float64)
    path = np.linspace(1, 20, 9)[:, None] * codes.std(axis=0) + codes.mean(axis=0)
    for score_of, name in ((mahalanobis, "mahalanobis"), (latent_density, "latent_density")):
        scores = score_of(model._anomaly.statistics[name], path).numpy()
        assert np.all(np.diff(scores[1:]) > 0), name


def test_sample_of_codes_is_bounded_and_uniform(monkeypatch):
    monkeypatch.setattr("keras_ae.anomaly.fitted.MAX_FEATURES", 100)
    counts = np.zeros(1000)
    for seed in range(60):
        sample = FeatureSample(seed)
        for start in range(0, 1000, 50):
            numbers = np.arange(start, start + 50, dtype="f4")
            sample.add(numbers[:, None], numbers % 3 == 0)
            assert sample._num <= 250
        features, are_normal = sample.result()
        found = features[:, 0].astype(int)
        np.testing.assert_array_equal(are_normal, found % 3 == 0)
        assert len(found) == len(set(found)) == 100
        counts[found] += 1
    # Six are expected of each; every tenth of the codes has its share.
    np.testing.assert_allclose(counts.reshape(10, 100).sum(axis=1), 600, rtol=0.15)


# ---- local residuals ----


@pytest.mark.parametrize("shape", [SHAPE, (12, 70, 1), (66, 40, 3)])
def test_local_residual_is_the_mahalanobis_distance_of_windows(shape):
    model = small("deep", shape)
    normal, images = pictures(30, shape, seed=1), pictures(6, shape, seed=2)
    model.fit_scores(normal, ["local_residual"])
    step = window_step(shape)
    assert step == (1 if shape == SHAPE else 2)
    places = np.ix_(*(np.arange(step // 2, side, step) for side in shape[:2]))

    def features(images):
        x = images.reshape(len(images), *shape[:2], -1).astype(np.float64)
        residual = model.reconstruct(images).reshape(x.shape) - x
        sigma = (0, step, step, 0)
        mean = ndimage.gaussian_filter(residual, sigma)
        variance = (ndimage.gaussian_filter(residual**2, sigma) - mean**2).sum(axis=-1)
        both = np.concatenate([mean, np.log(variance + 1e-4)[..., None]], axis=-1)
        return both[:, places[0], places[1]]

    known = features(normal).reshape(-1, 2 if len(shape) == 2 else 1 + shape[2])
    inverse = np.linalg.inv(np.cov(known.T, bias=True) + 1e-4 * np.eye(known.shape[1]))
    centered = features(images) - known.mean(axis=0)
    distances = np.sqrt(np.einsum("nabf,fg,nabg->nab", centered, inverse, centered))
    num = max(1, round(0.05 * distances[0].size))
    expected = np.sort(distances.reshape(len(images), -1), axis=1)[:, -num:].mean(axis=1)
    np.testing.assert_allclose(
        model.anomaly_score(images, "local_residual"), expected, rtol=2e-2, atol=1e-3
    )
    maps = model.anomaly_map(images, score="local_residual")
    assert maps.shape == (6, *shape[:2])
    np.testing.assert_allclose(maps[:, places[0], places[1]], distances, rtol=2e-2, atol=1e-3)
    between = distances[:, :, :2].mean(axis=2)  # linear between two windows
    if step == 2:
        np.testing.assert_allclose(maps[:, 1::2, 2][:, : between.shape[1]], between, rtol=2e-2)


def test_threshold_of_local_residual_is_from_scores_with_statistics_of_other_images():
    model, images = small("deep"), pictures(43)
    fit = model.fit_threshold(images, 0.1, "local_residual")
    places = np.random.default_rng(0).permutation(43)
    expected = np.zeros(43)
    for part in np.array_split(places, 5):
        other = small("deep")
        other.fit_scores(images[np.setdiff1d(places, part)], "local_residual")
        expected[part] = other.anomaly_score(images[part], "local_residual")
    assert fit.threshold == pytest.approx(fit_to_normal(expected, 0.1)[0], rel=1e-4)


def test_false_positive_rate_of_few_varied_images_is_near_the_one_asked_for():
    """Windows of one image are alike: statistics of the same 20 images would give 0.2 and more."""
    random, rates = np.random.default_rng(0), []
    for _ in range(40):
        offsets = 2 * random.normal(size=(420, 1, 1, 4))
        features = (offsets + random.normal(size=(420, 8, 8, 4))).astype("f4")
        fitted, scores, _ = fit_to_part(
            AnomalyState(), "local_residual", features[:20], np.ones(20, bool)
        )
        threshold, _ = fit_to_normal(scores, 0.05)
        fresh = local_residual(fitted.statistics["local_residual"], features[20:]).numpy()
        rates.append(np.mean(fresh > threshold))
    assert 0.02 < np.mean(rates) < 0.13


@pytest.mark.parametrize("shape", [(1, 64), (2, 128), (3, 256, 3)])
def test_thin_images_have_windows(shape):
    model = small("deep", shape)
    model.fit_scores(pictures(9, shape), "local_residual")
    scores = model.anomaly_score(pictures(5, shape, seed=1), "local_residual")
    maps = model.anomaly_map(pictures(5, shape, seed=1), score="local_residual")
    assert np.isfinite(scores).all() and np.isfinite(maps).all() and maps.shape == (5, *shape[:2])


def test_new_statistics_drop_the_spread_of_the_old_maps():
    model = small("deep")
    model.fit_threshold(pictures(30), 0.1, "local_residual")
    model.fit_scores(pictures(30, seed=1), "local_residual")
    with pytest.raises(ValueError, match="normalize needs the maps of normal images"):
        model.anomaly_map(pictures(2), normalize=True, score="local_residual")
    assert model.anomaly_map(pictures(2), normalize=True).shape == (2, *SHAPE)  # of the loss


def test_local_residual_needs_no_half_of_the_images():
    model, images = small("deep"), pictures(40)
    with pytest.raises(ValueError, match="local_residual has not been fitted: call fit_scores"):
        model.anomaly_map(images, score="local_residual")
    fit = model.fit_threshold(images, 0.1, "local_residual")
    assert fit.num_images == 40 and fit.rate == pytest.approx(0.1)
    scores = model.anomaly_score(images, "local_residual")
    other = small("deep")
    other.fit_scores(images, ["local_residual"])
    np.testing.assert_allclose(other.anomaly_score(images, "local_residual"), scores, rtol=1e-5)
    model.fit_threshold(pictures(40, seed=5), 0.1, "local_residual")  # fits it again
    assert not np.allclose(model.anomaly_score(images, "local_residual"), scores)
    model.fit_threshold(images, 0.1, "local_residual")
    found = model.anomaly_map(images, normalize=True, score="local_residual")
    maps = model.anomaly_map(images, score="local_residual").astype(np.float64)
    expected = (maps - maps.mean(axis=0)) / np.maximum(maps.std(axis=0), 1e-9)
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)


def test_local_residual_finds_a_low_spread():
    """Where a texture is gone the residual is small, so a large error cannot find it."""
    random = np.random.default_rng(0)
    normal = 0.1 * random.normal(size=(60, 32, 32, 2))  # features: one mean, one log variance
    features = np.stack([normal[..., 0], normal[..., 1] - 3], axis=-1).astype("f4")
    statistics = fit_local_residual(features)
    gone = features[:20].copy()
    gone[:, 8:16, 8:16, 1] -= 2.0
    scores = local_residual(statistics, np.concatenate([features[20:], gone])).numpy()
    assert scores[-20:].min() > scores[:-20].max()


@pytest.mark.parametrize("scores", [["bce"], ["mahalanobis", "nothing"]])
def test_scores_that_cannot_be_fitted_are_refused(model, scores):
    with pytest.raises(ValueError, match="scores must be one of latent_density, mahalanobis, loc"):
        model.fit_scores(pictures(9), scores)


# ---- maps ----


@pytest.mark.parametrize("shape", [SHAPE, (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("score", ["bce", "mse", "signed_residual"])
def test_map_is_the_error_of_each_pixel_and_sums_to_the_score(shape, score):
    model = small("deep", shape)
    images = pictures(9, shape)
    x, p = images.astype(np.float64), model.reconstruct(images).astype(np.float64)
    expected = (
        {
            "bce": -x * np.log(p) - (1 - x) * np.log1p(-p),
            "mse": (p - x) ** 2,
            "signed_residual": p - x,
        }[score]
        .reshape(9, 6, 5, -1)
        .sum(axis=-1)
    )
    maps = model.anomaly_map(images, score=score)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-4)
    sums = maps.sum(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(sums, model.anomaly_score(images, score), rtol=1e-4, atol=1e-4)
    assert tf.is_tensor(model.anomaly_map(tf.constant(images), score=score))


def test_map_is_by_default_that_of_the_training_loss():
    images = pictures(5)
    for name in ("deep", "linear"):
        model = small(name)
        expected = model.anomaly_map(images, score=model.reconstruction_loss)
        np.testing.assert_array_equal(model.anomaly_map(images), expected)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 40.0])
def test_smoothed_map_is_that_of_scipy(model, sigma):
    images = pictures(5)
    expected = [ndimage.gaussian_filter(each, sigma) for each in model.anomaly_map(images)]
    smooth = model.anomaly_map(images, sigma)
    np.testing.assert_allclose(smooth, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        smooth.sum(axis=(1, 2)), model.anomaly_score(images, "bce"), rtol=1e-4
    )
    np.testing.assert_array_equal(model.anomaly_map(images, 0), model.anomaly_map(images))
    for bad in (-1, float("nan"), "wide"):
        with pytest.raises(ValueError, match="sigma must be a number"):
            model.anomaly_map(images, bad)


def test_normalized_map_is_in_deviations_of_normal_maps():
    model = small("deep")
    normal, images = pictures(80, seed=1), pictures(7, seed=2)
    with pytest.raises(ValueError, match="call fit_threshold.*score='bce'.*first"):
        model.anomaly_map(images, normalize=True)
    labels = np.arange(100) >= 80
    strange = np.random.default_rng(0).random((20, *SHAPE)).astype("f4")
    model.fit_threshold(np.concatenate([normal, strange]), labels=labels, score="ssim")
    for score in ("bce", "ssim"):
        maps = model.anomaly_map(normal, score=score).astype(np.float64)
        spread = maps.std(axis=0)
        spread = np.maximum(spread, 0.1 * spread.mean())
        expected = (model.anomaly_map(images, score=score) - maps.mean(axis=0)) / spread
        found = model.anomaly_map(images, normalize=True, score=score)
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2)
        smooth = model.anomaly_map(images, 1.0, True, score)
        np.testing.assert_allclose(
            smooth[0], ndimage.gaussian_filter(found[0], 1.0), rtol=1e-3, atol=1e-4
        )
    with pytest.raises(ValueError, match="call fit_threshold.*score='mse'.*first"):
        model.anomaly_map(images, normalize=True, score="mse")


def test_pixels_without_spread_do_not_divide_by_zero():
    maps = np.random.default_rng(0).random((50, 4, 4))
    maps[:, 0, 0] = 3.0
    moments = MapMoments()
    for part in np.array_split(maps, 4):
        moments.add(part)
    mean, spread = moments.result()
    np.testing.assert_allclose(mean, maps.mean(axis=0), rtol=1e-6)
    expected = maps.std(axis=0)
    expected[0, 0] = 0.1 * expected.mean()
    np.testing.assert_allclose(spread, expected, rtol=1e-5)


def test_map_without_a_score_of_pixels_is_refused(model):
    with pytest.raises(
        ValueError, match="one of bce, mse, ssim, signed_residual, local_residual; received 'maha"
    ):
        model.anomaly_map(pictures(2), score="mahalanobis")


def test_large_images_go_through_the_network_in_smaller_batches(monkeypatch):
    model = small("deep")
    images = pictures(23)
    expected = model.anomaly_score(images), model.anomaly_map(images)
    monkeypatch.setattr("keras_ae.variants.base.PIXELS_PER_CALL", 4 * 30 + 7)
    sizes = [len(batch) for batch in model._batches(images)]
    assert sizes == [4] * 5 + [3]
    np.testing.assert_allclose(model.anomaly_score(images), expected[0], rtol=1e-5)
    np.testing.assert_allclose(model.anomaly_map(images), expected[1], rtol=1e-3, atol=1e-5)
    monkeypatch.setattr("keras_ae.variants.base.PIXELS_PER_CALL", 1)
    assert len(list(model._batches(images))) == 23
