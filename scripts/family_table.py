"""Make the table of the variants that are not in the bake-off, from metrics.json.

    python scripts/family_table.py results/family/mnist/metrics.json --write docs/results.md

With `--write` the table replaces the text between its two comment lines in that file. A few of the
nine bake-off variants are listed for comparison; `bake_off_table.py` makes their own tables.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tables import as_table, caption, configurations_of, format_int, format_value, run, values_of

from keras_ae.variants import BAKE_OFF

BEGIN, END = "<!-- family table -->", "<!-- end of the family table -->"
REFERENCES = ("deep", "vae", "vq_vae")
HEADING = (
    "variant",
    "code",
    "parameters",
    "BCE, mean code",
    "squared error",
    "-ELBO",
    "accuracy, few labels, converged",
    "s/epoch",
)


def is_listed(configuration: dict) -> bool:
    """Whether a configuration is in the table: not in the bake-off, or a reference."""
    in_bake_off = configuration["variant"] in BAKE_OFF
    return not in_bake_off or bool(configuration["arguments"]) or is_reference(configuration)


def is_reference(configuration: dict) -> bool:
    return configuration["variant"] in REFERENCES and not configuration["arguments"]


def family_table(metrics: dict) -> str:
    reconstructions = values_of(metrics, "reconstruction")
    accuracies = values_of(metrics, "classification")
    lines = []
    for label, configuration in configurations_of(metrics).items():
        if not is_listed(configuration):
            continue
        reconstruction = reconstructions.get(label, {})
        lines.append(
            [
                label,
                format_int(configuration["latent_dim"]),
                format_int(configuration["num_parameters"]),
                format_value(reconstruction.get("bce"), 2),
                format_value(reconstruction.get("mse"), 2),
                format_value(reconstruction.get("negative_elbo"), 2),
                format_value(accuracies.get(label, {}).get("converged"), 3),
                format_value(configuration["seconds_per_epoch"], 2),
            ]
        )
    return as_table(HEADING, lines)


def notes(metrics: dict) -> list[str]:
    """The notes of the comparisons, for example on a variant that takes labels."""
    comparisons = metrics["comparisons"]
    measured = [comparisons.get(name, {}) for name in ("reconstruction", "classification")]
    return [note for comparison in measured for note in comparison.get("notes", [])]


def table(metrics: dict) -> str:
    return "\n\n".join([family_table(metrics), " ".join([caption(metrics), *notes(metrics)])])


if __name__ == "__main__":
    run(__doc__.splitlines()[0], table, BEGIN, END)
