"""Draw the QuickDraw figures: an autoencoder and a VAE on drawings.

    python train.py --variant convolutional conv_vae --dataset quickdraw --classes cat tree fish
    python scripts/quickdraw_figures.py runs/quickdraw-cat-tree-fish docs/results/quickdraw

Reads the two runs and writes four PNG files: interpolations, random samples, histograms of the code
values, and latent arithmetic (adding whiskers to a cat).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_ae import data
from keras_ae.evaluation import plots
from keras_ae.evaluation.evaluation import load_data
from keras_ae.runs.catalog import read_run
from keras_ae.runs.run_directory import RunDirectory

AUTOENCODER, VAE = "convolutional", "conv_vae"
NUM_STEPS = 12
NUM_SAMPLES = 36
SEED = 0
# Indices of test images of cats (seed 42, these three classes), chosen by eye.
WITH_WHISKERS = (9, 12, 21, 57)
WITHOUT_WHISKERS = (0, 33, 34, 49)
TARGET_CAT = 54


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="the folder of the two runs")
    parser.add_argument("figures", type=Path, help="the output folder")
    parser.add_argument("--pair", nargs=2, default=("cat", "tree"), metavar="CLASS")
    options = parser.parse_args()
    runs = {name: only_run(options.runs, name) for name in (AUTOENCODER, VAE)}
    models = {name: run.load_model() for name, run in runs.items()}
    split, class_names = load_split(runs[AUTOENCODER])
    options.figures.mkdir(parents=True, exist_ok=True)
    for path in (
        draw_interpolations(models, split, class_names, options.pair, options.figures),
        draw_samples(models, split, options.figures),
        draw_densities(models, split, options.figures),
        draw_arithmetic(models[VAE], split, class_names, options.figures),
    ):
        print(f"wrote {path}")


def only_run(folder: Path, variant: str) -> RunDirectory:
    runs = map(RunDirectory, sorted(folder.glob(f"{variant}-*")))
    found = [run for run in runs if run.finished]
    if not found:
        raise SystemExit(
            f"{folder} contains no finished run of {variant}; train it first (see --help)"
        )
    return found[0]


def load_split(run: RunDirectory) -> tuple[data.Split, list[str]]:
    """The split of the images that a run was trained on, and the class names."""
    image_set = load_data(read_run(run))
    return data.split(image_set, seed=run.config.request.seed), list(image_set.class_names)


def draw_interpolations(models, split, class_names, pair, folder: Path) -> Path:
    """Interpolations between the first test images of two classes, and a cross-fade of pixels."""
    start, end = (
        split.test.images[np.flatnonzero(split.test.labels == class_names.index(name))[0]]
        for name in pair
    )
    rows = {"pixels, cross-faded": np.linspace(start, end, NUM_STEPS)}
    rows |= {name: model.interpolate(start, end, NUM_STEPS) for name, model in models.items()}
    vae = models[VAE]
    rows[f"{VAE}, spherical"] = vae.interpolate(start, end, NUM_STEPS, spherical=True)
    return plots.image_rows(rows, folder / f"{pair[0]}_to_{pair[1]}.png")


def draw_samples(models, split, folder: Path) -> Path:
    """Images decoded from random codes, next to real drawings."""
    random = np.random.default_rng(SEED)
    autoencoder = models[AUTOENCODER]
    codes = autoencoder.encode(split.train.images)
    noise = random.standard_normal((NUM_SAMPLES, *autoencoder.code_shape))
    blocks = {
        "drawings": split.test.images[:NUM_SAMPLES],
        f"{AUTOENCODER}, N(0, I)": autoencoder.decode(noise),
        f"{AUTOENCODER}, own moments": autoencoder.decode(
            codes.mean(axis=0) + codes.std(axis=0) * noise
        ),
        f"{VAE}, N(0, I)": models[VAE].sample(NUM_SAMPLES, seed=SEED),
    }
    return plots.image_blocks(blocks, folder / "samples.png", columns=6, per_row=4)


def draw_densities(models, split, folder: Path) -> Path:
    """Histograms of the code values of all test images; for the VAE also of sampled codes."""
    random = np.random.default_rng(SEED)
    z_mean, z_log_var = (np.asarray(part) for part in models[VAE].posterior(split.test.images))
    values = {
        AUTOENCODER: models[AUTOENCODER].encode(split.test.images),
        f"{VAE}, means": z_mean,
        f"{VAE}, sampled": z_mean + np.exp(z_log_var / 2) * random.standard_normal(z_mean.shape),
    }
    densities, notes = {}, {}
    for name, codes in values.items():
        low, high = np.quantile(codes, (0.001, 0.999))
        density, edges = np.histogram(codes.ravel(), bins=80, range=(low, high), density=True)
        densities[name] = (edges, density)
        notes[name] = f"mean {codes.mean():.2f}\nstd {codes.std():.2f}"
    x = np.linspace(-4, 4, 200)
    normal = (x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))
    return plots.density_grid(
        densities, notes, "value of a code unit; the line is N(0, 1)", folder / "densities.png",
        reference=normal,
    )  # fmt: skip


def draw_arithmetic(model, split, class_names, folder: Path) -> Path:
    """Latent arithmetic: cats with whiskers - cats without + another cat."""
    cats = split.test.images[split.test.labels == class_names.index("cat")]
    plus = [cats[list(WITH_WHISKERS)], cats[TARGET_CAT]]
    minus = [cats[list(WITHOUT_WHISKERS)]]
    result = model.latent_arithmetic(plus, minus)
    return plots.equation(plus, minus, result, folder / "whiskers.png")


if __name__ == "__main__":
    main()
