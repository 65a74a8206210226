"""Looks into a `.keras` file before Keras does: it may be damaged, or come from a stranger.

A variant's file needs three members, plain values, and objects of Keras and of this package that
are named below. Everything else is refused: layers that run code, archives and arrays that unfold
to far more than they are, and links by which HDF5 would read other files.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras

from keras_ae.checks import check_unfolded

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
OWN = "keras_ae>"
PLAIN_MODULES = {"keras.optimizers", "keras.optimizers.schedules", "keras.metrics"}
POLICIES = {"DTypePolicy", "FloatDTypePolicy"}
# Keras stores without compression, so a file unfolds to its own size.
MOST_UNFOLDED = 4
SLACK = 2**20


def load_model(path) -> keras.Model:
    """The model in a file that `check_model_file` finds nothing wrong with.

    Raises:
        ValueError: in one line, where it does.
        Exception: whatever Keras raises on a file that fits no model.
    """
    path = Path(path)
    check_model_file(path)
    return keras.models.load_model(path, safe_mode=True)


def check_model_file(path: Path) -> None:
    """Raises a ValueError, or what zipfile and h5py raise, unless the file is a variant's."""
    limit = MOST_UNFOLDED * path.stat().st_size + SLACK
    check_unfolded(path, limit)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if set(names) != MEMBERS or len(names) != len(MEMBERS):
            raise ValueError(f"it holds {', '.join(sorted(names)[:9])} instead of a variant")
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    registered = config.get("registered_name") if isinstance(config, dict) else None
    if not str(registered).startswith(OWN):
        raise ValueError(f"it holds a {registered}, which is no variant")
    for found in objects(config):
        if not is_plain(found):
            raise ValueError(f"it names {found.get('module')}.{found.get('class_name')}")
    with h5py.File(io.BytesIO(weights), "r") as file:
        check_arrays(file, limit)


def objects(value) -> Iterator[dict]:
    """Every dict in a JSON value from which Keras would make an object."""
    if isinstance(value, dict):
        if "class_name" in value or "module" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


def is_plain(found: dict) -> bool:
    """Whether making the object runs nothing but the constructors meant for it."""
    module, name = found.get("module"), found.get("class_name")
    if not isinstance(module, str) or not isinstance(name, str) or name.startswith("__"):
        return False
    if module.split(".")[0] == "keras_ae":
        return found.get("registered_name") == f"{OWN}{name}"
    own_name = found.get("registered_name") in (None, name)
    return own_name and (module in PLAIN_MODULES or (module == "keras" and name in POLICIES))


def check_arrays(file: h5py.File, limit: int) -> None:
    """Raises a ValueError for links, for arrays kept elsewhere, and for more than `limit` bytes."""
    total, waiting, seen = 0, [file], set()
    while waiting:
        group = waiting.pop()
        place = h5py.h5o.get_info(group.id).addr
        if place in seen:
            raise ValueError(f"its weights link to themselves at {group.name}")
        seen.add(place)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its weights link to something else at {name}")
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append(item)
                continue
            if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                raise ValueError(f"its weights lie in another file at {name}")
            total += item.nbytes
            if total > limit:
                raise ValueError(f"its weights unfold to {total:,} bytes")
