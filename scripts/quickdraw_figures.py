"""What a variational code is good for, on drawings: the figures of the README.

    python train.py --variant convolutional conv_vae --dataset quickdraw --classes cat tree fish
    python scripts/quickdraw_figures.py runs/quickdraw-cat-tree-fish results/quickdraw

Reads the two runs and writes PNGs: from a cat to a tree, new drawings from both nets, the values of
their codes, and whiskers for a cat that has none.
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

PLAIN, VARIATIONAL = "convolutional", "conv_vae"
NUM_STEPS = 12
NUM_SAMPLES = 36
SEED = 0
# Among the test images of cats (seed 42, these three classes), by eye.
WITH_WHISKERS = (9, 12, 21, 57)
WITHOUT_WHISKERS = (0, 33, 34, 49)
TO_BE_GIVEN_SOME = 54


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="the folder of the two runs")
    parser.add_argument("figures", type=Path, help="where the pictures go")
    parser.add_argument("--pair", nargs=2, default=("cat", "tree"), metavar="CLASS")
    options = parser.parse_args()
    runs = {name: only_run(options.runs, name) for name in (PLAIN, VARIATIONAL)}
    models = {name: run.load_model() for name, run in runs.items()}
    split, class_names = data_of(runs[PLAIN])
    options.figures.mkdir(parents=True, exist_ok=True)
    for path in (
        draw_paths(models, split, class_names, options.pair, options.figures),
        draw_samples(models, split, options.figures),
        draw_densities(models, split, options.figures),
        draw_whiskers(models[VARIATIONAL], split, class_names, options.figures),
    ):
        print(f"wrote {path}")


def only_run(folder: Path, variant: str) -> RunDirectory:
    runs = map(RunDirectory, sorted(folder.glob(f"{variant}-*")))
    found = [run for run in runs if run.finished]
    if not found:
        raise SystemExit(f"{folder} holds no finished run of {variant}: see --help")
    return found[0]


def data_of(run: RunDirectory) -> tuple[data.Split, list[str]]:
    """The images that a run was trained on, split as they were for it."""
    image_set = load_data(read_run(run))
    return data.split(image_set, seed=run.config.request.seed), list(image_set.class_names)


def draw_paths(models, split, class_names, pair, folder: Path) -> Path:
    """From the first test image of one class to the first of another, and the cross-fade."""
    start, end = (
        split.test.images[np.flatnonzero(split.test.labels == class_names.index(name))[0]]
        for name in pair
    )
    rows = {"pixels, cross-faded": np.linspace(start, end, NUM_STEPS)}
    rows |= {name: model.interpolate(start, end, NUM_STEPS) for name, model in models.items()}
    variational = models[VARIATIONAL]
    rows[f"{VARIATIONAL}, spherical"] = variational.interpolate(
        start, end, NUM_STEPS, spherical=True
    )
    return plots.image_rows(rows, folder / f"{pair[0]}_to_{pair[1]}.png")


def draw_samples(models, split, folder: Path) -> Path:
    """New drawings: what comes out when a code is drawn at random."""
    random = np.random.default_rng(SEED)
    plain = models[PLAIN]
    codes = plain.encode(split.train.images)
    noise = random.standard_normal((NUM_SAMPLES, *plain.code_shape))
    blocks = {
        "drawings": split.test.images[:NUM_SAMPLES],
        f"{PLAIN}, N(0, I)": plain.decode(noise),
        f"{PLAIN}, own moments": plain.decode(codes.mean(axis=0) + codes.std(axis=0) * noise),
        f"{VARIATIONAL}, N(0, I)": models[VARIATIONAL].sample(NUM_SAMPLES, seed=SEED),
    }
    return plots.image_blocks(blocks, folder / "samples.png", columns=6, per_row=4)


def draw_densities(models, split, folder: Path) -> Path:
    """The values of all units of all test codes; of the variational one, drawn as in training."""
    random = np.random.default_rng(SEED)
    z_mean, z_log_var = (
        np.asarray(part) for part in models[VARIATIONAL].posterior(split.test.images)
    )
    values = {
        PLAIN: models[PLAIN].encode(split.test.images),
        f"{VARIATIONAL}, means": z_mean,
        f"{VARIATIONAL}, sampled": z_mean
        + np.exp(z_log_var / 2) * random.standard_normal(z_mean.shape),
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


def draw_whiskers(model, split, class_names, folder: Path) -> Path:
    """Cats with whiskers less cats without, and another cat: that one with whiskers."""
    cats = split.test.images[split.test.labels == class_names.index("cat")]
    plus = [cats[list(WITH_WHISKERS)], cats[TO_BE_GIVEN_SOME]]
    minus = [cats[list(WITHOUT_WHISKERS)]]
    result = model.latent_arithmetic(plus, minus)
    return plots.equation(plus, minus, result, folder / "whiskers.png")


if __name__ == "__main__":
    main()
