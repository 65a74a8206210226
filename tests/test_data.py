"""Data sets, splits and few labels against files written here and numbers worked out here."""

from __future__ import annotations

import gzip
import http.server
import os
import pickle
import shutil
import struct
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import types
import zlib
from pathlib import Path

import numpy as np
import pytest

from keras_ae import data

_REAL_NETWORK_PROBLEM = data.network_problem
_DEAD_PROXY = "http://127.0.0.1:9"
_TFDS_DIR = Path(os.environ.get("TFDS_DATA_DIR") or "no-such-folder")
_QUICKDRAW_DIR = Path(os.environ.get("QUICKDRAW_DIR") or _TFDS_DIR.absolute().parent / "quickdraw")

needs_mnist = pytest.mark.skipif(
    not (_TFDS_DIR / "mnist" / "3.0.1" / "dataset_info.json").is_file(),
    reason="TFDS_DATA_DIR does not name a folder with MNIST prepared",
)
needs_quickdraw = pytest.mark.skipif(
    not (_QUICKDRAW_DIR / "cat.npy").is_file(),
    reason="neither QUICKDRAW_DIR nor the folder beside TFDS_DATA_DIR has cat.npy",
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own and no network, for every test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KERAS_AE_CACHE", str(folder))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no-tfds"))
    monkeypatch.delenv("QUICKDRAW_DIR", raising=False)
    monkeypatch.setattr(data, "network_problem", lambda url, **_: "no network in tests")
    return folder


@pytest.fixture(scope="module")
def mnist_cache(tmp_path_factory):
    """A cache into which the real MNIST was decoded once."""
    folder = tmp_path_factory.mktemp("mnist-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_AE_CACHE", str(folder))
        patch.setattr(data, "network_problem", lambda url, **_: "no network in tests")
        return folder, data.load("mnist", data_dir=_TFDS_DIR)


def random_images(num, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, *shape), dtype=np.uint8)


def image_set(num=600, num_classes=10, **changes):
    """A set in which the top left pixels of an image say where it stood."""
    images = random_images(num, 6, 6)
    images[:, 0, 0], images[:, 0, 1] = np.arange(num) // 256, np.arange(num) % 256
    labels = np.arange(num, dtype=np.int64) * 7 % num_classes
    fields = {
        "name": "made",
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:20],
        "test_labels": labels[:20],
        "class_names": tuple(f"kind {k}" for k in range(num_classes)),
    }
    return data.ImageSet(**{**fields, **changes})


def positions(subset):
    """Where the images of a subset of `image_set` stood."""
    top_left = np.rint(subset.images[:, 0, :2] * 255).astype(int)
    return top_left[:, 0] * 256 + top_left[:, 1]


def message_of(call, *words):
    """The message of the one-line DataError that `call` must raise, with `words` in it."""
    with pytest.raises(data.DataError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message
    return message


def in_stored_order(loaded):
    """All images and labels of a set, sorted by content, to compare with what was written."""
    images = np.concatenate([loaded.train_images, loaded.test_images])
    order = np.lexsort(images.reshape(len(images), -1).T)
    if loaded.train_labels is None:
        return images[order], None
    return images[order], np.concatenate([loaded.train_labels, loaded.test_labels])[order]


def assert_holds(loaded, images, labels=None):
    """`loaded` has exactly these images, each with its label, in training and test together."""
    order = np.lexsort(images.reshape(len(images), -1).T)
    found_images, found_labels = in_stored_order(loaded)
    np.testing.assert_array_equal(found_images, images[order])
    if labels is None:
        assert found_labels is None
    else:
        np.testing.assert_array_equal(found_labels, np.asarray(labels)[order])


# --- Names


def test_unknown_name_is_answered_with_the_nearest():
    message_of(lambda: data.load("mnsit"), "'mnsit'", "Did you mean 'mnist'?")
    message_of(lambda: data.load("Fashion-MNIST"), "Did you mean 'fashion_mnist'?")


def test_missing_path_is_named(tmp_path):
    message_of(lambda: data.load(tmp_path / "no.npz"), tmp_path / "no.npz", "nor a path")
    message_of(lambda: data.load(""), "''")


def test_neither_name_nor_path():
    message_of(lambda: data.load(3), "received 3")
    message_of(lambda: data.load(None), "received None")


def test_a_path_object_is_a_path_even_if_it_looks_like_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message_of(lambda: data.load(Path("digits")), "nor a path that exists")


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_classes_are_refused_where_they_cannot_be_chosen(name):
    message_of(lambda: data.load(name, classes=["1"]), "classes", name)


# --- digits


def test_interpolation_matrix_is_linear_interpolation_between_pixel_centres():
    matrix = data.interpolation_matrix(8, 28)
    signal = np.random.default_rng(0).random(8)
    expected = np.interp((np.arange(28) + 0.5) / 28, (np.arange(8) + 0.5) / 8, signal)
    np.testing.assert_allclose(matrix @ signal, expected, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_digits_are_bundled_digits_enlarged():
    import tensorflow as tf
    from sklearn.datasets import load_digits

    loaded = data.load("digits")
    assert loaded.image_shape == (28, 28)
    assert loaded.class_names == tuple("0123456789")
    assert loaded.train_images.dtype == np.float32
    assert loaded.train_labels.dtype == np.int64
    bundled = load_digits()
    small = (bundled.images / 16)[..., None].astype(np.float32)
    enlarged = tf.image.resize(small, (28, 28), method="bilinear").numpy()[..., 0]
    found = np.concatenate([loaded.train_images, loaded.test_images]).sum(axis=(1, 2))
    np.testing.assert_allclose(np.sort(found), np.sort(enlarged.sum(axis=(1, 2))), rtol=1e-4)
    # One image, pixel by pixel: whichever loaded one is nearest to the first bundled one.
    distance = np.abs(loaded.train_images - enlarged[0]).max(axis=(1, 2))
    distance = min(distance.min(), np.abs(loaded.test_images - enlarged[0]).max(axis=(1, 2)).min())
    assert distance < 1e-5
    assert loaded.train_images.min() >= 0 and loaded.train_images.max() <= 1


def test_digits_keep_a_seventh_of_each_class_for_testing():
    loaded = data.load("digits")
    test_counts = np.bincount(loaded.test_labels)
    counts = test_counts + np.bincount(loaded.train_labels)
    np.testing.assert_array_equal(test_counts, np.rint(counts / 7))
    assert counts.sum() == 1797
    assert data.load("digits").fingerprint == loaded.fingerprint


# --- MNIST


@needs_mnist
def test_mnist_is_the_real_one(mnist_cache):
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
def test_second_load_needs_no_tensorflow_and_is_identical(mnist_cache, tmp_path):
    folder, mnist = mnist_cache
    code = """
        import sys, types
        package = types.ModuleType("keras_ae")  # The package itself imports TensorFlow.
        package.__path__ = [sys.argv[1]]
        sys.modules["keras_ae"] = package
        from keras_ae import data
        print(data.load("mnist", data_dir=sys.argv[2]).fingerprint)
        heavy = ("tensorflow", "keras", "tensorflow_datasets", "sklearn")
        print([name for name in heavy if name in sys.modules])
    """
    package = str(Path(data.__file__).parent)
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), package, str(tmp_path)],
        env={**os.environ, "KERAS_AE_CACHE": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.splitlines() == [mnist.fingerprint, "[]"], ran.stderr


@needs_mnist
@pytest.mark.parametrize("records", [1, 1.5], ids=["between records", "inside a record"])
def test_truncated_records_are_a_data_error(tmp_path, cache, records):
    prepared = shutil.copytree(_TFDS_DIR / "mnist", tmp_path / "tfds" / "mnist") / "3.0.1"
    (file,) = prepared.glob("*train.tfrecord*")
    content = file.read_bytes()
    (record_size,) = struct.unpack("<Q", content[:8])
    file.unlink()
    file.write_bytes(content[: int((8 + 4 + record_size + 4) * records)])
    message_of(lambda: data.load("mnist", data_dir=tmp_path / "tfds"), "mnist", prepared, "delete")
    assert not cache.exists()


def test_unprepared_without_a_network_says_what_can_be_done(tmp_path):
    message_of(
        lambda: data.load("kmnist", data_dir=tmp_path / "empty"),
        "kmnist",
        tmp_path / "empty",
        "no network in tests",
        "TFDS_DATA_DIR",
        "digits",
    )


def test_no_network_is_noticed_within_seconds(tmp_path):
    code = """
        import sys, types
        package = types.ModuleType("keras_ae")
        package.__path__ = [sys.argv[1]]
        sys.modules["keras_ae"] = package
        from keras_ae import data
        try:
            data.load("mnist", data_dir=sys.argv[2])
        except data.DataError as error:
            print("DataError", error)
        print("tensorflow" in sys.modules)
        chosen, notice = data.load_default(data_dir=sys.argv[2])
        print(chosen.name, notice)
    """
    proxies = {name: _DEAD_PROXY for name in ("HTTP_PROXY", "HTTPS_PROXY")}
    proxies.update({name.lower(): url for name, url in proxies.items()}, no_proxy="", NO_PROXY="")
    start = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(Path(data.__file__).parent)]
        + [str(tmp_path / "empty")],
        env={**os.environ, **proxies},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert time.monotonic() - start < 20
    assert ran.returncode == 0, ran.stderr
    refused, has_tensorflow, default = ran.stdout.splitlines()
    assert refused.startswith("DataError mnist is not prepared")
    assert has_tensorflow == "False"
    assert default.startswith("digits NOTICE")


def test_network_check_keeps_its_deadline_when_the_lookup_hangs(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: released.wait(20))
    start = time.monotonic()
    assert "no answer" in _REAL_NETWORK_PROBLEM("http://127.0.0.1:9/", seconds=0.2)
    assert time.monotonic() - start < 5
    released.set()


def test_load_default_is_digits_with_a_notice_or_else_mnist(monkeypatch):
    chosen, notice = data.load_default()
    assert chosen.name == "digits"
    assert "MNIST" in notice and "digits" in notice and "\n" not in notice
    monkeypatch.setattr(data, "_load_published", lambda name, data_dir: (name, data_dir))
    assert data.load_default(data_dir="here") == (("mnist", "here"), None)


class FakeBuilder:
    """Stands for tensorflow-datasets: says what was called, and has the images of a real set."""

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
    monkeypatch.setattr(data, "network_problem", lambda url, **_: None)
    return fake


def test_download_happens_once_and_quietly_then_the_cache_serves(monkeypatch, cache, capsys):
    fake = use_fake_tfds(monkeypatch)
    first = data.load("kmnist")
    assert fake.calls == ["kmnist:3.0.1", "download"]
    assert "noise" not in capsys.readouterr().out
    assert first.class_names[:2] == ("o", "ki")
    np.testing.assert_array_equal(first.train_images[:, 0, 0], first.train_labels)
    assert data.load("kmnist").fingerprint == first.fingerprint
    assert len(fake.calls) == 2
    assert [file.name for file in cache.iterdir()] == ["kmnist-3.0.1.npz"]

    # A damaged cache is ignored and written anew.
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:1000] + b"damage" + whole[1006:])
    assert data.load("kmnist").fingerprint == first.fingerprint
    assert len(fake.calls) == 4
    assert data.load("kmnist").fingerprint == first.fingerprint
    assert len(fake.calls) == 4


def test_cache_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    use_fake_tfds(monkeypatch)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("KERAS_AE_CACHE", str(tmp_path / "file" / "below"))
    assert data.load("kmnist").num_classes == 10


def test_a_download_of_other_images_is_not_taken_for_mnist(monkeypatch, cache):
    use_fake_tfds(monkeypatch)
    message_of(lambda: data.load("mnist"), "digest")
    assert not cache.exists()


def test_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_AE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    use_fake_tfds(monkeypatch)
    data.load("kmnist")
    assert (tmp_path / "xdg" / "keras_ae" / "kmnist-3.0.1.npz").is_file()


def test_failed_download_is_a_data_error(monkeypatch, cache):
    use_fake_tfds(monkeypatch, ConnectionError("connection lost\nwith a second line"))
    message_of(lambda: data.load("fashion_mnist"), "fashion_mnist", "downloaded", "connection lost")
    assert not cache.exists()


def test_other_images_than_the_published_are_refused(monkeypatch, cache):
    fake = use_fake_tfds(monkeypatch)
    whole = fake.as_dataset
    fake.as_dataset = lambda split, **options: whole(split)[1:]
    message_of(lambda: data.load("mnist"), "60000 images", "(59900, 28, 28)")
    fake.as_dataset = lambda split, **options: [
        {"image": batch["image"], "label": batch["label"] % 9} for batch in whole(split)
    ]
    message_of(lambda: data.load("mnist"), "labels from 0 to 9")
    assert not cache.exists()


def test_class_names_are_those_of_tensorflow_datasets(tmp_path):
    import tensorflow_datasets as tfds

    for name in ("FashionMNIST", "KMNIST", "MNIST"):
        builder = getattr(tfds.image_classification, name)
        published = data._PUBLISHED[builder.name]
        assert published.url == builder.URL
        assert str(builder.VERSION) == data._PUBLISHED_VERSION
        info = tfds.builder(builder.name, data_dir=tmp_path).info
        assert tuple(info.features["label"].names) == published.class_names


# --- QuickDraw


@needs_quickdraw
def test_quickdraw_classes_keep_their_order_and_their_test_images():
    both = data.load("quickdraw", classes=["flower", "cat"], data_dir=_QUICKDRAW_DIR)
    assert both.class_names == ("flower", "cat")
    for label, name in enumerate(both.class_names):
        written = np.load(_QUICKDRAW_DIR / f"{name}.npy").reshape(-1, 28, 28)
        train = both.train_images[both.train_labels == label]
        test = both.test_images[both.test_labels == label]
        assert len(test) == round(len(written) / 7)
        alone = data.ImageSet("", train, None, test, None)
        assert_holds(alone, written)
    cats = data.load("quickdraw", classes="cat", data_dir=_QUICKDRAW_DIR)
    expected = both.test_images[both.test_labels == 1]
    assert {image.tobytes() for image in cats.test_images} == {i.tobytes() for i in expected}


def drawings(folder, **numbers):
    """Writes `<class>.npy` files as quickdraw publishes them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for seed, (name, number) in enumerate(numbers.items()):
        written[name] = random_images(number, 784, seed=seed)
        np.save(folder / f"{name}.npy", written[name])
    return written


@pytest.mark.parametrize("where", ["data_dir", "QUICKDRAW_DIR", "cache"])
def test_quickdraw_takes_every_class_in_the_folder(where, tmp_path, cache, monkeypatch):
    folder = cache / "quickdraw" if where == "cache" else tmp_path / "drawings"
    written = drawings(folder, tree=20, cat=30)
    (folder / ".hidden.npy").write_bytes(b"not a class")
    if where == "QUICKDRAW_DIR":
        monkeypatch.setenv("QUICKDRAW_DIR", str(folder))
    loaded = data.load("quickdraw", data_dir=folder if where == "data_dir" else None)
    assert loaded.class_names == ("cat", "tree")
    images = np.concatenate([written["cat"], written["tree"]]).reshape(-1, 28, 28)
    assert_holds(loaded, images, [0] * 30 + [1] * 20)


def test_quickdraw_without_classes_or_with_unknown_ones(tmp_path):
    drawings(tmp_path / "drawings", tree=20, cat=30)
    message_of(lambda: data.load("quickdraw", data_dir=tmp_path / "no"), tmp_path / "no", "classes")
    message_of(
        lambda: data.load("quickdraw", classes=["tre"], data_dir=tmp_path / "drawings"),
        "'tre'",
        "Did you mean 'tree'?",
        "no network in tests",
    )


@pytest.mark.parametrize(
    "classes, word",
    [
        ([], "received []"),
        (["cat", "cat"], "different"),
        (["../cat"], "'../cat' cannot be"),
        (["pets/cat"], "'pets/cat' cannot be"),
        ([3], "3 cannot be"),
        ([""], "'' cannot be"),
    ],
)
def test_quickdraw_classes_must_be_distinct_names(classes, word, tmp_path):
    drawings(tmp_path, cat=30)
    message_of(lambda: data.load("quickdraw", classes=classes, data_dir=tmp_path), "class", word)


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A web server on loopback in the place of the one with the drawings; its folder."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            pass

        def send_header(self, key, value):
            if key == "Content-Length" and "cut" in self.path:
                value = str(int(value) + 100)
            super().send_header(key, value)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "*")
        monkeypatch.setattr(data, "_QUICKDRAW_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr(data, "network_problem", _REAL_NETWORK_PROBLEM)
        yield folder
        server.shutdown()


def test_quickdraw_class_is_downloaded_once(web, tmp_path):
    written = drawings(web, **{"The Eiffel Tower": 30})
    folder = tmp_path / "drawings"
    for _ in range(2):
        loaded = data.load("quickdraw", classes=["The Eiffel Tower"], data_dir=folder)
        images = written["The Eiffel Tower"].reshape(-1, 28, 28)
        assert_holds(loaded, images, [0] * 30)
        (web / "The Eiffel Tower.npy").unlink(missing_ok=True)
    assert [file.name for file in folder.iterdir()] == ["The Eiffel Tower.npy"]


def test_quickdraw_download_that_fails_leaves_nothing(web, tmp_path):
    drawings(web, cut=30)
    folder = tmp_path / "drawings"
    load = lambda name: data.load("quickdraw", classes=[name], data_dir=folder)  # noqa: E731
    message_of(lambda: load("cut"), "'cut'", "cannot be downloaded")
    assert list(folder.iterdir()) == []
    message_of(lambda: load("no"), "404")


# --- NumPy files


def test_npz_as_keras_publishes_mnist(tmp_path):
    train, test = random_images(40, 5, 7), random_images(10, 5, 7, seed=1)
    labels = np.arange(50) % 4
    np.savez(
        tmp_path / "a.npz", x_train=train, y_train=labels[:40], x_test=test, y_test=labels[40:]
    )
    loaded = data.load(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(loaded.train_images, train)
    np.testing.assert_array_equal(loaded.test_images, test)
    np.testing.assert_array_equal(loaded.train_labels, labels[:40])
    np.testing.assert_array_equal(loaded.test_labels, labels[40:])
    assert (loaded.name, loaded.image_shape) == ("a.npz", (5, 7))


@pytest.mark.parametrize(
    "keys", [("images", "labels"), ("x", "y"), ("x_train", "y_train"), ("images",)]
)
def test_npz_without_test_images_keeps_a_seventh(keys, tmp_path):
    images, labels = random_images(70, 5, 7), np.arange(70) % 2
    np.savez(tmp_path / "a.npz", **dict(zip(keys, (images, labels), strict=False)))
    loaded = data.load(tmp_path / "a.npz")
    assert (len(loaded.train_images), len(loaded.test_images)) == (60, 10)
    assert_holds(loaded, images, labels if len(keys) == 2 else None)
    if len(keys) == 2:
        assert np.bincount(loaded.test_labels).tolist() == [5, 5]


@pytest.mark.parametrize(
    "labels, class_names, indices",
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([10, 9, -2], ("-2", "9", "10"), [2, 1, 0]),
        ([1.0, 3.0, 1.0], ("1", "3"), [0, 1, 0]),
        ([True, False, True], ("0", "1"), [1, 0, 1]),
        ([b"b", b"a", b"b"], ("a", "b"), [1, 0, 1]),
        ([[5], [4], [5]], ("4", "5"), [1, 0, 1]),
    ],
)
def test_labels_become_indices_of_sorted_names(labels, class_names, indices, tmp_path):
    images = random_images(21, 4, 4)
    np.savez(tmp_path / "a.npz", x=images, y=np.array(labels * 7))
    loaded = data.load(tmp_path / "a.npz")
    assert loaded.class_names == class_names
    assert_holds(loaded, images, indices * 7)
    assert loaded.train_labels.dtype == np.int64


@pytest.mark.parametrize(
    "written, shape",
    [
        (random_images(20, 6, 6), (6, 6)),
        (random_images(20, 36), (6, 6)),
        (random_images(20, 6, 6, 1), (6, 6)),
        (random_images(20, 6, 6, 3), (6, 6, 3)),
        (random_images(20, 6, 6).astype(np.int32), (6, 6)),
    ],
)
def test_npy_shapes(written, shape, tmp_path):
    np.save(tmp_path / "a.npy", written)
    loaded = data.load(tmp_path / "a.npy")
    assert loaded.image_shape == shape
    assert loaded.train_images.dtype == np.uint8
    assert_holds(loaded, written.reshape(-1, *shape).astype(np.uint8))
    assert (loaded.train_labels, loaded.test_labels, loaded.num_classes) == (None, None, 0)


def test_floats_stay_and_bools_become_black_and_white(tmp_path):
    floats = np.random.default_rng(0).random((20, 4, 4))
    np.save(tmp_path / "floats.npy", floats)
    loaded = data.load(tmp_path / "floats.npy")
    assert loaded.train_images.dtype == np.float32
    assert_holds(loaded, floats.astype(np.float32))
    np.save(tmp_path / "bools.npy", floats > 0.5)
    assert_holds(data.load(tmp_path / "bools.npy"), (floats > 0.5).astype(np.uint8) * 255)


def test_whole_numbers_of_0_and_1_are_warned_about(tmp_path):
    np.save(tmp_path / "a.npy", random_images(20, 4, 4) % 2)
    with pytest.warns(UserWarning, match="nearly black"):
        data.load(tmp_path / "a.npy")


UNUSABLE = {
    "float 0..255": (random_images(9, 4, 4).astype(np.float32), "255"),
    "NaN": (np.full((9, 4, 4), np.nan), "NaN"),
    "out of 0..255": (np.full((9, 4, 4), 256), "256"),
    "negative": (np.full((9, 4, 4), -1), "-1"),
    "empty": (np.zeros((0, 4, 4), np.uint8), "(0, 4, 4)"),
    "no square": (random_images(9, 15), "(9, 15)"),
    "one axis": (random_images(9), "(9,)"),
    "five axes": (random_images(9, 2, 2, 2, 2), "(9, 2, 2, 2, 2)"),
    "channels first": (random_images(9, 3, 8, 8), "last"),
    "text": (np.array(["a", "b"]), "<U1"),
    "complex": (np.zeros((9, 4, 4), complex), "complex128"),
    "one image": (random_images(1, 4, 4), "received 1"),
}


@pytest.mark.parametrize("images, word", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_images(images, word, tmp_path):
    np.save(tmp_path / "a.npy", images)
    message_of(lambda: data.load(tmp_path / "a.npy"), "a.npy", word)
    np.savez(tmp_path / "a.npz", x_train=images, x_test=images)
    if len(images) != 1:
        message_of(lambda: data.load(tmp_path / "a.npz"), "a.npz", word)


def test_objects_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    objects = np.array([Trap(), Trap()], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "b.npz", x=objects)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Trap()))
    for name in ("a.npy", "b.npz", "c.npy"):
        message_of(lambda name=name: data.load(tmp_path / name), name, "pickle")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kept", [0, 5, 60, 700])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_truncated_numpy_files(name, kept, tmp_path):
    save = {"a.npy": np.save, "a.npz": lambda file, array: np.savez(file, x=array)}[name]
    save(tmp_path / name, random_images(50, 4, 4))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:kept])
    message_of(lambda: data.load(tmp_path / name), name, "cannot be read")


@pytest.mark.parametrize(
    "labels, word",
    [
        (np.zeros(8, int), "(8,)"),
        (np.zeros((9, 3), int), "(9, 3)"),
        (np.full(9, 0.5), "fractions"),
        (np.full(9, np.nan), "NaN"),
        (np.zeros(9, complex), "complex128"),
        (np.array([b"\xff"] * 9), "UTF-8"),
    ],
)
def test_unusable_labels(labels, word, tmp_path):
    np.savez(tmp_path / "a.npz", x=random_images(9, 4, 4), y=labels)
    message_of(lambda: data.load(tmp_path / "a.npz"), "a.npz", word)


def test_arrays_of_an_npz_must_fit_together(tmp_path):
    file = tmp_path / "a.npz"
    images, labels = random_images(9, 4, 4), np.arange(9)
    np.savez(file, pictures=images)
    message_of(lambda: data.load(file), "pictures", "x_train")
    np.savez(file, x_train=images, y_train=labels, x_test=images)
    message_of(lambda: data.load(file), "test labels are missing")
    np.savez(file, x_train=images, x_test=random_images(9, 5, 4))
    message_of(lambda: data.load(file), "(4, 4)", "(5, 4)")
    np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels.astype(str))
    message_of(lambda: data.load(file), "of one kind")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    message_of(lambda: data.load(tmp_path / "a.txt"), "a.txt", ".npz")
    np.save(tmp_path / "a.npy", random_images(9, 4, 4))
    message_of(lambda: data.load(tmp_path / "a.npy", classes=["a"]), "classes", "a.npy")


def test_folder_of_class_arrays(tmp_path):
    written = drawings(tmp_path, tree=20, cat=30, fish=10)
    loaded = data.load(tmp_path, classes=["tree", "cat"])
    assert loaded.class_names == ("tree", "cat")
    images = np.concatenate([written["tree"], written["cat"]]).reshape(-1, 28, 28)
    assert_holds(loaded, images, [0] * 20 + [1] * 30)
    message_of(lambda: data.load(tmp_path, classes=["dog"]), "'dog'", "cat, fish, tree")
    np.save(tmp_path / "dog.npy", np.zeros((9, 28, 28), np.float32))
    message_of(lambda: data.load(tmp_path), "cat.npy", "dog.npy", "float32")


# --- IDX files


def write_idx(folder, end="", mark="-"):
    """The four files as published, written by hand; what they hold."""
    folder.mkdir(exist_ok=True)
    write = {"": Path.write_bytes, ".gz": lambda path, b: path.write_bytes(gzip.compress(b))}[end]
    held = []
    for part, number in (("train", 30), ("t10k", 10)):
        images = random_images(number, 5, 7, seed=number)
        labels = np.arange(number, dtype=np.uint8) % 3 + 1
        header = struct.pack(">IIII", 2051, number, 5, 7)
        write(folder / f"{part}-images{mark}idx3-ubyte{end}", header + images.tobytes())
        header = struct.pack(">II", 2049, number)
        write(folder / f"{part}-labels{mark}idx1-ubyte{end}", header + labels.tobytes())
        held += [images, labels]
    return held


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("mark", ["-", "."])
def test_idx_files(end, mark, tmp_path):
    images, labels, test_images, test_labels = write_idx(tmp_path, end, mark)
    loaded = data.load(tmp_path)
    np.testing.assert_array_equal(loaded.train_images, images)
    np.testing.assert_array_equal(loaded.test_images, test_images)
    np.testing.assert_array_equal(loaded.train_labels, labels - 1)
    np.testing.assert_array_equal(loaded.test_labels, test_labels - 1)
    assert loaded.class_names == ("1", "2", "3")


def test_damaged_idx_files(tmp_path):
    write_idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    content = file.read_bytes()
    for damaged, word in [
        (content[:-1], "1049"),
        (content + b"x", "1051"),
        (content[:7], "7 bytes"),
        (struct.pack(">I", 2049) + content[4:], "2049"),
    ]:
        file.write_bytes(damaged)
        message_of(lambda: data.load(tmp_path), file, word)
    file.unlink()
    message_of(lambda: data.load(tmp_path), "lacks train-images-idx3-ubyte")
    file.with_suffix(".gz").write_bytes(gzip.compress(content)[:-20])
    message_of(lambda: data.load(tmp_path), "train-images-idx3-ubyte.gz", "incomplete")


# --- Folders of image files


def write_png(path, image):
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    image = image[..., None] if image.ndim == 2 else image
    path.write_bytes(tf.io.encode_png(image).numpy())


def test_folder_with_one_subfolder_a_class(tmp_path):
    images = random_images(20, 6, 8)
    for number, image in enumerate(images):
        write_png(tmp_path / ("dog" if number < 5 else "ant") / f"{number}.PNG", image)
    (tmp_path / "dog" / ".hidden.png").write_bytes(b"no image")
    (tmp_path / "dog" / "notes.txt").write_bytes(b"no image")
    (tmp_path / ".git").mkdir()
    loaded = data.load(tmp_path)
    assert loaded.class_names == ("ant", "dog")
    assert_holds(loaded, images, [1] * 5 + [0] * 15)
    assert loaded.name == tmp_path.name
    assert data.load(tmp_path).fingerprint == loaded.fingerprint


def test_flat_folder_of_several_formats(tmp_path):
    import tensorflow as tf

    colours = np.full((3, 6, 8, 3), [[[[10]]], [[[90]]], [[[200]]]], np.uint8)
    write_png(tmp_path / "a.png", colours[0])
    (tmp_path / "b.jpg").write_bytes(tf.io.encode_jpeg(colours[1], quality=100).numpy())
    rows = colours[2].tobytes()
    header = struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, 8, 6, 1, 24, 0, len(rows), 0, 0, 0, 0)
    (tmp_path / "c.bmp").write_bytes(header + rows)
    loaded = data.load(tmp_path)
    assert loaded.train_labels is None and loaded.image_shape == (6, 8, 3)
    assert_holds(loaded, colours)


def test_grey_among_colour_is_repeated_and_transparency_is_dropped(tmp_path):
    grey, colour = random_images(3, 6, 8), random_images(3, 6, 8, 4, seed=1)
    for number in range(3):
        write_png(tmp_path / f"a{number}.png", grey[number])
        write_png(tmp_path / f"b{number}.png", colour[number])
    expected = np.concatenate([np.stack([grey] * 3, axis=-1), colour[..., :3]])
    assert_holds(data.load(tmp_path), expected)


def test_grey_with_transparency_is_grey(tmp_path):
    images = random_images(4, 6, 8, 2)
    for number, image in enumerate(images):
        write_png(tmp_path / f"{number}.png", image)
    assert_holds(data.load(tmp_path), images[..., 0])


def test_unusable_folders_of_images(tmp_path):
    message_of(lambda: data.load(tmp_path), tmp_path, "holds no images")
    write_png(tmp_path / "a.png", random_images(1, 6, 8)[0])
    write_png(tmp_path / "b.png", random_images(1, 6, 8)[0])
    write_png(tmp_path / "c.png", random_images(1, 8, 6)[0])
    message_of(lambda: data.load(tmp_path), "6 x 8", "c.png has 8 x 6")
    (tmp_path / "c.png").write_bytes((tmp_path / "b.png").read_bytes()[:50])
    message_of(lambda: data.load(tmp_path), "c.png", "no image")
    (tmp_path / "c.png").unlink()
    write_png(tmp_path / "dog" / "a.png", random_images(1, 6, 8)[0])
    message_of(lambda: data.load(tmp_path), "both in itself and in subfolders")
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").unlink()
    (tmp_path / "ant").mkdir()
    message_of(lambda: data.load(tmp_path), "'ant'", "holds no images")


# --- Fingerprints


def test_fingerprint_notices_any_change():
    base = image_set()
    assert len(base.fingerprint) == 16 and int(base.fingerprint, 16) >= 0
    assert image_set().fingerprint == base.fingerprint
    images, labels = base.train_images.copy(), base.train_labels.copy()
    images[3, 2, 1] ^= 1
    labels[-1] ^= 1
    changed = [
        image_set(train_images=images),
        image_set(train_labels=labels),
        image_set(train_labels=None),
        image_set(test_images=images[:20]),
        image_set(train_images=base.train_images.reshape(-1, 4, 9)),
        image_set(train_images=base.train_images.view(np.int8)),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in changed)}) == 7


# --- Black and white


def floats(images):
    return (images / 255).astype("float32")


@pytest.mark.parametrize("convert", [np.asarray, floats])
def test_a_threshold_is_half_of_full_intensity(convert):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)
    whole = image_set(16, train_images=convert(levels), test_images=convert(levels[::-1]))
    made = data.binarized(whole, "threshold")
    assert made.name == "made_threshold"
    np.testing.assert_array_equal(made.train_images, np.where(levels > 127.5, 255, 0))
    np.testing.assert_array_equal(made.test_images, made.train_images[::-1])
    np.testing.assert_array_equal(made.train_labels, whole.train_labels)
    assert set(np.unique(data.split(made).train.images)) == {0.0, 1.0}


@pytest.mark.parametrize("convert", [np.asarray, floats])
def test_bernoulli_pixels_are_white_as_often_as_they_are_bright(convert):
    levels = np.tile(np.array([0, 51, 128, 204, 255], np.uint8), (4000, 2, 1))
    whole = image_set(4000, train_images=convert(levels), test_images=convert(levels))
    made = data.binarized(whole, "bernoulli")
    assert made.name == "made_bernoulli" and set(np.unique(made.train_images)) == {0, 255}
    share = (made.train_images / 255).mean(axis=(0, 1))
    np.testing.assert_allclose(share, levels[0, 0] / 255, atol=0.03)
    assert share[0] == 0.0 and share[-1] == 1.0
    assert np.any(made.train_images != made.test_images)
    # Pixels are drawn each for itself, and once for good.
    assert abs(np.corrcoef(made.train_images[:, :, 2].T)[0, 1]) < 0.06
    assert data.binarized(whole, "bernoulli").fingerprint == made.fingerprint
    assert len({made.fingerprint, whole.fingerprint}) == 2


def test_another_way_to_black_and_white_is_refused():
    message_of(lambda: data.binarized(image_set(), "dither"), "threshold, bernoulli", "'dither'")


# --- Splits


@pytest.mark.parametrize(
    "num, num_validation", [(3, 1), (13, 1), (600, 50), (60_000, 5_000), (70_000, 5_000)]
)
def test_split_is_disjoint_and_covers_everything(num, num_validation):
    whole = image_set(num, train_images=np.zeros((num, 1, 2), np.uint8)) if num > 600 else None
    parts = data.split(whole or image_set(num))
    assert len(parts.validation) == num_validation
    assert len(parts.train) == num - num_validation
    if whole is None:
        train, validation = positions(parts.train), positions(parts.validation)
        assert sorted([*train, *validation]) == list(range(num))
        assert (np.diff(train) > 0).all()


def test_split_keeps_each_image_with_its_label_and_scales_exactly():
    made = image_set()
    parts = data.split(made)
    for subset in (parts.train, parts.validation, parts.test):
        stood = positions(subset)
        np.testing.assert_array_equal(subset.labels, made.train_labels[stood])
        np.testing.assert_array_equal(
            subset.images, made.train_images[stood].astype(np.float32) / np.float32(255)
        )
        assert subset.images.dtype == np.float32
    np.testing.assert_array_equal(positions(parts.test), np.arange(20))


def test_floats_are_split_as_they_are():
    images = np.random.default_rng(0).random((24, 3, 3), np.float32)
    parts = data.split(image_set(24, train_images=images, test_images=images))
    np.testing.assert_array_equal(parts.test.images, images)
    assert parts.train.images.max() > 0.5


def test_split_is_a_function_of_the_seed():
    first, again, other = (positions(data.split(image_set(), seed=s).validation) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize("held_out_class", [4, "4", "kind 4", np.int64(4)])
def test_held_out_class_leaves_the_others_where_they_are(held_out_class):
    made = image_set()
    whole, without = data.split(made), data.split(made, held_out_class=held_out_class)
    for part in ("train", "validation"):
        stood = positions(getattr(whole, part))
        expected = stood[made.train_labels[stood] != 4]
        assert len(expected) < len(stood)
        np.testing.assert_array_equal(positions(getattr(without, part)), expected)
        assert 4 not in getattr(without, part).labels
    np.testing.assert_array_equal(without.test.images, whole.test.images)
    assert 4 in without.test.labels


def test_a_class_is_a_name_before_it_is_an_index():
    swapped = image_set(num_classes=3, class_names=("2", "0", "x"))
    assert [data.held_out_index(swapped, c) for c in ("2", 0, "x", 1)] == [0, 1, 2, 1]


@pytest.mark.parametrize("held_out_class", ["kind 44", 10, -1, 1.5, True])
def test_unknown_class_is_answered_with_those_there_are(held_out_class):
    message_of(
        lambda: data.split(image_set(), held_out_class=held_out_class),
        repr(str(held_out_class)),
        "kind 0, kind 1",
    )


def test_impossible_splits():
    bare = image_set(train_labels=None, test_labels=None, class_names=())
    assert data.split(bare).train.labels is None
    message_of(lambda: data.split(bare, held_out_class=1), "no labels", "1")
    alone = image_set(num_classes=1)
    message_of(lambda: data.split(alone, held_out_class=0), "no training images left", "kind 0")
    message_of(lambda: data.split(image_set(2)), "at least 3", "received 2")


# --- Few labels


@pytest.mark.parametrize(
    "num_images, num_classes, expected",
    [(55_000, 10, 550), (1_000, 10, 100), (1_000, 2, 20), (30_000, 10, 300), (50, 10, 50)],
)
def test_number_of_few_labels(num_images, num_classes, expected):
    labels = np.random.default_rng(0).permutation(np.arange(num_images) % num_classes)
    chosen = data.few_labels(labels)
    assert len(chosen) == expected == len(set(chosen.tolist()))
    assert np.bincount(labels[chosen]).min() >= min(10, num_images // num_classes)
    assert (np.diff(chosen) > 0).all()


def test_few_labels_of_rare_classes_are_all_taken():
    labels = np.array([0] * 5_000 + [1] * 4 + [2] * 500)
    chosen = data.few_labels(labels, num=60)
    counts = np.bincount(labels[chosen])
    assert counts[1] == 4 and counts[2] >= 10 and counts.sum() == 60
    # What is left is drawn uniformly: 36 more, of which 500 in 5,500 or so are of class 2.
    many = np.bincount(labels[data.few_labels(labels, num=2_024)])
    assert many[2] - 10 == pytest.approx(2_000 * 490 / 5_480, abs=45)


def test_few_labels_are_a_function_of_labels_and_seed():
    labels = np.arange(2_000) % 10
    first = data.few_labels(labels, seed=3)
    np.testing.assert_array_equal(first, data.few_labels(labels.copy(), seed=3))
    assert first.tolist() != data.few_labels(labels, seed=4).tolist()
    assert len(data.few_labels(labels, num=35)) == 35
    assert np.bincount(labels[data.few_labels(labels, num=35)]).min() >= 3
    assert data.few_labels(labels, num=2_000).tolist() == list(range(2_000))


@pytest.mark.parametrize("num", [2_001, 9, 0, -1])
def test_impossible_numbers_of_few_labels(num):
    message_of(lambda: data.few_labels(np.arange(2_000) % 10, num=num), f"received {num}")


@pytest.mark.parametrize("labels", [None, np.zeros((3, 2), int), np.zeros(0, int)])
def test_few_labels_need_labels(labels):
    message_of(lambda: data.few_labels(labels), "labels", "received")


@needs_mnist
def test_a_cache_of_other_images_is_not_taken_for_mnist(mnist_cache, tmp_path, monkeypatch):
    """Of the same shapes: only the pixels tell."""
    folder, _ = mnist_cache
    with np.load(folder / "mnist-3.0.1.npz") as stored:
        arrays = dict(stored)
    arrays["images"] = arrays["images"][:, ::-1]
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("KERAS_AE_CACHE", str(tmp_path / "cache"))
    np.savez(tmp_path / "cache" / "mnist-3.0.1.npz", **arrays)
    monkeypatch.setattr(data, "network_problem", lambda url, **_: "no network in tests")
    with pytest.raises(data.DataError, match="not prepared"):
        data.load("mnist", data_dir=tmp_path / "nothing")


@needs_mnist
def test_the_digest_does_not_depend_on_the_order(mnist_cache):
    _, mnist = mnist_cache
    order = np.random.default_rng(0).permutation(60_000)
    shuffled = data.Contents(
        mnist.train_images[order],
        mnist.train_labels[order],
        mnist.class_names,
        mnist.test_images,
        mnist.test_labels,
    )
    assert data.digest_of_sums(shuffled) == data._PUBLISHED["mnist"].digest
    swapped = shuffled._replace(labels=np.roll(shuffled.labels, 1))
    assert data.digest_of_sums(swapped) != data._PUBLISHED["mnist"].digest


# --- What unfolds to more than it is


def png_claiming(width, height):
    """A PNG whose header, with its checksum, claims any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def bomb_png(folder):
    (folder / "0.png").write_bytes(png_claiming(100_000, 100_000))
    return folder


def bomb_gif(folder):
    """A small screen with a frame beyond it."""
    start = b"GIF89a" + struct.pack("<HH", 8, 8) + bytes(3)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x08\x01\x00\x00"
    (folder / "0.gif").write_bytes(start + frame + b"\x3b")
    return folder


def bomb_animation(folder):
    """Ten thousand frames of 80 x 80."""
    start = b"GIF89a" + struct.pack("<HH", 8, 8) + bytes(3)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 80, 80, 0) + b"\x08\x01\x00\x00"
    (folder / "0.gif").write_bytes(start + 10_000 * frame + b"\x3b")
    return folder


def bomb_npy(folder):
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**7, 28, 28)}
    with open(folder / "bomb.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    return folder / "bomb.npy"


def bomb_npz(folder):
    """Forty megabytes of zeros that fill thirty kilobytes."""
    np.savez_compressed(folder / "bomb.npz", images=np.zeros((40_000, 32, 32), np.uint8))
    assert (folder / "bomb.npz").stat().st_size < 10**5
    return folder / "bomb.npz"


def bomb_idx(folder):
    for part, kind in (("train", "idx3"), ("t10k", "idx3")):
        packed = gzip.compress(struct.pack(">4I", 2051, 50_000, 28, 28) + bytes(39_200_000))
        (folder / f"{part}-images-{kind}-ubyte.gz").write_bytes(packed)
        labels = struct.pack(">2I", 2049, 50_000) + bytes(50_000)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return folder


@pytest.mark.parametrize("bomb", [bomb_png, bomb_gif, bomb_animation, bomb_npy, bomb_npz, bomb_idx])
def test_what_unfolds_beyond_the_limit_is_refused_before_it_does(bomb, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_AE_MAX_GB", "0.03")
    (tmp_path / "set").mkdir()
    path = bomb(tmp_path / "set")
    tracemalloc.start()
    message_of(lambda: data.load(path), "would unfold to", "0.03 GB", "KERAS_AE_MAX_GB")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_the_limit_can_be_raised(tmp_path, monkeypatch):
    path = bomb_npz(tmp_path)
    assert data.load(path).image_shape == (32, 32)
    monkeypatch.setenv("KERAS_AE_MAX_GB", "0.04")
    message_of(lambda: data.load(path), "KERAS_AE_MAX_GB")
    monkeypatch.setenv("KERAS_AE_MAX_GB", "0.05")
    assert data.load(path).image_shape == (32, 32)
    monkeypatch.setenv("KERAS_AE_MAX_GB", "plenty")
    message_of(lambda: data.load(path), "KERAS_AE_MAX_GB", "plenty")


def test_a_header_that_says_more_than_is_there_is_refused(tmp_path):
    path = bomb_npy(tmp_path)
    message_of(lambda: data.load(path), "7,840,000,000")


def test_the_default_limit_refuses_a_hundred_thousand_squared(tmp_path):
    message_of(lambda: data.load(bomb_png(tmp_path)), "10.0 GB", "8 GB")
