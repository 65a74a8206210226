"""QuickDraw: folders of drawings, and downloads from a local server."""

from __future__ import annotations

import http.server
import threading

import numpy as np
import pytest
from data_helpers import (
    DRAWINGS_DIR,
    REAL_NETWORK_PROBLEM,
    assert_holds,
    drawings,
    message_of,
    needs_quickdraw,
    own_cache,  # noqa: F401  # a fixture for every test
)

from keras_ae import data
from keras_ae.data import network, quickdraw


@needs_quickdraw
def test_quickdraw_keeps_class_order_and_test_images():
    both = data.load("quickdraw", classes=["flower", "cat"], data_dir=DRAWINGS_DIR)
    assert both.class_names == ("flower", "cat")
    for label, name in enumerate(both.class_names):
        written = np.load(DRAWINGS_DIR / f"{name}.npy").reshape(-1, 28, 28)
        train = both.train_images[both.train_labels == label]
        test = both.test_images[both.test_labels == label]
        assert len(test) == round(len(written) / 7)
        alone = data.ImageSet("", train, None, test, None)
        assert_holds(alone, written)
    cats = data.load("quickdraw", classes="cat", data_dir=DRAWINGS_DIR)
    expected = both.test_images[both.test_labels == 1]
    assert {image.tobytes() for image in cats.test_images} == {i.tobytes() for i in expected}


@pytest.mark.parametrize("where", ["data_dir", "QUICKDRAW_DIR", "cache"])
def test_quickdraw_loads_every_class_in_the_folder(where, tmp_path, cache, monkeypatch):
    folder = cache / "quickdraw" if where == "cache" else tmp_path / "drawings"
    written = drawings(folder, tree=20, cat=30)
    (folder / ".hidden.npy").write_bytes(b"not a class")
    if where == "QUICKDRAW_DIR":
        monkeypatch.setenv("QUICKDRAW_DIR", str(folder))
    loaded = data.load("quickdraw", data_dir=folder if where == "data_dir" else None)
    assert loaded.class_names == ("cat", "tree")
    images = np.concatenate([written["cat"], written["tree"]]).reshape(-1, 28, 28)
    assert_holds(loaded, images, [0] * 30 + [1] * 20)


def test_quickdraw_without_or_with_unknown_classes_is_refused(tmp_path):
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
    """A local web server that replaces QuickDraw's; yields its folder."""
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
        monkeypatch.setattr(quickdraw, "_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr(network, "network_problem", REAL_NETWORK_PROBLEM)
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
