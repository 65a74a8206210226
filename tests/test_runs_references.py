"""The losses of the mean image and of PCA beside those of a model, and the warnings."""

import numpy as np
import pytest
from fakes import FakeAutoencoder
from sklearn.decomposition import PCA

from keras_ae.data import Subset
from keras_ae.runs import references


def images(num=60, seed=0):
    random = np.random.default_rng(seed)
    return (0.8 * random.random((num, 1, 4)) + 0.2 * random.random((num, 4, 4))).astype("float32")


class Constant(FakeAutoencoder):
    """Reconstructs every image as the same gray."""

    code_size = 2

    def reconstruct(self, inputs):
        return np.full_like(inputs, 0.5)

    def anomaly_score(self, inputs, score):
        assert score == "bce"
        return np.full(len(inputs), 16 * np.log(2))


class Perfect(Constant):
    has_bce = False

    def reconstruct(self, inputs):
        return inputs

    def code_statistics(self, inputs):
        return {"codes_used": 0.01, "perplexity": 1.0}


@pytest.fixture(scope="module")
def found():
    return references.measure(Constant(), Subset(images()), Subset(images(20, seed=1)))


def test_losses_of_the_references_match_scikit_learn_and_numpy(found):
    train, test = images().reshape(60, -1), images(20, seed=1).reshape(20, -1).astype("float64")
    pca = PCA(2).fit(train)
    rebuilt = np.clip(pca.inverse_transform(pca.transform(test)), 1 / 512, 1 - 1 / 512)
    mean = (train.sum(axis=0) + 0.5) / 61
    for name, pixels in (("pca", rebuilt), ("mean_image", np.tile(mean, (20, 1)))):
        bce = -(test * np.log(pixels) + (1 - test) * np.log(1 - pixels)).sum(axis=1).mean()
        assert found[f"{name}_bce"] == pytest.approx(bce, rel=1e-4)
        mse = np.square(test - pixels).sum(axis=1).mean()
        assert found[f"{name}_mse"] == pytest.approx(mse, rel=1e-4)
    assert found["pca_components"] == 2


def test_losses_of_the_model_are_those_of_its_reconstructions(found):
    test = images(20, seed=1).astype("float64")
    assert found["bce"] == pytest.approx(16 * np.log(2))
    assert found["mse"] == pytest.approx(np.square(test - 0.5).sum() / 20, rel=1e-6)
    assert found["variance"] == pytest.approx(0.0, abs=1e-9)


def test_linear_output_has_no_bce():
    found = references.measure(Perfect(), Subset(images()), Subset(images(20, seed=1)))
    assert "bce" not in found and found["mse"] == 0.0
    assert found["variance"] == pytest.approx(1.0) and found["codes_used"] == 0.01


def test_references_are_fitted_to_at_most_10000_images(monkeypatch):
    monkeypatch.setattr(references, "MAX_IMAGES", 5)
    assert references.reference_losses(images(), images(20), 16)["pca_components"] == 5


def results(bce, **changes):
    compared = {"mean_image_bce": 20.0, "pca_bce": 10.0, "pca_components": 2}
    return {"bce": bce, "variance": 0.9, **compared, **changes}


@pytest.mark.parametrize(
    ("bce", "verdict"), [(25.0, "mean image"), (15.0, "worse than PCA"), (9.0, "better than PCA")]
)
def test_summary_has_a_verdict(bce, verdict):
    line = references.summary("bce", results(bce))
    assert line.endswith(verdict) and f"{bce:.2f}" in line and "\n" not in line


HISTORY = [{"reconstruction_loss": 8.0, "val_reconstruction_loss": 9.0, "val_loss": 9.0}]


@pytest.mark.parametrize(
    ("found", "history", "words"),
    [
        (results(9.0), HISTORY, None),
        (results(9.0), [], None),
        (results(15.0), HISTORY, "PCA"),
        (results(25.0), HISTORY, "mean image"),
        (results(9.0, variance=0.001), HISTORY, "collapsed"),
        (results(9.0, codes_used=0.01), HISTORY, "1.0% of the codebook"),
        (results(9.0), [{**HISTORY[0], "val_reconstruction_loss": 30.0}], "overfits"),
    ],
)
def test_warnings_name_what_is_wrong(found, history, words):
    lines = references.warnings("bce", found, history)
    if words is None:
        assert lines == []
    else:
        (line,) = lines
        assert words in line and "\n" not in line


@pytest.mark.parametrize(("bce", "better"), [(15.0, "PCA with 2 components"), (25.0, "mean image")])
def test_better_reference_is_no_verdict_on_a_score_of_its_own(bce, better):
    found = results(bce, threshold_score="local_residual", test_auroc=0.95)
    (line,) = references.warnings("bce", found, HISTORY)
    assert better in line and "0.950" in line and "Train longer" not in line
    for changes in (
        {"threshold_score": "bce"},
        {"threshold_score": "mse"},
        {"test_auroc": None},
        {"test_auroc": 0.5},
    ):
        same = {key: each for key, each in {**found, **changes}.items() if each is not None}
        assert references.warnings("bce", same, HISTORY) == references.warnings(
            "bce", results(bce), HISTORY
        )
    assert references.warnings("bce", {**found, "bce": 9.0}, HISTORY) == []


def test_advice_of_a_weak_model_follows_its_validation_losses():
    def history(*losses):
        return [{"reconstruction_loss": 9.0, "val_reconstruction_loss": loss} for loss in losses]

    still_falling = references.warnings("bce", results(25.0), history(9.0, 8.0, 7.0))
    assert "Train longer" in still_falling[0]
    rising = references.warnings("bce", results(25.0), history(7.0, 8.0, 8.5, 9.0))
    assert "lowest in epoch 1 of 4" in rising[0] and "Train longer" not in rising[0]


def test_advice_on_a_collapsed_code_follows_its_latent_loss():
    for latent_loss, words in ((0.0, "Train longer"), (2.0, "weight of the latent loss")):
        found = {**results(9.0), "variance": 0.001, "latent_loss": latent_loss}
        (line,) = references.warnings("bce", found, HISTORY)
        assert words in line


def test_single_test_image_has_no_variance():
    found = references.measure(Constant(), Subset(images()), Subset(images(1)))
    assert "variance" not in found and np.isfinite(list(found.values())).all()
    assert references.warnings("bce", found, []) is not None


def test_losses_do_not_depend_on_the_parts(monkeypatch):
    whole = references.measure(Constant(), Subset(images()), Subset(images(40, seed=1)))
    monkeypatch.setattr(references, "_parts", lambda num: np.array_split(np.arange(num), 7))
    parts = references.measure(Constant(), Subset(images()), Subset(images(40, seed=1)))
    assert parts == pytest.approx(whole, rel=1e-6)


def test_references_are_computed_once_for_the_same_images_and_components(monkeypatch):
    calls, compute = [], references.reference_losses
    monkeypatch.setattr(
        references, "reference_losses", lambda *each: calls.append(each) or compute(*each)
    )
    shared, train, test = references.References(), images(), images(20, seed=1)
    first = shared(train, test, 2)
    assert shared(train.copy(), test.copy(), 2) == first == compute(train, test, 2)
    assert len(calls) == 1
    changed = test.copy()
    changed[0, 0, 0] += 0.01
    for other in ((train, test, 3), (train, changed, 2), (test, train, 2), (train[:-1], test, 2)):
        assert shared(*other) == compute(*other)
    assert len(calls) == 5


def test_pca_has_no_component_for_the_label_of_a_conditional_model():
    class Conditional(Constant):
        needs_labels, latent_dim, code_size = True, 2, 12

        def pack_inputs(self, images, labels=None):
            return images

    found = references.measure(Conditional(), Subset(images()), Subset(images(20, seed=1)))
    assert found["pca_components"] == 2
