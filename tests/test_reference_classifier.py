"""The judge: on scikit-learn's 8x8 digits, where a nearest centroid is right in nine of ten."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons import reference_classifier as judging
from keras_ae.evaluation.comparisons.reference_classifier import shuffled_batches, train_reference_classifier


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
    return tmp_path_factory.mktemp("judge") / "below" / "judge.keras"


@pytest.fixture(scope="module")
def judge(digits, path):
    return train_reference_classifier(digits, 10, path)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(judging, "MIN_STEPS", 5)
    monkeypatch.setattr(judging, "EPOCHS", 0)


def test_it_knows_the_test_images(judge, digits):
    probabilities = judge.probabilities(digits.test.images)
    assert probabilities.shape == (len(digits.test), 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    accuracy = np.mean(probabilities.argmax(axis=1) == digits.test.labels)
    assert accuracy > 0.95
    assert f"{accuracy:.2%}" in judge.description


def test_the_features_are_the_layer_before_the_softmax(judge, digits):
    images = digits.train.images
    features, probabilities = judge.features(images), judge.probabilities(images)
    assert features.shape == (len(images), 64) and features.min() >= 0
    # Softmax of an affine map: the ratios' logarithms are affine in the features, exactly.
    logs = np.log(probabilities.astype("float64"))
    ratios = logs - logs[:, :1]
    affine = np.column_stack([features, np.ones(len(features))]).astype("float64")
    solution = np.linalg.lstsq(affine, ratios, rcond=1e-6)[0]
    np.testing.assert_allclose(affine @ solution, ratios, atol=1e-3)


def test_a_second_call_reads_the_file(judge, digits, path, monkeypatch):
    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(judging, "train_classifier", never)
    again = train_reference_classifier(digits, 10, path)
    assert again.description == judge.description
    np.testing.assert_array_equal(
        again.features(digits.test.images), judge.features(digits.test.images)
    )


def test_a_damaged_file_is_trained_anew_and_to_the_same_weights(digits, tmp_path, quick):
    path = tmp_path / "judge.keras"
    first = train_reference_classifier(digits, 10, path).features(digits.test.images)
    path.write_bytes(path.read_bytes()[:2000])
    keras.utils.set_random_seed(7)  # which is none of its business
    second = train_reference_classifier(digits, 10, path).features(digits.test.images)
    np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-6)
    assert [file.name for file in tmp_path.iterdir()] == ["judge.keras"]


def test_another_seed_is_another_start():
    first, same, other = (
        judging.build_classifier((8, 8), 10, seed).get_weights() for seed in (0, 0, 100)
    )
    for weights, equal, different in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(weights, equal)
        assert weights.ndim == 1 or np.abs(weights - different).max() > 0.01


def test_a_file_made_for_other_images_is_trained_anew(digits, tmp_path, quick):
    path = tmp_path / "judge.keras"
    train_reference_classifier(digits, 10, path)
    colour = split_of(np.random.default_rng(0).random((1310, 9, 11, 3), "float32"), np.arange(1310))
    for part in (colour.train, colour.validation, colour.test):
        part.labels[:] %= 3
    judge = train_reference_classifier(colour, 3, path)
    assert judge.probabilities(colour.test.images).shape == (10, 3)
    assert judging.load_classifier(path, (9, 11, 3), 3) is not None
    assert judging.load_classifier(path, (9, 11, 3), 4) is None
    assert judging.load_classifier(path, (9, 12, 3), 3) is None


def test_without_labels_it_says_so(digits, tmp_path):
    bare = Split(*(Subset(part.images) for part in (digits.train, digits.validation, digits.test)))
    with pytest.raises(ValueError, match="needs labels"):
        train_reference_classifier(bare, 10, tmp_path / "judge.keras")


def test_batches_pass_over_all_images_in_ever_new_orders():
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
