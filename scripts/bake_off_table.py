"""Tables of our results beside the published ones, from the metrics of an evaluation.

    python scripts/bake_off_table.py results/mnist/metrics.json --write README.md

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
    "ours",
    "accuracy, published",
    "ours, as published",
    "ours, converged",
    "parameters",
    "s/epoch",
)
NOVELTY = ("variant", "published", "signed, digit 1", "BCE, digit 1")


def published(dataset: str, comparison: str, label: str) -> str:
    figure = PUBLISHED.get(dataset, {}).get(comparison, {}).get(label)
    return "–" if figure is None else f"{figure:g}"


def of_the_nine(metrics: dict, comparison: str) -> dict[str, dict]:
    """The values of the variants that were published, by label."""
    nine = {row["label"] for row in metrics["configurations"] if row["variant"] in BAKE_OFF}
    values = values_of(metrics, comparison)
    return {label: made for label, made in values.items() if label in nine}


def general_table(metrics: dict) -> str:
    dataset = metrics["data"]["name"]
    accuracies = values_of(metrics, "classification")
    costs = configurations_of(metrics)
    lines = []
    for label, bce in of_the_nine(metrics, "reconstruction").items():
        accuracy, cost = accuracies.get(label, {}), costs[label]
        lines.append(
            [
                label,
                published(dataset, "reconstruction", label),
                format_value(bce.get("sampled_bce") or bce["bce"], 2),
                published(dataset, "classification", label),
                format_value(accuracy.get("published"), 3),
                format_value(accuracy.get("converged"), 3),
                format_int(cost["num_parameters"]),
                format_value(cost["seconds_per_epoch"], 2),
            ]
        )
    return as_table(GENERAL, lines)


def novelty_table(metrics: dict) -> str:
    """AUCs of digit 1, and the mean over the digits where several were held out."""
    dataset, part = metrics["data"]["name"], metrics["comparisons"]["anomaly"]
    values = of_the_nine(metrics, "anomaly")
    classes = part["by_class"][0]["classes"] if part["by_class"] else []
    of_one = {
        key: {row["label"]: row["values"][classes.index("1")] for row in table["rows"]}
        for key, table in zip(("auc", "auc_signed"), part["by_class"], strict=False)
    }

    def digit(label: str, key: str) -> str:
        if not classes:
            return format_value(values[label][key], 3)
        return f"{of_one[key][label]:.3f}"

    heading, lines = list(NOVELTY), []
    if classes:
        digits = f"digits {', '.join(classes)}"
        heading += [f"BCE, {digits}", f"signed, {digits}"]
    for label, made in values.items():
        line = [label, published(dataset, "anomaly", label)]
        line += [digit(label, "auc_signed"), digit(label, "auc")]
        line += (
            [format_value(made["auc"], 3), format_value(made["auc_signed"], 3)] if classes else []
        )
        lines.append(line)
    return as_table(heading, lines)


def tables(metrics: dict) -> str:
    return "\n\n".join([general_table(metrics), novelty_table(metrics), caption(metrics)])


if __name__ == "__main__":
    run(__doc__.splitlines()[0], tables, BEGIN, END)
