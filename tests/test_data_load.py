"""Loading by name or path: unknown names, wrong arguments, the default."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_helpers import (
    assert_holds,
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
)

from keras_ae import data
from keras_ae.data.contents import Contents


def test_unknown_name_suggests_the_most_similar_one():
    message_of(lambda: data.load("mnsit"), "'mnsit'", "Did you mean 'mnist'?")
    message_of(lambda: data.load("Fashion-MNIST"), "Did you mean 'fashion_mnist'?")


def test_missing_path_is_named_in_the_error(tmp_path):
    message_of(lambda: data.load(tmp_path / "no.npz"), tmp_path / "no.npz", "nor a path")
    message_of(lambda: data.load(""), "''")


def test_dataset_of_another_type_is_refused():
    message_of(lambda: data.load(3), "received 3")
    message_of(lambda: data.load(None), "received None")


def test_path_object_is_never_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message_of(lambda: data.load(Path("digits")), "nor a path that exists")


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_classes_are_refused_for_sets_without_a_choice(name):
    message_of(lambda: data.load(name, classes=["1"]), "classes", name)


def test_load_default_falls_back_to_digits_with_a_notice(monkeypatch):
    chosen, notice = data.load_default()
    assert chosen.name == "digits"
    assert "MNIST" in notice and "digits" in notice and "\n" not in notice
    made = Contents(random_images(14, 4, 4))
    entry = data.DATASETS["mnist"]._replace(read={"here": made}.__getitem__)
    monkeypatch.setitem(data.DATASETS, "mnist", entry)
    chosen, notice = data.load_default(data_dir="here")
    assert (chosen.name, len(chosen.train_images), notice) == ("mnist", 12, None)


def test_new_registry_entry_can_be_loaded_by_name(monkeypatch):
    made = Contents(random_images(14, 4, 4), np.arange(14) % 2, ("a", "b"))
    monkeypatch.setitem(
        data.DATASETS, "made", data.DATASETS["digits"]._replace(read=lambda _: made)
    )
    assert_holds(data.load("made"), made.images, made.labels)
    message_of(lambda: data.load("mde"), "made")
    message_of(lambda: data.load("made", classes=["a"]), "classes", "made")


def test_unsupported_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    message_of(lambda: data.load(tmp_path / "a.txt"), "a.txt", ".npz")
    np.save(tmp_path / "a.npy", random_images(9, 4, 4))
    message_of(lambda: data.load(tmp_path / "a.npy", classes=["a"]), "classes", "a.npy")
