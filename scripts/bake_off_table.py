"""Make the tables of results next to the published ones, from metrics.json.

    python scripts/bake_off_table.py results/mnist/metrics.json --write docs/results.md

With `--write` the tables replace the text between their two comment lines in that file.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tables import as_table, caption, configurations_of, format_int, format_value, run, values_of

from keras_ae.evaluation.published import PUBLISHED
from keras_ae.variants import BAKE_OFF

BEGIN, END = "<!-- bake-off tables -->", "<!-- end of the bake-off tables -->"
GENERAL = (
    "variant",
    "BCE, published",
    "BCE, measured",
    "accuracy, published",
    "accuracy, published protocol",
    "accuracy, converged",
    "parameters",
    "s/epoch",
)
ANOMALY = ("variant", "published", "signed, digit 1", "BCE, digit 1")


def format_published(dataset: str, comparison: str, label: str) -> str:
    figure = PUBLISHED.get(dataset, {}).get(comparison, {}).get(label)
    return "–" if figure is None else f"{figure:g}"


def bake_off_values(metrics: dict, comparison: str) -> dict[str, dict]:
    """The values of the nine bake-off variants, by label."""
    labels = {row["label"] for row in metrics["configurations"] if row["variant"] in BAKE_OFF}
    values = values_of(metrics, comparison)
    return {label: made for label, made in values.items() if label in labels}


def general_table(metrics: dict) -> str:
    dataset = metrics["data"]["name"]
    accuracies = values_of(metrics, "classification")
    costs = configurations_of(metrics)
    lines = []
    for label, bce in bake_off_values(metrics, "reconstruction").items():
        accuracy, cost = accuracies.get(label, {}), costs[label]
        lines.append(
            [
                label,
                format_published(dataset, "reconstruction", label),
                format_value(bce.get("sampled_bce") or bce["bce"], 2),
                format_published(dataset, "classification", label),
                format_value(accuracy.get("published"), 3),
                format_value(accuracy.get("converged"), 3),
                format_int(cost["num_parameters"]),
                format_value(cost["seconds_per_epoch"], 2),
            ]
        )
    return as_table(GENERAL, lines)


def anomaly_table(metrics: dict) -> str:
    """AUCs for digit 1, and their mean over the digits if several were held out."""
    dataset, part = metrics["data"]["name"], metrics["comparisons"]["anomaly"]
    values = bake_off_values(metrics, "anomaly")
    classes = part["by_class"][0]["classes"] if part["by_class"] else []
    of_digit_1 = {
        key: {row["label"]: row["values"][classes.index("1")] for row in table["rows"]}
        for key, table in zip(("auc", "auc_signed"), part["by_class"], strict=False)
    }

    def digit(label: str, key: str) -> str:
        if not classes:
            return format_value(values[label][key], 3)
        return f"{of_digit_1[key][label]:.3f}"

    heading, lines = list(ANOMALY), []
    if classes:
        digits = f"digits {', '.join(classes)}"
        heading += [f"BCE, {digits}", f"signed, {digits}"]
    for label, made in values.items():
        line = [label, format_published(dataset, "anomaly", label)]
        line += [digit(label, "auc_signed"), digit(label, "auc")]
        line += (
            [format_value(made["auc"], 3), format_value(made["auc_signed"], 3)] if classes else []
        )
        lines.append(line)
    return as_table(heading, lines)


def tables(metrics: dict) -> str:
    return "\n\n".join([general_table(metrics), anomaly_table(metrics), caption(metrics)])


if __name__ == "__main__":
    run(__doc__.splitlines()[0], tables, BEGIN, END)
