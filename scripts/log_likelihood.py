"""Estimate log p(x) of a run's test images by importance sampling.

    python scripts/log_likelihood.py runs/mnist_bernoulli/vae-20d-seed42

For variants with a Gaussian code that were trained with `--binarize`. For gray images the result is
not a likelihood; the program prints a warning.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_ae import data
from keras_ae.evaluation.evaluation import load_data
from keras_ae.runs.catalog import read_run
from keras_ae.runs.run_directory import RunDirectory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run directory of train.py")
    parser.add_argument(
        "--num-samples", type=int, default=5000, help="draws per image (default: 5000)"
    )
    parser.add_argument(
        "--num-images", type=int, default=1000, help="test images, drawn at random (default: 1000)"
    )
    parser.add_argument(
        "--seed", type=int, default=42, help="random seed of the images and the draws (default: 42)"
    )
    parser.add_argument(
        "--data-dir", help="folder of prepared data sets (default: that of the training)"
    )
    options = parser.parse_args()
    try:
        print(json.dumps(estimate(options), indent=2))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def estimate(options: argparse.Namespace) -> dict:
    run = read_run(RunDirectory(options.run))
    model = run.run.load_model()
    test = data.split(load_data(run, options.data_dir), seed=run.request.seed).test
    if run.held_out is not None:
        test = test.where(test.labels != run.data.held_out_index)
    if set(np.unique(test.images)) - {0.0, 1.0}:
        print(
            "warning: gray images, so this is not a likelihood; train with --binarize",
            file=sys.stderr,
        )
    first = test.where(np.arange(len(test)) < 1)
    if model.posterior(model.pack_inputs(first.images, first.labels)) is None:
        raise ValueError(f"{run.request.variant} has no likelihood: its code is not Gaussian")
    order = np.random.default_rng(options.seed).permutation(len(test))
    chosen = test.where(np.sort(order[: options.num_images]))
    log_likelihoods = model.log_likelihood(
        model.pack_inputs(chosen.images, chosen.labels), options.num_samples, seed=options.seed
    )
    return {
        "run": str(options.run),
        "num_images": len(log_likelihoods),
        "num_samples": options.num_samples,
        "negative_log_likelihood": -log_likelihoods.mean(),
        "standard_error": log_likelihoods.std() / np.sqrt(len(log_likelihoods)),
    }


if __name__ == "__main__":
    main()
