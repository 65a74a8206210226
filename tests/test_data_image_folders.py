"""Folders of image files against the pixels they were written from."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from data_helpers import (
    assert_holds,
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
    write_image,
)
from PIL import Image

from keras_ae import data
from keras_ae.data.image_folders import image_header


def test_subfolders_are_classes(tmp_path):
    images = random_images(20, 6, 8)
    for number, image in enumerate(images):
        write_image(tmp_path / ("dog" if number < 5 else "ant") / f"{number}.PNG", image)
    (tmp_path / "dog" / ".hidden.png").write_bytes(b"no image")
    (tmp_path / "dog" / "notes.txt").write_bytes(b"no image")
    (tmp_path / ".git").mkdir()
    loaded = data.load(tmp_path)
    assert loaded.class_names == ("ant", "dog")
    assert_holds(loaded, images, [1] * 5 + [0] * 15)
    assert loaded.name == tmp_path.name
    assert data.load(tmp_path).fingerprint == loaded.fingerprint


def test_flat_folder_of_png_jpeg_and_bmp(tmp_path):
    colors = np.full((3, 6, 8, 3), [[[[10]]], [[[90]]], [[[200]]]], np.uint8)
    write_image(tmp_path / "a.png", colors[0])
    write_image(tmp_path / "b.jpg", colors[1], quality=100)
    rows = colors[2].tobytes()
    header = struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, 8, 6, 1, 24, 0, len(rows), 0, 0, 0, 0)
    (tmp_path / "c.bmp").write_bytes(header + rows)
    loaded = data.load(tmp_path)
    assert loaded.train_labels is None and loaded.image_shape == (6, 8, 3)
    assert_holds(loaded, colors)


def test_mixed_gray_and_color_becomes_color_without_alpha(tmp_path):
    gray, color = random_images(3, 6, 8), random_images(3, 6, 8, 4, seed=1)
    for number in range(3):
        write_image(tmp_path / f"a{number}.png", gray[number])
        write_image(tmp_path / f"b{number}.png", color[number])
    expected = np.concatenate([np.stack([gray] * 3, axis=-1), color[..., :3]])
    assert_holds(data.load(tmp_path), expected)


def test_gray_with_alpha_becomes_gray(tmp_path):
    images = random_images(4, 6, 8, 2)
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.png", image)
    assert_holds(data.load(tmp_path), images[..., 0])


def test_invalid_image_folders_are_refused(tmp_path):
    message_of(lambda: data.load(tmp_path), tmp_path, "holds no images")
    write_image(tmp_path / "a.png", random_images(1, 6, 8)[0])
    write_image(tmp_path / "b.png", random_images(1, 6, 8)[0])
    write_image(tmp_path / "c.png", random_images(1, 8, 6)[0])
    message_of(lambda: data.load(tmp_path), "6 x 8", "c.png has 8 x 6")
    (tmp_path / "c.png").write_bytes((tmp_path / "b.png").read_bytes()[:50])
    message_of(lambda: data.load(tmp_path), "c.png", "not a readable image")
    (tmp_path / "c.png").unlink()
    write_image(tmp_path / "dog" / "a.png", random_images(1, 6, 8)[0])
    message_of(lambda: data.load(tmp_path), "both in itself and in subfolders")
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").unlink()
    (tmp_path / "ant").mkdir()
    message_of(lambda: data.load(tmp_path), "'ant'", "holds no images")


def with_palette(indices, palette):
    picture = Image.new("P", indices.shape[::-1])
    picture.putpalette(palette.tobytes())
    picture.putdata(indices.ravel().tolist())
    return picture


def test_palette_images_are_read_as_color(tmp_path):
    palette = random_images(256, 3, seed=2)
    indices = random_images(3, 6, 8)
    for image, name in zip(indices, ("a.png", "b.bmp", "c.gif"), strict=True):
        with_palette(image, palette).save(tmp_path / name)
    assert_holds(data.load(tmp_path), palette[indices])


def test_gif_with_a_gray_palette_is_color(tmp_path):
    images = random_images(3, 6, 8)
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.gif", image)
    assert_holds(data.load(tmp_path), np.stack([images] * 3, axis=-1))


def test_palette_transparency_is_dropped(tmp_path):
    palette, indices = random_images(4, 3, seed=2), random_images(3, 6, 8) % 4
    for number, image in enumerate(indices):
        picture = with_palette(image, palette)
        picture.save(tmp_path / f"{number}.png", transparency=bytes([0, 100, 200, 255]))
    assert_holds(data.load(tmp_path), palette[indices])


def test_16_bit_png_keeps_the_upper_byte(tmp_path):
    images = np.random.default_rng(0).integers(0, 2**16, (3, 6, 8), dtype=np.uint16)
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.png", image)
    assert_holds(data.load(tmp_path), (images >> 8).astype(np.uint8))


def test_1_bit_images_are_0_and_255(tmp_path):
    images = random_images(3, 6, 8) > 127
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.{('png', 'bmp', 'png')[number]}", image)
    assert_holds(data.load(tmp_path), images.astype(np.uint8) * 255)


def test_cmyk_jpeg_is_converted_to_rgb(tmp_path):
    for number, ink in enumerate([(0, 255, 255, 0), (255, 0, 255, 0), (0, 0, 0, 255)]):
        Image.new("CMYK", (8, 6), ink).save(tmp_path / f"{number}.jpg", quality=100)
    loaded = data.load(tmp_path)
    images = np.concatenate([loaded.train_images, loaded.test_images]).astype(int)
    images = np.stack(sorted(images, key=lambda image: tuple(image[0, 0] // 100)))
    expected = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0]])[:, None, None]
    np.testing.assert_allclose(images, np.broadcast_to(expected, (3, 6, 8, 3)), atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_exif_orientation_is_applied(orientation, suffix, tmp_path):
    shown = np.zeros((16, 24), np.uint8)
    shown[:8] = 100
    shown[:, :8] += 120
    # A camera stores the inverse of the transformation that a viewer applies.
    stored = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.T,
        6: np.rot90(shown),
        7: shown[::-1, ::-1].T,
        8: np.rot90(shown, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number in range(2):
        path = tmp_path / f"{number}.{suffix}"
        write_image(path, np.ascontiguousarray(stored), exif=exif, quality=100)
    write_image(tmp_path / "upright.png", shown)
    loaded = data.load(tmp_path)
    for image in np.concatenate([loaded.train_images, loaded.test_images]):
        np.testing.assert_allclose(image.astype(int), shown, atol=2)


@pytest.mark.parametrize(
    "exif", [b"", b"damaged", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff"]
)
def test_damaged_exif_is_ignored(exif, tmp_path):
    images = np.full((3, 6, 8), [[[0]], [[100]], [[200]]], np.uint8)
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.jpg", image, exif=b"Exif\0\0" + exif, quality=100)
    assert_holds(data.load(tmp_path), images)


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    for number in range(2):
        path = tmp_path / f"{number}.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert image_header(path) == (6, 8, 3, 2)
    expected = np.broadcast_to(np.array([255, 0, 0], np.uint8), (2, 6, 8, 3))
    assert_holds(data.load(tmp_path), expected)


def test_files_of_another_format_are_refused(tmp_path):
    write_image(tmp_path / "a.png", random_images(1, 6, 8)[0])
    write_image(tmp_path / "b.png", random_images(1, 6, 8)[0], format="TIFF")
    message_of(lambda: data.load(tmp_path), "b.png")


def test_folder_npz_and_digits_load_without_tensorflow(tmp_path):
    images = random_images(9, 6, 8)
    for number, image in enumerate(images):
        write_image(tmp_path / "folder" / f"{number}.png", image)
    np.savez(tmp_path / "a.npz", images=images)
    code = """
        import sys
        from keras_ae import data
        for dataset in ("folder", "a.npz", "digits"):
            data.split(data.load(dataset))
        print([name for name in ("tensorflow", "keras") if name in sys.modules])
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.strip() == "[]", ran.stderr
