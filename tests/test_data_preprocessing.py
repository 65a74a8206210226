"""Image size, colors and background, against NumPy and Pillow's own functions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_helpers import (
    assert_holds,
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
    write_image,
)
from PIL import Image, ImageOps

from keras_ae import data
from keras_ae.data import Preprocessing, image_files, read_image

LANCZOS = Image.Resampling.LANCZOS


def all_images(loaded):
    return np.concatenate([loaded.train_images, loaded.test_images])


def only_image(tmp_path, image, **options):
    """The pixels of a folder with two copies of one image."""
    for number in range(2):
        write_image(tmp_path / f"{number}.png", image)
    first, second = all_images(data.load(tmp_path, **options))
    np.testing.assert_array_equal(first, second)
    return first


# ---- settings ----


def test_settings_survive_json():
    settings = Preprocessing((48, 64), "pad", "gray", "#00ff7f")
    assert Preprocessing.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert Preprocessing.from_dict(None) == Preprocessing.from_dict({}) == Preprocessing()
    assert Preprocessing(64) == Preprocessing((64, 64)) == Preprocessing([64, 64])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image_size": 0}, ["image_size", "received 0"]),
        ({"image_size": (4, 5, 6)}, ["image_size", "(4, 5, 6)"]),
        ({"image_size": "64"}, ["image_size", "'64'"]),
        ({"image_size": 2**20}, ["image_size", "1048576"]),
        ({"resize": "fit"}, ["resize", "crop, pad, stretch", "'fit'"]),
        ({"color": "sepia"}, ["color", "auto, gray, rgb", "'sepia'"]),
        ({"background": "whiteish"}, ["background", "'whiteish'"]),
        ({"background": None}, ["background", "None"]),
    ],
)
def test_unusable_settings_are_refused(arguments, words, tmp_path):
    message_of(lambda: Preprocessing(**arguments), *words)
    message_of(lambda: data.load("digits", **arguments), *words)


def test_unknown_settings_are_refused():
    message_of(lambda: Preprocessing.from_dict({"size": 3}), "'size'", "image_size")
    message_of(lambda: Preprocessing.from_dict([64]), "[64]")


# ---- resizing ----


@pytest.mark.parametrize("shape", [(40, 60), (60, 40, 3), (9, 13, 3), (16, 12)])
def test_resized_images_are_those_of_pillow(shape, tmp_path):
    image = random_images(1, *shape)[0]
    picture = Image.fromarray(image)
    expected = {
        "crop": ImageOps.fit(picture, (12, 16), LANCZOS),
        "pad": ImageOps.pad(picture, (12, 16), LANCZOS, color="white"),
        "stretch": picture.resize((12, 16), LANCZOS),
    }
    for resize, wanted in expected.items():
        found = only_image(tmp_path, image, image_size=(16, 12), resize=resize)
        np.testing.assert_array_equal(found, np.asarray(wanted), err_msg=resize)


def test_crop_keeps_the_center():
    stripes = np.repeat(np.array([10, 100, 200], np.uint8), 30)[None].repeat(30, axis=0)
    cropped = Preprocessing(30).of_arrays(stripes[None])
    np.testing.assert_array_equal(cropped[0], np.full((30, 30), 100))


def test_pad_fills_up_with_the_background(tmp_path):
    image = np.full((10, 40, 3), 50, np.uint8)
    found = only_image(tmp_path, image, image_size=20, resize="pad", background="#ff0000")
    expected = np.zeros((20, 20, 3), np.uint8)
    expected[...] = 255, 0, 0
    expected[7:12] = 50  # 5 rows
    np.testing.assert_array_equal(found, expected)


def test_smaller_images_are_averages_and_not_samples():
    """A fine checkerboard becomes gray; every second pixel alone would be black or white."""
    board = np.uint8(255) * (np.indices((64, 64)).sum(0) % 2).astype(np.uint8)
    small = Preprocessing(8).of_arrays(board[None])[0]
    np.testing.assert_allclose(small, 127.5, atol=8)


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(1, 500), (500, 1, 3), (1, 1)])
def test_extreme_sizes_are_resized(shape, resize):
    images = np.full((1, *shape), 9, np.uint8)
    assert Preprocessing((6, 8), resize).of_arrays(images).shape == (1, 6, 8, *shape[2:])


def test_images_of_several_sizes_need_an_image_size(tmp_path):
    for number in range(6):
        write_image(tmp_path / f"{number}.png", random_images(1, 20 + number, 30)[0])
    with pytest.raises(data.MixedSizes) as raised:
        data.load(tmp_path)
    assert "20 x 30" in str(raised.value) and "1.png has 21 x 30" in str(raised.value)
    loaded = data.load(tmp_path, image_size=raised.value.image_size)
    assert loaded.image_shape == (16, 16)
    assert data.load(tmp_path, image_size=(8, 12)).image_shape == (8, 12)


def test_right_size_keeps_pixels_and_fingerprint(tmp_path):
    for number, image in enumerate(random_images(6, 8, 6, 3)):
        write_image(tmp_path / f"{number}.png", image)
    same = data.load(tmp_path, image_size=(8, 6), color="rgb", background="black")
    assert same.fingerprint == data.load(tmp_path).fingerprint


# ---- colors ----


def test_color_is_chosen(tmp_path):
    color = random_images(4, 6, 8, 3)
    for number, image in enumerate(color):
        write_image(tmp_path / f"{number}.png", image)
    gray = all_images(data.load(tmp_path, color="gray")).astype(float)
    assert gray.shape == (4, 6, 8)
    luma = color @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(np.sort(gray.sum((1, 2))), np.sort(luma.sum((1, 2))), atol=48)
    for number, image in enumerate(color):
        write_image(tmp_path / f"{number}.png", image[..., 0])
    assert data.load(tmp_path).image_shape == (6, 8)
    loaded = data.load(tmp_path, color="rgb")
    assert_holds(loaded, np.stack([color[..., 0]] * 3, axis=-1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "F"])
def test_white_and_black_stay_so_in_every_mode(mode, tmp_path):
    picture = Image.fromarray(np.repeat(np.array([[0], [255]], np.uint8), 4, axis=1))
    for number in range(2):
        if mode == "I;16":
            image = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
        elif mode == "F":
            image = Image.fromarray(np.asarray(picture).astype(np.float32) / 255)
        else:
            image = picture.convert("RGB").convert(mode)
        image.save(tmp_path / f"{number}.tiff")
    np.testing.assert_array_equal(
        all_images(data.load(tmp_path, color="gray"))[0], np.asarray(picture)
    )


# ---- arrays ----


def test_arrays_are_resized(tmp_path):
    images = random_images(14, 20, 30, 3)
    np.savez(tmp_path / "a.npz", images=images)
    expected = [np.asarray(ImageOps.fit(Image.fromarray(each), (8, 8), LANCZOS)) for each in images]
    assert_holds(data.load(tmp_path / "a.npz", image_size=8), np.stack(expected))
    floats = images / np.float32(255)
    np.save(tmp_path / "b.npy", floats)
    channels = [ImageOps.fit(Image.fromarray(each), (8, 8), LANCZOS) for each in floats[..., 0]]
    loaded = all_images(data.load(tmp_path / "b.npy", image_size=8))
    assert loaded.dtype == np.float32
    expected = np.stack([np.asarray(each).clip(0, 1) for each in channels])
    np.testing.assert_array_equal(
        np.sort(loaded[..., 0].sum((1, 2))), np.sort(expected.sum((1, 2)))
    )


@pytest.mark.parametrize("convert", [np.asarray, lambda images: images / np.float32(255)])
def test_color_arrays_become_gray(convert):
    images = random_images(9, 6, 8, 3)
    gray = Preprocessing(color="gray").of_arrays(convert(images))
    expected = convert(images) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(gray, expected, atol=0.501 if gray.dtype == np.uint8 else 1e-6)


def test_float_padding_is_the_background():
    padded = Preprocessing((4, 8), "pad", background="#ff8000").of_arrays(
        np.zeros((1, 4, 4, 3), np.float32)
    )
    np.testing.assert_allclose(padded[0, 0, 0], np.array([255, 128, 0]) / 255, atol=1e-6)
    np.testing.assert_array_equal(padded[0, :, 2:6], 0)


def test_named_data_sets_are_resized():
    assert data.load("digits", image_size=16, color="rgb").image_shape == (16, 16, 3)


@pytest.mark.parametrize("convert", [np.asarray, lambda images: images / np.float32(255)])
def test_arrays_with_transparency_are_composited_and_said(convert, tmp_path):
    images = random_images(9, 6, 8, 4)
    np.save(tmp_path / "a.npy", convert(images))
    loaded = data.load(tmp_path / "a.npy", background="#204060")
    assert loaded.image_shape == (6, 8, 3)
    assert "transparency" in loaded.notices[0]
    share = images[..., 3:] / 255
    expected = share * images[..., :3] + (1 - share) * np.array([0x20, 0x40, 0x60])
    found = all_images(loaded) * (1 if loaded.train_images.dtype == np.uint8 else 255.0)
    np.testing.assert_allclose(
        np.sort(found.sum((1, 2, 3))), np.sort(expected.sum((1, 2, 3))), atol=72
    )


def test_limit_holds_for_the_resized_images(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", random_images(9, 4, 4))
    monkeypatch.setenv("KERAS_AE_MAX_GB", "0.001")
    message_of(lambda: data.load(tmp_path / "a.npy", image_size=1000), "is refused")


# ---- one file ----


def test_single_images_are_read_as_those_of_a_data_set(tmp_path):
    for number in range(5):
        picture = random_images(1, 20 + number, 30, 4, seed=number)[0]
        write_image(tmp_path / ("a" if number else "b/c") / f"{number}.png", picture)
    settings = Preprocessing(12, "pad", background="navy")
    loaded = data.load(tmp_path, **settings.to_dict())
    files = image_files(tmp_path)
    assert [path.name for path in files] == ["1.png", "2.png", "3.png", "4.png", "0.png"]
    assert_holds(
        loaded,
        np.stack([read_image(path, settings, loaded.image_shape) for path in files]),
        [0] * 4 + [1],
    )
    assert read_image(files[0], settings, (12, 12)).shape == (12, 12)
    assert read_image(files[0], settings, (12, 12, 1)).shape == (12, 12, 1)
    assert image_files(files[0]) == [files[0]]


def test_unusable_single_images_are_refused(tmp_path):
    message_of(lambda: image_files(tmp_path), "no image files")
    message_of(lambda: image_files(tmp_path / "nowhere"), "nowhere", "does not exist")
    write_image(tmp_path / "a.png", random_images(1, 6, 8)[0])
    (tmp_path / "b.png").write_bytes(b"no image")
    settings = Preprocessing()
    assert read_image(tmp_path / "a.png", settings, (6, 8)).shape == (6, 8)
    message_of(lambda: read_image(tmp_path / "a.png", settings, (8, 8)), "6 x 8", "8 x 8")
    message_of(lambda: read_image(tmp_path / "a.png", Preprocessing(4), (8, 8)), "(4, 4)")
    message_of(lambda: read_image(tmp_path / "a.png", settings, (6, 8, 2)), "(6, 8, 2)")
    message_of(lambda: read_image(tmp_path / "c.png", settings, (6, 8)), "c.png")
    with pytest.raises(data.UnreadableImage, match=r"b\.png"):
        read_image(tmp_path / "b.png", settings, (6, 8))
