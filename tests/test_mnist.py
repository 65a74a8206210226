"""Real MNIST, if it is prepared: known BCE values, and a short compiled training."""

import os
from pathlib import Path

import keras
import numpy as np
import programs
import pytest
from sklearn.decomposition import PCA

from keras_ae import data, entropy_floor
from keras_ae.runs.checkpoint import Checkpoint
from keras_ae.runs.run_directory import RunDirectory

PREPARED = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser() / "mnist"
pytestmark = pytest.mark.skipif(
    not PREPARED.exists(), reason=f"MNIST is not prepared at {PREPARED} (see TFDS_DATA_DIR)"
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_AE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def mnist(cache):
    return data.split(data.load("mnist"))


def bce(images, reconstructions):
    p = np.clip(reconstructions.astype("float64"), 1e-7, 1 - 1e-7)
    return -(images * np.log(p) + (1 - images) * np.log(1 - p)).sum(axis=(1, 2)).mean()


def test_bce_of_perfect_mean_and_pca_reconstructions(mnist):
    test, train = mnist.test.images, mnist.train.images
    assert entropy_floor(test).mean() == pytest.approx(45.5, abs=0.1)
    assert bce(test, np.broadcast_to(train.mean(axis=0), test.shape)) == pytest.approx(205.8, abs=1)
    pca = PCA(20, random_state=0).fit(train[:20_000].reshape(-1, 784))
    rebuilt = pca.inverse_transform(pca.transform(test.reshape(-1, 784))).reshape(test.shape)
    assert bce(test, np.clip(rebuilt, 0.01, 0.99)) == pytest.approx(107, abs=6)


@pytest.mark.slow
def test_interrupted_compiled_run_resumes_bit_for_bit(tmp_path, monkeypatch):
    command = ["--variant", "denoising", "--dataset", "mnist", "--epochs", "2", "--quiet"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert programs.train(*command, "--output-dir", whole) == 0

    save = Checkpoint.save

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_and_stop)
    assert programs.train(*command, "--output-dir", broken) == 130
    monkeypatch.undo()
    monkeypatch.setenv("KERAS_AE_CACHE", str(tmp_path))
    assert programs.train(*command, "--output-dir", broken) == 0

    first, second = (RunDirectory(path / "mnist/denoising-20d-seed42") for path in (whole, broken))
    assert 70 < first.results["reconstruction_loss"] < 120
    models = [keras.models.load_model(run.directory / "model.keras") for run in (first, second)]
    for ours, theirs in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert first.results["loss"] == second.results["loss"]
