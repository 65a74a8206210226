"""`keras-ae decode`: images from latent codes."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_ae.cli.arguments import Parser, add_batch_size, add_output, add_run, check_paths
from keras_ae.cli.interrupts import InterruptHandler
from keras_ae.cli.startup import use_model
from keras_ae.progress import counted

EXAMPLES = (
    "runs/mnist/vae-20d-seed42 predictions/codes.npy",
    "model.keras codes.npy --output images --overwrite",
    "exported_model codes.npy --output images --batch-size 64",
)


def main(argv: Sequence[str] | None = None, prog: str = "keras-ae decode") -> int:
    """Run the program; returns the exit code.

    Args:
        argv: The arguments; None for those of the process.
        prog: The name of the program in messages.
    """
    options = parse(list(sys.argv[1:] if argv is None else argv), prog)
    return use_model(prog, functools.partial(_decode, options), "images")


def parse(argv: Sequence[str], prog: str = "keras-ae decode") -> argparse.Namespace:
    """The options, checked as far as possible without TensorFlow; exits where they are wrong."""
    parser = Parser(prog, "Make images from latent codes, as PNG files.", EXAMPLES)
    what = parser.add_argument_group("what to decode")
    add_run(what)
    what.add_argument(
        "codes",
        metavar="CODES",
        help="a .npy file of codes, such as codes.npy of keras-ae predict",
    )
    add_batch_size(what)
    add_output(parser.add_argument_group("output"), "decoded")
    options = parser.parse_args(list(argv))
    check_paths(parser, options, "codes")
    return options


def _decode(options: argparse.Namespace, _: InterruptHandler) -> int:
    from keras_ae.prediction.images import decode_codes

    number = decode_codes(
        options.run,
        options.codes,
        options.output,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    if not options.quiet:
        print(f"wrote {counted(number, 'image')} to {Path(options.output)}", flush=True)
    return 0
