"""The command line: `keras-ae train ...`, `keras-ae evaluate ...`, `keras-ae predict ...`.

Nothing else imports this package, and only this package names command-line options.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import keras_ae

# Subcommand -> module with `main(argv, prog)`, and its line in `keras-ae --help`.
COMMANDS = {
    "train": ("keras_ae.cli.train", "train autoencoder variants, one run directory each"),
    "evaluate": ("keras_ae.cli.evaluate", "compare trained runs; write a report with figures"),
    "predict": ("keras_ae.cli.predict", "score, encode and reconstruct new images"),
    "decode": ("keras_ae.cli.decode", "make images from latent codes"),
    "sample": ("keras_ae.cli.sample", "make new images, for variants with a prior"),
}

EXAMPLES = (
    "train --variant sparse",
    "train --variant vae --dataset path/to/my_photographs",
    "evaluate",
    "predict runs/my_photographs/vae-20d-seed42 new_photographs",
)


def main(argv: Sequence[str] | None = None, prog: str = "keras-ae") -> int:
    """Run a subcommand; returns the exit code.

    Args:
        argv: The arguments; None for those of the process.
        prog: The name of the program in messages.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    command, rest = (words[0], words[1:]) if words else ("--help", [])
    if command in COMMANDS:
        module = importlib.import_module(COMMANDS[command][0])
        return module.main(rest, prog=f"{prog} {command}")
    if command in ("-h", "--help"):
        print(_usage(prog))
        return 0 if words else 2
    if command == "--version":
        print(f"keras-ae {keras_ae.__version__}")
        return 0
    from keras_ae.cli.arguments import unknown

    problem = unknown("command", command, list(COMMANDS))
    print(f"{prog}: error: {problem} (--help shows the commands)", file=sys.stderr)
    return 2


def _usage(prog: str) -> str:
    lines = [f"  {name:<10}{words}" for name, (_, words) in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {prog} COMMAND [OPTIONS]\n",
            "Train, compare and serve autoencoders on Keras 3 and TensorFlow.\n",
            "commands:",
            *lines,
            "\noptions:",
            "  --help     show this text; `COMMAND --help` shows the options of a command",
            "  --version  show the version\n",
            "examples:",
            *(f"  {prog} {example}" for example in EXAMPLES),
        ]
    )
