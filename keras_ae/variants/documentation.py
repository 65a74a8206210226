"""`@variant`: register a class with Keras and complete its docstring.

A variant's docstring describes its own arguments. The arguments that all variants share are
described once, in `SHARED_ARGUMENTS`, and added to every docstring in the order of the signature.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TypeVar

import keras

SHARED_ARGUMENTS = {
    "image_shape": "Shape of one image: `(height, width)` or `(height, width, channels)`.",
    "latent_dim": "Size of the latent code, >= 1.",
    "hidden_units": (
        "Widths of the encoder's hidden layers, outermost first; the decoder mirrors them. A "
        "single number is one layer, `()` is none. Default: two layers sized by `latent_dim`, "
        "(341, 113) for 20 dimensions and (146, 20) for 2."
    ),
    "filters": (
        "Filters of each convolution, outermost first, each >= 1. A single number is one "
        "convolution."
    ),
    "activation": (
        'Activation of the hidden layers: the name of a Keras activation, such as "relu" or "selu".'
    ),
    "batch_normalization": "Whether the hidden layers use batch normalization.",
    "tied": (
        "Whether the decoder uses the encoder's kernels, transposed. Only where the code is as "
        "wide as the encoder's output: not with a Gaussian code."
    ),
    "beta": "Weight of the KL divergence, >= 0; 1 is the evidence lower bound. Can be set later.",
    "kl_warmup_epochs": (
        "The weight of the KL divergence rises from 0 to `beta` over this many epochs, >= 0 "
        "(Sonderby et al., arXiv 1602.02282, section 2.3); 0 starts with `beta`."
    ),
    "reconstruction_loss": (
        '"bce", binary cross-entropy, or "mse", squared error; both are summed over the pixels '
        "of an image."
    ),
    "output_activation": (
        '"sigmoid"; with "mse" also "linear", or "tanh" for images with pixels in [-1, 1].'
    ),
    "seed": (
        "Seed of the shuffling and of all noise, a whole number >= 0, or None. Initial weights "
        "follow `keras.utils.set_random_seed`."
    ),
    "kwargs": "`name`, `dtype` and `trainable`, as in `keras.Model`.",
}
SECTION = re.compile(r"^(Args|Raises|Returns|Example):\n", re.MULTILINE)
ENTRY = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):", re.MULTILINE)

Class = TypeVar("Class", bound=type)


def variant(cls: Class) -> Class:
    """Class decorator: complete the docstring, register the class as `keras_ae>Name`."""
    document(cls)
    keras.saving.register_keras_serializable(package="keras_ae")(cls)
    return cls


def document(cls: Class) -> Class:
    """Class decorator: complete the docstring of a class that is not saved by itself."""
    if cls.__doc__ is not None:  # python -OO has none
        cls.__doc__ = complete_docstring(inspect.cleandoc(cls.__doc__), cls.__init__)
    return cls


def complete_docstring(text: str, function) -> str:
    """`text` with an entry in its Args section for every argument of `function`, in order."""
    before, described, after = split_args(text)
    entries = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self":
            continue
        entry = described.get(name)
        if entry is None:
            stars = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}
            label = stars.get(parameter.kind, "") + name
            entry = textwrap.fill(
                f"{label}: {SHARED_ARGUMENTS[name]}",
                94,
                initial_indent="    ",
                subsequent_indent="        ",
            )
        entries.append(entry)
    sections = [before.rstrip(), "Args:\n" + "\n".join(entries), after.strip("\n")]
    return "\n\n".join(part for part in sections if part) + "\n"


def split_args(text: str) -> tuple[str, dict[str, str], str]:
    """A docstring without its Args section, cut there, and that section's entries by name."""
    sections = list(SECTION.finditer(text))
    args = next((match for match in sections if match[1] == "Args"), None)
    if args is None:
        start = end = next((match.start() for match in sections), len(text))
        body = ""
    else:
        start = args.start()
        end = next((match.start() for match in sections if match.start() > start), len(text))
        body = text[args.end() : end]
    starts = [match.start() for match in ENTRY.finditer(body)]
    entries = {}
    ends = [*starts[1:], len(body)] if starts else []
    for begin, stop in zip(starts, ends, strict=True):
        entry = body[begin:stop].rstrip()
        for name in ENTRY.match(entry)[1].split(", "):  # type: ignore[index]
            entries[name.lstrip("*")] = entry
    return text[:start], entries, text[end:]
