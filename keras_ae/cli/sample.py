"""`keras-ae sample`: new images from the prior of a model."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_ae.cli.arguments import Parser, add_output, add_run, at_least, check_paths
from keras_ae.cli.interrupts import InterruptHandler
from keras_ae.cli.startup import use_model
from keras_ae.progress import counted

EXAMPLES = (
    "runs/mnist/vae-20d-seed42",
    "model.keras -n 100 --seed 7 --output samples",
    "exported_model -n 16 --output samples --overwrite",
)


def main(argv: Sequence[str] | None = None, prog: str = "keras-ae sample") -> int:
    """Run the program; returns the exit code.

    Args:
        argv: The arguments; None for those of the process.
        prog: The name of the program in messages.
    """
    options = parse(list(sys.argv[1:] if argv is None else argv), prog)
    return use_model(prog, functools.partial(_sample, options), "images")


def parse(argv: Sequence[str], prog: str = "keras-ae sample") -> argparse.Namespace:
    """The options, checked as far as possible without TensorFlow; exits where they are wrong."""
    parser = Parser(
        prog,
        "Make new images from the prior of a model, as PNG files and a contact sheet samples.png.",
        EXAMPLES,
    )
    what = parser.add_argument_group("what to sample")
    add_run(what)
    what.add_argument(
        "-n",
        type=at_least(1),
        default=64,
        dest="num_samples",
        metavar="N",
        help="number of images (default: %(default)s)",
    )
    what.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="random seed; the same seed gives the same images (default: %(default)s)",
    )
    add_output(parser.add_argument_group("output"), "samples")
    options = parser.parse_args(list(argv))
    check_paths(parser, options)
    return options


def _sample(options: argparse.Namespace, _: InterruptHandler) -> int:
    from keras_ae.prediction.images import CONTACT_SHEET, sample_images

    on_sheet = sample_images(
        options.run,
        options.num_samples,
        options.seed,
        options.output,
        overwrite=options.overwrite,
    )
    if not options.quiet:
        folder, number = Path(options.output), options.num_samples
        rest = "" if on_sheet == number else f", which has the first {on_sheet}"
        print(f"wrote {counted(number, 'image')} to {folder}; see {folder / CONTACT_SHEET}{rest}")
    return 0
