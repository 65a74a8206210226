"""`keras-ae predict`: scores, codes and reconstructions of new images."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_ae.cli.arguments import Parser, add_batch_size, add_output, add_run, check_paths
from keras_ae.cli.interrupts import InterruptHandler
from keras_ae.cli.startup import EXIT_FAILED, refuse, show_notices, use_model
from keras_ae.progress import counted

EXAMPLES = (
    "runs/my_photographs/vae-20d-seed42 new_photographs",
    "model.keras new_photographs --output scores --reconstructions --error-maps",
    "exported_model images.npy --output scores --batch-size 64 --overwrite",
)
_NUM_NAMED = 20  # skipped files that are named


def main(argv: Sequence[str] | None = None, prog: str = "keras-ae predict") -> int:
    """Run the program; returns the exit code.

    Args:
        argv: The arguments; None for those of the process.
        prog: The name of the program in messages.
    """
    options = parse(list(sys.argv[1:] if argv is None else argv), prog)
    return use_model(prog, functools.partial(_predict, options, prog), "results")


def parse(argv: Sequence[str], prog: str = "keras-ae predict") -> argparse.Namespace:
    """The options, checked as far as possible without TensorFlow; exits where they are wrong."""
    parser = Parser(
        prog,
        "Score, encode and reconstruct new images with a trained model. Writes predictions.csv "
        "and codes.npy.",
        EXAMPLES,
    )
    what = parser.add_argument_group("what to predict")
    add_run(what)
    what.add_argument(
        "input",
        metavar="INPUT",
        help="a folder of image files, an image file, or a .npy or .npz array",
    )
    what.add_argument(
        "--score",
        choices=("bce", "mse", "signed_residual"),
        help="the anomaly score: binary cross-entropy in nats, squared error, or the sum of "
        "reconstruction - image (default: the reconstruction loss of the model)",
    )
    what.add_argument(
        "--strict",
        action="store_true",
        help="refuse files that cannot be read as images (default: skip them, and say so)",
    )
    add_batch_size(what)
    output = parser.add_argument_group("output")
    add_output(output, "predictions")
    output.add_argument(
        "--reconstructions",
        action="store_true",
        help="also write the reconstructions as PNG files (default: do not)",
    )
    output.add_argument(
        "--error-maps",
        action="store_true",
        help="also write the absolute error of each pixel as PNG files (default: do not)",
    )
    options = parser.parse_args(list(argv))
    check_paths(parser, options, "input")
    pictures = options.reconstructions or options.error_maps
    if pictures and os.path.isdir(options.input):
        inside, folder = Path(options.output).resolve(), Path(options.input).resolve()
        if folder in (inside, *inside.parents):
            parser.error(
                f"--output {options.output} is in {options.input}, so the PNG files would become "
                "images of it: choose another folder"
            )
    return options


def _predict(options: argparse.Namespace, prog: str, _: InterruptHandler) -> int:
    from keras_ae.data.contents import printable
    from keras_ae.prediction.predict import predict_files

    done = predict_files(
        options.run,
        options.input,
        options.output,
        score=options.score,
        reconstructions=options.reconstructions,
        error_maps=options.error_maps,
        strict=options.strict,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    show_notices(prog, done.notices)
    if not options.quiet:
        words = counted(done.num_images, "prediction")
        print(f"wrote {words} to {Path(options.output)}", flush=True)
    if not done.skipped:
        return 0
    names = ", ".join(printable(name) for name, _ in done.skipped[:_NUM_NAMED])
    more = ", ..." if len(done.skipped) > _NUM_NAMED else ""
    files = counted(len(done.skipped), "unreadable file")
    return refuse(prog, f"skipped {files}: {names}{more}", EXIT_FAILED)
