"""`keras-ae predict`: scores, codes and reconstructions of new images."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_ae.cli.arguments import (
    Parser,
    add_batch_size,
    add_output,
    add_run,
    at_least_zero,
    check_paths,
    finite,
    rate,
)
from keras_ae.cli.interrupts import InterruptHandler
from keras_ae.cli.startup import EXIT_FAILED, refuse, show_notices, use_model
from keras_ae.progress import counted

EXAMPLES = (
    "runs/my_photographs/vae-20d-seed42 new_photographs",
    "runs/bricks/convolutional-2048d-seed42 new_photographs --maps",
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
        metavar="NAME",
        help="the anomaly score: bce, mse, ssim, signed_residual, elbo, log_likelihood, "
        "latent_density, mahalanobis or local_residual, as far as the model has it (default: the "
        "score of the model's threshold; without a threshold mse for images that are not light "
        "drawings on black, else the reconstruction loss)",
    )
    what.add_argument(
        "--threshold",
        type=finite,
        metavar="X",
        help="images with a score above X are anomalous (default: the threshold of the model)",
    )
    what.add_argument(
        "--normal-images",
        metavar="PATH",
        help="normal images to fit the threshold to, that were not used in training; the model "
        "does not change (default: the threshold of the model)",
    )
    what.add_argument(
        "--false-positive-rate",
        type=rate,
        metavar="RATE",
        help="with --normal-images: share of normal images that may be called anomalous "
        "(default: 0.01)",
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
    output.add_argument(
        "--maps",
        action="store_true",
        help="also write where each image is anomalous, over the image, as PNG files (default: "
        "do not)",
    )
    output.add_argument(
        "--sigma",
        type=at_least_zero,
        metavar="PIXELS",
        help="with --maps: width of the Gaussian that smooths the maps, 0 for none (default: a "
        "32nd of the shorter side)",
    )
    options = parser.parse_args(list(argv))
    check_paths(parser, options, "input")
    if options.normal_images and not os.path.exists(options.normal_images):
        parser.error(f"--normal-images {options.normal_images}: does not exist")
    if options.normal_images and options.threshold is not None:
        parser.error("--threshold and --normal-images both say the threshold: leave one out")
    if options.false_positive_rate and not options.normal_images:
        parser.error(
            "--false-positive-rate needs normal images: give --normal-images PATH, or a number "
            "with --threshold"
        )
    if options.sigma is not None and not options.maps:
        parser.error(f"--sigma {options.sigma:g} smooths maps: it needs --maps")
    pictures = options.reconstructions or options.error_maps or options.maps
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
    from keras_ae.runs.scores import score_line

    done = predict_files(
        options.run,
        options.input,
        options.output,
        score=options.score,
        threshold=options.threshold,
        normal_images=options.normal_images,
        false_positive_rate=options.false_positive_rate,
        reconstructions=options.reconstructions,
        error_maps=options.error_maps,
        maps=options.maps,
        sigma=options.sigma,
        strict=options.strict,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    show_notices(prog, done.notices)
    if not options.quiet:
        words = counted(done.num_images, "prediction")
        print(f"wrote {words} to {Path(options.output)}", flush=True)
        if (fit := done.threshold_fit) is not None:
            are = "is" if done.num_anomalous == 1 else "are"
            print(
                f"{done.num_anomalous:,} of {counted(done.num_images, 'image')} {are} anomalous "
                f"(threshold {fit.threshold:.6g}, score {fit.score})",
                flush=True,
            )
        else:
            print(score_line(done.score, done.loss), flush=True)
        if done.highest is not None:
            ends = f"{done.lowest:.3g} (transparent) to {done.highest:.3g} (yellow)"
            print(f"maps: from {ends}", flush=True)
    if not done.skipped:
        return 0
    names = ", ".join(printable(name) for name, _ in done.skipped[:_NUM_NAMED])
    more = ", ..." if len(done.skipped) > _NUM_NAMED else ""
    files = counted(len(done.skipped), "unreadable file")
    return refuse(prog, f"skipped {files}: {names}{more}", EXIT_FAILED)
