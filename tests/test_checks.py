"""What may enter a model, and the one line that says why something may not."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ae.checks import check_images

GREY = np.random.default_rng(0).uniform(size=(3, 8, 8))


def with_pixel(value, dtype="float32"):
    images = GREY.astype(dtype)
    images[1, 2, 3] = value
    return images


BAD = {
    "text": (np.array([["a", "b"]]), None, "<U1"),
    "objects": (np.array([np.zeros((8, 8)), None], dtype=object), None, "object"),
    "complex": (GREY.astype("complex64"), None, "complex64"),
    "scalar": (np.float32(0.5), None, "()"),
    "scalar for a shape": (np.float32(0.5), (8, 8), "()"),
    "one image": (GREY[0], None, "(8, 8)"),
    "one image for a shape": (GREY[0], (8, 8), "(8, 8)"),
    "five axes": (GREY[None, ..., None], None, "(1, 3, 8, 8, 1)"),
    "another size": (GREY, (28, 28), "(3, 8, 8)"),
    "flat": (GREY.reshape(3, 64), (8, 8), "(3, 64)"),
    "a channel too many": (GREY[..., None], (8, 8), "(3, 8, 8, 1)"),
    "a channel missing": (GREY, (8, 8, 1), "(3, 8, 8)"),
    "no images": (GREY[:0], None, "(0, 8, 8)"),
    "no images of a shape": (GREY[:0], (8, 8), "(0, 8, 8)"),
    "no pixels": (GREY[:, :0], None, "(3, 0, 8)"),
    "not a number": (with_pixel(np.nan), None, "NaN"),
    "infinite": (with_pixel(np.inf), None, "infinite"),
    "minus infinite": (with_pixel(-np.inf), None, "infinite"),
    "infinite in half precision": (with_pixel(np.inf, "float16"), None, "infinite"),
    "bytes": (np.array([[[0, 255], [7, 8]]], "uint8"), None, "from 0 to 255"),
    "floats up to 255": (255.0 * np.round(GREY), None, "from 0 to 255"),
    "minus one to one": (2.0 * np.round(GREY) - 1.0, None, "from -1 to 1"),
    "slightly above": (with_pixel(1.125), None, "to 1.125"),
    "slightly below": (with_pixel(-0.125), None, "from -0.125"),
}


@pytest.mark.parametrize("images, image_shape, received", BAD.values(), ids=BAD.keys())
def test_a_bad_input_is_refused_in_one_line_that_says_what_was_received(
    images, image_shape, received
):
    with pytest.raises(ValueError) as error:
        check_images(images, image_shape, name="test images")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("test images must ")
    assert received in message.partition("received")[2]


def test_a_list_of_images_of_different_sizes_is_refused_with_the_advice():
    with pytest.raises(ValueError) as error:
        check_images([np.zeros((8, 8)), np.zeros((9, 9))], name="test images")
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("test images must ")
    assert "brought to one size" in message


def test_a_refused_shape_comes_with_the_wanted_one():
    with pytest.raises(ValueError, match=r"shape \(N, 28, 28, 3\); received \(3, 8, 8\)"):
        check_images(GREY, (28, 28, 3))


def test_only_bytes_are_advised_to_be_divided_by_255():
    with pytest.raises(ValueError, match="Divide them by 255"):
        check_images(255.0 * GREY)
    for images in (with_pixel(-1.0), 1000.0 * GREY):
        with pytest.raises(ValueError) as error:
            check_images(images)
        assert "255" not in str(error.value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("image_shape", [None, (8, 8), [8, 8]])
def test_good_images_come_back_unchanged_as_float32(dtype, image_shape):
    images = GREY.astype(dtype)
    checked = check_images(images, image_shape)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, images.astype("float32"))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_binary_images_of_any_number_type_are_good(dtype):
    images = np.round(GREY).astype(dtype)
    checked = check_images(images)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, images)


def test_colour_and_nested_lists_are_good():
    colour = np.random.default_rng(1).uniform(size=(2, 4, 5, 3)).astype("float32")
    np.testing.assert_array_equal(check_images(colour, (4, 5, 3)), colour)
    np.testing.assert_array_equal(check_images(colour.tolist()), colour)


def test_the_ends_of_the_range_are_good_and_the_input_is_left_alone():
    images = with_pixel(0.0)
    images[0, 0, 0] = 1.0
    before = images.copy()
    transposed = images.transpose(0, 2, 1)  # not contiguous
    checked = check_images(transposed)
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, transposed)
    np.testing.assert_array_equal(images, before)
