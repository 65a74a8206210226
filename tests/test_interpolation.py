"""The interpolation comparison, against closed forms and slow versions, on fake models."""

import json
import re

import numpy as np
import pytest
from fakes import FakeAutoencoder
from PIL import Image

from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons import COMPARISONS, interpolation
from keras_ae.evaluation.comparisons.base import EvaluationData, ReferenceClassifier, Result

NAMES = tuple("0123456789")


def ink_classifier():
    """A classifier whose confidence is (1 + mean pixel) / 2."""

    def probabilities(images):
        ink = images.reshape(len(images), -1).mean(axis=1)
        return np.stack([(1 - ink) / 2, (1 + ink) / 2], axis=1)

    return ReferenceClassifier(features=probabilities, probabilities=probabilities)


def problem(num=60, shape=(4, 3), names=NAMES, labels=True, classifier=None, train=None):
    random = np.random.default_rng(0)
    images = random.random((num, *shape)).astype("float32")
    labels = random.permutation(np.arange(num) % len(names)) if labels else None
    train = random.random((30, *shape)).astype("float32") if train is None else train
    subset = Subset(train)
    return EvaluationData(
        Split(subset, subset, Subset(images, labels)),
        () if labels is None else names,
        reference_classifier=classifier,
    )


class Fake(FakeAutoencoder):
    """A model whose interpolation is `path(start, end, fraction)`."""

    def __init__(self, path):
        self.path = path

    def interpolate(self, start, end, num_steps):
        fractions = np.linspace(0, 1, num_steps)
        return np.stack([self.path(start, end, fraction) for fraction in fractions])


LINEAR = Fake(lambda start, end, fraction: start + fraction * (end - start))
JUMPING = Fake(lambda start, end, fraction: start if fraction < 0.5 else end)
CONSTANT = Fake(lambda start, end, fraction: np.full_like(start, 0.25))


def test_largest_step_of_a_line_a_jump_and_a_constant_path():
    data = problem()
    linear, jumping, constant = (
        interpolation.measure(model, data, seed=0).metrics for model in (LINEAR, JUMPING, CONSTANT)
    )
    assert linear["largest_step"] == pytest.approx(1 / 11, rel=1e-5)
    assert linear["shown"]["largest_step"] == pytest.approx(1 / 11, rel=1e-5)
    assert jumping["largest_step"] == pytest.approx(1.0)
    assert "largest_step" not in constant and "largest_step" not in constant["shown"]


def test_constant_path_is_left_out_of_the_mean():
    still = np.zeros((1, 12, 2, 2))
    jump = np.concatenate([np.zeros((1, 6, 2, 2)), np.ones((1, 6, 2, 2))], axis=1)
    steps = interpolation.largest_steps(np.concatenate([still, jump]))
    np.testing.assert_array_equal(steps, [np.nan, 1.0])
    data = problem()
    first = data.split.test.images[np.argmax(data.split.test.labels == 2)]
    one_still = Fake(lambda *path: (CONSTANT if (path[0] == first).all() else JUMPING).path(*path))
    numbers = interpolation.measure(one_still, data, seed=0).metrics
    assert numbers["largest_step"] == 1.0 and "largest_step" not in numbers["shown"]


def test_confidence_is_that_of_the_reference_classifier():
    data = problem(classifier=ink_classifier())
    white = Fake(lambda start, end, fraction: np.full((4, 3), fraction))
    numbers = interpolation.measure(white, data, seed=0).metrics
    assert numbers["confidence"] == pytest.approx(0.75)
    assert numbers["lowest_confidence"] == pytest.approx(0.5)
    numbers = interpolation.measure(CONSTANT, data, seed=0).metrics
    assert numbers["confidence"] == numbers["lowest_confidence"] == pytest.approx(0.625)


def test_means_over_paths_match_a_slow_version():
    data = problem(classifier=ink_classifier())
    measurement = interpolation.measure(LINEAR, data, seed=4)
    test = data.split.test
    pairs = [
        interpolation.shown_pair(data, None),
        *interpolation.random_pairs(60, test.labels, 20, 4),
    ]
    confidence, lowest, nearest = [], [], []
    for start, end in pairs:
        line = np.stack(
            [
                test.images[start] + step / 11 * (test.images[end] - test.images[start])
                for step in range(12)
            ]
        ).astype("float64")
        confidence.append(0.5 + line.mean(axis=(1, 2)).mean() / 2)
        lowest.append(0.5 + line.mean(axis=(1, 2)).min() / 2)
        nearest.append(
            np.mean([min(np.linalg.norm(x - t) for t in data.split.train.images) for x in line])
        )
    numbers = measurement.metrics
    for name, values in (
        ("confidence", confidence),
        ("lowest_confidence", lowest),
        ("path_nearest", nearest),
    ):
        assert numbers[name] == pytest.approx(np.mean(values), rel=1e-5), name
        assert numbers["shown"][name] == pytest.approx(values[0], rel=1e-5), name
    assert numbers["num_paths"] == 21 and measurement.arrays["frames"].shape == (12, 4, 3)


def test_frames_equal_to_training_images_have_zero_distance():
    train = np.random.default_rng(1).random((30, 4, 3)).astype("float32")
    copy = Fake(lambda start, end, fraction: train[int(fraction * 29)])
    numbers = interpolation.measure(copy, problem(train=train), seed=0).metrics
    assert numbers["path_nearest"] == pytest.approx(0, abs=1e-3)


def test_number_of_compared_training_images_is_limited(monkeypatch):
    data = problem()
    train = data.split.train.images
    np.testing.assert_array_equal(interpolation.choose(train, 30, seed=1), train)
    few = interpolation.choose(train, 7, seed=1)
    assert len(np.unique(few, axis=0)) == 7 and all(any((x == t).all() for t in train) for x in few)
    np.testing.assert_array_equal(few, interpolation.choose(train, 7, seed=1))
    assert np.any(few != interpolation.choose(train, 7, seed=2))
    everything = interpolation.measure(LINEAR, data, seed=0).metrics["path_nearest"]
    monkeypatch.setattr(interpolation, "NUM_REFERENCES", 3)
    assert interpolation.measure(LINEAR, data, seed=0).metrics["path_nearest"] > everything


def test_frames_of_a_linear_output_are_clipped():
    beyond = Fake(lambda start, end, fraction: start * 3 - 1)
    frames = interpolation.measure(beyond, problem(), seed=0).arrays["frames"]
    assert (frames.min(), frames.max()) == (0, 1)


# ---- pairs ----


def test_displayed_pair_is_the_first_test_image_of_each_class():
    data = problem()
    labels = data.split.test.labels.tolist()
    assert interpolation.shown_pair(data, None) == (labels.index(2), labels.index(7))
    assert interpolation.shown_pair(data, ("9", "0")) == (labels.index(9), labels.index(0))
    start, end = interpolation.shown_pair(data, ("4", "4"))
    assert start == labels.index(4) and labels[end] == 4 and end != start
    numbers = interpolation.measure(LINEAR, data, seed=0, interpolate=["9", "0"]).metrics
    assert numbers["shown"]["classes"] == ["9", "0"]
    np.testing.assert_array_equal(
        interpolation.measure(LINEAR, data, seed=0, interpolate=["9", "0"]).arrays["frames"][0],
        data.split.test.images[labels.index(9)],
    )


def test_default_classes_fall_back_to_first_and_last():
    data = problem(names=("cat", "fish", "tree"))
    labels = data.split.test.labels.tolist()
    assert interpolation.shown_pair(data, None) == (labels.index(0), labels.index(2))
    unlabeled = problem(labels=False)
    assert interpolation.shown_pair(unlabeled, None) == (0, 1)
    numbers = interpolation.measure(LINEAR, unlabeled, seed=0).metrics
    assert numbers["shown"]["classes"] is None and numbers["num_paths"] == 21
    assert "confidence" not in numbers and "confidence" not in numbers["shown"]


def test_unknown_class_raises_a_one_line_error():
    with pytest.raises(ValueError, match=r"no class 'x'.*0, 1, 2.*9\.$") as error:
        interpolation.measure(LINEAR, problem(), seed=0, interpolate=("2", "x"))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no class '2'.*no labels"):
        interpolation.baselines(problem(labels=False), seed=0, interpolate=("2", "7"))
    data = problem(num=9)  # one of the ten classes has no test image
    absent = next(name for name in NAMES if int(name) not in data.split.test.labels)
    with pytest.raises(ValueError, match=f"'{absent}'.*no test image"):
        interpolation.measure(LINEAR, data, seed=0, interpolate=(absent, absent))


def test_random_pairs_differ_in_class_and_depend_on_the_seed():
    labels = np.array([0] * 50 + [1, 2])
    pairs = interpolation.random_pairs(52, labels, 200, seed=1)
    assert len(pairs) == 200 and len(set(pairs)) > 20
    assert all(labels[start] != labels[end] for start, end in pairs)
    assert pairs == interpolation.random_pairs(52, labels, 200, seed=1)
    assert pairs != interpolation.random_pairs(52, labels, 200, seed=2)
    one_class = interpolation.random_pairs(5, np.zeros(5, int), 50, seed=1)
    assert len(one_class) == 50 and all(start != end for start, end in one_class)


def test_single_test_image_is_measured():
    numbers = interpolation.measure(LINEAR, problem(num=1, labels=False), seed=0).metrics
    assert numbers["shown"]["images"] == [0, 0] and numbers["num_paths"] == 1
    assert "largest_step" not in numbers


# ---- baselines and figures ----


def test_cross_fade_baseline_matches_a_linear_model():
    data = problem(classifier=ink_classifier())
    rows = interpolation.baselines(data, seed=0)
    linear = interpolation.measure(LINEAR, data, seed=0)
    fade, ends = rows["pixel cross-fade"], rows["the test images"]
    assert fade.metrics["shown"].pop("images") == linear.metrics["shown"].pop("images")
    for name in ("confidence", "lowest_confidence", "largest_step", "path_nearest"):
        assert fade.metrics[name] == pytest.approx(linear.metrics[name], rel=1e-5)
    np.testing.assert_allclose(fade.arrays["frames"], linear.arrays["frames"], atol=1e-6)
    only = interpolation.measure(JUMPING, data, seed=0).metrics  # six frames of each end
    for name in ("confidence", "lowest_confidence", "path_nearest"):
        assert ends.metrics[name] == pytest.approx(only[name], rel=1e-5)
    assert "largest_step" not in ends.metrics and not ends.arrays


def test_metrics_are_reproducible_python_floats():
    data = problem(classifier=ink_classifier())
    numbers = interpolation.measure(LINEAR, data, seed=3).metrics
    assert numbers == interpolation.measure(LINEAR, data, seed=3).metrics
    assert numbers != interpolation.measure(LINEAR, data, seed=4).metrics
    assert json.loads(json.dumps(numbers)) == numbers
    assert {column.key for column in COMPARISONS["interpolation"].columns} <= set(numbers)


@pytest.mark.parametrize("shape, labels", [((4, 3), True), ((4, 3, 3), False)])
def test_figures_and_gifs_show_the_frames(tmp_path, monkeypatch, shape, labels):
    data = problem(shape=shape, labels=labels)
    linear = interpolation.measure(LINEAR, data, seed=0)
    jumping = interpolation.measure(JUMPING, data, seed=0)
    entries = [
        Result("vae, beta 0.1/2", "vae", 1, 4, None, linear),
        Result("vae, beta 0.1/2", "vae", 2, 4, None, jumping),
        Result("deep", "deep", 1, 4, None, jumping),
    ]
    rows = [
        Result(name, name, 0, 4, None, row)
        for name, row in interpolation.baselines(data, seed=0).items()
    ]
    seen = {}
    image_rows = interpolation.plots.image_rows

    def spy(rows, path, titles):
        seen.update(rows=rows, titles=titles)
        return image_rows(rows, path, titles)

    monkeypatch.setattr(interpolation.plots, "image_rows", spy)
    picture, first, second = interpolation.draw(entries, rows, data, tmp_path)
    assert list(seen["rows"]) == ["pixel cross-fade", "vae, beta 0.1/2", "deep"]
    np.testing.assert_array_equal(seen["rows"]["vae, beta 0.1/2"], linear.arrays["frames"])
    if labels:
        assert seen["titles"][0] == "2" and seen["titles"][-1] == "7" and len(seen["titles"]) == 12
    assert picture.path.name == "interpolation.png" and Image.open(picture.path).width > 500
    assert first.path.name == "interpolation-vae_beta_0.1_2.gif"
    assert second.path.name == "interpolation-deep.gif"
    gif = Image.open(first.path)
    frames = []
    for place in range(gif.n_frames):
        gif.seek(place)
        frames.append(np.asarray(gif.convert("RGB"), float))
    assert gif.info["loop"] == 0 and len(frames) == 22
    for there, back in zip(frames[1:11], frames[:11:-1], strict=True):
        np.testing.assert_allclose(there, back, atol=3)
    assert interpolation.draw([], rows, data, tmp_path) == []


def test_file_names_are_safe():
    assert re.fullmatch(r"[\w.-]+", interpolation.safe_name("sparse, beta 2/3 [1, 2] <ä>"))
    assert interpolation.safe_name("beta_vae_loose") == "beta_vae_loose"
