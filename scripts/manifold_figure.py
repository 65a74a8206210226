r"""Draw the decoded images on a grid over a 2-D latent space.

    python train.py --variant vae --latent-dim 2 --dataset mnist --output-dir runs/manifold
    python scripts/manifold_figure.py \
        runs/manifold/mnist/vae-2d-seed42 docs/results/family/manifold.png

The grid points are spaced by equal probability under N(0, I).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_ae.evaluation import plots
from keras_ae.runs.run_directory import RunDirectory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the directory of a run with a 2-d Gaussian code")
    parser.add_argument("figure", type=Path, help="the PNG to write")
    parser.add_argument(
        "--num", type=int, default=20, help="images per row and column (default: 20)"
    )
    options = parser.parse_args()
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    try:
        images = RunDirectory(options.run).load_model().manifold(options.num)
    except ValueError as error:
        raise SystemExit(f"manifold_figure.py: error: {error}") from error
    print(f"wrote {plots.manifold_grid(images, options.figure)}")


if __name__ == "__main__":
    main()
