"""TFRecord files of images: each record is a `tf.train.Example` with one image.

An image is an encoded file (PNG, JPEG, ...), or raw bytes beside its height, width and depth. The
records are read one at a time, at their place in the file, as image files are.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from keras_ae.checks import one_line
from keras_ae.data.contents import refuse_beyond_limit, visible_files
from keras_ae.data.image_set import DataError, UnreadableImage, listed
from keras_ae.progress import counted

_NAME = re.compile(r"\.(tfrecords?|tfrec)(-\d+-of-\d+)?$", re.IGNORECASE)
# The names that features usually have; the first one that is there is read.
_IMAGE = ("image", "image/encoded", "image_raw", "images", "img", "jpg", "jpeg", "png", "x")
_LABEL = ("label", "image/class/label", "labels", "class", "target", "y")
_SIDES = (("height", "image/height", "rows"), ("width", "image/width", "cols"))
_DEPTH = ("depth", "channels", "image/channels")
_HEADER_BYTES, _FOOTER_BYTES = 12, 4  # a length and its checksum; the checksum of the content


class _Status(NamedTuple):
    """What is read of the status of a file."""

    st_size: int
    st_mtime_ns: int


class RecordImage(NamedTuple):
    """An image in a TFRecord file; it is read as a `Path` of an image file is.

    Attributes:
        shard: The file.
        number: The place of the record, from 0.
        offset: Where its content starts, in bytes.
        num_bytes: Length of the content.
    """

    shard: Path
    number: int
    offset: int
    num_bytes: int

    suffix = ""

    def __str__(self) -> str:
        return f"{self.shard}, record {self.number},"

    def stat(self) -> _Status:
        return _Status(self.num_bytes, self.shard.stat().st_mtime_ns)

    def relative_to(self, folder: Path) -> str:
        return f"{self.shard.name}, record {self.number}"

    def read_bytes(self) -> bytes:
        """The encoded image.

        Raises:
            UnreadableImage: the record is damaged, or has no image.
        """
        features = self._features()
        name = next((name for name in _IMAGE if name in features), None)
        if name is None or not features[name].bytes_list.value:
            raise UnreadableImage(
                f"{self} has no image: needed are bytes under {listed(_IMAGE)}; it has "
                f"{listed(sorted(features))}."
            )
        content = features[name].bytes_list.value[0]
        height, width = (_number(features, names) for names in _SIDES)
        depth = _number(features, _DEPTH) or 1
        if height is None or width is None or len(content) != height * width * depth:
            return content  # an encoded image
        return _as_png(self, content, (height, width, depth))

    def _features(self) -> Any:
        refuse_beyond_limit(self.num_bytes, str(self))
        with open(self.shard, "rb") as file:
            file.seek(self.offset)
            return self._parsed(file.read(self.num_bytes))

    def _parsed(self, content: bytes) -> Any:
        import tensorflow as tf

        try:
            return tf.train.Example.FromString(content).features.feature
        except Exception as error:  # protobuf has errors of its own
            raise UnreadableImage(f"{self} is no tf.train.Example: {one_line(error)}.") from error

    def label(self, content: bytes) -> str | None:
        """The label in words; None where there is none.

        Args:
            content: That of the record.

        Raises:
            UnreadableImage: the record is damaged.
        """
        features = self._parsed(content)
        name = next((name for name in _LABEL if name in features), None)
        if name is None:
            return None
        feature = features[name]
        values = [*feature.int64_list.value, *feature.bytes_list.value]
        if len(values) != 1:
            raise UnreadableImage(f"{self} has {counted(len(values), 'label')}; one is needed.")
        value = values[0]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def tfrecord_files(folder: Path) -> list[Path]:
    """The TFRecord files of a folder, sorted: `*.tfrecord`, `*.tfrec`, with or without shards."""
    return [path for path in visible_files(folder) if is_tfrecord(path)]


def is_tfrecord(path: Path) -> bool:
    """Whether a file is one of records, by its name."""
    return path.is_file() and _NAME.search(path.name) is not None


def list_records(
    shards: Sequence[Path], part_of: Callable[[Path], str]
) -> tuple[list[tuple[RecordImage, str, str | None]], list[RecordImage]]:
    """Every record with its part of the data set and its class, None without labels.

    Args:
        shards: The files.
        part_of: Returns the part that a file belongs to.

    Returns:
        The records, and those that cannot be read.

    Raises:
        DataError: a file is damaged, no record can be read, or only some of them have labels.
    """
    found, unreadable, problem = [], [], None
    for shard in shards:
        for record, content in _of(shard):
            try:
                found.append((record, part_of(shard), record.label(content)))
            except UnreadableImage as error:
                problem = problem or error
                unreadable.append(record)
    if not found:
        raise problem or DataError(f"{shards[0]} has no records.")
    unlabeled = next((record for record, _, label in found if label is None), None)
    if unlabeled and any(label is not None for _, _, label in found):
        raise DataError(f"All records must have a label, or none; {unlabeled} has none.")
    return found, unreadable


def _of(shard: Path) -> Iterator[tuple[RecordImage, bytes]]:
    """The records of a file, whose checksums are verified, and their content."""
    import tensorflow as tf

    place = 0
    try:
        records = tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
        for number, content in enumerate(map(bytes, records)):
            yield RecordImage(shard, number, place + _HEADER_BYTES, len(content)), content
            place += _HEADER_BYTES + len(content) + _FOOTER_BYTES
    except tf.errors.DataLossError as error:
        raise DataError(f"{shard} is damaged or no uncompressed TFRecord file.") from error


def _number(features: Any, names: Sequence[str]) -> int | None:
    """A whole number under the first of the names that is there."""
    for name in names:
        if name in features and features[name].int64_list.value:
            return features[name].int64_list.value[0]
    return None


def _as_png(record: RecordImage, content: bytes, shape: Sequence[int]) -> bytes:
    """Raw pixels as an encoded image."""
    if shape[2] not in (1, 3, 4):
        raise UnreadableImage(
            f"{record} has an image of {shape[2]} channels; needed are 1, 3 or 4."
        )
    pixels = np.frombuffer(content, np.uint8).reshape(shape)
    encoded = io.BytesIO()
    Image.fromarray(pixels[..., 0] if shape[2] == 1 else pixels).save(encoded, "PNG")
    return encoded.getvalue()
