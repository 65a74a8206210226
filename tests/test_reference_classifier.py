"""The reference classifier, on scikit-learn's 8x8 digits (nearest centroid: 90% accuracy)."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons import reference_classifier as module
from keras_ae.evaluation.comparisons.reference_classifier import train_reference_classifier
from keras_ae.training.batches import shuffled_batches


def split_of(images, labels):
    parts = (slice(0, 1200), slice(1200, 1300), slice(1300, None))
    return Split(*(Subset(images[part], labels[part]) for part in parts))


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits().images, load_digits().target
    order = np.random.default_rng(0).permutation(len(images))
    return split_of((images[order] / 16).astype("float32"), labels[order])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("classifier") / "below" / "classifier.keras"


@pytest.fixture(scope="module")
def classifier(digits, path):
    return train_reference_classifier(digits, 10, path)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "MIN_STEPS", 5)
    monkeypatch.setattr(module, "EPOCHS", 0)


def test_test_accuracy_is_high(classifier, digits):
    probabilities = classifier.probabilities(digits.test.images)
    assert probabilities.shape == (len(digits.test), 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    accuracy = np.mean(probabilities.argmax(axis=1) == digits.test.labels)
    assert accuracy > 0.95
    assert f"{accuracy:.2%}" in classifier.description


def test_features_are_the_layer_before_the_softmax(classifier, digits):
    images = digits.train.images
    features, probabilities = classifier.features(images), classifier.probabilities(images)
    assert features.shape == (len(images), 64) and features.min() >= 0
    # Softmax of an affine map: log-ratios of probabilities are affine in the features.
    logs = np.log(probabilities.astype("float64"))
    ratios = logs - logs[:, :1]
    affine = np.column_stack([features, np.ones(len(features))]).astype("float64")
    solution = np.linalg.lstsq(affine, ratios, rcond=1e-6)[0]
    np.testing.assert_allclose(affine @ solution, ratios, atol=1e-3)


def test_second_call_reads_the_file(classifier, digits, path, monkeypatch):
    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train_classifier", never)
    again = train_reference_classifier(digits, 10, path)
    assert again.description == classifier.description
    np.testing.assert_array_equal(
        again.features(digits.test.images), classifier.features(digits.test.images)
    )


def test_damaged_file_is_replaced_with_the_same_weights(digits, tmp_path, quick):
    path = tmp_path / "classifier.keras"
    first = train_reference_classifier(digits, 10, path).features(digits.test.images)
    path.write_bytes(path.read_bytes()[:2000])
    keras.utils.set_random_seed(7)  # the classifier must not change the global random state
    second = train_reference_classifier(digits, 10, path).features(digits.test.images)
    np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-6)
    assert [file.name for file in tmp_path.iterdir()] == ["classifier.keras"]


def test_initial_weights_depend_on_the_seed():
    first, same, other = (
        module.build_classifier((8, 8), 10, seed).get_weights() for seed in (0, 0, 100)
    )
    for weights, equal, different in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(weights, equal)
        assert weights.ndim == 1 or np.abs(weights - different).max() > 0.01


def test_file_for_other_image_shapes_is_replaced(digits, tmp_path, quick):
    path = tmp_path / "classifier.keras"
    train_reference_classifier(digits, 10, path)
    color = split_of(np.random.default_rng(0).random((1310, 9, 11, 3), "float32"), np.arange(1310))
    for part in (color.train, color.validation, color.test):
        part.labels[:] %= 3
    classifier = train_reference_classifier(color, 3, path)
    assert classifier.probabilities(color.test.images).shape == (10, 3)
    assert module.load_classifier(path, (9, 11, 3), 3) is not None
    assert module.load_classifier(path, (9, 11, 3), 4) is None
    assert module.load_classifier(path, (9, 12, 3), 3) is None


def test_missing_labels_are_an_error(digits, tmp_path):
    bare = Split(*(Subset(part.images) for part in (digits.train, digits.validation, digits.test)))
    with pytest.raises(ValueError, match="needs labels"):
        train_reference_classifier(bare, 10, tmp_path / "classifier.keras")


def test_batches_cover_all_images_in_a_new_order_each_pass():
    inputs = np.arange(12)

    def passes(seed):
        keras.utils.set_random_seed(seed + 1)
        batches = list(shuffled_batches(inputs, -inputs, 4, 7, seed=seed))
        assert all((x.numpy() == -y.numpy()).all() for x, y in batches)
        return np.stack([x.numpy() for x, _ in batches])

    found = passes(0)
    assert found.shape == (7, 4)
    first, second = found[:3].ravel(), found[3:6].ravel()
    assert sorted(first) == sorted(second) == list(inputs)
    assert (first != second).any()
    np.testing.assert_array_equal(found, passes(0))
    assert (found != passes(1)).any()
