"""Puts the whole family side by side, from what evaluate.py measured.

    python scripts/family_table.py results/family/mnist/metrics.json --write README.md

With `--write` it replaces what stands between the table's two comment lines in that file. The
bake-off's own nine have a table of theirs; a few of them stand here to compare with.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tables import as_table, caption, configurations_of, counted, run, shown, values_of

from keras_ae.variants import BAKE_OFF

BEGIN, END = "<!-- family table -->", "<!-- end of the family table -->"
REFERENCES = ("deep", "vae", "vq_vae")
HEADING = (
    "variant",
    "code",
    "parameters",
    "BCE",
    "squared error",
    "-ELBO",
    "accuracy, few labels, converged",
    "s an epoch",
)


def belongs(configuration: dict) -> bool:
    """Whether it is of the family: no preset of the nine, but for those to compare with."""
    of_the_nine = configuration["variant"] in BAKE_OFF
    return not of_the_nine or bool(configuration["arguments"]) or is_reference(configuration)


def is_reference(configuration: dict) -> bool:
    return configuration["variant"] in REFERENCES and not configuration["arguments"]


def family_table(metrics: dict) -> str:
    reconstructions = values_of(metrics, "reconstruction")
    accuracies = values_of(metrics, "classification")
    lines = []
    for label, configuration in configurations_of(metrics).items():
        if not belongs(configuration):
            continue
        reconstruction = reconstructions.get(label, {})
        lines.append(
            [
                label,
                counted(configuration["latent_dim"]),
                counted(configuration["num_parameters"]),
                shown(reconstruction.get("bce"), 2),
                shown(reconstruction.get("mse"), 2),
                shown(reconstruction.get("negative_elbo"), 2),
                shown(accuracies.get(label, {}).get("converged"), 3),
                shown(configuration["seconds_per_epoch"], 2),
            ]
        )
    return as_table(HEADING, lines)


def notes(metrics: dict) -> list[str]:
    """What the comparisons say of single variants, such as one that is told the labels."""
    comparisons = metrics["comparisons"]
    measured = [comparisons.get(name, {}) for name in ("reconstruction", "classification")]
    return [note for comparison in measured for note in comparison.get("notes", [])]


def table(metrics: dict) -> str:
    return "\n\n".join([family_table(metrics), " ".join([caption(metrics), *notes(metrics)])])


if __name__ == "__main__":
    run(__doc__.splitlines()[0], table, BEGIN, END)
