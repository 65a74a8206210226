"""TFRecord files: the same set as the images in a folder."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from data_helpers import (
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
)
from PIL import Image

from keras_ae import StoredImages, data


def feature(value):
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    value = [value] if isinstance(value, bytes) else value
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))


def write_records(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            features = {name: feature(value) for name, value in record.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return path


def encoded(image, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def write_folder(folder, images, labels):
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))


def content(loaded):
    """The training and test images with the names of their labels, in any order."""
    found = []
    for images, labels in (
        (loaded.train_images, loaded.train_labels),
        (loaded.test_images, loaded.test_labels),
    ):
        names = [None] * len(images) if labels is None else np.array(loaded.class_names)[labels]
        pixels = np.asarray(images)
        found.append(sorted((image.tobytes(), str(name)) for image, name in zip(pixels, names)))  # noqa: B905
    return found


IMAGES = random_images(24, 6, 5, 3)
LABELS = np.arange(24) % 12


def test_records_are_the_set_of_a_folder_with_their_parts(tmp_path):
    records = [
        {"image": encoded(image), "label": int(label)}
        for image, label in zip(IMAGES, LABELS, strict=True)
    ]
    write_records(tmp_path / "r" / "my-train.tfrecord-00000-of-00002", records[:8])
    write_records(tmp_path / "r" / "my-train.tfrecord-00001-of-00002", records[8:16])
    write_records(tmp_path / "r" / "my-test.tfrecord-00000-of-00001", records[16:])
    write_folder(tmp_path / "f" / "train", IMAGES[:16], LABELS[:16])
    write_folder(tmp_path / "f" / "test", IMAGES[16:], LABELS[16:])
    loaded = data.load(tmp_path / "r")
    assert content(loaded) == content(data.load(tmp_path / "f"))
    assert loaded.class_names == tuple(map(str, range(12)))  # not 0, 1, 10, 11, 2


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_records_beyond_the_memory_limit_stay_on_disk(color, tmp_path):
    write_records(tmp_path / "a.tfrecord", [{"image/encoded": encoded(image)} for image in IMAGES])
    options = {"image_size": 4, "color": color}
    mapped = data.load(tmp_path / "a.tfrecord", **options, storage=data.Storage(100))
    assert isinstance(mapped.train_images, StoredImages)
    in_memory = data.load(tmp_path / "a.tfrecord", **options)
    assert in_memory.train_labels is None
    assert mapped.fingerprint == in_memory.fingerprint


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_raw_bytes_need_their_height_and_width(shape, tmp_path):
    images = random_images(9, *shape)
    sides = {"height": 6, "width": 5, "depth": shape[2] if shape[2:] else 1}
    records = [{"image_raw": image.tobytes(), **sides} for image in images]
    loaded = data.load(write_records(tmp_path / "a.tfrecord", records))
    both = np.concatenate([loaded.train_images, loaded.test_images])
    assert sorted(map(bytes, both)) == sorted(map(bytes, images))
    records[3]["width"] = 7  # the bytes are then neither raw nor encoded
    loaded = data.load(write_records(tmp_path / "a.tfrecord", records))
    assert "1 unreadable" in loaded.notices[0]
    assert "a.tfrecord, record 3" in loaded.notices[0]
    for record in records:
        del record["height"]
    message_of(lambda: data.load(write_records(tmp_path / "a.tfrecord", records)), "record 0")


def test_text_labels_are_class_names(tmp_path):
    records = [{"image": encoded(image), "label": b"cat"} for image in IMAGES[:4]]
    records += [{"image": encoded(image), "label": b"ant"} for image in IMAGES[4:]]
    assert data.load(write_records(tmp_path / "a.tfrec", records)).class_names == ("ant", "cat")


def test_records_without_a_label_among_others_are_refused(tmp_path):
    records = [{"image": encoded(image), "label": 1} for image in IMAGES]
    del records[5]["label"]
    path = write_records(tmp_path / "a.tfrecord", records)
    message_of(lambda: data.load(path), "record 5, has none")


def test_records_that_cannot_be_read_are_skipped_with_a_notice(tmp_path):
    records = [{"image": encoded(image), "label": 1} for image in IMAGES]
    records[5]["label"] = [b"a", b"b"]
    records[7]["image"] = b"no image"
    write_records(tmp_path / "a.tfrecord", records)
    with tf.io.TFRecordWriter(str(tmp_path / "b.tfrecord")) as writer:
        writer.write(b"\xff\xff\xff")
    loaded = data.load(tmp_path)
    assert len(loaded.train_images) + len(loaded.test_images) == 22
    for words in ("3 unreadable", "record 5", "record 7", "b.tfrecord, record 0"):
        assert words in loaded.notices[0]
    message_of(lambda: data.load(tmp_path, strict=True), "3 unreadable")


def test_changed_bytes_are_found_by_their_checksum(tmp_path):
    records = [
        {"image_raw": image.tobytes(), "height": 6, "width": 5, "depth": 3} for image in IMAGES
    ]
    path = write_records(tmp_path / "a.tfrecord", records)
    content = bytearray(path.read_bytes())
    place = content.index(IMAGES[4].tobytes())
    content[place + 10] ^= 1
    path.write_bytes(content)
    message_of(lambda: data.load(path), "a.tfrecord is damaged")


def test_records_without_an_image_name_what_is_there(tmp_path):
    path = write_records(tmp_path / "a.tfrecord", [{"pixels": b"abc", "size": 3}] * 4)
    message_of(lambda: data.load(path), "image/encoded", "it has pixels, size")


@pytest.mark.parametrize("damage", ["cut", "text", "gzip"])
def test_damaged_files_are_refused(damage, tmp_path):
    path = write_records(tmp_path / "a.tfrecord", [{"image": encoded(image)} for image in IMAGES])
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "text":
        path.write_bytes(b"not a record file at all")
    else:
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            writer.write(b"x" * 500)
    message_of(lambda: data.load(path), "a.tfrecord", "is damaged or no uncompressed TFRecord file")


def test_records_of_something_else_are_refused(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(b"\xff\xff\xff")
    message_of(lambda: data.load(tmp_path / "a.tfrecord"), "record 0", "tf.train.Example")


def test_other_files_beside_records_are_counted_or_refused(tmp_path):
    write_records(tmp_path / "a.tfrecord", [{"image": encoded(image)} for image in IMAGES])
    (tmp_path / "notes.txt").write_text("x")
    assert "1 .txt" in data.load(tmp_path).notices[0]
    message_of(lambda: data.load(tmp_path, strict=True), "1 .txt")
    (tmp_path / "b.png").write_bytes(encoded(IMAGES[0]))
    message_of(lambda: data.load(tmp_path), "a.tfrecord and b.png", "keep one kind")
