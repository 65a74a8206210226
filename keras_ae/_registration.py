"""Keras finds the classes of this package in saved files without importing them first.

`keras.models.load_model` knows registered classes only, and a class is registered when its module
is imported, which needs TensorFlow. So a stand-in is registered for each class; the first use
imports the class, whose own registration then replaces the stand-in.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from typing import Any


def register(classes: Mapping[str, str]) -> None:
    """Register stand-ins now if Keras is loaded, else as soon as it is.

    Args:
        classes: Module by class name.
    """
    if "keras" in sys.modules:
        _add_stand_ins(classes)
    else:
        sys.meta_path.insert(0, _AfterKeras(classes))  # pyright: ignore[reportArgumentType]


class _StandIn:
    """A stand-in for a class, which imports the class when it is used."""

    def __init__(self, module: str, name: str):
        self._module = module
        self._name = name

    def from_config(self, config: dict) -> Any:
        return self._load().from_config(config)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._load()(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)

    def _load(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)


def _add_stand_ins(classes: Mapping[str, str]) -> None:
    import keras

    registered = keras.saving.get_custom_objects()
    for name, module in classes.items():
        registered.setdefault(f"keras_ae>{name}", _StandIn(module, name))


class _AfterKeras:
    """An import hook that acts once, when Keras has been imported."""

    def __init__(self, classes: Mapping[str, str]):
        self._classes = classes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "keras":
            return None
        # Another library may only check whether Keras is installed; that imports nothing.
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)  # pyright: ignore[reportArgumentType]
                _add_stand_ins(self._classes)

            spec.loader.exec_module = exec_module
        return spec
