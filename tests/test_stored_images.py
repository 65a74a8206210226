"""Images that stay on disk: the same pixels, orders and losses as in memory."""

from __future__ import annotations

import functools
import os
import time
import warnings
from collections import namedtuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from data_helpers import (
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
)
from PIL import Image

from keras_ae import VARIANTS, StoredImages, data
from keras_ae import stored_images as module
from keras_ae.data import image_folders, storage
from keras_ae.files import cache_dir
from keras_ae.training import feed

SHAPE = (6, 5)


def on_disk(folder, *arrays):
    """The arrays in files, mapped."""
    paths = [folder / f"{number}.npy" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return [np.load(path, mmap_mode="r") for path in paths]


@pytest.fixture
def three(tmp_path):
    """Images of three files, and the same in memory."""
    arrays = [random_images(num, *SHAPE, seed=num) for num in (4, 1, 7)]
    return StoredImages(on_disk(tmp_path, *arrays)), np.concatenate(arrays) / np.float32(255)


# ---- StoredImages against NumPy ----


@pytest.mark.parametrize(
    "index",
    [0, -1, slice(2, 9, 3), [11, 0, 4, 4], np.arange(12) % 3 == 0, slice(None), [], np.array(5)],
)
def test_index_gives_the_images_of_an_array(three, index):
    stored, array = three
    assert stored[index].dtype == np.float32
    np.testing.assert_array_equal(stored[index], array[index])


def test_selections_of_selections_stay_on_disk(three):
    stored, array = three
    order = np.random.default_rng(0).permutation(12)
    chosen = stored.where(order).where(slice(2, 10)).where(np.arange(8) % 2 == 0)
    assert isinstance(chosen, StoredImages)
    assert (chosen.shape, chosen.ndim, len(chosen)) == ((4, *SHAPE), 3, 4)
    np.testing.assert_array_equal(np.asarray(chosen), array[order][2:10][::2])


def test_parts_cover_all_images_once_within_the_limit(three, monkeypatch):
    stored, array = three
    monkeypatch.setattr(module, "PART_BYTES", 5 * stored.image_bytes)
    parts = [stored[part] for part in stored.parts()]
    assert [len(part) for part in parts] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate(parts), array)


def test_images_of_several_shapes_are_refused(tmp_path):
    arrays = on_disk(tmp_path, random_images(2, 4, 4), random_images(2, 4, 5))
    with pytest.raises(ValueError, match=r"one shape; received \[\(4, 4\), \(4, 5\)\]"):
        StoredImages(arrays)


# ---- training ----


def trained(name, images, validation, **fit):
    keras.utils.set_random_seed(0)
    labels = {"num_classes": 3, "hidden_units": (9,)} if name == "conditional_vae" else {}
    model = VARIANTS[name](image_shape=SHAPE, seed=4, **labels)
    model.compile()
    history = model.fit(
        *images, batch_size=16, epochs=3, verbose=0, validation_data=validation, **fit
    )
    return model, history.history


@pytest.mark.parametrize(
    "name",
    [
        "shallow",
        "conditional_vae",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("deep", "convolutional", "stacked")
        ),
    ],
)
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_losses_of_stored_bytes_are_those_of_floats_bit_for_bit(name, place, tmp_path, monkeypatch):
    arrays = random_images(70, *SHAPE), random_images(33, *SHAPE, seed=1)
    kept = on_disk(tmp_path, *arrays) if place == "disk" else arrays
    stored = [StoredImages([array]) for array in kept]
    assert stored[0].on_disk == (place == "disk")
    memory = [array / np.float32(255) for array in arrays]
    monkeypatch.setattr(feed, "PART_BYTES", 2 * 16 * 30)  # windows of 2 steps
    labels = [np.arange(70) % 3, np.arange(33) % 3]
    results = []
    for images in (memory, stored):
        parts = (
            list(zip(images, labels, strict=True))
            if name == "conditional_vae"
            else [(x,) for x in images]
        )
        validation = parts[1] if name == "conditional_vae" else images[1]
        model, history = trained(name, parts[0], validation)
        losses = model.evaluate(*parts[1], verbose=0)
        codes = model.encode(images[1])
        results.append((history, losses, codes, model.predict(images[1], verbose=0)))
    (history, losses, codes, rebuilt), of_bytes = results
    assert history == of_bytes[0]
    assert losses == of_bytes[1]
    np.testing.assert_array_equal(codes, of_bytes[2])
    np.testing.assert_array_equal(rebuilt, of_bytes[3])


def test_bytes_become_the_floats_of_a_division():
    values = np.arange(256, dtype=np.uint8)
    for jit_compile in (False, True):
        floats = tf.function(feed.as_floats, jit_compile=jit_compile)(tf.constant(values))
        np.testing.assert_array_equal(floats, values / np.float32(255))


def test_bytes_in_memory_are_fed_as_bytes():
    array = random_images(20, *SHAPE)
    stored = StoredImages([array]).where(np.arange(19, 1, -1))
    found = feed.feed_of(stored, None, None, 4, None)
    assert not isinstance(found, feed.DiskFeed)
    assert found.data[0].dtype == tf.uint8
    np.testing.assert_array_equal(found.data[0], array[19:1:-1])
    floats = StoredImages([array / np.float32(255)])
    assert feed.feed_of(floats, None, None, 4, None).data[0].dtype == tf.float32


def test_weights_and_a_validation_split_work_on_disk(tmp_path):
    array = random_images(50, *SHAPE)
    (stored,) = map(lambda each: StoredImages([each]), on_disk(tmp_path, array))
    weights = np.linspace(0.0, 2.0, 50)
    options = dict(sample_weight=weights, validation_split=0.2)
    _, memory = trained("shallow", (array / np.float32(255),), None, **options)
    _, mapped = trained("shallow", (stored,), None, **options)
    assert memory == mapped


def test_windows_have_the_images_of_the_steps_in_order(tmp_path, monkeypatch):
    array = random_images(47, *SHAPE)
    (mapped,) = on_disk(tmp_path, array)
    stored = StoredImages([mapped])
    monkeypatch.setattr(feed, "PART_BYTES", 3 * 10 * 30)
    disk = feed.feed_of(stored, None, None, 10, 7)
    memory = feed.feed_of(array / np.float32(255), None, None, 10, 7)
    assert isinstance(disk, feed.DiskFeed)
    assert disk.most_steps_per_call() == 3
    for epoch in (0, 5):
        disk.begin(epoch)
        memory.begin(epoch)
        for start, stop in ((0, 3), (3, 4), (1, 3)):  # the last as after an interruption
            found = steps(*disk.full_steps(start, stop))
            expected = steps(*memory.full_steps(start, stop))
            np.testing.assert_array_equal(found, expected)
        (rest, *_), chosen = disk.last_step()
        (everything, *_), expected = memory.last_step()
        rest = feed.as_floats(rest).numpy()
        np.testing.assert_array_equal(rest[chosen], everything.numpy()[expected])
    disk.close()


def steps(data, batches, start, stop):
    """The images of each step of a compiled call."""
    images = feed.as_floats(data[0]).numpy()
    return np.stack([images[batches[step]] for step in range(int(start), int(stop))])


def test_no_read_of_a_training_is_larger_than_its_window(tmp_path, monkeypatch):
    (mapped,) = on_disk(tmp_path, random_images(400, *SHAPE))
    stored, sizes = StoredImages([mapped]), []
    read = StoredImages._read
    monkeypatch.setattr(feed, "PART_BYTES", 2 * 16 * 30)
    monkeypatch.setattr(
        StoredImages, "_read", lambda self, rows: sizes.append(np.size(rows)) or read(self, rows)
    )
    trained("shallow", (stored,), stored, validation_batch_size=16)
    assert max(sizes) == 32


@pytest.mark.parametrize(
    "options, arguments", [({"run_eagerly": True}, {}), ({}, {"steps_per_epoch": 2})]
)
def test_training_that_cannot_read_from_disk_says_so(options, arguments, tmp_path):
    (mapped,) = on_disk(tmp_path, random_images(20, *SHAPE))
    model = VARIANTS["shallow"](image_shape=SHAPE)
    model.compile(**options)
    with pytest.raises(ValueError, match=r"StoredImages .* numpy\.asarray"):
        model.fit(StoredImages([mapped]), verbose=0, **arguments)


def test_images_of_another_shape_are_refused(tmp_path):
    (mapped,) = on_disk(tmp_path, random_images(20, *SHAPE))
    model = VARIANTS["shallow"](image_shape=(7, 7))
    with pytest.raises(ValueError, match=r"shape \(N, 7, 7\)"):
        model.encode(StoredImages([mapped]))


# ---- loading ----


def write_pictures(folder, num=12, classes=("b", "a")):
    for number in range(num):
        path = folder / classes[number % len(classes)] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_images(1, 9, 8, 3, seed=number)[0]).save(path)


def same_sets(first, second):
    assert first.fingerprint == second.fingerprint
    assert first.class_names == second.class_names
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(data.split(first), name), getattr(data.split(second), name)
        np.testing.assert_array_equal(ours.images, np.asarray(theirs.images))
        if ours.labels is None:
            assert theirs.labels is None
        else:
            np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_a_large_split_keeps_its_bytes(monkeypatch):
    monkeypatch.setattr("keras_ae.data.splits.MOST_FLOATS", 30 * 40)
    array, labels = random_images(60, *SHAPE), np.arange(60) % 3
    image_set = data.ImageSet("set", array, labels, array[:7], labels[:7], ("a", "b", "c"))
    large = data.split(image_set, held_out_class="b")
    assert isinstance(large.train.images, StoredImages) and not large.train.images.on_disk
    assert isinstance(large.test.images, np.ndarray)  # a small part
    monkeypatch.undo()
    small = data.split(image_set, held_out_class="b")
    assert isinstance(small.train.images, np.ndarray)
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(large, name), getattr(small, name)
        np.testing.assert_array_equal(np.asarray(ours.images), theirs.images)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
    whole = data.in_memory(large)
    np.testing.assert_array_equal(whole.train.images, small.train.images)
    assert data.num_in_memory(large) == {
        "train": len(small.train),
        "validation": len(small.validation),
        "test": len(small.test),
    }


LOW = functools.partial(data.Storage, 1000)


def test_folder_beyond_the_limit_is_the_same_set(tmp_path):
    write_pictures(tmp_path / "set")
    (tmp_path / "set" / "notes.txt").write_text("x")
    options = {"image_size": 6, "resize": "pad"}
    mapped = data.load(tmp_path / "set", **options, storage=LOW())
    assert isinstance(mapped.train_images, StoredImages)
    in_memory = data.load(tmp_path / "set", **options)
    same_sets(in_memory, mapped)
    assert mapped.notices[0] == in_memory.notices[0]  # of the skipped file
    assert "12 images need about 0.0 MB" in mapped.notices[-1]
    assert str(cache_dir()) in mapped.notices[-1]


def test_decoded_images_of_a_set_in_memory_are_kept_for_the_next_load(tmp_path, monkeypatch):
    write_pictures(tmp_path / "set", num=30)
    (tmp_path / "set" / "notes.txt").write_text("x")
    expected = data.load(tmp_path / "set", image_size=6)
    monkeypatch.setattr(image_folders, "_KEPT_BYTES", 0)
    monkeypatch.setattr(image_folders, "_AT_A_TIME", 4)
    monkeypatch.setattr(image_folders, "_LARGE", 0)
    first = data.load(tmp_path / "set", image_size=6)
    same_sets(expected, first)
    assert first.notices[:-1] == expected.notices  # of the skipped file
    (folder,) = (cache_dir() / "images").iterdir()
    assert str(folder) in first.notices[-1]
    monkeypatch.setattr(image_folders, "decode", None)
    second = data.load(tmp_path / "set", image_size=6)
    same_sets(expected, second)
    assert isinstance(second.train_images, np.ndarray)
    assert second.notices == expected.notices


def test_a_cache_that_cannot_be_written_is_said_and_nothing_is_lost(tmp_path, monkeypatch):
    write_pictures(tmp_path / "set")
    expected = data.load(tmp_path / "set")
    monkeypatch.setattr(image_folders, "_KEPT_BYTES", 0)
    free = namedtuple("free", ["free"])(10)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda folder: free)
    loaded = data.load(tmp_path / "set")
    same_sets(expected, loaded)
    assert "KERAS_AE_CACHE" in loaded.notices[-1] and "again" in loaded.notices[-1]


def test_results_of_threads_are_in_order_and_an_error_is_raised():
    items = list(range(1000))
    assert list(image_folders.in_parallel(lambda n: n * n, items)) == [n * n for n in items]
    with pytest.raises(ZeroDivisionError):
        list(image_folders.in_parallel(lambda n: 1 / (n - 500), items))


def test_reading_images_in_threads_restores_the_filters_of_warnings(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folders, "_LARGE", 0)
    write_pictures(tmp_path / "set", num=200)
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        before = warnings.filters[:]
        for _ in range(3):
            data.load(tmp_path / "set", image_size=6)
        assert warnings.filters == before


def test_parts_of_a_folder_are_kept_on_disk(tmp_path):
    for part in ("train", "test", "validation"):
        write_pictures(tmp_path / "set" / part, num=6)
    mapped = data.load(tmp_path / "set", storage=LOW())
    same_sets(data.load(tmp_path / "set"), mapped)
    assert isinstance(mapped.validation_images, StoredImages)


def test_decoded_images_are_read_again_until_a_file_changes(tmp_path, monkeypatch):
    write_pictures(tmp_path / "set")
    first = data.load(tmp_path / "set", storage=LOW())
    decoded = []
    decode = image_folders.decode
    monkeypatch.setattr(image_folders, "decode", lambda *args: decoded.append(1) or decode(*args))
    again = data.load(tmp_path / "set", storage=LOW())
    assert first.fingerprint == again.fingerprint
    assert first.notices == again.notices
    in_memory = data.load(tmp_path / "set")  # a higher limit reads the same file at once
    assert isinstance(in_memory.train_images, np.ndarray)
    monkeypatch.chdir(tmp_path)
    data.load("set", storage=LOW())  # the same folder by another path
    assert not decoded
    data.load(tmp_path / "set", storage=LOW(), image_size=4)
    assert len(decoded) == 12
    Image.fromarray(random_images(1, 9, 8, 3, seed=99)[0]).save(tmp_path / "set" / "a" / "01.png")
    changed = data.load(tmp_path / "set", storage=LOW())
    assert len(decoded) == 24
    assert changed.fingerprint != first.fingerprint
    same_sets(data.load(tmp_path / "set"), changed)


def test_strict_holds_for_decoded_images_too(tmp_path):
    write_pictures(tmp_path / "set")
    (tmp_path / "set" / "a" / "x.png").write_bytes(b"no image")
    assert "1 unreadable" in data.load(tmp_path / "set", storage=LOW()).notices[0]
    message_of(lambda: data.load(tmp_path / "set", storage=LOW(), strict=True), "1 unreadable")
    assert not list(cache_dir().rglob(".partial-*"))


def test_decoding_reports_its_progress(tmp_path):
    write_pictures(tmp_path / "set")
    for limit in (1000, None):
        reports: list[tuple[int, int]] = []

        def report(done, number, reports=reports):
            reports.append((done, number))

        keep = data.Storage(limit, report)
        data.load(tmp_path / "set", storage=keep, image_size=5 if limit else 4)
        assert reports == [(done, 24) for done in range(1, 25)]


def test_shards_of_classes_are_the_same_set(tmp_path):
    arrays = {
        "cat-00000-of-00002": random_images(5, 4, 4, seed=1),
        "cat-00001-of-00002": random_images(3, 4, 4, seed=2),
        "dog": random_images(6, 4, 4, seed=3),
    }
    (tmp_path / "set").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "set" / f"{name}.npy", array)
    in_memory = data.load(tmp_path / "set")
    assert in_memory.class_names == ("cat", "dog")
    labels = np.concatenate([in_memory.train_labels, in_memory.test_labels])
    assert np.bincount(labels).tolist() == [8, 6]
    same_sets(in_memory, data.load(tmp_path / "set", storage=LOW()))
    (tmp_path / "set" / "cat-00001-of-00002.npy").unlink()
    message_of(lambda: data.load(tmp_path / "set"), "all shards of cat", "1 of 2")


@pytest.mark.parametrize(
    "array",
    [
        random_images(20, 4, 4) / 127.5 - 1,
        random_images(20, 4, 4).astype(np.float32),
        random_images(20, 4, 4) > 100,
        random_images(20, 4, 4, 3).astype(np.int64),
        random_images(20, 16),
        random_images(20, 4, 4, 1) / 255,
    ],
    ids=["minus one to one", "floats to 255", "bool", "int64", "flat", "one channel"],
)
def test_arrays_beyond_the_limit_are_the_same_set(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    mapped = data.load(tmp_path / "a.npy", storage=LOW())
    in_memory = data.load(tmp_path / "a.npy")
    same_sets(in_memory, mapped)
    assert mapped.notices[:-1] == in_memory.notices


def test_arrays_beyond_the_limit_are_resized_on_disk(tmp_path):
    np.save(tmp_path / "a.npy", random_images(20, 9, 12, 3))
    options = {"image_size": 6, "color": "gray"}
    mapped = data.load(tmp_path / "a.npy", **options, storage=LOW())
    assert isinstance(mapped.train_images, StoredImages)
    same_sets(data.load(tmp_path / "a.npy", **options), mapped)
    np.save(tmp_path / "a.npy", random_images(20, 9, 12, 3) / 255)
    load = functools.partial(data.load, tmp_path / "a.npy", **options, storage=LOW())
    message_of(load, "store them as bytes")


def test_arrays_that_cannot_be_mapped_say_so(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(random_images(20, 4, 4)))
    message_of(lambda: data.load(tmp_path / "a.npy", storage=LOW()), "stored by columns")
    np.save(tmp_path / "a.npy", np.full((20, 4, 4), 2.5) * np.arange(4))
    load = functools.partial(data.load, tmp_path / "a.npy", storage=LOW())
    message_of(load, "7.5")


def test_images_on_disk_are_not_made_black_and_white(tmp_path):
    np.save(tmp_path / "a.npy", random_images(20, 4, 4))
    mapped = data.load(tmp_path / "a.npy", storage=LOW())
    message_of(lambda: data.binarized(mapped, "threshold"), "memory limit")


def test_partial_files_of_killed_processes_are_removed(tmp_path):
    for name, age in ((".partial-old", 2 * 24 * 3600), (".partial-new", 0)):
        folder = cache_dir() / "images" / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age,) * 2)
    write_pictures(tmp_path / "set")
    data.load(tmp_path / "set", storage=LOW())
    left = {path.name for path in (cache_dir() / "images").iterdir()}
    assert ".partial-old" not in left
    assert ".partial-new" in left


def test_memory_of_a_container_is_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_CGROUP", tmp_path)
    without = storage.default_memory_limit()
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert storage.default_memory_limit() == pytest.approx(without, rel=0.2)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("active_file 900\ninactive_file 600\nslab 7\n")
    assert storage.default_memory_limit() == 2300


# ---- the cache ----


def test_second_program_that_decodes_the_same_set_uses_the_first_result(tmp_path, monkeypatch):
    write_pictures(tmp_path / "set")
    decode = image_folders.decode
    others = []

    def meanwhile(*args):
        if not others:  # another program starts later and ends earlier
            others.append(None)
            others.append(data.load(tmp_path / "set", storage=LOW()))
        return decode(*args)

    monkeypatch.setattr(image_folders, "decode", meanwhile)
    loaded = data.load(tmp_path / "set", storage=LOW())
    assert loaded.fingerprint == others[1].fingerprint
    assert len(list((cache_dir() / "images").iterdir())) == 1


def test_decoded_images_depend_on_the_skipped_files_too(tmp_path):
    write_pictures(tmp_path / "set")
    data.load(tmp_path / "set", storage=LOW(), strict=True)
    (tmp_path / "set" / "notes.txt").write_text("x")
    message_of(lambda: data.load(tmp_path / "set", storage=LOW(), strict=True), "1 .txt")
    assert "1 .txt" in data.load(tmp_path / "set", storage=LOW()).notices[0]
    (tmp_path / "set" / "notes.txt").unlink()
    assert ".txt" not in " ".join(data.load(tmp_path / "set", storage=LOW()).notices)


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"num_images": 12}'])
def test_damaged_content_of_the_cache_is_written_again(content, tmp_path):
    write_pictures(tmp_path / "set")
    first = data.load(tmp_path / "set", storage=LOW())
    (file,) = cache_dir().rglob("content.json")
    file.write_text(content)
    assert data.load(tmp_path / "set", storage=LOW()).fingerprint == first.fingerprint


def test_disk_that_fills_up_is_one_line(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    write_pictures(tmp_path / "set")
    monkeypatch.setattr(storage.os, "posix_fallocate", full, raising=False)
    message_of(
        lambda: data.load(tmp_path / "set", storage=LOW()), "No space left", "KERAS_AE_CACHE"
    )
    assert not list((cache_dir() / "images").iterdir())


# ---- values and arrays ----


def test_nan_in_an_array_on_disk_is_refused(tmp_path, monkeypatch):
    images = random_images(40, 4, 4) / np.float32(255)
    images[33, 1, 1] = np.nan
    np.save(tmp_path / "a.npy", images)
    monkeypatch.setattr("keras_ae.data.numpy_files.PART_BYTES", 5 * images[0].nbytes)
    message_of(lambda: data.load(tmp_path / "a.npy", storage=LOW()), "NaN pixels")


@pytest.mark.parametrize("pixel", [200.0, np.nan, -0.5])
def test_unusable_floats_on_disk_are_refused_where_they_are_read(pixel, tmp_path):
    images = random_images(40, *SHAPE) / np.float32(255)
    images[33, 1, 1] = pixel
    stored = StoredImages(on_disk(tmp_path, images))
    model = VARIANTS["shallow"](image_shape=SHAPE)
    model.compile()
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\]"):
        model.fit(stored, verbose=0, batch_size=8)
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\]"):
        model.encode(stored)


def test_images_of_other_arrays_are_not_joined(tmp_path):
    first, second = (
        StoredImages([array])
        for array in on_disk(tmp_path, random_images(3, *SHAPE), random_images(3, *SHAPE, seed=1))
    )
    np.testing.assert_array_equal(first.where([2]).followed_by(first.where([0]))[:], first[[2, 0]])
    assert first.key != second.key
    assert first.key == first.where(slice(None)).key != first.where([0, 2, 1]).key
    with pytest.raises(ValueError, match="cannot be joined"):
        first.followed_by(second)


def test_resized_arrays_say_where_they_are(tmp_path):
    np.save(tmp_path / "a.npy", random_images(20, 9, 12, 3))
    notices = data.load(tmp_path / "a.npy", image_size=6, storage=LOW()).notices
    assert str(cache_dir()) in notices[-1] and "2.2 kB" not in notices[-1]


def test_validation_split_stays_on_disk(tmp_path, monkeypatch):
    (mapped,) = on_disk(tmp_path, random_images(60, *SHAPE))
    monkeypatch.setattr(StoredImages, "__array__", None)
    model = VARIANTS["shallow"](image_shape=SHAPE)
    model.compile()
    model.fit(StoredImages([mapped]), validation_split=0.5, batch_size=8, verbose=0)
