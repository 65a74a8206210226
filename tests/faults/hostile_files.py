"""Damaged and unusual image files, and their content as an independent reader finds it.

They are valid files with damage, or intact files with unusual content; each depends on its seed.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

# ---- damage to bytes ----

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63, 2**64 - 1)


def damaged(content: bytes, random) -> bytes:
    """Make one change to a file: change, delete, insert or repeat bytes, or write a number."""
    near = min(len(content), 64) if random.random() < 0.5 else len(content)  # mostly headers
    place = int(random.integers(near + 1))
    length = int(random.integers(1, 9))
    before, after = content[:place], content[place:]
    number = INTERESTING[random.integers(len(INTERESTING))]
    size = int(random.choice([1, 2, 4, 8]))
    order = ["little", "big"][random.integers(2)]
    return [
        lambda: before + bytes([random.integers(256)]) + after[1:],
        lambda: before + random.bytes(length) + after[length:],
        lambda: before,
        lambda: before + after[length:],
        lambda: before + random.bytes(length) + after,
        lambda: content + content[place:],
        lambda: before + (number % 256**size).to_bytes(size, order) + after[size:],
    ][random.integers(7)]()


def sometimes_damaged(content: bytes, random, often: float = 0.6) -> bytes:
    while random.random() < often:
        content, often = damaged(content, random), 0.3
    return content


# ---- arrays ----

# The likely values come first.
IMAGE_TYPES = (
    "u1", "f4", "?", "f8", "f2", "i8", ">f4", "i1", "u8", "c8", "M8[s]", "S3", "U2", "O",
)  # fmt: skip
LABEL_TYPES = (
    "i8", "u1", "U3", "S3", "f8", "?", "i4", "u8", ">i2", "f2", "O", "V4", "c16", "m8[s]",
)  # fmt: skip
SHAPES = ((8, 8), (64,), (8, 8, 3), (8, 8, 1), (3, 8, 8), (7,), (), (0, 8), (1, 1), (2,) * 5)
DESCRIPTIONS = (
    "'|u1'", "'<f4'", "'|O'", "'<U9'", "'<U99999999'", "'|S0'", "'|V8'", "'<c16'", "'<f16'", "7",
    "'x'", "[('a', '<f4')]", "[('a', '|O')]", "('<f4', (9999, 9999))", "None", "'<M8[ns]'", "'|b1'",
)  # fmt: skip
HEADER_SHAPES = (
    "(28, 8, 8)", "(-1, 8, 8)", "(99999999999, 8)", "(9223372036854775808,)", "(0, 8, 8)", "()",
    "(True, 8)", "('a',)", "8", "(28, 64)", "((28,), 8)", f"({'1, ' * 70})", "(1.0, 8)", "(" * 300,
    "(4611686018427387904, 4)", "(-3, -3, -8)",
)  # fmt: skip


def some(random, things):
    """A value, mostly one of the first few."""
    return things[random.integers(len(things) if random.random() < 0.2 else min(3, len(things)))]


def some_images(random, num: int) -> np.ndarray:
    shape, kind = (num, *some(random, SHAPES)), np.dtype(some(random, IMAGE_TYPES))
    if kind.kind == "f":
        images = random.random(shape).astype(kind)
        if images.size and random.random() < 0.2:
            odd = [np.nan, np.inf, -np.inf, 1.5, -0.0, 1e-45, 255.0][random.integers(7)]
            images.reshape(-1)[random.integers(images.size)] = odd
        return images
    top = 256 if random.random() < 0.8 else 2**31
    return (
        random.integers(0, top, shape).astype("u1" if kind.kind in "MmSUO" else "i8").astype(kind)
    )


def some_labels(random, num: int) -> np.ndarray:
    num = num if random.random() < 0.9 else int(random.integers(0, 2 * num))
    kind = np.dtype(some(random, LABEL_TYPES))
    labels = random.integers(0, 4, num)
    if kind.kind == "U" and random.random() < 0.3:  # also invalid code points
        return np.frombuffer(random.bytes(12 * num), kind)
    if kind.kind == "S" and random.random() < 0.5:
        return np.frombuffer(random.bytes(3 * num), kind)
    if kind.kind == "f" and random.random() < 0.3:
        with np.errstate(over="ignore"):
            return np.full(num, [1e300, np.nan, np.inf, 0.5][random.integers(4)]).astype(kind)
    if kind.kind == "V":
        return labels.astype("i4").view("V4")
    labels = labels.astype(kind)
    return labels[:, None] if random.random() < 0.1 else labels


def npy_bytes(array: np.ndarray, random, strange: float = 0.1) -> bytes:
    """An array in NumPy's format, or its bytes after a header that does not match."""
    file = io.BytesIO()
    if random.random() >= strange:
        version = [(1, 0), (1, 0), (2, 0), (3, 0)][random.integers(4)]
        np.lib.format.write_array(file, array, version=version, allow_pickle=True)
        return file.getvalue()
    order = ["False", "True", "3", "None"][max(0, random.integers(-9, 4))]
    description, shape = some(random, DESCRIPTIONS), some(random, HEADER_SHAPES)
    text = f"{{'descr': {description}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    major = int(random.integers(1, 4))
    length = len(text) if random.random() < 0.8 else INTERESTING[random.integers(9)]
    size = struct.pack("<H", length % 2**16) if major == 1 else struct.pack("<I", length)
    # The bytes of objects are addresses, which differ from run to run.
    content = bytes(array.nbytes) if array.dtype.hasobject else array.tobytes()
    return b"\x93NUMPY" + bytes([major, 0]) + size + text + content


# ---- one case of each kind of file ----


class Files(NamedTuple):
    """One case: the argument of `data.load`, the size of its files in bytes, and their content."""

    dataset: str | Path
    options: dict
    declared: int
    truth: Callable[[], float] | None = None  # the sum of all pixels, from an independent reader


def total(*arrays: np.ndarray) -> float:
    """The sum of the pixels as `data.load` scales them: bools become 0 and 255, floats [0, 1]."""
    floats = [array for array in arrays if array.dtype.kind == "f" and array.size]
    lowest = min((float(array.min()) for array in floats), default=0.0)
    highest = max((float(array.max()) for array in floats), default=0.0)
    result = 0.0
    for array in arrays:
        values = array.astype(np.float64)
        if array.dtype.kind == "b":
            values = values * 255
        elif array.dtype.kind == "f" and lowest < -0.05:
            values = (values + 1) / 2
        elif array.dtype.kind == "f" and highest > 2:
            values = values / 255
        result += float(values.sum())
    return result


def plain_array(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def npy_file(folder: Path, random) -> Files:
    content = sometimes_damaged(npy_bytes(some_images(random, 28), random, 0.4), random)
    (folder / "images.npy").write_bytes(content)
    return Files(folder / "images.npy", {}, len(content), lambda: total(plain_array(content)))


def npz_file(folder: Path, random) -> Files:
    names = [("images", "labels"), ("x_train", "y_train", "x_test", "y_test"), ("x", "y")]
    members = {}
    for name in names[random.integers(3)]:
        make = some_images if name[0] in "ix" else some_labels
        members[name] = npy_bytes(make(random, 14 if "test" in name else 28), random)
    if random.random() < 0.2:
        del members[list(members)[random.integers(len(members))]]
    if random.random() < 0.2:
        members[["x_train", "y_test", "a\nb", "", "../x", "labels"][random.integers(6)]] = b"more"
    if random.random() < 0.02:
        members = {"a\nb": b"alone"}
    file = io.BytesIO()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(file, "w", some(random, kinds)) as archive:
        for name, content in members.items():
            # Damage the member itself, so that the checksum of the archive is valid.
            archive.writestr(f"{name}.npy", sometimes_damaged(content, random, 0.1))
    content = file.getvalue()
    if random.random() < 0.05:  # the table at the end says that a member is larger than it is
        place = content.rfind(b"PK\1\2") + 24
        content = content[:place] + struct.pack("<I", 2**32 - 2) + content[place + 4 :]
    content = sometimes_damaged(content, random, 0.3)
    (folder / "images.npz").write_bytes(content)

    def truth() -> float:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            there = {name.removesuffix(".npy"): name for name in archive.namelist()}
            main = next(name for name in ("x_train", "images", "x") if name in there)
            wanted = {main, "x_test"} if main == "x_train" else {main}
            return total(*(plain_array(archive.read(there[n])) for n in wanted & set(there)))

    return Files(folder / "images.npz", {}, sum(map(len, members.values())), truth)


def idx_files(folder: Path, random) -> Files:
    declared, stored = 0, []
    for part, num in (("train", 28), ("t10k", 14)):
        for what, axes in (("images-idx3", (num, 8, 8)), ("labels-idx1", (num,))):
            values = random.integers(0, 256 if len(axes) > 1 else 4, axes).astype("u1")
            content = struct.pack(f">{1 + len(axes)}I", 2048 + len(axes), *axes) + values.tobytes()
            content = sometimes_damaged(content, random, 0.2)
            declared += len(content)
            zipped = random.random() < 0.3
            if zipped:
                content = sometimes_damaged(gzip.compress(content, mtime=0), random, 0.2)
            path = folder / f"{part}-{what}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(content)
            stored.append((content, zipped, len(axes)))

    def truth() -> float:
        found = 0
        for content, zipped, num_axes in stored:
            content = gzip.decompress(content) if zipped else content
            kind, *shape = struct.unpack_from(f">{1 + num_axes}I", content)
            values = np.frombuffer(content, "u1", offset=4 + 4 * num_axes).reshape(shape)
            assert kind == 2048 + num_axes
            found += total(values) if num_axes == 3 else 0
        return found

    return Files(folder, {}, declared, truth)


def image_files(folder: Path, random) -> Files:
    from PIL import Image

    modes = {
        "png": ("L", "RGB", "RGBA", "LA", "P", "1", "I;16"),
        "jpg": ("L", "RGB", "CMYK"),
        "bmp": ("L", "RGB", "P", "1"),
        "gif": ("L", "P", "RGB"),
        "webp": ("RGB", "RGBA"),
        "tiff": ("L", "RGB", "RGBA", "LA", "P", "CMYK", "1", "I;16", "F"),
        "ppm": ("RGB", "L", "1"),
        "tga": ("RGB", "RGBA", "L", "P"),
        "ico": ("RGBA",),
    }
    names = list(modes)
    declared, main = 0, names[random.integers(len(names))]
    colors = random.integers(0, 256, (8, 6, 3)).astype("u1")
    for number in range(8):
        suffix = main if random.random() < 0.8 else names[random.integers(len(names))]
        image = Image.fromarray(np.roll(colors, number))
        mode = some(random, modes[suffix])
        image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
        file = io.BytesIO()
        more = (
            {"save_all": True, "append_images": [image.resize((6, 8))]} if suffix == "gif" else {}
        )
        image.save(file, "jpeg" if suffix == "jpg" else suffix, **more)
        content = sometimes_damaged(file.getvalue(), random, 0.1)
        if suffix == "png" and random.random() < 0.7:
            content = with_right_sums(content)
        if random.random() < 0.03:
            suffix = names[random.integers(len(names))]
        declared += 3 * 8 * 6 + len(content)
        path = folder / ["a", "b"][number % 2] / f"{number}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return Files(folder, {}, declared)


def with_right_sums(png: bytes) -> bytes:
    """A PNG file with valid checksums, so that readers reach the other damage."""
    content, place = bytearray(png), 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        end = place + 8 + length
        content[end : end + 4] = zlib.crc32(content[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(content[: len(png)])


def quickdraw_files(folder: Path, random) -> Files:
    stored = {}
    for name in ("cat", "fish"):
        images = random.integers(0, 256, (28, 784)).astype("u1")
        if random.random() < 0.2:
            images = some_images(random, 28)
        stored[name] = sometimes_damaged(npy_bytes(images, random), random, 0.3)
        (folder / f"{name}.npy").write_bytes(stored[name])
    classes = some(random, [None, ("cat",), ("fish", "cat"), "cat"])
    if random.random() < 0.1:
        classes = some(random, [("cat", "cat"), (), ("../cat",), ("dog",), (1,), ("\0",)])

    def truth() -> float:
        chosen = stored if classes is None else [classes] if classes == "cat" else classes
        return total(*(plain_array(stored[name]) for name in chosen))

    declared = sum(map(len, stored.values()))
    return Files("quickdraw", {"data_dir": folder, "classes": classes}, declared, truth)


READERS = {
    "npz": npz_file,
    "npy": npy_file,
    "IDX files": idx_files,
    "image files": image_files,
    "QuickDraw": quickdraw_files,
}
