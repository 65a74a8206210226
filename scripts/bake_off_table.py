"""Puts the reconstruction table of trained runs beside the published one.

    python scripts/bake_off_table.py runs/mnist --write README.md

Reads the runs below RUNS on MNIST with all classes, at 20 dimensions. With
`--write` it replaces what stands between the table's two comment lines in that file.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_ae import data
from keras_ae.losses import per_image_bce
from keras_ae.runs import Run
from keras_ae.variants import VARIANTS

# T. Krokotsch's autoencoder bake-off, MNIST test set, BCE in nats per image, one seed.
PUBLISHED = {
    "shallow": 123.2,
    "deep": 63.92,
    "stacked": 87.87,
    "sparse": 64.27,
    "denoising": 75.15,
    "vae": 76.12,
    "beta_vae_strict": 86.12,
    "beta_vae_loose": 69.51,
    "vq_vae": 64.49,
}
BEGIN, END = "<!-- bake-off table -->", "<!-- end of the bake-off table -->"


def sampled_bce(model, images: np.ndarray, seed: int) -> float:
    """The mean BCE when the bottleneck works as in training: a VAE's code is then a sample."""
    tf.keras.utils.set_random_seed(seed)
    total = 0.0
    for batch in np.array_split(images, 10):
        latents = model.bottleneck(model.encoder(batch, training=False), training=True)
        logits = model.decoder(latents, training=False)
        total += float(tf.reduce_sum(per_image_bce(batch, logits)))
    return total / len(images)


def rows(runs: list[Run]) -> list[str]:
    lines = [
        "| variant | published | BCE | sampled code | latent loss | s an epoch |",
        "|---|---|---|---|---|---|",
    ]
    test = data.split(data.load("mnist")).test.images
    for name in VARIANTS:
        for run in sorted(runs, key=lambda run: len(run.directory.name)):
            request, results = run.config["request"], run.results
            if request["variant"] != name:
                continue
            sampled = sampled_bce(run.load_model(), test, request["seed"])
            noisy = abs(sampled - results["reconstruction_loss"]) > 1e-3
            words = "".join(f", {key} {value}" for key, value in request["arguments"].items())
            lines.append(
                f"| {name}{words} | {PUBLISHED.get(name, '–')} | "
                f"{results['reconstruction_loss']:.2f} | {f'{sampled:.2f}' if noisy else '–'} | "
                f"{results['latent_loss']:.2f} | {results['seconds_per_epoch']:.2f} |"
            )
    return lines


def caption(config: dict) -> str:
    """How the runs were made, in a sentence."""
    versions, request = config["versions"], config["request"]
    return (
        f"MNIST test set, nats an image; {request['epochs']} epochs, batch "
        f"{request['batch_size']}, Adam {request['learning_rate']:g}, seed {request['seed']}; "
        f"keras_ae {versions['keras_ae']}, Keras {versions['keras']}, TensorFlow "
        f"{versions['tensorflow']}, {config['device']}, {platform.machine()}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--write", type=Path, help="a file with the table's two comment lines")
    options = parser.parse_args()
    found = [Run(path.parent) for path in sorted(options.runs.glob("*/test.json"))]
    found = [
        run
        for run in found
        if run.config["request"]["dataset"] == "mnist"
        and run.config["request"]["latent_dim"] == 20
        and run.config["request"]["held_out_class"] is None
    ]
    if not found:
        parser.error(
            f"no finished 20-d runs on MNIST below {options.runs}: python train.py --variant all"
        )
    captions = {caption(run.config) for run in found}
    if len(captions) > 1:
        parser.error("the runs were not made alike: " + " | ".join(sorted(captions)))
    table = "\n".join([*rows(found), "", *captions])
    print(table)
    if options.write:
        text = options.write.read_text()
        head, rest = text.split(BEGIN)
        _, tail = rest.split(END)
        options.write.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    main()
