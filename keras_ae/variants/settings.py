"""Constructor arguments of a variant as attributes: which can be set later, and which cannot.

Every argument is an attribute of the model. Arguments that are read at each training step are
properties (`layer_setting`) or `SettableNumber`s: setting one takes effect at once, also from a
callback in a compiled epoch, and `get_config()` returns the new value. All others are fixed:
setting one raises an AttributeError (`check_settable`).
"""

from __future__ import annotations

import functools
import inspect
import operator
from typing import Any

import keras

from keras_ae.attributes import SettableNumber

# Parts of a model that would not be saved or trained if they were replaced.
PARTS = frozenset({"encoder", "bottleneck", "decoder", "discriminator", "prior", "prior_noise"})
# Constants of a class, and what a method sets (`preprocessing`).
FACTS = frozenset(
    {"can_sample", "needs_labels", "learns_prior", "fixed_epochs", "is_discrete", "has_bce"}
    | {"pixel_range", "code_shape", "code_size", "scalar_codebooks", "num_stages", "preprocessing"}
    | {"threshold", "threshold_fit", "score_names"}
)
KERAS_ARGUMENTS = frozenset({"name", "dtype", "trainable"})


def layer_setting(path: str, doc: str) -> Any:
    """A property that reads and sets an attribute of one of the model's layers.

    Args:
        path: Where the value is, from the model: "bottleneck.beta", or "encoder.noise.stddev" for
            the layer "noise" of the encoder.
        doc: The docstring.
    """
    head, _, name = path.rpartition(".")

    def owner(model: Any) -> Any:
        for part in head.split("."):
            is_network = isinstance(model, keras.Sequential)
            model = model.get_layer(part) if is_network else getattr(model, part)
        return model

    def get(model: Any) -> Any:
        return getattr(owner(model), name)

    def set_(model: Any, value: Any) -> None:
        setattr(owner(model), name, value)

    return property(get, set_, doc=doc)


def layer_value(path: str, doc: str) -> Any:
    """A read-only property with the value of an attribute of one of the model's layers."""
    return property(operator.attrgetter(path), doc=doc)


@functools.cache
def fixed_names(cls: type) -> frozenset[str]:
    """Attributes of a variant that cannot be set once they have a value."""
    own = [each for each in cls.__mro__ if each.__module__.startswith("keras_ae.")]
    names = PARTS | FACTS
    for each in own:
        if "__init__" in vars(each):
            names |= set(inspect.signature(vars(each)["__init__"]).parameters)
    names -= KERAS_ARGUMENTS | {"self", "kwargs"}
    return frozenset(name for name in names if not is_settable(getattr(cls, name, None)))


def is_settable(attribute: Any) -> bool:
    """Whether a class attribute lets instances set a value."""
    if isinstance(attribute, property):
        return attribute.fset is not None
    return isinstance(attribute, SettableNumber)


def check_settable(model: keras.Model, name: str, value: Any) -> None:
    """Raise AttributeError if `name` is a fixed attribute of a variant."""
    cls: Any = type(model)
    if name not in fixed_names(cls) or not (name in vars(model) or hasattr(cls, name)):
        return
    if name == "preprocessing":
        remedy = "use set_preprocessing"
    elif name == "threshold":
        remedy = "use fit_threshold or set_threshold"
    elif name in PARTS:
        remedy = "a variant's parts belong together; write a subclass for parts of your own"
    elif name in FACTS:
        remedy = "it belongs to the class; write a subclass to change it"
    else:
        text = repr(value)
        text = text if len(text) <= 60 and "\n" not in text else "..."
        remedy = f"create a new model with {cls.__name__}({name}={text})"
    raise AttributeError(f"{name} of a {cls.__name__} cannot be set: {remedy}.")


def check_keras_arguments(cls: type, given: dict[str, Any]) -> None:
    """Raise TypeError unless all of `given` are arguments that `keras.Model` takes and saves."""
    for name in given:
        if name in KERAS_ARGUMENTS:
            continue
        known = [*inspect.signature(cls).parameters, *KERAS_ARGUMENTS]
        known = [each for each in known if each != "kwargs"]
        if name in ("bottleneck", "corruption", "code_units"):
            remedy = (
                "This variant defines its own; write a subclass of "
                "keras_ae.variants.dense.DenseAutoencoder for parts of your own"
            )
        else:
            remedy = f"It takes {', '.join(known)}"
        raise TypeError(f"{cls.__name__}() has no argument {name!r}. {remedy}.")
