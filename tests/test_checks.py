"""Validation of images and sizes: accepted input, and one-line errors."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ae.checks import check_filters, check_images, check_sizes

GRAY = np.random.default_rng(0).uniform(size=(3, 8, 8))


def with_pixel(value, dtype="float32"):
    images = GRAY.astype(dtype)
    images[1, 2, 3] = value
    return images


BAD = {
    "text": (np.array([["a", "b"]]), None, "<U1"),
    "objects": (np.array([np.zeros((8, 8)), None], dtype=object), None, "object"),
    "complex": (GRAY.astype("complex64"), None, "complex64"),
    "scalar": (np.float32(0.5), None, "()"),
    "scalar for a shape": (np.float32(0.5), (8, 8), "()"),
    "one image": (GRAY[0], None, "(8, 8)"),
    "one image for a shape": (GRAY[0], (8, 8), "(8, 8)"),
    "five axes": (GRAY[None, ..., None], None, "(1, 3, 8, 8, 1)"),
    "another size": (GRAY, (28, 28), "(3, 8, 8)"),
    "flat": (GRAY.reshape(3, 64), (8, 8), "(3, 64)"),
    "a channel too many": (GRAY[..., None], (8, 8), "(3, 8, 8, 1)"),
    "a channel missing": (GRAY, (8, 8, 1), "(3, 8, 8)"),
    "no images": (GRAY[:0], None, "(0, 8, 8)"),
    "no images of a shape": (GRAY[:0], (8, 8), "(0, 8, 8)"),
    "no pixels": (GRAY[:, :0], None, "(3, 0, 8)"),
    "not a number": (with_pixel(np.nan), None, "NaN"),
    "infinite": (with_pixel(np.inf), None, "infinite"),
    "minus infinite": (with_pixel(-np.inf), None, "infinite"),
    "infinite in half precision": (with_pixel(np.inf, "float16"), None, "infinite"),
    "bytes": (np.array([[[0, 255], [7, 8]]], "uint8"), None, "from 0 to 255"),
    "floats up to 255": (255.0 * np.round(GRAY), None, "from 0 to 255"),
    "minus one to one": (2.0 * np.round(GRAY) - 1.0, None, "from -1 to 1"),
    "slightly above": (with_pixel(1.125), None, "to 1.125"),
    "slightly below": (with_pixel(-0.125), None, "from -0.125"),
}


@pytest.mark.parametrize("images, image_shape, received", BAD.values(), ids=BAD.keys())
def test_bad_images_are_refused_in_one_line_with_what_was_received(images, image_shape, received):
    with pytest.raises(ValueError) as error:
        check_images(images, image_shape, name="test images")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("test images must ")
    assert received in message.partition("received")[2]


def test_images_of_different_sizes_are_refused_with_advice():
    with pytest.raises(ValueError) as error:
        check_images([np.zeros((8, 8)), np.zeros((9, 9))], name="test images")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("test images must ")
    assert "one size" in message


def test_wrong_shape_error_names_the_expected_shape():
    with pytest.raises(ValueError, match=r"shape \(N, 28, 28, 3\); received \(3, 8, 8\)"):
        check_images(GRAY, (28, 28, 3))


def test_division_by_255_is_advised_for_bytes_only():
    with pytest.raises(ValueError, match="Divide them by 255"):
        check_images(255.0 * GRAY)
    for images in (with_pixel(-1.0), 1000.0 * GRAY):
        with pytest.raises(ValueError) as error:
            check_images(images)
        assert "255" not in str(error.value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("image_shape", [None, (8, 8), [8, 8]])
def test_valid_images_are_returned_as_float32(dtype, image_shape):
    images = GRAY.astype(dtype)
    checked = check_images(images, image_shape)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, images.astype("float32"))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_binary_images_of_any_numeric_type_are_valid(dtype):
    images = np.round(GRAY).astype(dtype)
    checked = check_images(images)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, images)


def test_color_images_and_nested_lists_are_valid():
    color = np.random.default_rng(1).uniform(size=(2, 4, 5, 3)).astype("float32")
    np.testing.assert_array_equal(check_images(color, (4, 5, 3)), color)
    np.testing.assert_array_equal(check_images(color.tolist()), color)


def test_range_limits_are_valid_and_the_input_is_not_modified():
    images = with_pixel(0.0)
    images[0, 0, 0] = 1.0
    before = images.copy()
    transposed = images.transpose(0, 2, 1)  # not contiguous
    checked = check_images(transposed)
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, transposed)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("values", [16, np.int64(16), 16.0, (16,), [16], np.array([16])])
def test_single_size_means_one_layer(values):
    assert check_sizes("hidden_units", values) == (16,)
    assert check_filters(values) == (16,)


def test_sizes_are_returned_as_a_tuple_of_ints():
    assert check_sizes("hidden_units", [341.0, np.int32(113)]) == (341, 113)
    assert check_sizes("hidden_units", ()) == ()
    assert check_sizes("image_shape", (28, 28), lengths=(2, 3)) == (28, 28)


@pytest.mark.parametrize("values", [0, -3, 2.5, True, None, "16", (16, 0), [[16]], {"a": 1}])
def test_bad_sizes_are_refused_in_one_line(values):
    with pytest.raises(ValueError, match="hidden_units must be ") as error:
        check_sizes("hidden_units", values)
    assert f"received {values!r}" in str(error.value) and "\n" not in str(error.value)


def test_wrong_number_of_sizes_is_refused():
    for values in (28, (28,), (28, 28, 1, 1)):
        with pytest.raises(ValueError, match="image_shape must be 2 or 3 whole numbers"):
            check_sizes("image_shape", values, lengths=(2, 3))
    with pytest.raises(ValueError, match="filters must hold at least one number"):
        check_filters(())


def test_excess_of_rounding_is_clipped():
    images = GRAY.astype(np.float32)
    images[0, 0, :3] = np.nextafter(np.float32(1), np.float32(2)), 1 + 1e-6, -1e-6
    np.testing.assert_array_equal(check_images(images), images.clip(0, 1))
    images = (2 * images - 1).clip(-1 - 1e-6, 1 + 1e-6)
    around_zero = check_images(images, pixel_range=(-1.0, 1.0))
    assert around_zero.max() == 1 and around_zero.min() == -1
    with pytest.raises(ValueError):
        check_images(GRAY + 2e-6 + 1 - GRAY.max())


@pytest.mark.parametrize(
    ("lowest", "highest", "pixel_range", "advice"),
    [
        (0, 255, (0, 1), "Divide them by 255."),
        (0, 37.5, (0, 1), "Divide them by 255."),
        (-1, 1, (0, 1), "(images + 1) / 2"),
        (-0.5, 0.9, (0, 1), "(images + 1) / 2"),
        (-0.01, 1.02, (0, 1), "numpy.clip(images, 0, 1)"),
        (0, 1.04, (0, 1), "numpy.clip(images, 0, 1)"),
        (0, 65535, (0, 1), "65535"),
        (-3, 3, (0, 1), "Rescale"),
        (0, 1.5, (0, 1), "Rescale"),
        (0, 255, (-1, 1), "images / 127.5 - 1"),
        (0, 65535, (-1, 1), "images / 32767.5 - 1"),
        (-1.02, 1, (-1, 1), "numpy.clip(images, -1, 1)"),
    ],
)
def test_advice_fits_the_values_received(lowest, highest, pixel_range, advice):
    images = np.array([lowest, highest] * 8, np.float32).reshape(1, 4, 4)
    with pytest.raises(ValueError) as error:
        check_images(images, pixel_range=pixel_range)
    assert advice in str(error.value)
    assert ("Divide them by 255." in str(error.value)) == (advice == "Divide them by 255.")
