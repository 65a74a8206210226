"""MNIST and its relatives: the real files, a fake tensorflow-datasets, the cache."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest
from data_helpers import (
    TFDS_DIR,
    message_of,
    needs_mnist,
    own_cache,  # noqa: F401  # a fixture for every test
)

from keras_ae import data
from keras_ae.data import network, published
from keras_ae.data.contents import Contents


@pytest.fixture(scope="module")
def mnist_cache(tmp_path_factory):
    """A cache that contains the real MNIST."""
    folder = tmp_path_factory.mktemp("mnist-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_AE_CACHE", str(folder))
        patch.setattr(network, "network_problem", lambda url, **_: "no network in tests")
        return folder, data.load("mnist", data_dir=TFDS_DIR)


@needs_mnist
def test_mnist_has_published_counts_and_mean(mnist_cache):
    _, mnist = mnist_cache
    assert mnist.train_images.shape == (60_000, 28, 28)
    assert mnist.test_images.shape == (10_000, 28, 28)
    assert mnist.train_images.dtype == np.uint8
    assert (mnist.name, mnist.num_classes) == ("mnist", 10)
    # The published class counts and mean of MNIST.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.train_labels).tolist() == counts
    assert mnist.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    parts = data.split(mnist)
    assert [len(parts.train), len(parts.validation), len(parts.test)] == [55_000, 5_000, 10_000]
    assert len(data.few_labels(parts.train.labels)) == 550


@needs_mnist
def test_cached_load_is_identical_without_tensorflow(mnist_cache, tmp_path):
    folder, mnist = mnist_cache
    code = """
        import sys
        from keras_ae import data
        print(data.load("mnist", data_dir=sys.argv[1]).fingerprint)
        heavy = ("tensorflow", "keras", "tensorflow_datasets", "sklearn")
        print([name for name in heavy if name in sys.modules])
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        env={**os.environ, "KERAS_AE_CACHE": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.splitlines() == [mnist.fingerprint, "[]"], ran.stderr


@needs_mnist
@pytest.mark.parametrize("records", [1, 1.5], ids=["between records", "inside a record"])
def test_truncated_records_raise_data_error(tmp_path, cache, records):
    prepared = shutil.copytree(TFDS_DIR / "mnist", tmp_path / "tfds" / "mnist") / "3.0.1"
    (file,) = prepared.glob("*train.tfrecord*")
    content = file.read_bytes()
    (record_size,) = struct.unpack("<Q", content[:8])
    file.unlink()
    file.write_bytes(content[: int((8 + 4 + record_size + 4) * records)])
    message_of(lambda: data.load("mnist", data_dir=tmp_path / "tfds"), "mnist", prepared, "delete")
    assert not cache.exists()


def test_unprepared_set_without_network_names_alternatives(tmp_path):
    message_of(
        lambda: data.load("kmnist", data_dir=tmp_path / "empty"),
        "kmnist",
        tmp_path / "empty",
        "no network in tests",
        "TFDS_DATA_DIR",
        "digits",
    )


class FakeBuilder:
    """Fake tensorflow-datasets: records calls and returns images."""

    def __init__(self, failure=None):
        self.failure, self.calls = failure, []

    def as_module(self):
        module = types.ModuleType("tensorflow_datasets")
        module.builder = lambda name, data_dir: self.calls.append(name) or self
        module.download = types.SimpleNamespace(DownloadConfig=dict)
        module.ReadConfig = dict
        module.as_numpy = lambda dataset: dataset
        return module

    def download_and_prepare(self, download_config):
        self.calls.append("download")
        print("noise")
        if self.failure:
            raise self.failure

    def as_dataset(self, split, **_):
        number = {"train": 60_000, "test": 10_000}[split]
        images = np.zeros((number, 28, 28, 1), np.uint8)
        images[:, 0, 0, 0] = labels = np.arange(number) % 10
        return [
            {"image": images[:100], "label": labels[:100]},
            {"image": images[100:], "label": labels[100:]},
        ]


def use_fake_tfds(monkeypatch, failure=None):
    fake = FakeBuilder(failure)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", fake.as_module())
    monkeypatch.setattr(network, "network_problem", lambda url, **_: None)
    return fake


def test_download_happens_once_then_cache_is_used(monkeypatch, cache, capsys):
    fake = use_fake_tfds(monkeypatch)
    first = data.load("kmnist")
    assert fake.calls == ["kmnist:3.0.1", "download"]
    assert "noise" not in capsys.readouterr().out
    assert first.class_names[:2] == ("o", "ki")
    np.testing.assert_array_equal(first.train_images[:, 0, 0], first.train_labels)
    assert data.load("kmnist").fingerprint == first.fingerprint
    assert len(fake.calls) == 2
    assert [file.name for file in cache.iterdir()] == ["kmnist-3.0.1.npz"]

    # A damaged cache is ignored and rewritten.
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:1000] + b"damage" + whole[1006:])
    assert data.load("kmnist").fingerprint == first.fingerprint
    assert len(fake.calls) == 4
    assert data.load("kmnist").fingerprint == first.fingerprint
    assert len(fake.calls) == 4


def test_unwritable_cache_is_ignored(monkeypatch, tmp_path):
    use_fake_tfds(monkeypatch)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("KERAS_AE_CACHE", str(tmp_path / "file" / "below"))
    assert data.load("kmnist").num_classes == 10


def test_download_with_other_pixels_is_refused(monkeypatch, cache):
    use_fake_tfds(monkeypatch)
    message_of(lambda: data.load("mnist"), "digest")
    assert not cache.exists()


def test_cache_folder_follows_xdg_cache_home(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_AE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    use_fake_tfds(monkeypatch)
    data.load("kmnist")
    assert (tmp_path / "xdg" / "keras_ae" / "kmnist-3.0.1.npz").is_file()


def test_failed_download_raises_data_error(monkeypatch, cache):
    use_fake_tfds(monkeypatch, ConnectionError("connection lost\nwith a second line"))
    message_of(lambda: data.load("fashion_mnist"), "fashion_mnist", "downloaded", "connection lost")
    assert not cache.exists()


def test_wrong_image_count_or_labels_are_refused(monkeypatch, cache):
    fake = use_fake_tfds(monkeypatch)
    whole = fake.as_dataset
    fake.as_dataset = lambda split, **options: whole(split)[1:]
    message_of(lambda: data.load("mnist"), "60000 images", "(59900, 28, 28)")
    fake.as_dataset = lambda split, **options: [
        {"image": batch["image"], "label": batch["label"] % 9} for batch in whole(split)
    ]
    message_of(lambda: data.load("mnist"), "labels from 0 to 9")
    assert not cache.exists()


def test_class_names_and_urls_match_tensorflow_datasets(tmp_path):
    import tensorflow_datasets as tfds

    for name in ("FashionMNIST", "KMNIST", "MNIST"):
        builder = getattr(tfds.image_classification, name)
        expected = published.PUBLISHED[builder.name]
        assert expected.url == builder.URL
        assert str(builder.VERSION) == published.VERSION
        info = tfds.builder(builder.name, data_dir=tmp_path).info
        assert tuple(info.features["label"].names) == expected.class_names


@needs_mnist
def test_cache_with_other_pixels_is_refused(mnist_cache, tmp_path, monkeypatch):
    """The shapes are equal; only the pixels differ."""
    folder, _ = mnist_cache
    with np.load(folder / "mnist-3.0.1.npz") as stored:
        arrays = dict(stored)
    arrays["images"] = arrays["images"][:, ::-1]
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("KERAS_AE_CACHE", str(tmp_path / "cache"))
    np.savez(tmp_path / "cache" / "mnist-3.0.1.npz", **arrays)
    monkeypatch.setattr(network, "network_problem", lambda url, **_: "no network in tests")
    with pytest.raises(data.DataError, match="not prepared"):
        data.load("mnist", data_dir=tmp_path / "nothing")


@needs_mnist
def test_pixel_digest_ignores_image_order(mnist_cache):
    _, mnist = mnist_cache
    order = np.random.default_rng(0).permutation(60_000)
    shuffled = Contents(
        mnist.train_images[order],
        mnist.train_labels[order],
        mnist.class_names,
        mnist.test_images,
        mnist.test_labels,
    )
    assert published.pixel_digest(shuffled) == published.PUBLISHED["mnist"].pixel_digest
    swapped = shuffled._replace(labels=np.roll(shuffled.labels, 1))
    assert published.pixel_digest(swapped) != published.PUBLISHED["mnist"].pixel_digest
