"""The comparison of anomaly scores, with fake models whose best score is known."""

import warnings

import numpy as np
import pytest
from fakes import FakeAutoencoder
from small_variants import small
from test_anomaly import auc_by_pairs, contrast, defects, problem

import keras_ae
from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons import COMPARISONS, scores
from keras_ae.evaluation.comparisons.base import EvaluationData, Measurement, Result
from keras_ae.variants import VARIANTS


class Fake(FakeAutoencoder):
    """Knows two scores, one of which is right, and one that is not finite."""

    score_names = ("mse", "ssim", "elbo", "bce")

    def fit_scores(self, images, scores):
        if "mahalanobis" in scores:
            warnings.warn("few images", stacklevel=2)
            self.fitted_to = images

    def anomaly_score(self, images, score=None, num_samples=None):
        if score == "elbo":
            assert num_samples == 4
            return np.full(len(images), np.inf)
        assert num_samples is None
        return {"mse": contrast, "ssim": lambda x: -contrast(x), "bce": first_pixel}[score](images)


def first_pixel(images):
    return images[:, 0, 0]


def test_every_score_has_its_auc():
    data, model = defects(), Fake()
    numbers = scores.measure(model, data, seed=0).metrics
    assert numbers["mse"] == 1.0 and numbers["ssim"] == 0.0 and "elbo" not in numbers
    assert numbers["note"] == "few images Fake: the score elbo is not finite for all images."
    anomalous = data.split.test.labels != 1
    expected = auc_by_pairs(anomalous, first_pixel(data.split.test.images))
    assert numbers["bce"] == pytest.approx(expected)
    assert len(model.fitted_to) == 60


def test_images_and_fitted_codes_are_bounded(monkeypatch):
    monkeypatch.setattr(scores, "MAX_FITTED", 7)
    monkeypatch.setattr(scores, "MAX_VALUES", 0)
    monkeypatch.setattr(scores, "MIN_IMAGES", 30)
    model = Fake()
    numbers = scores.measure(model, problem(), seed=0).metrics
    assert len(model.fitted_to) == 7
    assert "of 30 of the 90 test images" in numbers["note"]


@pytest.mark.parametrize("num, expected", [(100, (30, 70)), (50, (15, 35)), (2, (1, 1))])
def test_part_of_the_images_keeps_the_share_of_anomalous_ones(num, expected):
    anomalous = np.arange(100) >= 70
    chosen = scores.choose(anomalous, num, seed=0)
    assert (anomalous[chosen].sum(), (~anomalous[chosen]).sum()) == expected
    assert len(set(chosen)) == len(chosen) and (np.diff(chosen) > 0).all()


def test_all_classes_in_training_is_an_error():
    data = problem()
    with pytest.raises(ValueError, match="trained without one class"):
        scores.measure(Fake(), EvaluationData(data.split, data.class_names), seed=0)


def test_registry_has_a_column_for_every_score_of_every_variant():
    named = {column.key for column in COMPARISONS["scores"].columns}
    found = set()
    for name in VARIANTS:
        found |= set(small(name).score_names)
    assert found == named


def test_scores_of_a_variational_model_are_measured():
    data = problem(shape=(6, 6))
    normal = data.split.test.labels != 2
    part = Subset(data.split.test.images[normal], data.split.test.labels[normal])
    data = EvaluationData(Split(part, part, data.split.test), data.class_names, 2)
    model = keras_ae.VAE(image_shape=(6, 6), latent_dim=2, hidden_units=(8,))
    numbers = scores.measure(model, data, seed=0).metrics
    assert set(numbers) - {"note", "num_anomalous", "num_normal"} == set(model.score_names)
    found = model.anomaly_score(data.split.test.images, "log_likelihood", num_samples=10)
    expected = auc_by_pairs(data.split.test.labels == 2, np.asarray(found))
    assert numbers["log_likelihood"] == pytest.approx(expected)


def test_figure_has_the_means_over_seeds_and_classes(tmp_path, monkeypatch):
    seen = []
    dots = scores.plots.dots
    monkeypatch.setattr(scores.plots, "dots", lambda *a, **k: seen.append(a[0]) or dots(*a, **k))
    rows = [
        Result("deep", "deep", 1, 2, "a", Measurement({"bce": 0.5, "mse": 0.25, "note": "x"})),
        Result("deep", "deep", 1, 2, "b", Measurement({"bce": 1.0, "num_normal": 7})),
        Result("linear", "linear", 1, 2, "a", Measurement({"mse": 0.5})),
    ]
    (figure,) = scores.draw(rows, [], problem(), tmp_path)
    assert figure.path.is_file()
    assert seen == [{"bce": {"deep": 0.75}, "mse": {"deep": 0.25, "linear": 0.5}}]
    assert scores.draw([], [], problem(), tmp_path) == []
    assert "up to 10,699 test images" in scores.work(1, 784)
