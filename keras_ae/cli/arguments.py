"""Parsing of command-line arguments: the parser, types of values, checks of folders."""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import keras_ae

MAX_RUNS = 10_000  # of a grid


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line and knows `--version`.

    Args:
        prog: Name of the program in messages.
        description: First sentence of `--help`.
        examples: Command lines without the program's name, shown at the end of `--help`.
    """

    def __init__(self, prog: str, description: str, examples: Sequence[str]):
        lines = "\n".join(f"  {prog} {example}" for example in examples)
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"examples:\n{lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        version = f"keras_ae {keras_ae.__version__}"
        self.add_argument("--version", action="version", version=version, help="show the version")

    def error(self, message: str) -> NoReturn:
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {line} (--help shows the options)\n")

    def parse_known_args(self, args=None, namespace=None):  # pyright: ignore
        namespace, rest = super().parse_known_args(args, namespace)
        if rest:
            if problem := self._several_runs(namespace, rest):
                self.error(problem)
            options = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(rest[0].partition("=")[0], options, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
        return namespace, rest

    def _several_runs(self, namespace: argparse.Namespace, rest: Sequence[str]) -> str | None:
        """What is wrong where a pattern such as runs/* gave too many paths; else None."""
        names = [action.dest for action in self._actions if not action.option_strings]
        if "run" not in names or any(word.startswith("-") for word in rest):
            return None
        command, paths = self.prog.split()[-1], [getattr(namespace, each) for each in names]
        paths += rest
        runs = [path for path in paths if is_model(path)]
        if len(runs) > 1:
            return f"{command} takes one run; received {len(runs)}: {', '.join(runs)}"
        takes = " ".join(name.upper() for name in names)
        return f"{command} takes {takes}; received {len(paths)} paths: {', '.join(paths)}"

    def refuse_unknown(self, kind: str, names: Iterable[str], known: Sequence[str]) -> None:
        """Exit with an error if a name is unknown, suggesting the most similar one."""
        for name in names:
            if name not in known:
                self.error(unknown(kind, name, known))


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """The message for an unknown name: the most similar name, and all known names."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown {kind} {name!r}: {hint}there are {', '.join(known)}"


def at_least(minimum: int, maximum: int = 2**31 - 1) -> Callable[[str], int]:
    """An argument type: a whole number from `minimum` to `maximum`."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(
                f"needs a whole number from {minimum} to {maximum}; received {text}"
            )
        return value

    return number


def image_size(text: str) -> tuple[int, int]:
    """An argument type: `64`, or `64x48` for height x width."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) >= 1 for side in sides):
        raise argparse.ArgumentTypeError(
            f"needs a side or height x width, such as 64 or 64x48; received {text}"
        )
    return int(sides[0]), int(sides[-1])


def num_bytes(text: str) -> int:
    """An argument type: `500MB`, `4GB` or `1.5TB`, in bytes."""
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    number, unit = text[:-2], text[-2:].upper()
    try:
        value = float(number) * units[unit]
    except (KeyError, ValueError):
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"needs a size such as 500MB or 4GB; received {text}")
    return int(value)


def above_zero(text: str) -> float:
    """An argument type: a finite number above 0."""
    return _number(text, lambda value: 0.0 < value < math.inf, "a number above 0")


def finite(text: str) -> float:
    """An argument type: a finite number."""
    return _number(text, math.isfinite, "a finite number")


def at_least_zero(text: str) -> float:
    """An argument type: a finite number >= 0."""
    finite(text)
    return _number(text, lambda value: value >= 0, "a number of at least 0")


def rate(text: str) -> float:
    """An argument type: a number between 0 and 1, exclusive."""
    return _fraction(text, 0.01)


def momentum(text: str) -> float:
    """An argument type: a number between 0 and 1, exclusive, for a moving average."""
    return _fraction(text, 0.995)


def _fraction(text: str, example: float) -> float:
    needed = f"a number between 0 and 1, exclusive, such as {example}"
    return _number(text, lambda value: 0.0 < value < 1.0, needed)


def _number(text: str, allowed: Callable[[float], bool], needed: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not allowed(value):
        raise argparse.ArgumentTypeError(f"needs {needed}; received {text}")
    return value


def seeds(text: str) -> list[int]:
    """An argument type: `7`, or `1..10` for all whole numbers from 1 to 10."""
    number = at_least(0)
    first, dots, last = text.partition("..")
    if not dots:
        return [number(text)]
    ends = number(first), number(last)
    if ends[0] > ends[1] or ends[1] - ends[0] >= MAX_RUNS:
        raise argparse.ArgumentTypeError(
            f"needs a range such as 1..10, of at most {MAX_RUNS:,} numbers; received {text}"
        )
    return list(range(ends[0], ends[1] + 1))


def part(text: str) -> tuple[int, int]:
    """An argument type: `3/8`, the third of eight parts."""
    try:
        number, of = (int(word) for word in text.split("/"))
    except ValueError:
        number, of = 0, 0
    if not 1 <= number <= of:
        raise argparse.ArgumentTypeError(f"needs a part such as 1/8 to 8/8; received {text}")
    return number, of


def assignment(text: str) -> tuple[str, Any]:
    """`name=value` as a name and a Python value; a value that is not a literal is a string.

    Raises:
        ValueError: it has another form, or the name has its own option.
    """
    name, value = _name_and_value(text)
    return name, _literal(value)


def assignments(text: str) -> tuple[str, list[Any]]:
    """`name=value,value` as a name and a list of Python values; see `assignment`.

    A comma within brackets or quotes separates no values: `hidden_units=[256,64],[128,32]`.

    Raises:
        ValueError: as `assignment`, or a value is missing.
    """
    name, value = _name_and_value(text)
    words, inside, quote = [""], 0, ""
    for character in value:
        if quote or character in "'\"":
            quote = "" if character == quote else quote or character
        else:
            inside += (character in "[({") - (character in "])}")
        if character == "," and not inside and not quote:
            words.append("")
        else:
            words[-1] += character
    if not all(words):
        raise ValueError(f"--set {text}: a value is missing")
    return name, [_literal(word) for word in words]


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals and value):
        raise ValueError(f"--set needs NAME=VALUE; received {text!r}")
    if name in ("latent_dim", "seed", "image_shape"):
        raise ValueError(f"--set {text}: {name} has an option of its own or follows from the data")
    return name, value


def _literal(value: str) -> Any:
    try:
        literal = ast.literal_eval({"true": "True", "false": "False"}.get(value, value))
        # As config.json stores it: lists instead of tuples, finite numbers.
        return json.loads(json.dumps(literal, allow_nan=False))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return value


def unwritable(directory: Path) -> str | None:
    """Why nothing can be written below `directory`, or None. Creates nothing."""
    for place in (directory, *directory.absolute().parents):
        try:
            if place.exists():
                if not place.is_dir():
                    return f"{place} is not a folder"
                return None if os.access(place, os.W_OK) else f"{place} cannot be written to"
        except OSError as error:  # such as a name that is too long
            return f"{place} cannot be used: {error.strerror}"
    return None


def is_model(path: str) -> bool:
    """Whether a path looks like a trained model: a run, a `.keras` file or a SavedModel."""
    inside = ("config.json", "saved_model.pb")
    return path.endswith(".keras") or any(os.path.exists(os.path.join(path, f)) for f in inside)


def add_run(group: argparse._ArgumentGroup) -> None:
    """Add the argument RUN: the trained model that a program uses."""
    group.add_argument(
        "run", metavar="RUN", help="a run directory, a .keras file, or an exported SavedModel"
    )


def add_batch_size(group: argparse._ArgumentGroup) -> None:
    """Add the number of images in memory at a time."""
    group.add_argument(
        "--batch-size",
        type=at_least(1),
        metavar="N",
        help="images in memory at a time (default: 256, fewer if images are large)",
    )


def add_output(group: argparse._ArgumentGroup, default: str) -> None:
    """Add the options that all programs with one folder of results share."""
    group.add_argument(
        "--output",
        metavar="DIR",
        default=default,
        help="folder to write, created if it is missing (default: %(default)s)",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace existing results (default: refuse)"
    )
    group.add_argument(
        "--quiet", action="store_true", help="print only errors (default: print progress)"
    )


def check_paths(parser: Parser, options: argparse.Namespace, *names: str) -> None:
    """Exit with an error where RUN or another path is missing, or --output cannot be written."""
    for name in ("run", *names):
        path = getattr(options, name)
        if not os.path.exists(path):
            parser.error(f"{path} does not exist")
    if problem := unwritable(Path(options.output)):
        parser.error(f"--output {options.output}: {problem}")
