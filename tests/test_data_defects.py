"""Sets of defects: normal images alone in training, masks of the test images."""

from __future__ import annotations

import functools
import shutil

import numpy as np
import pytest
from data_helpers import (
    image_set,
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
    write_image,
)
from small_variants import small

from keras_ae import StoredImages, data
from keras_ae.prediction.inputs import open_images
from keras_ae.prediction.trained_model import KerasModel


def mask_of(number, height=12, width=16):
    """A mask with one rectangle."""
    mask = np.zeros((height, width), np.uint8)
    mask[number : number + 4, 2:9] = 255
    return mask


@pytest.fixture
def folder(tmp_path):
    """The layout of MVTec AD: 9 good images for training, 3 and two defects for the test."""
    root = tmp_path / "set"
    for part, name, number in (("train", "good", 9), ("test", "good", 3), ("test", "hole", 2)):
        for place in range(number):
            image = random_images(1, 12, 16, 3, seed=hash((part, name, place)) % 2**31)[0]
            write_image(root / part / name / f"{place:03d}.png", image)
            if name == "hole":
                write_image(root / "ground_truth" / name / f"{place:03d}_mask.png", mask_of(place))
    write_image(root / "test" / "scratch" / "000.png", random_images(1, 12, 16, 3, seed=5)[0])
    write_image(root / "ground_truth" / "scratch" / "000_mask.png", mask_of(6))
    return root


def test_layout_of_defects_is_read_with_masks(folder):
    loaded = data.load(folder)
    assert loaded.class_names == ("good", "hole", "scratch")
    assert loaded.normal_class == "good"
    assert set(loaded.train_labels) == {0}
    assert loaded.test_labels.tolist() == [0, 0, 0, 1, 1, 2]
    expected = np.zeros((6, 12, 16), bool)
    expected[3:] = [mask_of(number) > 0 for number in (0, 1, 6)]
    np.testing.assert_array_equal(loaded.test_masks, expected)
    np.testing.assert_array_equal(data.split(loaded).test_masks, expected)


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_masks_are_cut_and_resized_as_the_images(resize, folder):
    for path in (folder / "test" / "hole").iterdir():  # the image is the mask itself
        mask = mask_of(int(path.stem))
        write_image(path, np.repeat(mask[..., None], 3, axis=-1))
    loaded = data.load(folder, image_size=(8, 6), resize=resize, background="black")
    images = loaded.test_images[3:5].mean(axis=-1)
    np.testing.assert_array_equal(loaded.test_masks[3:5], images >= 128)
    assert 0 < loaded.test_masks[3:5].mean() < 0.6


def test_masks_beyond_the_memory_limit_are_the_same(folder):
    for _ in range(2):  # decoded, then from the cache
        mapped = data.load(folder, storage=data.Storage(100))
        assert isinstance(mapped.train_images, StoredImages)
        in_memory = data.load(folder)
        np.testing.assert_array_equal(mapped.test_masks, in_memory.test_masks)
        assert mapped.fingerprint == in_memory.fingerprint
    write_image(folder / "ground_truth" / "hole" / "000_mask.png", mask_of(3))
    changed = data.load(folder, storage=data.Storage(100))
    assert changed.fingerprint != mapped.fingerprint


def test_set_of_defects_without_masks(folder):
    shutil.rmtree(folder / "ground_truth")
    loaded = data.load(folder)
    assert loaded.test_masks is None
    assert loaded.normal_class == "good"


def without_mask(folder):
    (folder / "ground_truth" / "hole" / "001_mask.png").unlink()
    return "001.png has no mask", "hole/001_mask.png"


def without_image(folder):
    (folder / "test" / "hole" / "001.png").unlink()
    return "hole/001_mask.png is a mask without its image", "test"


def of_another_size(folder):
    write_image(folder / "ground_truth" / "hole" / "001_mask.png", mask_of(0, 10, 16))
    return "001_mask.png must have the 12 x 16 pixels", "it has 10 x 16"


def damaged(folder):
    (folder / "ground_truth" / "hole" / "001_mask.png").write_bytes(b"no image")
    return ("001_mask.png is not an image",)


@pytest.mark.parametrize("change", [without_mask, without_image, of_another_size, damaged])
def test_masks_that_do_not_fit_are_refused(change, folder):
    message_of(functools.partial(data.load, folder), *change(folder))


def test_sets_with_several_classes_in_training_have_no_normal_class():
    assert image_set().normal_class is None
    assert image_set(train_labels=None, test_labels=None, class_names=()).normal_class is None
    ones = image_set(num_classes=1)
    assert ones.normal_class is None  # nothing else in the test images


def test_held_out_images_on_disk_move_to_the_test_images(tmp_path):
    for name in ("a", "b"):
        for place in range(12):
            image = random_images(1, 5, 5, seed=place + 50 * (name == "b"))[0]
            write_image(tmp_path / "set" / name / f"{place}.png", image)
    parts = []
    for limit in (None, 100):
        loaded = data.load(tmp_path / "set", storage=data.Storage(limit))
        parts.append(data.split(loaded, held_out_class="b").test)
    assert (parts[0].labels == 1).sum() == 12
    np.testing.assert_array_equal(parts[0].images, np.asarray(parts[1].images))
    np.testing.assert_array_equal(parts[0].labels, parts[1].labels)
    assert isinstance(parts[1].images, StoredImages)


def test_masks_in_deeper_folders_belong_to_the_images_there(folder):
    for root in ("test", "ground_truth"):
        (folder / root / "hole" / "a").mkdir()
    (folder / "test" / "hole" / "000.png").rename(folder / "test" / "hole" / "a" / "000.png")
    mask = folder / "ground_truth" / "hole" / "000_mask.png"
    message_of(functools.partial(data.load, folder), "has no mask", "hole/a/000_mask.png")
    mask.rename(folder / "ground_truth" / "hole" / "a" / "000_mask.png")
    assert data.load(folder).test_masks.any((1, 2)).sum() == 3


def test_defects_among_the_validation_images_are_refused(folder):
    for name, number in (("good", 2), ("hole", 1)):
        for place in range(number):
            image = random_images(1, 12, 16, 3, seed=place)[0]
            write_image(folder / "validation" / name / f"{place}.png", image)
    message = message_of(lambda: data.load(folder))
    assert "validation images of hole" in message and "all of good" in message
    shutil.rmtree(folder / "validation" / "hole")
    assert len(data.load(folder).validation_images) == 2


def test_a_test_without_normal_images_is_refused(folder):
    shutil.rmtree(folder / "test" / "good")
    message = message_of(lambda: data.load(folder))
    assert "no test image of good" in message and "test/good" in message


def test_masks_that_lose_their_defect_are_named(folder):
    assert not data.load(folder).notices
    for path in (folder / "ground_truth" / "hole").iterdir():
        mask = np.zeros((12, 16), np.uint8)
        mask[:, :2] = 255  # cut off where the middle 12 columns are kept
        write_image(path, mask)
    (notice,) = data.load(folder, image_size=(8, 8)).notices
    assert "2 masks of 3 mark no pixel" in notice
    assert not data.load(folder, image_size=(8, 8), resize="pad").notices


def test_masks_without_a_test_are_refused(folder):
    shutil.rmtree(folder / "test")
    (folder / "validation" / "good").mkdir(parents=True)
    write_image(folder / "validation" / "good" / "0.png", random_images(1, 12, 16, 3)[0])
    message = message_of(lambda: data.load(folder))
    assert "masks in ground_truth, but no folder test" in message


def test_predictions_for_a_whole_set_leave_out_the_masks(folder):
    model = KerasModel(small("shallow", (12, 16, 3)))
    source = open_images(folder, model)
    assert len(source) == 9 + 6
    assert [notice.partition(": ")[2] for notice in source.notices] == [
        "3 masks in ground_truth left out"
    ]
    shutil.rmtree(folder / "test")  # any folder may have this name
    assert len(open_images(folder, model)) == 9 + 3
