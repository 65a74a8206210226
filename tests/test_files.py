"""Atomic writes and digests, against simple versions of each."""

import hashlib

import pytest

from keras_ae.files import atomic_write, digest, file_digest, json_digest, remove_tree, safe_name


@pytest.mark.parametrize("shared", [False, True])
def test_file_appears_only_when_complete(tmp_path, shared):
    path = tmp_path / "model.keras"

    def write(temporary):
        assert temporary.suffix == ".keras" and temporary.parent == tmp_path
        temporary.write_text("whole")
        assert not path.exists()

    assert atomic_write(path, write, shared=shared) == path
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    assert path.read_text() == "whole"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("shared", [False, True])
def test_failed_write_keeps_the_old_file(tmp_path, error, shared):
    path = tmp_path / "test.json"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("ha")
        raise error

    with pytest.raises(type(error)):
        atomic_write(path, write, shared=shared)
    assert [file.name for file in tmp_path.iterdir()] == ["test.json"]
    assert path.read_text() == "old"


def test_links_are_replaced_not_followed(tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / ".report.partial.md").symlink_to(victim)
    (folder / "report.md").symlink_to(victim)
    atomic_write(folder / "report.md", lambda path: path.write_text("new"))
    assert victim.read_text() == "precious"
    assert not (folder / "report.md").is_symlink()
    assert (folder / "report.md").read_text() == "new"


def test_missing_parent_folders_are_created(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    atomic_write(path, lambda temporary: temporary.write_text("c"))
    assert path.read_text() == "c"


def test_digests_are_the_start_of_sha256(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    expected = hashlib.sha256(b"x" * 3_000_000).hexdigest()[:16]
    assert file_digest(path) == digest(path.read_bytes()) == expected
    assert json_digest({"b": 1, "a": 2}) == digest(b'{"a": 2, "b": 1}')
    assert json_digest({"a": 1}) != json_digest({"a": 2})


def test_remove_tree_of_a_link_leaves_the_target(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").touch()
    link = tmp_path / "link"
    link.symlink_to(target)
    remove_tree(link)
    assert not link.exists() and (target / "kept").exists()
    remove_tree(target)
    assert not target.exists()


def test_safe_name_keeps_word_characters():
    assert safe_name("a b/c:(d)-1.5") == "a_b_c_d_-1.5"
