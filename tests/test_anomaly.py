"""The anomaly comparison, against scikit-learn, counted pairs and fake models."""

import dataclasses
import json

import numpy as np
import pytest
from fakes import FakeAutoencoder
from PIL import Image
from sklearn.metrics import auc, roc_curve

import keras_ae
from keras_ae.anomaly.threshold import ThresholdFit
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
    """Scores an image by `error(images)` or by `signed(images)`; its reconstructions are black.

    The threshold that it fits is the highest score; its maps are the images.
    """

    reconstruction_loss = "bce"

    def __init__(self, error, signed=lambda images: np.zeros(len(images)), threshold=None):
        self.scores = {"bce": error, "mse": error, "signed_residual": signed}
        self.scores["local_residual"] = error
        self.threshold_fit = threshold
        self.fitted_to = None

    def anomaly_score(self, images, score=None):
        return self.scores[score](images)

    def fit_threshold(self, images, false_positive_rate, score):
        self.fitted_to = images
        highest = float(np.max(self.scores[score](images)))
        return ThresholdFit(highest, score, "false_positive_rate", num_images=len(images))

    def reconstruct(self, images):
        return np.zeros_like(images)

    def anomaly_map(self, images, sigma=None, score=None):
        if score == "bce":
            return -self.anomaly_map(images)
        return images.reshape(*images.shape[:3], -1).sum(axis=-1)


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
    model = Fake(lambda images: bce[: len(images)], lambda images: signed)
    numbers = anomaly.measure(model, data, seed=0).metrics
    anomalous = data.split.test.labels == 1
    assert numbers["auc"] == pytest.approx(auc_by_pairs(anomalous, bce))
    assert numbers["auc_signed"] == pytest.approx(auc_by_pairs(anomalous, signed))
    assert json.loads(json.dumps(numbers)) == numbers
    masked = {"pixel_auc", "aupro"}
    assert {column.key for column in COMPARISONS["anomaly"].columns} - masked <= set(numbers)


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
    assert list(rows) == [
        "PCA, 2 components",
        "PCA, 16 components",
        "sum of the pixels",
        "nearest neighbor in pixels",
        "IsolationForest",
        "LocalOutlierFactor",
    ]
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
    data = EvaluationData(Split(train, train, Subset(images, labels)), NAMES, 2, published=True)
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
    assert "auc_signed" not in made.metrics and "fpr_signed" not in made.arrays
    entry = Result("deep", "deep", 1, 2, "odd", made)
    rows = [
        Result(name, "", 0, 0, "odd", row) for name, row in anomaly.baselines(data, seed=0).items()
    ]
    figure, histogram, gallery = anomaly.draw([entry], rows, data, tmp_path)
    assert histogram.path.name == "anomaly_scores.png"
    assert gallery.path.name == "anomaly_images-deep.png"
    assert "published" not in figure.caption and "ink" not in figure.caption
    assert "sum of the pixels counts a larger sum" in figure.caption


def drawn(data):
    """The same data as light drawings: half of each image is black."""
    parts = (data.split.train, data.split.validation, data.split.test)
    return EvaluationData(
        Split(*(Subset(part.images * (np.arange(4) > 1), part.labels) for part in parts)),
        data.class_names,
        data.held_out,
    )


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_score_is_the_loss_on_drawings_and_the_squared_error_on_photographs(loss):
    for data, expected in ((drawn(problem()), loss), (problem(), "mse")):
        model = Fake(ink)
        model.reconstruction_loss = loss
        for name in {"bce", "mse"} - {expected}:
            model.scores[name] = lambda images: -ink(images)
        made = anomaly.measure(model, data, seed=0).metrics
        assert (made["anomaly_score"], made["auc"]) == (expected, 1.0)
        assert made["threshold"]["score"] == expected
        words = "mse, not the training loss bce, as the images are not light drawings on black."
        assert (words in made.get("note", "")) == (expected != loss)


# ---- a normal class, thresholds, kinds of anomalies ----


def defects(masks=False):
    """Good images, and two kinds of others, `bright` and `dark`; 8x8 pixels."""
    random = np.random.default_rng(0)
    labels = np.repeat([1, 0, 2], [20, 10, 10])  # class 1 is normal
    images = random.uniform(0.4, 0.6, (40, 8, 8)).astype("float32")
    places = np.zeros((40, 8, 8), bool)
    places[20:30, 2:4, 2:6] = places[30:, 5:7, 1:3] = True
    images[20:30][places[20:30]] = 1.0
    images[30:][places[30:]] = 0.0
    good = random.uniform(0.4, 0.6, (2, 60, 8, 8)).astype("float32")
    normal = np.ones(60, int)
    split = Split(
        Subset(good[0], normal), Subset(good[1], normal), Subset(images, labels),
        test_masks=places if masks else None,
    )  # fmt: skip
    return EvaluationData(split, ("bright", "good", "dark"), normal=1)


def contrast(images):
    return np.abs(images - 0.5).reshape(len(images), -1).max(axis=1)


def test_all_classes_but_the_normal_one_are_anomalous():
    data = defects()
    numbers = anomaly.measure(Fake(contrast), data, seed=0).metrics
    assert numbers["auc"] == numbers["aupr"] == numbers["recall_1"] == numbers["recall"] == 1.0
    assert numbers["f1"] == pytest.approx(1.0, abs=0.05)  # a false alarm is possible
    # A score that finds one of the two kinds: the other kind comes after the normal images.
    made = anomaly.measure(
        Fake(lambda images: images.reshape(len(images), -1).max(1)), data, seed=0
    )
    auc, recall = made.metrics["parts"].values()
    assert list(auc) == list(recall) == ["bright", "dark"]
    assert made.metrics["num_of_parts"] == {"bright": 10, "dark": 10}
    assert (made.metrics["num_anomalous"], made.metrics["num_normal"]) == (20, 20)
    assert auc["bright"] == recall["bright"] == 1.0 and recall["dark"] < 0.5
    rest = np.r_[0:20, 30:40]
    highest = data.split.test.images[rest].reshape(30, -1).max(axis=1)
    assert auc["dark"] == pytest.approx(auc_by_pairs(rest >= 30, highest))
    rows = anomaly.baselines(data, seed=0)
    assert rows["sum of the pixels"].metrics["parts"]["AUC, by class of anomaly"]["bright"] > 0.9


def test_threshold_of_the_model_is_used_else_one_is_fitted_to_normal_validation_images():
    data = defects()
    model = Fake(contrast)
    numbers = anomaly.measure(model, data, seed=0).metrics
    assert model.fitted_to is not None and len(model.fitted_to) == 60
    own = ThresholdFit(-0.25, "signed_residual", "given")
    model = Fake(contrast, lambda images: -images.reshape(len(images), -1).min(1), own)
    made = anomaly.measure(model, data, seed=0)
    assert model.fitted_to is None
    # Below -0.25: images without a dark pixel.
    assert made.metrics["recall"] == 0.5 and made.metrics["false_positive_rate"] == 0.0
    assert made.metrics["f1"] == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert made.metrics["threshold"]["threshold"] == -0.25
    darkest = -data.split.test.images.reshape(40, -1).min(axis=1)
    expected = auc_by_pairs(data.split.test.labels != 1, darkest)
    assert made.metrics["auc"] == pytest.approx(expected) and expected < numbers["auc"]
    assert "Fake: anomaly score: signed_residual, not" in made.metrics["note"]
    np.testing.assert_array_equal(made.arrays["scores"][30:], 0.0)


def test_warning_about_the_threshold_becomes_a_note():
    model = keras_ae.Shallow(image_shape=(8, 8), latent_dim=2)
    made = anomaly.measure(model, defects(masks=True), seed=0)
    assert "60 normal images are too few" in made.metrics["note"]
    words = "Shallow: anomaly score: local_residual, not the training loss bce"
    assert made.metrics["note"].startswith(words)
    fit = model.threshold_fit
    assert fit.score == "local_residual"
    assert fit.num_images == 60 and made.metrics["threshold"]["threshold"] == fit.threshold
    assert made.metrics["threshold"]["false_positive_rate"] == 0.01
    verdicts = model.is_anomalous(defects().split.test.images)
    assert made.metrics["recall"] == pytest.approx(verdicts[20:].mean())
    assert made.metrics["false_positive_rate"] == pytest.approx(verdicts[:20].mean())
    assert json.loads(json.dumps(made.metrics)) == made.metrics
    assert 0 <= made.metrics["aupro"] <= 1


def test_validation_images_of_other_classes_are_left_out_of_the_threshold():
    data = defects()
    mixed = Subset(data.split.test.images, data.split.test.labels)
    split = Split(data.split.train, mixed, data.split.test)
    model = Fake(contrast)
    anomaly.threshold_of(model, EvaluationData(split, data.class_names, normal=1), "mse")
    assert len(model.fitted_to) == 20


def test_shown_images_are_the_highest_the_missed_and_the_false_alarms(tmp_path):
    data = defects()
    scores = np.arange(40.0)[::-1]  # the first normal images have the highest scores
    verdicts = scores > 24.5  # 15 normal images
    anomalous = data.split.test.labels != 1
    images = data.split.test.images
    groups = anomaly.choose_images(scores, verdicts, anomalous)
    found = anomaly.shown_images(Fake(ink), images, groups, "mse")
    np.testing.assert_array_equal(found["top_images"], images[:10])
    np.testing.assert_array_equal(found["false_images"], images[:10])
    np.testing.assert_array_equal(found["missed_images"], images[:29:-1])  # the lowest first
    np.testing.assert_array_equal(found["top_maps"], images[:10])
    assert not found["top_reconstructions"].any()
    only = anomaly.choose_images(scores, anomalous, anomalous)
    assert list(only) == ["top"]
    none = anomaly.shown_images(Fake(ink), images, only, "mse")
    cases = ((groups, found, "Maps"), (only, none, "None are missed or false alarms."))
    for chosen, arrays, words in cases:
        metrics = {
            "shown": anomaly.describe_images(chosen, data, scores),
            "threshold": {"threshold": 24.5},
        }
        entry = Result("deep", "deep", 1, 2, None, Measurement(metrics, arrays))
        figure = anomaly.draw_gallery("deep", entry, data, tmp_path / "a.png")
        assert words.lower() in figure.caption.lower()
        assert "its index and its score" in figure.caption and not figure.lines
        assert Image.open(figure.path).width > 400


def named(names):
    """`defects` with names of the test images."""
    data = defects()
    split = dataclasses.replace(data.split, test_names=np.array(names, object))
    return dataclasses.replace(data, split=split)


def test_shown_images_are_named_with_class_and_score():
    names = [f"test/{place:02d}.png" for place in range(40)]
    for data, expected in ((named(names), names), (defects(), list(range(40)))):
        made = anomaly.measure(Fake(contrast), data, seed=0)
        for group, images in made.metrics["shown"].items():
            shown = made.arrays[f"{group}_images"]
            assert len(images) == len(shown) > 0
            for image, pixels in zip(images, shown, strict=True):
                place = expected.index(image["name"])
                np.testing.assert_array_equal(data.split.test.images[place], pixels)
                assert image["score"] == made.arrays["scores"][place]
                assert image["class"] == data.class_names[data.split.test.labels[place]]


def test_file_names_that_are_not_utf8_are_shown_with_a_replacement():
    data = named(["pi\udcf1a.png"] * 40)  # as Python reads such a name from the disk
    (found,) = anomaly.describe_images({"top": np.array([3])}, data, np.arange(40.0))["top"]
    assert found == {"name": "pi\ufffda.png", "class": "good", "score": 3.0}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("17", "17"),
        ("training 17", "training 17"),
        ("test/scratch/014.png", "test/scratch/\n014.png"),
        ("a/b/c/d/e.png", "a/b/c/d/e.png"),
        ("deep/er/folders/of/my/own/images.png", "deep/er/folders/\nof/my/own/\nimages.png"),
        ("a" * 18, None),
        ("one folder here/another one/a third one/the fourth.png", None),
        ("pi\u00f1a.png", None),
        ("a\tb.png", None),
        ("a\nb.png", None),
    ],
)
def test_names_are_broken_at_slashes_or_do_not_fit(name, lines):
    assert anomaly.broken_name(name) == lines


def test_names_that_do_not_fit_are_a_list_below_the_figure(tmp_path):
    names = [f"test/a $very$ long name of an image {place:02d}.png" for place in range(40)]
    for data in (named(names), named([f"${place}$.png" for place in range(40)])):
        made = anomaly.measure(Fake(contrast), data, seed=0)
        entry = Result("deep", "deep", 1, 2, None, made)
        figure = anomaly.draw_gallery("deep", entry, data, tmp_path / "a.png")
        listed = " ".join(figure.lines)
        if data.split.test_names[0] == names[0]:
            assert "its number in the list" in figure.caption
            for group, line in zip(made.metrics["shown"].values(), figure.lines, strict=True):
                for place, image in enumerate(group, 1):
                    assert f"({place}) {image['name']}" in line
        else:
            assert "its file" in figure.caption and not listed


def test_mixed_indices_of_arrays_are_not_called_files(tmp_path):
    data = named([*range(20), *(f"training {place}" for place in range(20))])
    for ink in (contrast, lambda images: -contrast(images)):
        entry = Result("deep", "deep", 1, 2, None, anomaly.measure(Fake(ink), data, seed=0))
        figure = anomaly.draw_gallery("deep", entry, data, tmp_path / "a.png")
        assert "its index and its score" in figure.caption


def test_nearest_neighbor_and_detectors_match_their_definitions():
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    data = defects()
    rows = anomaly.baselines(data, seed=3)
    test, train = (
        part.images.reshape(len(part), -1).astype("float64")
        for part in (data.split.test, data.split.train)
    )
    anomalous = data.split.test.labels != 1
    distances = np.square(test[:, None] - train[None]).mean(axis=2).min(axis=1)
    found = rows["nearest neighbor in pixels"].metrics
    assert found["auc"] == pytest.approx(auc_by_pairs(anomalous, distances))
    center = train.mean(axis=0)
    axes = np.linalg.svd(train - center, full_matrices=False)[2][:20]
    # Both are independent of the signs of the axes, up to the random cuts of the forest.
    codes, fitted = ((part - center) @ axes.T for part in (test, train))
    outliers = -LocalOutlierFactor(20, novelty=True).fit(fitted).score_samples(codes)
    expected = auc_by_pairs(anomalous, outliers)
    assert rows["LocalOutlierFactor"].metrics["auc"] == pytest.approx(expected, abs=0.01)
    forest = -IsolationForest(random_state=3).fit(fitted).score_samples(codes)
    expected = auc_by_pairs(anomalous, forest)
    assert rows["IsolationForest"].metrics["auc"] == pytest.approx(expected, abs=0.1)
    assert "at most 10,000 training images" in rows["IsolationForest"].metrics["note"]


def test_pixel_metrics_are_measured_where_there_are_masks():
    data = defects(masks=True)
    numbers = anomaly.measure(Fake(contrast), data, seed=0).metrics
    masks = data.split.test_masks
    assert numbers["pixel_auc"] == pytest.approx(
        auc_by_pairs(masks.ravel(), data.split.test.images.ravel()), abs=1e-6
    )
    rows = anomaly.baselines(data, seed=0)
    with_maps = [name for name, row in rows.items() if "aupro" in row.metrics]
    assert with_maps == [
        "PCA, 20 components",
        "PCA, 20 components, local_residual",
        "nearest neighbor in pixels",
    ]
    assert "aupro" not in anomaly.measure(Fake(contrast), defects(), seed=0).metrics


def test_local_residual_of_pca_is_that_of_a_model_with_the_same_reconstructions():
    """A linear autoencoder with the weights of the PCA has its residuals, and so its score."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(3, 64)) / 20
    parts = [
        np.clip(0.5 + random.normal(size=(num, 3)) @ mixing, 0, 1).reshape(-1, 8, 8).astype("f4")
        for num in (50, 40, 30)
    ]
    parts = [part + 0.02 * random.random(part.shape, "f4") for part in parts]
    labels = [np.ones(50, int), np.ones(40, int), np.arange(30) % 2]
    split = Split(*(Subset(part, label) for part, label in zip(parts, labels, strict=True)))
    data = EvaluationData(split, ("hole", "good"), normal=1)
    row = anomaly.baselines(data, seed=0)["PCA, 20 components, local_residual"]
    model = keras_ae.Linear(image_shape=(8, 8), latent_dim=20)
    pca = data.principal_components(20)
    model.set_weights([pca.components_.T, np.zeros(20), pca.components_, np.zeros(64)])
    weights = model.get_weights()
    for place, each in enumerate(weights):
        if each.shape == (20,):
            weights[place] = -(pca.mean_ @ pca.components_.T).astype("f4")
        if each.shape == (64,):
            weights[place] = pca.mean_.astype("f4")
    model.set_weights(weights)
    np.testing.assert_allclose(
        model.reconstruct(parts[2]).reshape(30, -1),
        pca.inverse_transform(pca.transform(parts[2].reshape(30, -1))),
        atol=1e-4,
    )
    model.fit_scores(parts[1], ["local_residual"])
    scores = model.anomaly_score(parts[2], "local_residual")
    assert row.metrics["auc"] == pytest.approx(auc_by_pairs(labels[2] == 0, scores), abs=0.01)


def test_baseline_maps_are_smoothed_as_those_of_models():
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(0)
    differences, images = random.normal(size=(2, 3, 64, 32, 3))
    maps = anomaly.maps_of(differences.reshape(3, -1), images)
    for found, difference in zip(maps, differences, strict=True):
        expected = gaussian_filter(np.square(difference).sum(axis=-1), 1.0)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pca_of_the_same_code_size_matches_numpy():
    data = problem(held_out=1)
    test = data.split.test.images.reshape(90, -1).astype("float64")
    train = data.split.train.images.reshape(-1, 16).astype("float64")
    center = train.mean(axis=0)
    axes = np.linalg.svd(train - center, full_matrices=False)[2][:2]
    left = (test - center) - (test - center) @ axes.T @ axes
    made = anomaly.measure(Fake(ink), data, seed=0).metrics
    expected = auc_by_pairs(data.split.test.labels == 1, (left**2).sum(axis=1))
    assert made["pca_auc"] == pytest.approx(expected) and made["pca_components"] == 2


def test_normal_test_images_are_chosen_for_other_comparisons():
    data = defects(masks=True)
    part = data.normal_only()
    np.testing.assert_array_equal(part.split.test.images, data.split.test.images[:20])
    assert part.split.test.labels is None and part.split.train.labels is None
    assert part.split.test_masks is None and part.class_names == ()
    assert part.principal_components is data.principal_components
    assert part.is_anomalous(np.zeros(3)) is None


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
