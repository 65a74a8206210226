"""The anomaly comparison, against scikit-learn, counted pairs and fake models."""

import json

import numpy as np
import pytest
from fakes import FakeAutoencoder
from PIL import Image
from sklearn.metrics import auc, roc_curve

from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons import COMPARISONS, anomaly
from keras_ae.evaluation.comparisons.base import EvaluationData, Measurement, Result

NAMES = ("thin", "thick", "odd")


def problem(held_out=2, num=90, seed=0, shape=(4, 4)):
    """Toy data: the ink (sum of pixels) grows with the class, 0 to 2."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(num) % 3)
    images = random.uniform(0, 0.3, (num, *shape)) + 0.3 * labels.reshape(-1, *[1] * len(shape))
    images = np.clip(images, 0, 1).astype("float32")
    normal = labels != held_out
    train = Subset(images[normal], labels[normal])
    parts = Split(train, train, Subset(images, labels))
    return EvaluationData(parts, NAMES, held_out, published=True)


class Fake(FakeAutoencoder):
    """Scores an image by `bce(images)` or by `signed(images)`."""

    def __init__(self, bce, signed=lambda images: np.zeros(len(images))):
        self.scores = {None: bce, "signed_residual": signed}

    def anomaly_score(self, images, score=None):
        return self.scores[score](images)


def ink(images):
    return images.reshape(len(images), -1).sum(axis=1)


def auc_by_pairs(anomalous, scores):
    """AUC by Mann and Whitney: the share of correctly ordered pairs; ties count half."""
    above = scores[anomalous][:, None] - scores[~anomalous][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def test_auc_of_perfect_constant_and_inverted_scores():
    data = problem()
    numbers = anomaly.measure(Fake(ink), data, seed=0).metrics
    assert numbers["auc"] == pytest.approx(1.0)
    assert numbers["auc_signed"] == pytest.approx(0.5)  # all scores are equal
    assert anomaly.measure(Fake(lambda x: -ink(x)), data, seed=0).metrics["auc"] == 0.0
    # The class with the least ink is held out, so every other image looks more anomalous.
    assert anomaly.measure(Fake(ink), problem(held_out=0), seed=0).metrics["auc"] == 0.0


def test_auc_is_the_share_of_correctly_ordered_pairs():
    data = problem(held_out=1)
    random = np.random.default_rng(2)
    bce, signed = random.integers(0, 12, (2, 90))  # with ties
    model = Fake(lambda images: bce, lambda images: signed)
    numbers = anomaly.measure(model, data, seed=0).metrics
    anomalous = data.split.test.labels == 1
    assert numbers["auc"] == pytest.approx(auc_by_pairs(anomalous, bce))
    assert numbers["auc_signed"] == pytest.approx(auc_by_pairs(anomalous, signed))
    assert json.loads(json.dumps(numbers)) == numbers
    assert {column.key for column in COMPARISONS["anomaly"].columns} <= set(numbers)


def test_thinned_curves_keep_their_ends_and_area():
    random = np.random.default_rng(0)
    anomalous = random.random(20_000) < 0.1
    scores = random.normal(size=20_000) + anomalous
    measurement = anomaly.measure_scores(scores, anomalous, "_signed")
    fpr, tpr = measurement.arrays["fpr_signed"], measurement.arrays["tpr_signed"]
    assert len(fpr) == len(tpr) <= 200
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.diff(fpr).min() >= 0 and np.diff(tpr).min() >= 0
    assert auc(fpr, tpr) == pytest.approx(measurement.metrics["auc_signed"], abs=1e-3)
    full_fpr, full_tpr, _ = roc_curve(anomalous, scores)
    assert set(zip(fpr, tpr, strict=True)) <= set(zip(full_fpr, full_tpr, strict=True))
    assert np.hypot(np.diff(fpr), np.diff(tpr)).max() < 0.02  # no gaps


def test_baselines_match_numpy():
    data = problem(held_out=1)
    rows = anomaly.baselines(data, seed=0)
    assert list(rows) == ["PCA, 2 components", "sum of the pixels"]
    anomalous = data.split.test.labels == 1
    test = data.split.test.images.reshape(90, -1).astype("float64")
    train = data.split.train.images.reshape(-1, 16).astype("float64")
    center = train.mean(axis=0)
    axes = np.linalg.svd(train - center, full_matrices=False)[2][:2]
    left = (test - center) - (test - center) @ axes.T @ axes
    errors = (left**2).sum(axis=1)
    assert rows["PCA, 2 components"].metrics["auc"] == pytest.approx(
        auc_by_pairs(anomalous, errors)
    )
    expected = auc_by_pairs(anomalous, test.sum(axis=1))
    assert rows["sum of the pixels"].metrics["auc"] == pytest.approx(expected)
    assert anomaly.baselines(problem(held_out=2), seed=0)["sum of the pixels"].metrics["auc"] == 1.0


def test_pca_components_come_from_training_images_only():
    """Images of the held-out class lie outside the plane of the other classes."""
    random = np.random.default_rng(0)
    plane, labels = random.random((2, 16)), np.arange(60) % 3
    images = 0.3 * random.random((60, 2)) @ plane
    images[labels == 2] += 0.2 * random.random((20, 16))
    images = images.reshape(-1, 4, 4)
    train = Subset(images[labels != 2], labels[labels != 2])
    data = EvaluationData(Split(train, train, Subset(images, labels)), NAMES, 2)
    assert anomaly.baselines(data, seed=0)["PCA, 2 components"].metrics["auc"] == 1.0


def test_unmeasurable_data_raises_a_one_line_error():
    with pytest.raises(ValueError, match="trained without one class"):
        anomaly.measure(Fake(ink), problem(held_out=None), seed=0)
    data = problem()
    only = Subset(data.split.test.images, np.full(90, 2))
    with pytest.raises(ValueError, match="received 90 of the held-out class among 90"):
        anomaly.baselines(EvaluationData(Split(only, only, only), NAMES, 2), seed=0)
    with pytest.raises(ValueError, match="received 0 of the held-out class among 90"):
        anomaly.measure(Fake(ink), EvaluationData(Split(only, only, only), NAMES, 0), seed=0)


def test_color_images_are_measured():
    data = problem(shape=(4, 4, 3))
    assert anomaly.measure(Fake(ink), data, seed=0).metrics["auc"] == 1.0
    assert anomaly.baselines(data, seed=0)["sum of the pixels"].metrics["auc"] == 1.0


def test_sum_of_the_pixels_is_ink_in_drawings_only():
    data = problem()
    assert anomaly.sum_name(data) == "sum of the pixels"
    drawn = data.split.test.images * (np.arange(4) > 1)  # half of each image is black
    for images, name in ((drawn, "ink sum"), (drawn[..., None].repeat(3, -1), "sum of the pixels")):
        part = Subset(images, data.split.test.labels)
        assert anomaly.sum_name(EvaluationData(Split(part, part, part), NAMES, 2)) == name


def test_signed_residual_is_measured_where_published_figures_are_compared_with(tmp_path):
    data = EvaluationData(problem().split, NAMES, 2)
    made = anomaly.measure(Fake(ink), data, seed=0)
    assert set(made.metrics) == {"auc"} and set(made.arrays) == {"fpr", "tpr"}
    entry = Result("deep", "deep", 1, 2, "odd", made)
    rows = [
        Result(name, "", 0, 0, "odd", row) for name, row in anomaly.baselines(data, seed=0).items()
    ]
    (figure,) = anomaly.draw([entry], rows, data, tmp_path)
    assert "published" not in figure.caption and "ink" not in figure.caption
    assert "sum of the pixels counts a larger sum" in figure.caption


# ---- figures ----


def corner(fpr, tpr, area):
    """A piecewise linear ROC curve through (fpr, tpr)."""
    curve = np.array([0.0, fpr, 1.0]), np.array([0.0, tpr, 1.0])
    names = ("fpr", "tpr", "fpr_signed", "tpr_signed")
    return Measurement(
        {"auc": area, "auc_signed": 1 - area}, dict(zip(names, [*curve, *curve], strict=True))
    )


def test_curves_are_averaged_at_equal_false_positive_rates():
    entries = [
        Result("deep", "deep", 1, 2, "a", corner(0.0, 0.4, 0.6)),
        Result("deep", "deep", 2, 2, "a", corner(0.5, 0.5, 0.8)),
    ]
    curve = anomaly.by_label(entries, "")["deep"]
    assert curve.note == "0.700 ± 0.141"
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    np.testing.assert_allclose(curve.y[1:], (0.4 + 0.6 * curve.x[1:] + curve.x[1:]) / 2, atol=1e-9)
    half = abs(0.4 + 0.6 * curve.x[1:] - curve.x[1:]) / 2
    np.testing.assert_allclose(curve.band[1:], half * np.sqrt(2), atol=1e-9)
    one = anomaly.by_label(entries[:1], "_signed")["deep"]
    assert one.note == "0.400" and one.band is None


def test_mean_weights_classes_equally_whatever_their_seeds():
    entries = [
        Result("deep", "deep", 1, 2, "a", corner(0.0, 0.2, 0.6)),
        Result("deep", "deep", 2, 2, "a", corner(0.0, 0.4, 0.8)),
        Result("deep", "deep", 1, 2, "b", corner(0.0, 0.9, 0.9)),
        Result("vae", "vae", 1, 2, "b", corner(0.0, 0.9, 0.9)),
    ]
    curves = anomaly.mean_over_classes(entries, ["a", "b"], "")
    assert curves["deep"].note == "0.800"
    assert curves["deep"].y[1] == pytest.approx((0.3 + 0.9) / 2)
    assert curves["vae"].note == "0.900 (1 of 2 classes)"


@pytest.mark.parametrize("num_classes, num_panels", [(1, 1), (3, 3), (4, 1)])
def test_figure_has_one_panel_per_class_or_the_mean_above_three(
    tmp_path, monkeypatch, num_classes, num_panels
):
    names = tuple("abcd")
    entries = [
        Result(label, "deep", seed, 2, held_out, corner(0.2, 0.5 + 0.1 * seed, 0.7))
        for label in ("deep", "deep, tied True")
        for held_out in names[:num_classes]
        for seed in (1, 2)
    ]
    plain = Measurement({"auc": 0.4}, {"fpr": np.array([0.0, 1.0]), "tpr": np.array([0.0, 1.0])})
    rows = [Result("sum of the pixels", "", 0, 0, name, plain) for name in names[:num_classes]]
    seen = []
    curve_panels = anomaly.plots.curve_panels

    def spy(panels, styles, *arguments, **options):
        seen.append((panels, styles))
        return curve_panels(panels, styles, *arguments, **options)

    monkeypatch.setattr(anomaly.plots, "curve_panels", spy)
    data = EvaluationData(problem().split, names, 0, published=True)
    figures = anomaly.draw(entries, rows, data, tmp_path)
    assert [figure.path.name for figure in figures] == ["anomaly.png", "anomaly_signed.png"]
    assert "published figures" in figures[1].caption
    assert "the opposite rule has an AUC of 0.600" in figures[0].caption
    assert all(Image.open(figure.path).width > 400 for figure in figures)
    assert ("means over 4" in figures[0].caption) == (num_classes == 4)
    for (panels, styles), area in zip(seen, ("0.700", "0.300"), strict=True):
        assert len(panels) == num_panels
        for curves in panels.values():
            assert list(curves) == ["deep", "deep, tied True", "sum of the pixels"]
            assert (
                curves["deep"].note.startswith(area) and curves["sum of the pixels"].note == "0.400"
            )
        assert styles["deep"]["color"] == styles["deep, tied True"]["color"]
        assert styles["deep"]["linestyle"] != styles["deep, tied True"]["linestyle"]
    assert anomaly.draw([], rows, data, tmp_path) == []
