"""QuickDraw: drawings of 28x28 pixels in 345 classes, one `.npy` file per class."""

from __future__ import annotations

import os
import shutil
import sys
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from keras_ae.checks import one_line
from keras_ae.data import network
from keras_ae.data.contents import Contents
from keras_ae.data.image_set import DataError, hint, listed
from keras_ae.data.numpy_files import class_files, read_class_arrays
from keras_ae.data.storage import Storage
from keras_ae.files import atomic_write, cache_dir

_URL = "https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/"


def read(
    data_dir: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
    storage: Storage | None = None,
) -> Contents:
    """Read classes of QuickDraw from `data_dir`; download those that are missing.

    Args:
        data_dir: The folder of the `<class>.npy` files. Default: `$QUICKDRAW_DIR`, else
            `quickdraw` in the cache folder.
        classes: The classes, in this order. Default: all classes in the folder.
        storage: Where the images are kept; None for memory, where they fit.

    Raises:
        DataError: the folder has no classes, a download fails, or a file is damaged.
    """
    default = os.environ.get("QUICKDRAW_DIR") or cache_dir() / "quickdraw"
    folder = Path(data_dir or default).expanduser()
    on_disk = class_files(folder) if folder.is_dir() else {}
    if classes is None and not on_disk:
        raise DataError(
            f"No class of quickdraw is in {folder}: choose some with classes (cat, fish, ...), or "
            "set QUICKDRAW_DIR to a folder of <class>.npy files."
        )
    for name in classes or ():
        if name not in on_disk:
            _download(name, folder / f"{name}.npy", tuple(on_disk))
    files = {name: on_disk.get(name, [folder / f"{name}.npy"]) for name in classes or on_disk}
    return read_class_arrays(files, storage)


def _download(name: str, path: Path, on_disk: Sequence[str]) -> None:
    """Download one class to `path`."""
    url = f"{_URL}{urllib.parse.quote(name)}.npy"
    problem = network.network_problem(url)
    if problem is None:
        print(f"Downloading {name} of quickdraw to {path} ...", file=sys.stderr, flush=True)
        try:
            atomic_write(path, lambda temporary: _copy(url, temporary), shared=True)
            return
        except Exception as error:  # the network, the disk, or an incomplete answer
            problem = one_line(error)
    raise DataError(
        f"The class {name!r} of quickdraw is not in {path.parent} ({listed(on_disk)}) and cannot "
        f"be downloaded ({problem}).{hint(name, on_disk)} "
        'Set QUICKDRAW_DIR to a folder of <class>.npy files, or load "digits" instead.'
    )


def _copy(url: str, path: Path) -> None:
    """Copy `url` to `path`; raises a DataError if the download is incomplete."""
    with urllib.request.urlopen(url, timeout=60) as response, open(path, "wb") as file:
        shutil.copyfileobj(response, file)
        announced = response.headers.get("Content-Length")
        received = file.tell()
    if announced is not None and received != int(announced):
        raise DataError(f"received {received} of {announced} bytes")
