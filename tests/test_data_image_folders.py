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
from keras_ae.data.image_files import image_header


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


def over(background, images, opacity):
    """Transparency in NumPy: opacity * image + (1 - opacity) * background."""
    share = opacity / 255
    return share * images + (1 - share) * np.asarray(background, float)


def assert_close(loaded, images):
    """As `assert_holds`, for images that differ by less than one level, in training order."""
    found = np.concatenate([loaded.train_images, loaded.test_images]).astype(float)
    assert found.shape == images.shape
    for image in images:
        assert min(np.abs(found - image).max(axis=tuple(range(1, found.ndim)))) <= 1


def test_mixed_gray_and_color_becomes_color_over_white(tmp_path):
    gray, color = random_images(3, 6, 8), random_images(3, 6, 8, 4, seed=1)
    for number in range(3):
        write_image(tmp_path / f"a{number}.png", gray[number])
        write_image(tmp_path / f"b{number}.png", color[number])
    composited = over(255, color[..., :3], color[..., 3:])
    assert_close(data.load(tmp_path), np.concatenate([np.stack([gray] * 3, axis=-1), composited]))


def test_gray_with_alpha_becomes_gray_over_white(tmp_path):
    images = random_images(4, 6, 8, 2)
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.png", image)
    assert_close(data.load(tmp_path), over(255, images[..., 0], images[..., 1]))


def test_transparent_pixels_show_the_chosen_background(tmp_path):
    color = random_images(4, 6, 8, 4, seed=1)
    for number, image in enumerate(color):
        write_image(tmp_path / f"{number}.webp", image, lossless=True, exact=True)
    expected = over((0, 0, 255), color[..., :3], color[..., 3:])
    assert_close(data.load(tmp_path, background="blue"), expected)
    assert_close(data.load(tmp_path, background="#0000ff"), expected)


def test_opaque_transparency_keeps_the_pixels(tmp_path):
    color = random_images(4, 6, 8, 4, seed=1)
    color[..., 3] = 255
    for number, image in enumerate(color):
        write_image(tmp_path / f"{number}.png", image)
    assert_holds(data.load(tmp_path), color[..., :3])


def test_invalid_image_folders_are_refused(tmp_path):
    message_of(lambda: data.load(tmp_path), tmp_path, "holds no images")
    write_image(tmp_path / "a.png", random_images(1, 6, 8)[0])
    write_image(tmp_path / "b.png", random_images(1, 6, 8)[0])
    write_image(tmp_path / "c.png", random_images(1, 8, 6)[0])
    message_of(lambda: data.load(tmp_path), "6 x 8", "c.png has 8 x 6", "image_size")
    (tmp_path / "c.png").unlink()
    write_image(tmp_path / "dog" / "a.png", random_images(1, 6, 8)[0])
    message_of(lambda: data.load(tmp_path), "both in itself and in subfolders")


def test_skipped_files_are_counted_and_named(tmp_path):
    images = random_images(24, 6, 8)
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number:02}.png", image)
    png = (tmp_path / "00.png").read_bytes()
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "05cut.png").write_bytes(png[:-40])  # a whole header, and half of the pixels
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.txt").write_text("no image")
    loaded = data.load(tmp_path)
    assert_holds(loaded, images)
    (notice,) = loaded.notices
    assert "read 24 images; skipped 3 files (2 unreadable, 1 .txt)" in notice
    assert all(name in notice for name in ("broken.png", "05cut.png", "notes.txt"))
    assert "hidden" not in notice
    message_of(lambda: data.load(tmp_path, strict=True), "3 files", "broken.png")
    for name in ("broken.png", "05cut.png", "notes.txt"):
        (tmp_path / name).unlink()
    assert data.load(tmp_path, strict=True).notices == ()


def test_folder_of_unreadable_images_is_refused(tmp_path):
    write_image(tmp_path / "a.png", random_images(1, 60, 80)[0])
    header = (tmp_path / "a.png").read_bytes()[:60]
    (tmp_path / "a.png").write_bytes(header)
    (tmp_path / "b.png").write_bytes(header)
    message_of(lambda: data.load(tmp_path), "no readable image", "a.png")
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"text")
    message_of(lambda: data.load(tmp_path), "no readable image", "a.png")


def test_class_of_unreadable_images_is_refused(tmp_path):
    for name in ("ant", "dog"):
        write_image(tmp_path / name / "a.png", random_images(1, 6, 8)[0])
    (tmp_path / "dog" / "a.png").write_bytes(b"no image")
    message_of(lambda: data.load(tmp_path), "'dog'", "a.png")


def test_folder_without_images_is_no_class_and_said(tmp_path):
    for number in range(3):
        write_image(tmp_path / "ant" / f"{number}.png", random_images(1, 6, 8)[0])
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no image")
    loaded = data.load(tmp_path)
    assert loaded.class_names == ("ant",)
    assert "1 file (1 .txt) and 2 folders without images" in loaded.notices[0]
    assert "empty" in loaded.notices[0] and "texts" in loaded.notices[0]
    message_of(lambda: data.load(tmp_path, strict=True), "2 folders without images")


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


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_transparency_is_composited(suffix, tmp_path):
    palette, indices = random_images(4, 3, seed=2), random_images(3, 6, 8) % 4
    palette[0] = 7  # the transparent color; GIF has only one
    opacity = np.array([0, 100, 200, 255] if suffix == "png" else [0, 255, 255, 255])
    for number, image in enumerate(indices):
        picture = with_palette(image, palette)
        transparency = bytes(opacity.tolist()) if suffix == "png" else 0
        picture.save(tmp_path / f"{number}.{suffix}", transparency=transparency)
    expected = over(255, palette[indices], opacity[indices][..., None])
    assert_close(data.load(tmp_path), expected)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bits_are_divided_by_257(suffix, tmp_path):
    images = np.random.default_rng(0).integers(0, 2**16, (3, 6, 8), dtype=np.uint16)
    images[0, 0, :2] = 0, 65535
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.{suffix}", image)
    loaded = data.load(tmp_path)
    assert_holds(loaded, np.rint(images / 257).astype(np.uint8))
    assert loaded.notices == ()


def test_16_bit_files_with_12_bits_of_values_give_a_notice(tmp_path):
    images = np.random.default_rng(0).integers(0, 2**12, (3, 6, 8), dtype=np.uint16)
    images[0, 0, 0] = 4095
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.png", image)
    loaded = data.load(tmp_path)
    assert_holds(loaded, np.rint(images / 257).astype(np.uint8))
    assert "12 bits" in loaded.notices[0] and "4,095 of 65,535" in loaded.notices[0]
    write_image(tmp_path / "bright.png", np.full((6, 8), 4096, np.uint16))
    assert data.load(tmp_path).notices == ()


def test_32_bit_images(tmp_path):
    floats = np.random.default_rng(0).random((3, 6, 8), dtype=np.float32)
    for number, image in enumerate(floats):
        write_image(tmp_path / "floats" / f"{number}.tiff", image)
    assert_holds(data.load(tmp_path / "floats"), np.rint(floats * 255).astype(np.uint8))
    numbers = np.random.default_rng(0).integers(0, 2**16, (3, 6, 8), dtype=np.int32)
    for number, image in enumerate(numbers):
        write_image(tmp_path / "numbers" / f"{number}.tiff", image)
    assert_holds(data.load(tmp_path / "numbers"), np.rint(numbers / 257).astype(np.uint8))
    write_image(tmp_path / "floats" / "bad.tiff", floats[0] * 300)
    assert "bad.tiff" in data.load(tmp_path / "floats").notices[0]
    write_image(tmp_path / "numbers" / "bad.tiff", numbers[0] + 2**16)
    assert "bad.tiff" in data.load(tmp_path / "numbers").notices[0]


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
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "avif"])
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
    for number in range(2):
        exif = Image.Exif()  # a new one: Pillow removes the tag where the format has its own
        exif[0x0112] = orientation
        path = tmp_path / f"{number}.{suffix}"
        options = {"webp": {"lossless": True}, "tiff": {}}.get(suffix, {"quality": 100})
        write_image(path, np.ascontiguousarray(stored), exif=exif, **options)
    write_image(tmp_path / "upright.png", shown)
    loaded = data.load(tmp_path, color="gray")  # WebP and AVIF have color only
    for image in np.concatenate([loaded.train_images, loaded.test_images]):
        np.testing.assert_allclose(image.astype(int), shown, atol=2)


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_orientation_after_the_pixels_of_a_png_is_applied(orientation, tmp_path):
    shown = random_images(3, 6, 8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number, image in enumerate(shown):
        path = tmp_path / f"{number}.png"
        write_image(path, np.ascontiguousarray(np.rot90(image, 2 if orientation == 3 else 1)))
        plain = path.read_bytes()
        write_image(tmp_path / "other.png", image, exif=exif)
        other = (tmp_path / "other.png").read_bytes()
        start = other.index(b"eXIf") - 4
        chunk = other[start : start + 12 + int.from_bytes(other[start : start + 4], "big")]
        path.write_bytes(plain[:-12] + chunk + plain[-12:])
    (tmp_path / "other.png").unlink()
    assert_holds(data.load(tmp_path), shown)


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
    loaded = data.load(tmp_path)
    assert_holds(loaded, expected)
    assert "2 files have several frames" in loaded.notices[0] and "0.gif" in loaded.notices[0]


def test_format_follows_the_content_and_not_the_suffix(tmp_path):
    images = random_images(6, 6, 8)
    write_image(tmp_path / "a.png", images[0], format="TIFF")
    write_image(tmp_path / "b.TIF", images[1], format="PNG")
    write_image(tmp_path / "c.jpg", images[2], format="WEBP", lossless=True)
    write_image(tmp_path / "d", images[3], format="PNG")
    write_image(tmp_path / "e.PNG", images[4])
    write_image(tmp_path / "f.bin", images[5], format="TIFF")
    loaded = data.load(tmp_path)
    assert loaded.notices == ()
    assert_holds(loaded, np.stack([images] * 3, axis=-1))  # WebP has color only


@pytest.mark.parametrize(
    "suffix", ["webp", "tiff", "ppm", "jp2", "tga", "pcx", "ico", "qoi", "dib"]
)
def test_every_format_of_pillow_is_read(suffix, tmp_path):
    images = random_images(4, 16, 16, 3)
    options = {"webp": {"lossless": True}, "jp2": {"irreversible": False}}.get(suffix, {})
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.{suffix}", image, **options)
    loaded = data.load(tmp_path)
    assert loaded.notices == ()
    assert_holds(loaded, images)


@pytest.mark.parametrize("kind", ["L", "RGB", "I;16"])
def test_transparent_color_without_an_alpha_channel_is_composited(kind, tmp_path):
    images = random_images(3, 6, 8, *([3] if kind == "RGB" else []))
    images[:, 2:4] = 50
    for number, image in enumerate(images):
        image = image.astype(np.uint16) * 257 if kind == "I;16" else image
        transparency = {"L": 50, "RGB": (50, 50, 50), "I;16": 50 * 257}[kind]
        write_image(tmp_path / f"{number}.png", image, transparency=transparency)
    axes = images == 50 if kind != "RGB" else (images == 50).all(-1, keepdims=True)
    assert_holds(data.load(tmp_path), np.where(axes, np.uint8(255), images))


def test_photograph_with_a_preview_is_no_animation(tmp_path):
    picture = Image.fromarray(np.full((6, 8, 3), 90, np.uint8))
    for number in range(3):
        options = {"format": "MPO", "save_all": True, "append_images": [picture]}
        picture.save(tmp_path / f"{number}.jpg", quality=100, **options)
    loaded = data.load(tmp_path)
    assert loaded.notices == ()
    assert_holds(loaded, np.full((3, 6, 8, 3), 90, np.uint8))


def test_formats_without_first_bytes_need_their_suffix(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.tga", random_images(1, 6, 8)[0])
    (tmp_path / "a.png").write_bytes((tmp_path / "0.tga").read_bytes())
    assert "1 file (1 unreadable): a.png" in data.load(tmp_path).notices[0]


def test_formats_that_run_programs_are_never_opened(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", random_images(1, 6, 8)[0])
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\nshowpage\n"
    (tmp_path / "a.eps").write_bytes(script)
    (tmp_path / "b.png").write_bytes(script)
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.4\n")
    assert "3 files (1 unreadable, 1 .eps, 1 .pdf)" in data.load(tmp_path).notices[0]


def test_images_in_deeper_folders_belong_to_the_first(tmp_path):
    images = random_images(9, 6, 8)
    for number, image in enumerate(images):
        place = ("dog/2024/may", "dog", "ant/a/b/c")[number % 3]
        write_image(tmp_path / place / f"{number}.png", image)
    write_image(tmp_path / "dog" / ".thumbs" / "a.png", images[0])
    loaded = data.load(tmp_path)
    assert loaded.class_names == ("ant", "dog")
    assert_holds(loaded, images, [1, 1, 0] * 3)


@pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
def test_train_and_test_subfolders_are_the_split(validation, tmp_path):
    images = random_images(12, 6, 8)
    parts = ["train"] * 6 + ["test"] * 3 + [validation] * 3
    for number, (image, part) in enumerate(zip(images, parts, strict=True)):
        write_image(tmp_path / part / ("ant", "dog", "cow")[number % 3] / f"{number}.png", image)
    loaded = data.load(tmp_path)
    assert loaded.class_names == ("ant", "cow", "dog")
    split = data.split(loaded, seed=1)
    order = [0, 3, 2, 5, 1, 4]  # by class and name
    np.testing.assert_array_equal(np.rint(split.train.images * 255), images[order])
    np.testing.assert_array_equal(split.train.labels, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(np.rint(split.test.images * 255), images[[6, 8, 7]])
    np.testing.assert_array_equal(np.rint(split.validation.images * 255), images[[9, 11, 10]])
    np.testing.assert_array_equal(split.validation.labels, [0, 1, 2])
    without = data.split(loaded, seed=1, held_out_class="cow")
    assert set(without.train.labels) == set(without.validation.labels) == {0, 2}
    assert set(without.test.labels) == {0, 1, 2}


def test_parts_without_classes_and_without_test_images(tmp_path):
    images = random_images(20, 6, 8)
    for number, image in enumerate(images):
        write_image(tmp_path / ("train" if number < 14 else "val") / f"{number:02}.png", image)
    loaded = data.load(tmp_path)
    assert loaded.train_labels is None and loaded.num_classes == 0
    assert (len(loaded.train_images), len(loaded.test_images)) == (12, 2)
    np.testing.assert_array_equal(loaded.validation_images, images[14:])
    changed = images[19] // 2
    write_image(tmp_path / "val" / "19.png", changed)
    assert data.load(tmp_path).fingerprint != loaded.fingerprint


def test_unclear_parts_are_refused(tmp_path):
    for place in ("train/ant", "train/dog", "test"):
        write_image(tmp_path / place / "a.png", random_images(1, 6, 8)[0])
    message_of(lambda: data.load(tmp_path), "test", "subfolders")
    (tmp_path / "test" / "a.png").rename(tmp_path / "a.png")
    write_image(tmp_path / "test" / "ant" / "a.png", random_images(1, 6, 8)[0])
    message_of(lambda: data.load(tmp_path), "a.png", "outside")
    (tmp_path / "a.png").unlink()
    write_image(tmp_path / "more" / "b.png", random_images(1, 6, 8)[0])
    message_of(lambda: data.load(tmp_path), "b.png", "outside")


def test_train_may_be_a_class_of_vehicles(tmp_path):
    for name in ("bus", "car", "train"):
        for number in range(3):
            write_image(tmp_path / name / f"{number}.png", random_images(1, 6, 8)[0])
    assert data.load(tmp_path).class_names == ("bus", "car", "train")


def test_links_and_names_beyond_ascii(tmp_path):
    images = random_images(6, 6, 8)
    for number, image in enumerate(images):
        write_image(tmp_path / "store" / "Äpfel 🍎" / f"Bild ü {number}.png", image)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "Äpfel").symlink_to(tmp_path / "store" / "Äpfel 🍎")
    (folder / "файлы").mkdir()
    write_image(tmp_path / "one.png", images[0] + 1)
    (folder / "файлы" / "один.png").symlink_to(tmp_path / "one.png")
    (folder / "файлы" / "два.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "файлы" / "три").symlink_to(folder)
    loaded = data.load(folder)
    assert loaded.class_names == ("Äpfel", "файлы")
    assert_holds(loaded, np.concatenate([images, images[:1] + 1]), [0] * 6 + [1])
    assert "2 files (1 unreadable, 1 link to a folder above)" in loaded.notices[0]
    assert "два.png" in loaded.notices[0]


def test_name_that_is_not_utf8_can_be_printed(tmp_path):
    folder = os.fsencode(tmp_path) + b"/Gr\xfcn"
    os.mkdir(folder)
    for number in range(3):
        write_image(Path(os.fsdecode(folder)) / f"{number}.png", random_images(1, 6, 8)[0])
    (Path(os.fsdecode(folder)) / os.fsdecode(b"\xe9.txt")).write_text("")
    loaded = data.load(tmp_path)
    assert loaded.class_names == ("Gr\ufffdn",)
    loaded.notices[0].encode("utf-8")


def test_arrays_and_images_in_one_folder_are_refused(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", random_images(1, 31, 27, 3)[0])
    np.save(tmp_path / "features.npy", np.zeros((24, 64)))
    message_of(lambda: data.load(tmp_path), "features.npy", "0.png")
    (tmp_path / "nested" / "cat").mkdir(parents=True)
    np.save(tmp_path / "nested" / "cat" / "codes.npy", np.zeros((24, 64)))
    write_image(tmp_path / "nested" / "cat" / "b.png", random_images(1, 6, 8)[0])
    message_of(lambda: data.load(tmp_path / "nested"), "codes.npy", "b.png")


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
