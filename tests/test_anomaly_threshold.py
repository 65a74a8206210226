"""Thresholds of anomaly scores: the rules against slow loops, and what a model does with them."""

import json
import math
import subprocess
import sys
import warnings
import zipfile
from fractions import Fraction

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import beta
from sklearn.metrics import precision_recall_curve, roc_curve
from small_variants import SHAPE, inputs, pictures, small

import keras_ae
from keras_ae.anomaly.state import AnomalyState
from keras_ae.anomaly.threshold import (
    ThresholdFit,
    binomial_interval,
    fit_to_labels,
    fit_to_normal,
)

RATES = (0.01, 0.05, 0.29, 0.5, 0.99)


@pytest.fixture(scope="module")
def model():
    return small("deep")


@pytest.fixture
def fresh():
    return small("deep")


def noise(num, seed=0):
    return np.random.default_rng(seed).random((num, *SHAPE)).astype("float32")


# ---- the rules ----


def smallest_threshold(scores, rate):
    """By the definition: try every score, and one below all of them, in ascending order."""
    allowed = Fraction(str(rate)) * len(scores)
    for candidate in [min(scores) - 1, *sorted(scores)]:
        if sum(score > candidate for score in scores) <= allowed:
            return candidate
    raise AssertionError


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("num", [2, 7, 100, 101])
def test_threshold_is_the_smallest_that_few_enough_scores_exceed(rate, num):
    random = np.random.default_rng(num)
    for scores in (random.normal(size=num), random.integers(0, 6, num), -random.random(num)):
        scores = scores.astype(np.float32).astype(np.float64)
        expected = smallest_threshold(scores.tolist(), rate)
        threshold, share = fit_to_normal(scores, rate)
        # Raised by 1e-5 of its size, so that the score itself is not above it after rounding.
        assert expected <= threshold <= expected + 1.2e-5 * abs(expected) + 1e-12
        assert share == np.mean(scores > threshold) <= rate
        assert np.float32(threshold) == threshold


def test_threshold_of_known_scores():
    scores = np.arange(1.0, 101.0)
    assert fit_to_normal(scores, 0.01) == (pytest.approx(99, rel=2e-5), 0.01)
    assert fit_to_normal(scores, 0.29) == (pytest.approx(71, rel=2e-5), 0.29)
    assert fit_to_normal(scores, 0.001) == (pytest.approx(100, rel=2e-5), 0.0)


def value_of(threshold, scores, anomalous, criterion):
    hits = sum(s > threshold and a for s, a in zip(scores, anomalous, strict=True))
    alarms = sum(s > threshold and not a for s, a in zip(scores, anomalous, strict=True))
    num = sum(anomalous)
    if criterion == "f1":
        return 2 * hits / (hits + alarms + num)
    return hits / num - alarms / (len(scores) - num)


@pytest.mark.parametrize("criterion", ["f1", "youden"])
@pytest.mark.parametrize("seed", range(8))
def test_labels_give_the_best_of_all_cuts(criterion, seed):
    random = np.random.default_rng(seed)
    num = int(random.integers(2, 60))
    anomalous = np.append(random.random(num) < 0.3, [True, False])
    scores = random.normal(size=num + 2) + anomalous * random.choice([-1.0, 0.0, 1.5])
    scores = (np.round(scores) if seed % 2 else scores).astype(np.float32).astype(np.float64)
    threshold, value = fit_to_labels(scores, anomalous, criterion)
    cuts = [min(scores) - 1, *scores]
    best = max(value_of(cut, scores, anomalous, criterion) for cut in cuts)
    assert value == pytest.approx(best, abs=1e-12)
    assert value_of(threshold, scores, anomalous, criterion) == pytest.approx(best, abs=1e-12)
    # The highest of equally good cuts: no cut above it is as good.
    higher = [cut for cut in cuts if cut > threshold]
    assert all(value_of(cut, scores, anomalous, criterion) < best for cut in higher)
    if criterion == "f1":
        precision, recall, _ = precision_recall_curve(anomalous, scores)
        theirs = max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    else:
        fpr, tpr, _ = roc_curve(anomalous, scores)
        theirs = max(tpr - fpr)
    assert value == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("steps", [0, 1])  # the mean of two neighbors is rounded to the even one
def test_cut_between_neighboring_numbers_divides_them(steps):
    low = np.float32(7.0)
    for _ in range(steps):
        low = np.nextafter(low, np.float32(8))
    scores = np.array([low, np.nextafter(low, np.float32(8))], np.float64)
    threshold, value = fit_to_labels(scores, np.array([False, True]), "f1")
    assert value == 1.0 and (scores > threshold).tolist() == [False, True]


def test_interval_is_that_of_clopper_and_pearson():
    for num, total in [(0, 50), (3, 100), (50, 50)]:
        low, high = binomial_interval(num, total)
        expected = beta.ppf(0.025, num, total - num + 1) if num else 0.0
        assert low == pytest.approx(expected)
        expected = beta.ppf(0.975, num + 1, total - num) if num < total else 1.0
        assert high == pytest.approx(expected)


def test_interval_covers_the_real_rate():
    random = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        scores = random.random(200)  # uniform: the real rate above a threshold t is 1 - t
        threshold, share = fit_to_normal(scores, 0.05)
        low, high = binomial_interval(round(share * 200), 200)
        covered.append(low <= 1 - threshold <= high)
    assert np.mean(covered) > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 400)


def test_fit_is_plain_data_and_comes_back():
    fit = ThresholdFit(1.5, "bce", "f1", None, 0.02, (0.01, 0.07), 50, 3, 0.8, 1.0, 16)
    assert ThresholdFit.from_dict(json.loads(json.dumps(fit.to_dict()))) == fit
    for bad in (None, {}, {**fit.to_dict(), "interval": 3}, {**fit.to_dict(), "threshold": "x"}):
        with pytest.raises(ValueError, match="cannot be read"):
            ThresholdFit.from_dict(bad)


# ---- a model ----


def test_model_stores_the_threshold_and_judges_by_it(fresh):
    normal, others = pictures(200, seed=1), noise(30)
    assert fresh.threshold is fresh.threshold_fit is None
    fit = fresh.fit_threshold(normal, 0.05)
    scores = fresh.anomaly_score(normal)
    assert (fit.threshold, fit.rate) == fit_to_normal(scores.astype(np.float64), 0.05)
    assert (fit.score, fit.criterion, fit.false_positive_rate) == (
        "bce",
        "false_positive_rate",
        0.05,
    )
    assert (fit.num_images, fit.num_anomalous) == (200, 0)
    assert fit.interval == binomial_interval(round(200 * fit.rate), 200)
    assert fresh.threshold_fit == fit and fresh.threshold == fit.threshold
    for images in (normal, others):
        verdicts = fresh.is_anomalous(images)
        assert verdicts.dtype == bool
        np.testing.assert_array_equal(verdicts, fresh.anomaly_score(images) > fit.threshold)
    as_tensor = fresh.is_anomalous(tf.constant(others))
    assert tf.is_tensor(as_tensor)
    np.testing.assert_array_equal(as_tensor, fresh.is_anomalous(others))


def test_model_with_labels_maximizes_the_criterion(fresh):
    images = np.concatenate([pictures(60, seed=1), noise(30)])
    order = np.random.default_rng(0).permutation(90)
    labels = (np.arange(90) >= 60)[order].astype(int)
    images = images[order]
    for criterion in ("f1", "youden"):
        fit = fresh.fit_threshold(images, score="mse", labels=labels, criterion=criterion)
        scores = fresh.anomaly_score(images, "mse").astype(np.float64)
        assert (fit.threshold, fit.value) == fit_to_labels(scores, labels == 1, criterion)
        assert (fit.num_images, fit.num_anomalous, fit.criterion) == (60, 30, criterion)
        above = scores > fit.threshold
        assert fit.rate == above[labels == 0].mean() and fit.recall == above[labels == 1].mean()
        assert fit.false_positive_rate is None
        assert fit.interval == binomial_interval(above[labels == 0].sum(), 60)


@pytest.mark.filterwarnings("ignore:.*few for the density")
@pytest.mark.parametrize("score", ["bce", "mahalanobis"])
def test_sources_give_the_threshold_of_the_array(score):
    images = pictures(40, seed=1)

    class Batches(keras.utils.PyDataset):
        num_batches = 4

        def __getitem__(self, index):
            return images[10 * index : 10 * index + 10]

    def fitted(data, **options):
        model = small("deep")
        return model.fit_threshold(data, 0.1, score, **options), model._anomaly

    labels = np.arange(40) % 2
    for options in ({}, {"labels": labels}):
        expected, state = fitted(images, **options)
        for source in (
            tf.data.Dataset.from_tensor_slices(images).batch(7),
            Batches(),
            (images[start : start + 16] for start in range(0, 40, 16)),
            tf.constant(images),
        ):
            fit, other = fitted(source, **options)
            assert fit.threshold == pytest.approx(expected.threshold, rel=1e-4)
            assert (fit.rate, fit.num_images) == (expected.rate, expected.num_images)
            np.testing.assert_allclose(other.maps["bce"], state.maps["bce"], rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*few for the density")
def test_scores_of_codes_are_fitted_to_other_images_than_the_threshold(fresh):
    images = pictures(61, seed=1)
    fit = fresh.fit_threshold(images, 0.1, "mahalanobis")
    assert fit.num_images == 31
    scores = fresh.anomaly_score(images, "mahalanobis").astype(np.float64)
    half = np.random.default_rng(0).permutation(61)[:30]
    rest = np.setdiff1d(np.arange(61), half)
    assert fit.threshold == pytest.approx(fit_to_normal(scores[rest], 0.1)[0], rel=1e-6)
    codes = fresh.encode(images)[half].astype(np.float64)
    np.testing.assert_allclose(
        fresh._anomaly.statistics["mahalanobis"]["mean"], codes.mean(axis=0), rtol=1e-5, atol=1e-6
    )
    assert "latent_density" not in fresh._anomaly.statistics
    again = fresh.fit_threshold(images, 0.1, "mahalanobis")  # not to the images of the first fit
    assert (again.threshold, again.num_images) == (fit.threshold, 31)
    state = AnomalyState.from_arrays(fresh._anomaly.to_arrays())  # nor after loading
    assert state.refitted == {"mahalanobis"}
    fresh.fit_scores(images)  # with statistics of their own, all images set the threshold
    assert fresh.threshold is None
    assert fresh.fit_threshold(images, 0.1, "mahalanobis").num_images == 61
    fresh.fit_threshold(images, 0.1)
    fresh.fit_scores(images)
    assert fresh.threshold_fit.score == "bce"


def test_threshold_set_by_hand(fresh):
    fresh.set_threshold(20, "mse")
    assert fresh.threshold == 20.0
    assert (fresh.threshold_fit.criterion, fresh.threshold_fit.score) == ("given", "mse")
    fresh.set_threshold(21)  # of the same score
    assert (fresh.threshold, fresh.threshold_fit.score) == (21.0, "mse")
    fresh.set_threshold(20)
    images = noise(20)
    np.testing.assert_array_equal(
        fresh.is_anomalous(images), fresh.anomaly_score(images, "mse") > 20
    )
    with pytest.raises(AttributeError, match="fit_threshold or set_threshold"):
        fresh.threshold = 3.0
    with pytest.raises(ValueError, match="threshold must be a number"):
        fresh.set_threshold(float("nan"))


# ---- warnings and errors ----


def test_too_few_images_for_the_rate_cause_a_warning(model):
    images = pictures(100, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit_threshold(images, 0.01)
    with pytest.warns(UserWarning, match="99 normal images are too few.*at least 100.*0.037"):
        fit = model.fit_threshold(images[:99], 0.01)
    assert fit.rate == 0.0
    assert fit.threshold == pytest.approx(model.anomaly_score(images[:99]).max(), rel=2e-5)


@pytest.mark.parametrize("criterion", ["f1", "youden"])
def test_useless_score_causes_a_warning(model, criterion):
    scores = model.anomaly_score(pictures(40, seed=1))
    labels = scores < np.sort(scores)[20]  # the anomalous images have the lowest scores
    with pytest.warns(UserWarning, match="does not tell the anomalous images"):
        fit = model.fit_threshold(pictures(40, seed=1), labels=labels, criterion=criterion)
    assert fit.rate == fit.recall == (1.0 if criterion == "f1" else 0.0)


CASES = {
    "one image": (lambda: pictures(1), {}, "at least two normal images; received 1"),
    "NaN": (lambda: pictures(9) * np.nan, {}, "received NaN pixels"),
    "another size": (lambda: pictures(9, (5, 5)), {}, r"must have the shape \(N, 6, 5\)"),
    "no images": (lambda: pictures(0), {}, "at least one image"),
    "anomalous images only": (lambda: pictures(9), {"labels": np.ones(9)}, "all 9 .* anomalous"),
    "labels of normal images": (lambda: pictures(9), {"labels": [0] * 9}, "all 9 .* normal"),
    "class labels": (lambda: pictures(9), {"labels": np.arange(9)}, "0 .normal. or 1"),
    "names": (lambda: pictures(2), {"labels": ["good", "bad"]}, "0 .normal. or 1"),
    "too few labels": (lambda: pictures(9), {"labels": [0, 1]}, "received 2 for 9 images"),
    "too many labels": (lambda: pictures(2), {"labels": [0, 1, 1]}, "received 3 for 2 images"),
    "criterion": (lambda: pictures(2), {"labels": [0, 1], "criterion": "j"}, "f1, youden; .*'j'"),
    "score": (
        lambda: pictures(9),
        {"score": "elbo"},
        "bce, mse, .*, mahalanobis, local_residual; received 'elbo'",
    ),
    "samples": (lambda: pictures(9), {"num_samples": 3}, "num_samples .* score bce"),
    "three images for codes": (lambda: pictures(3), {"score": "mahalanobis"}, "at least four"),
}


@pytest.mark.parametrize("case", CASES)
def test_unusable_input_is_refused_in_one_line(model, case):
    make, options, message = CASES[case]
    before = model._anomaly
    with pytest.raises(ValueError, match=message) as error:
        model.fit_threshold(make(), **options)
    assert "\n" not in str(error.value)
    assert model._anomaly is before


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan"), "much", None, True])
def test_rate_outside_0_and_1_is_refused(model, rate):
    with pytest.raises(ValueError, match="false_positive_rate must be between 0 and 1") as error:
        model.fit_threshold(pictures(9), rate)
    assert repr(rate) in str(error.value)


def test_missing_threshold_or_statistics_are_named(fresh):
    with pytest.raises(ValueError, match="no threshold: call fit_threshold"):
        fresh.is_anomalous(pictures(2))
    for score in ("latent_density", "mahalanobis", "local_residual"):
        with pytest.raises(ValueError, match=f"{score} has not been fitted: call fit_scores"):
            fresh.anomaly_score(pictures(2), score)
    with pytest.raises(ValueError, match="at least two normal images; received 1"):
        fresh.fit_scores(pictures(1))


def test_diverged_model_is_named(fresh):
    weights = fresh.get_weights()
    fresh.set_weights([np.full_like(each, np.nan) for each in weights])
    with pytest.raises(ValueError, match="score bce is not finite for 9 of 9 images"):
        fresh.fit_threshold(pictures(9))
    with pytest.raises(ValueError, match="outputs are not finite"):
        fresh.fit_scores(pictures(9))


# ---- saving ----


def test_threshold_and_statistics_are_saved(fresh, tmp_path):
    images, others = pictures(120, seed=1), noise(20)
    fresh.fit_scores(images)
    fit = fresh.fit_threshold(images, 0.05, "latent_density")
    fresh.save(tmp_path / "model.keras")
    fresh.save_weights(tmp_path / "model.weights.h5")
    copy = small("deep")
    copy.load_weights(tmp_path / "model.weights.h5")
    for loaded in (
        keras_ae.load_model(tmp_path / "model.keras"),
        keras.models.load_model(tmp_path / "model.keras"),
        copy,
    ):
        assert loaded.threshold_fit == fit
        np.testing.assert_array_equal(loaded.is_anomalous(others), fresh.is_anomalous(others))
        for score in ("latent_density", "mahalanobis", "local_residual"):
            np.testing.assert_array_equal(
                loaded.anomaly_score(others, score), fresh.anomaly_score(others, score)
            )
        np.testing.assert_array_equal(
            loaded.anomaly_map(others, normalize=True), fresh.anomaly_map(others, normalize=True)
        )


def test_config_has_no_threshold(fresh):
    before = fresh.get_config()
    fresh.fit_threshold(pictures(100), 0.05)
    assert fresh.get_config() == before  # a new model has new weights, and needs a new threshold
    assert keras.models.clone_model(fresh).threshold is None


def members(path):
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as file:
        found = []
        h5py.File(file).visit(found.append)
    return found


def test_models_without_a_threshold_are_saved_as_before(fresh, tmp_path):
    fresh.save(tmp_path / "old.keras")
    assert not [name for name in members(tmp_path / "old.keras") if "anomaly" in name]
    fresh.fit_threshold(pictures(100), 0.05)
    fresh.save_weights(tmp_path / "new.weights.h5")
    assert keras_ae.load_model(tmp_path / "old.keras").threshold is None
    small("deep").save_weights(tmp_path / "old.weights.h5")
    fresh.load_weights(tmp_path / "old.weights.h5")
    assert fresh.threshold is None  # it belonged to other weights


def test_file_with_a_damaged_threshold_is_refused(fresh, tmp_path):
    path = tmp_path / "model.weights.h5"
    fresh.set_threshold(3.0)
    fresh.save_weights(path)
    for name, array in (("anomaly:fit", np.zeros(3, np.uint8)), ("anomaly:x", np.zeros(3))):
        with h5py.File(path, "a") as file:
            if name in file["vars"]:
                del file["vars"][name]
            file["vars"][name] = array
        with pytest.raises(ValueError, match="cannot be read|of no known kind"):
            small("deep").load_weights(path)
        with h5py.File(path, "a") as file:
            del file["vars"][name]


def test_conditional_model_takes_labeled_inputs(tmp_path):
    model = small("conditional_vae")
    packed = inputs(model, pictures(100, seed=1))
    fit = model.fit_threshold(packed, 0.05)
    scores = model.anomaly_score(packed["images"], labels=packed["labels"])
    assert fit.threshold == pytest.approx(fit_to_normal(scores, 0.05)[0], rel=1e-6)
    np.testing.assert_array_equal(model.is_anomalous(packed), scores > fit.threshold)


# ---- export ----


@pytest.mark.parametrize(
    "score", ["bce", "local_residual", pytest.param("mahalanobis", marks=pytest.mark.slow)]
)
def test_exported_verdicts_equal_those_of_the_model(fresh, tmp_path, score):
    fresh.export(tmp_path / "plain", verbose=False)
    served = tf.saved_model.load(tmp_path / "plain")
    assert "verdict" not in served.signatures and "anomaly_map" in served.signatures
    assert not (tmp_path / "plain" / "threshold.json").exists()
    fit = fresh.fit_threshold(pictures(100, seed=1), 0.05, score)
    fresh.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved")
    images = np.concatenate([pictures(40, seed=1), noise(20)])
    verdict = served.verdict(images)
    assert set(verdict) == {"score", "is_anomalous", "threshold"}
    assert [verdict[name].dtype.name for name in ("score", "is_anomalous")] == ["float32", "bool"]
    assert float(verdict["threshold"]) == fit.threshold
    np.testing.assert_allclose(verdict["score"], fresh.anomaly_score(images, score), rtol=1e-5)
    expected = fresh.is_anomalous(images)
    assert 0 < expected.sum() < 60
    np.testing.assert_array_equal(verdict["is_anomalous"], expected)
    np.testing.assert_allclose(
        served.anomaly_map(images), fresh.anomaly_map(images), rtol=1e-3, atol=1e-5
    )
    written = json.loads((tmp_path / "saved" / "threshold.json").read_text())
    assert ThresholdFit.from_dict(written) == fit
    with pytest.raises(tf.errors.InvalidArgumentError):
        served.signatures["verdict"](tf.constant(images * 255))


def test_second_export_leaves_no_settings_of_the_first(fresh, tmp_path):
    fresh.fit_threshold(pictures(100, seed=1), 0.05, "mse")
    fresh.set_preprocessing({"color": "gray"})
    fresh.export(tmp_path, verbose=False)
    names = {"threshold.json", "map_scales.json", "preprocessing.json"}
    assert {path.name for path in tmp_path.glob("*.json")} == names
    small("deep").export(tmp_path, verbose=False)
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
def test_verdicts_on_a_thousand_images_are_the_same_without_keras_ae(tmp_path):
    images = np.concatenate([pictures(900, seed=1), noise(100)])
    cases = {
        "deep": "bce",
        "convolutional": "ssim",
        "vae": "elbo",
        "iwae": "log_likelihood",
        "binary": "latent_density",
        "conv_vq_vae": "mahalanobis",
        "conv_vae": "local_residual",
    }
    for name, score in cases.items():
        model = small(name)
        model.train_on_batch(inputs(model, pictures()))
        model.fit_scores(pictures(800, seed=1))
        samples = {"num_samples": 3} if score in ("elbo", "log_likelihood") else {}
        model.fit_threshold(pictures(900, seed=1)[450:], 0.05, score, **samples)
        model.export(tmp_path / name, verbose=False)
        verdicts = model.is_anomalous(images)
        assert 0 < verdicts.sum() < 1000
        np.savez(tmp_path / f"{name}.npz", images=images, verdicts=verdicts)
    program = """
import sys
sys.modules["keras_ae"] = None
sys.modules["keras"] = None
import numpy as np
import tensorflow as tf
for name in sys.argv[2:]:
    served = tf.saved_model.load(f"{sys.argv[1]}/{name}")
    expected = np.load(f"{sys.argv[1]}/{name}.npz")
    verdict = served.verdict(expected["images"])
    np.testing.assert_array_equal(verdict["is_anomalous"], expected["verdicts"], err_msg=name)
print("equal")
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), *cases], capture_output=True, text=True
    )
    assert result.stdout.strip() == "equal", result.stderr[-2000:]
