"""Safe loading of `.keras` files, which may be corrupt or untrusted.

The file of a variant has three members, plain values, and objects of Keras and of this package
that are listed below. Everything else is refused: layers that run code, archives and arrays that
expand to far more than their size, and links by which HDF5 would read other files.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from keras_ae.checks import check_expansion, one_line

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
PREFIX = "keras_ae>"  # of the registered names of this package's classes
ALLOWED_MODULES = {"keras.optimizers", "keras.optimizers.schedules", "keras.metrics"}
ALLOWED_POLICIES = {"DTypePolicy", "FloatDTypePolicy"}
# Keras stores without compression, so a file expands to its own size.
MAX_EXPANSION = 4
OVERHEAD = 2**20


def load_model(path: str | Path) -> Any:
    """Load a saved autoencoder safely: no code from the file is executed.

    The file is checked first (see `check_model_file`) and then loaded by
    `keras.models.load_model(path, safe_mode=True)`.

    Example:
        model.save("vae.keras")
        model = keras_ae.load_model("vae.keras")

    Args:
        path: A `.keras` file of a variant.

    Returns:
        The model, compiled as it was when it was saved.

    Raises:
        ValueError: the file holds something other than a variant, or more than a variant needs; one
            line that says what.
        OSError: the file cannot be read.
        Exception: any error of Keras for a file that does not fit its model.
    """
    path = Path(path)
    try:
        register_variant(check_model_file(path))
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not the file of a variant: {one_line(error)}") from error
    return keras.models.load_model(path, safe_mode=True)


def register_variant(config: dict[str, Any]) -> None:
    """Import the variant named in a checked config, so that Keras finds it registered.

    Raises:
        ValueError: the config names no variant of this version.
    """
    registered_name, module = config["registered_name"], str(config.get("module"))
    if re.fullmatch(r"keras_ae\.variants\.[a-z0-9_]+", module):
        with contextlib.suppress(ImportError):  # a variant of another version
            importlib.import_module(module)
    found = keras.saving.get_registered_object(registered_name)
    if not (isinstance(found, type) and issubclass(found, keras.Model)):
        raise ValueError(f"it holds a {registered_name}, which is no variant of this version")


def check_model_file(path: str | Path) -> dict[str, Any]:
    """Check that a file is the `.keras` file of a variant and safe to load.

    Returns:
        The config of the model.

    Raises:
        ValueError: it is not, in one line; or what zipfile and h5py raise on a corrupt file.
        OSError: the file cannot be read.
    """
    path = Path(path)
    limit = MAX_EXPANSION * path.stat().st_size + OVERHEAD
    check_expansion(path, limit)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if set(names) != MEMBERS or len(names) != len(MEMBERS):
            raise ValueError(f"it holds {', '.join(sorted(names)[:9])} instead of a variant")
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    registered = config.get("registered_name") if isinstance(config, dict) else None
    if not str(registered).startswith(PREFIX):
        raise ValueError(f"it holds a {registered}, which is no variant")
    for found in serialized_objects(config):
        if not is_allowed(found):
            raise ValueError(f"it names {found.get('module')}.{found.get('class_name')}")
    with h5py.File(io.BytesIO(weights), "r") as file:
        check_arrays(file, limit)
    return config


def serialized_objects(value: Any) -> Iterator[dict]:
    """Every dict in a JSON value from which Keras would create an object."""
    if isinstance(value, dict):
        if "class_name" in value or "module" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from serialized_objects(item)


def is_allowed(found: dict) -> bool:
    """Whether creating the object calls allowed constructors only."""
    module, name = found.get("module"), found.get("class_name")
    if not isinstance(module, str) or not isinstance(name, str) or name.startswith("__"):
        return False
    if module.split(".")[0] == "keras_ae":
        return found.get("registered_name") == f"{PREFIX}{name}"
    own_name = found.get("registered_name") in (None, name)
    return own_name and (
        module in ALLOWED_MODULES or (module == "keras" and name in ALLOWED_POLICIES)
    )


def check_arrays(file: h5py.File, limit: int) -> None:
    """Raise ValueError for links, arrays in other files, and more than `limit` bytes."""
    pending: list[h5py.Group] = [file]
    total, seen = 0, set()
    while pending:
        group = pending.pop()
        address = h5py.h5o.get_info(group.id).addr  # pyright: ignore[reportAttributeAccessIssue]
        if address in seen:
            raise ValueError(f"its weights link to themselves at {group.name}")
        seen.add(address)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its weights link to something else at {name}")
            item = group[name]
            if isinstance(item, h5py.Group):
                pending.append(item)
                continue
            if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                raise ValueError(f"its weights are stored in another file at {name}")
            total += item.nbytes
            if total > limit:
                raise ValueError(f"its weights expand to {total:,} bytes")
