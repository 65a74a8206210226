"""The memory limit: files that would expand beyond it are refused before decompression."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import struct
import tracemalloc
import zlib
from collections import namedtuple

import numpy as np
import pytest
from data_helpers import (
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
)
from PIL import Image

from keras_ae import data
from keras_ae.data import storage
from keras_ae.data.contents import refuse_beyond_limit
from keras_ae.files import cache_dir


def png_claiming(width, height):
    """A PNG whose header, with a valid checksum, claims any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def bomb_png(folder):
    (folder / "0.png").write_bytes(png_claiming(8_000, 8_000))
    return folder


def bomb_gif(folder):
    """A GIF with a small screen and a much larger frame."""
    start = b"GIF89a" + struct.pack("<HH", 8, 8) + bytes(3)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 4_000, 4_000, 0) + b"\x08\x01\x00\x00"
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
    """40 MB of zeros compressed to 30 kB."""
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


@pytest.mark.parametrize("bomb", [bomb_png, bomb_gif, bomb_animation, bomb_npz, bomb_idx])
def test_set_beyond_the_limit_is_refused_before_it_expands(bomb, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_AE_MAX_GB", "0.03")
    (tmp_path / "set").mkdir()
    path = bomb(tmp_path / "set")
    tracemalloc.start()
    message_of(lambda: data.load(path), "is refused", "0.03 GB", "KERAS_AE_MAX_GB")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_limit_is_read_from_the_environment(tmp_path, monkeypatch):
    path = bomb_npz(tmp_path)
    assert data.load(path).image_shape == (32, 32)
    monkeypatch.setenv("KERAS_AE_MAX_GB", "0.04")
    message_of(lambda: data.load(path), "KERAS_AE_MAX_GB")
    monkeypatch.setenv("KERAS_AE_MAX_GB", "0.05")
    assert data.load(path).image_shape == (32, 32)
    monkeypatch.setenv("KERAS_AE_MAX_GB", "plenty")
    message_of(lambda: data.load(path), "KERAS_AE_MAX_GB", "plenty")


def test_header_that_claims_more_than_the_file_has_is_refused(tmp_path):
    path = bomb_npy(tmp_path)
    message_of(lambda: data.load(path), "7,840,000,000")


def test_default_limit_is_8_gb():
    refuse_beyond_limit(7_900_000_000, "a file")
    message_of(lambda: refuse_beyond_limit(8_100_000_000, "a file"), "8.1 GB", "8 GB")


@pytest.mark.parametrize("side", [10_000, 100_000])
def test_pillow_limit_refuses_huge_images_before_decoding(side, tmp_path):
    """Pillow warns beyond MAX_IMAGE_PIXELS and refuses beyond twice that; both are an error."""
    assert side**2 > Image.MAX_IMAGE_PIXELS
    (tmp_path / "0.png").write_bytes(png_claiming(side, side))
    tracemalloc.start()
    message_of(lambda: data.load(tmp_path), "0.png", "is refused", "MAX_IMAGE_PIXELS")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_images_that_fit_neither_into_memory_nor_onto_the_disk_are_refused(tmp_path, monkeypatch):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png_claiming(1_000, 1_000))
    free = namedtuple("free", ["free"])(3_900_000)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda folder: free)
    load = functools.partial(data.load, tmp_path, storage=data.Storage(30_000_000))
    message_of(load, "4.0 MB", "3.9 MB", "KERAS_AE_CACHE")
    assert not list(cache_dir().rglob("*.npy"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("keys", [("x_train", "x_test"), ("images",)])
def test_npz_of_n_bytes_takes_less_than_3_n(save, keys, tmp_path):
    images = random_images(30_000 // len(keys), 32, 32)
    images[:, ::2] = 0
    save(tmp_path / "a.npz", **dict.fromkeys(keys, images))
    num_bytes = images.nbytes * len(keys)
    del images
    tracemalloc.start()
    loaded = data.load(tmp_path / "a.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"peak: {peak / num_bytes:.2f} N")
    assert loaded.image_shape == (32, 32)
    assert peak < 3 * num_bytes


@pytest.mark.parametrize("chunk", [b"IHDR", b"IDAT", b"IEND"])
def test_png_chunk_that_claims_gigabytes_takes_no_memory(chunk, tmp_path):
    """Python's file objects allocate the size passed to `read`, even beyond the end of the file."""
    for number in range(2):
        content = io.BytesIO()
        Image.fromarray(random_images(1, 8, 6)[0]).save(content, "png")
        png = content.getvalue()
        place = png.index(chunk) - 4
        png = png[:place] + struct.pack(">I", 2**32 - 16) + png[place + 4 :]
        (tmp_path / f"{number}.png").write_bytes(png)
    tracemalloc.start()
    with contextlib.suppress(data.DataError):
        data.load(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
