"""IDX files against files written byte by byte."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from data_helpers import (
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
)

from keras_ae import data


def write_idx(folder, end="", mark="-"):
    """Write the four files byte by byte; return their content."""
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
def test_idx_files_are_read(end, mark, tmp_path):
    images, labels, test_images, test_labels = write_idx(tmp_path, end, mark)
    loaded = data.load(tmp_path)
    np.testing.assert_array_equal(loaded.train_images, images)
    np.testing.assert_array_equal(loaded.test_images, test_images)
    np.testing.assert_array_equal(loaded.train_labels, labels - 1)
    np.testing.assert_array_equal(loaded.test_labels, test_labels - 1)
    assert loaded.class_names == ("1", "2", "3")


def test_damaged_idx_files_are_refused(tmp_path):
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
