"""The sampling comparison, on fake models with known results."""

import numpy as np
import pytest
from fakes import FakeAutoencoder
from scipy.linalg import sqrtm

from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons import sampling
from keras_ae.evaluation.comparisons.base import (
    EvaluationData,
    Measurement,
    ReferenceClassifier,
    Result,
)
from keras_ae.evaluation.comparisons.common import nearest_distances
from keras_ae.evaluation.comparisons.sampling import frechet_distance, moments
from keras_ae.priors import autoregressive
from keras_ae.priors import fit as priors

SHAPE = (4, 4)


def images(num, seed, shape=SHAPE):
    """Images with one bright quarter, which is the class; the rest is dark noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, num)
    found = random.uniform(0, 0.2, (num, *shape)).astype("float32")
    for image, label in zip(found, labels, strict=True):
        top, left = 2 * (label // 2), 2 * (label % 2)
        image[top : top + 2, left : left + 2] += 0.7
    return Subset(found, labels)


def quarters(pictures):
    pictures = np.asarray(pictures, dtype=np.float64)
    parts = [
        pictures[:, t : t + 2, k : k + 2].reshape(len(pictures), -1) for t in (0, 2) for k in (0, 2)
    ]
    return np.stack([part.mean(axis=1) for part in parts], axis=1)


def certain(pictures):
    return np.eye(4)[quarters(pictures).argmax(axis=1)]


def problem_of(shape=SHAPE, labels=True, num=400):
    split = Split(images(num, 0, shape), images(40, 1, shape), images(num // 2, 2, shape))
    if not labels:
        return EvaluationData(
            Split(*(Subset(part.images) for part in (split.train, split.validation, split.test)))
        )
    return EvaluationData(
        split, tuple("abcd"), reference_classifier=ReferenceClassifier(quarters, certain)
    )


class Fake(FakeAutoencoder):
    """A model whose code is the image, with configurable samples."""

    def __init__(self, sampled=None, shape=SHAPE):
        self.sampled, self.image_shape, self.can_sample = sampled, shape, sampled is not None

    def encode(self, pictures):
        return pictures.reshape(len(pictures), -1)

    def decode(self, latents):
        return np.clip(latents, 0, 1).reshape(len(latents), *self.image_shape)

    def sample(self, num_samples, seed=None):
        return self.sampled(num_samples)


@pytest.fixture(scope="module")
def problem():
    return problem_of()


# ---- the Frechet distance ----


def random_covariance(random, size=5):
    factor = random.normal(size=(size, size + 3))
    return factor @ factor.T / size


def test_frechet_in_one_dimension_matches_the_closed_form():
    assert frechet_distance([2.0], [[9.0]], [-1.0], [[25.0]]) == pytest.approx(9 + (3 - 5) ** 2)


def test_frechet_of_commuting_covariances_matches_closed_form():
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(4, 4)))[0]
    a, b = random.uniform(0, 3, (2, 4))
    mean, other = random.normal(size=(2, 4))
    expected = np.sum((mean - other) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    found = frechet_distance(mean, turn * a @ turn.T, other, turn * b @ turn.T)
    assert found == pytest.approx(expected)


def test_frechet_matches_scipys_matrix_square_root():
    random = np.random.default_rng(1)
    a, b = random_covariance(random), random_covariance(random)
    mean, other = random.normal(size=(2, 5))
    expected = np.sum((mean - other) ** 2) + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(mean, a, other, b) == pytest.approx(expected)
    assert frechet_distance(other, b, mean, a) == pytest.approx(expected)


def test_frechet_is_zero_for_equal_moments_and_never_negative():
    random = np.random.default_rng(2)
    for rank in (1, 3, 8):
        features = random.normal(size=(50, rank)) @ random.normal(size=(rank, 8))
        assert 0 <= frechet_distance(*moments(features), *moments(features.copy())) < 1e-9
    still = moments(np.ones((10, 8)))
    assert frechet_distance(*still, *still) == 0


def test_moments_match_the_definition():
    features = np.random.default_rng(3).normal(size=(30, 4)).astype("float32")
    mean, covariance = moments(features)
    centered = features.astype("float64") - features.astype("float64").mean(axis=0)
    np.testing.assert_allclose(covariance, centered.T @ centered / 29, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(mean, features.mean(axis=0), atol=1e-6)
    assert moments(features[:1])[1].shape == (4, 4) and moments(features[:, :1])[1].shape == (1, 1)


# ---- the nearest training image ----


def test_nearest_distances_match_all_pairs():
    random = np.random.default_rng(0)
    some, others = random.random((25, 3, 5, 2)), random.random((70, 3, 5, 2))
    differences = some[:, None].astype("float32") - others[None].astype("float32")
    expected = np.sqrt((differences.astype("float64") ** 2).sum(axis=(2, 3, 4))).min(axis=1)
    np.testing.assert_allclose(nearest_distances(some, others, batch_size=7), expected, rtol=1e-5)


# ---- fake models ----


def test_copied_training_images_are_detected(problem):
    train = problem.split.train.images
    copies = sampling.measure(Fake(lambda num: train[:num]), problem, seed=0).metrics
    assert copies["prior_nearest"] == 0
    assert copies["prior_confidence"] == 1
    assert copies["prior_class_entropy"] == pytest.approx(np.log(4), abs=0.02)
    real = sampling.baselines(problem, seed=0)
    assert real["test images"].metrics["fitted_nearest"] > 0.1
    assert copies["prior_frechet"] < 0.01


def test_constant_sampler_has_one_class_and_no_diversity(problem):
    one = problem.split.train.images[:1]
    found = sampling.measure(Fake(lambda num: one.repeat(num, axis=0)), problem, seed=0).metrics
    assert found["prior_class_entropy"] == 0
    spread = np.cov(quarters(problem.split.test.images), rowvar=False)
    apart = quarters(one)[0] - quarters(problem.split.test.images).mean(axis=0)
    assert found["prior_frechet"] == pytest.approx(np.trace(spread) + apart @ apart)


def test_gray_noise_is_far_from_real_images(problem):
    random = np.random.default_rng(0)
    noise = Fake(lambda num: random.random((num, *SHAPE)).astype("float32"))
    found = sampling.measure(noise, problem, seed=0).metrics
    assert found["prior_frechet"] > 20 * found["fitted_frechet"]
    assert found["prior_nearest"] > 1.5 * found["fitted_nearest"]


def test_confidence_and_entropy_match_numpy():
    table = np.random.default_rng(0).dirichlet(np.ones(4), 200)
    classifier = ReferenceClassifier(quarters, lambda images: table[: len(images)])
    problem = EvaluationData(problem_of().split, tuple("abcd"), reference_classifier=classifier)
    found = sampling.classifier_metrics(problem.split.test.images, problem)
    assert found["confidence"] == pytest.approx(table.max(axis=1).mean())
    mean = table.mean(axis=0)
    assert found["class_entropy"] == pytest.approx(-(mean * np.log(mean)).sum())
    assert found["frechet"] == pytest.approx(0, abs=1e-9)


def test_model_without_a_prior_is_sampled_with_a_fitted_one(problem):
    found = sampling.measure(Fake(), problem, seed=0)
    assert found.arrays.keys() == {"fitted_images"}
    assert found.arrays["fitted_images"].shape == (16, *SHAPE)
    assert not any(key.startswith("prior") for key in found.metrics)
    assert found.metrics["fitted_frechet"] < 0.05
    assert found.metrics["num_samples"] == 200


def test_metrics_are_reproducible(problem):
    first, second, other = (sampling.measure(Fake(), problem, seed=seed) for seed in (0, 0, 1))
    assert first.metrics == second.metrics
    np.testing.assert_array_equal(first.arrays["fitted_images"], second.arrays["fitted_images"])
    assert first.metrics != other.metrics
    rows, again = sampling.baselines(problem, seed=0), sampling.baselines(problem, seed=0)
    assert {k: v.metrics for k, v in rows.items()} == {k: v.metrics for k, v in again.items()}


def test_without_labels_only_distances_are_measured():
    bare = problem_of(labels=False)
    found = sampling.measure(Fake(lambda num: bare.split.train.images[:num]), bare, seed=0)
    assert found.metrics.keys() == {"num_samples", "fitted_nearest", "prior_nearest"}
    rows = sampling.baselines(bare, seed=0)
    assert {name: row.metrics.keys() for name, row in rows.items()} == {
        "test images": {"fitted_nearest"}
    }


def test_baselines_are_real_images(problem):
    rows = sampling.baselines(problem, seed=0)
    train, test = rows["training images"].metrics, rows["test images"].metrics
    assert train.keys() == {"fitted_frechet", "fitted_confidence", "fitted_class_entropy"}
    assert 0 < train["fitted_frechet"] < 0.05
    assert "fitted_frechet" not in test and test["fitted_confidence"] == 1
    shown = rows["test images"].arrays["images"]
    assert shown.shape == (16, *SHAPE)
    assert nearest_distances(shown, problem.split.test.images).max() == 0


def test_discrete_codes_report_their_likelihood(problem, monkeypatch):
    monkeypatch.setattr(autoregressive, "EPOCHS", 2)
    fake = Fake()
    fake.scalar_codebooks = np.tile(np.float32([0.1, 0.8]), (16, 1))
    fake.encode = lambda pictures: np.where(pictures > 0.45, 0.8, 0.1).reshape(len(pictures), -1)
    found = sampling.measure(fake, problem, seed=0)
    assert found.metrics["uniform_nll"] == pytest.approx(16 * np.log(2))
    assert np.log(4) < found.metrics["fitted_nll"] < found.metrics["uniform_nll"]
    assert np.isin(found.arrays["fitted_images"], np.float32([0.1, 0.8])).all()


def test_binary_codes_report_their_likelihood(problem):
    fake = Fake()
    fake.encode = lambda pictures: np.float32(quarters(pictures) > 0.45)
    fake.decode = lambda codes: codes.repeat(4, axis=1).reshape(-1, *SHAPE)
    found = sampling.measure(fake, problem, seed=0).metrics
    assert found["uniform_nll"] == pytest.approx(4 * np.log(2))
    assert found["fitted_nll"] == pytest.approx(np.log(4), abs=0.1)  # one of four bits is on


def test_samples_of_a_linear_output_are_clipped(problem):
    fake = Fake(lambda num: np.full((num, *SHAPE), 1.5, "float32"))
    fake.decode = lambda latents: np.full((len(latents), *SHAPE), -0.5, "float32")
    made = sampling.measure(fake, problem, seed=0).arrays
    assert (made["prior_images"] == 1).all() and (made["fitted_images"] == 0).all()


def test_model_with_its_own_prior_is_sampled_once(problem, monkeypatch):
    class WithPrior(Fake):
        learns_prior = True

        def fit_prior(self, images):
            raise AssertionError("training has fitted it")

    calls = []
    monkeypatch.setattr(priors, "fit_prior", None)
    model = WithPrior(lambda num: calls.append(num) or problem.split.train.images[:num])
    numbers = sampling.measure(model, problem, seed=0).metrics
    assert calls == [200]
    for name in ("frechet", "confidence", "class_entropy", "nearest"):
        assert numbers[f"fitted_{name}"] == numbers[f"prior_{name}"]
    assert "WithPrior fits its own prior" in numbers["note"]


# ---- figures ----


def entry(label, seed, **arrays):
    return Result(label, "vae", seed, 2, None, Measurement({}, arrays))


def test_figures_show_the_first_seed_of_each_label(tmp_path, monkeypatch, problem):
    drawn = {}

    def image_blocks(blocks, path, **_):
        drawn[path.name] = blocks
        return path

    monkeypatch.setattr(sampling.plots, "image_blocks", image_blocks)
    dark, bright = np.zeros((16, *SHAPE)), np.ones((16, *SHAPE))
    entries = [
        entry("a", 0, fitted_images=dark),
        entry("b", 0, fitted_images=dark, prior_images=dark),
        entry("b", 1, fitted_images=bright, prior_images=bright),
    ]
    rows = [
        Result(name, name, 0, 0, None, row)
        for name, row in sampling.baselines(problem, seed=0).items()
    ]
    figures = sampling.draw(entries, rows, problem, tmp_path)
    assert [figure.path.name for figure in figures] == ["samples_prior.png", "samples_fitted.png"]
    assert list(drawn["samples_prior.png"]) == ["test images", "b"]
    assert list(drawn["samples_fitted.png"]) == ["test images", "a", "b"]
    assert drawn["samples_fitted.png"]["b"] is dark


def test_single_figure_without_priors_and_in_color(tmp_path):
    color = (4, 4, 3)
    problem = problem_of(color)
    measured = sampling.measure(Fake(shape=color), problem, seed=0)
    rows = [
        Result(name, name, 0, 0, None, row)
        for name, row in sampling.baselines(problem, seed=0).items()
    ]
    figures = sampling.draw([Result("a", "deep", 0, 48, None, measured)], rows, problem, tmp_path)
    assert [figure.path.name for figure in figures] == ["samples_fitted.png"]
    assert figures[0].path.stat().st_size > 1000
