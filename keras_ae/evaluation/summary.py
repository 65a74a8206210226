"""Summary of an evaluation: table rows with spreads over seeds, rankings, configurations.

Nothing here imports Keras or TensorFlow.
"""

from __future__ import annotations

import math
import shlex
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ae.anomaly.detection import RATES
from keras_ae.evaluation.comparisons import Column, Comparison
from keras_ae.evaluation.comparisons.base import Result
from keras_ae.evaluation.published import COMPARABLE, PUBLISHED, PUBLISHED_CLASS
from keras_ae.progress import counted
from keras_ae.runs.references import COLLAPSED

if TYPE_CHECKING:
    from keras_ae.runs.catalog import TrainedRun

LEVEL = 0.05  # significance level of a ranking; 1 - LEVEL is the confidence of an interval
FEW = 10  # test images of a kind; numbers from fewer are marked
INTERVALS = "95% confidence intervals of the means (Student's t over the seeds)"
FEW_IMAGES = 200  # below it an accuracy has steps of more than half a percent


def summarize(
    name: str,
    comparison: Comparison,
    results: list[Result],
    baselines: list[Result],
    dataset: str,
    labeled: bool = True,
    of_defects: bool = False,
) -> dict[str, Any]:
    """The part of a comparison in `metrics.json`, except for its figures.

    Args:
        name: Name of the comparison.
        comparison: Its entry in the registry.
        results: At least one measured run.
        baselines: The baselines, for each held-out class.
        dataset: Name of the data set, to find published figures. They are shown beside the labels
            whose runs all follow the protocol of the bake-off.
        labeled: Whether the images have labels.
        of_defects: Whether one class is in training and others are in the test.
    """
    columns = [column for column in comparison.columns if has_values(column, results, baselines)]
    left_out = [column for column in comparison.columns if column not in columns]
    columns = columns or [comparison.columns[0]]
    held_out = sorted({result.held_out for result in results if result.held_out is not None})
    common = common_classes(results)
    used = [result for result in results if result.held_out in common]
    published = {}
    if not comparison.held_out or common == {PUBLISHED_CLASS}:
        others = {result.label for result in results if not result.follows_bake_off}
        figures = PUBLISHED.get(dataset, {}).get(name, {})
        published = {label: figures[label] for label in figures if label not in others}
    published_shown = any(result.label in published for result in used)
    sentences = [
        (comparison.of_defects if of_defects else "") or comparison.summary,
        comparison.with_labels * labeled,
        comparison.with_published * published_shown,
    ]
    return {
        "title": comparison.title,
        "summary": " ".join(filter(None, sentences)),
        "columns": [vars(column) for column in columns],
        "rows": [
            *make_rows(used, columns, "variant", published),
            *make_rows([one for one in baselines if one.held_out in common], columns, "baseline"),
        ],
        "published_column": COMPARABLE.get(name),
        "best_in_row": comparison.best_in_row,
        "by_class": [
            *(interval_table(used, columns) if comparison.intervals else []),
            *(
                by_class(column, results, baselines, held_out)
                for column in columns
                if column.by_class and len(held_out) > 1
            ),
            *by_rate(results),
            *by_part(results, baselines),
            *by_run(results),
        ],
        "rankings": []
        if comparison.best_in_row
        else [make_ranking(column, used) for column in columns if column.better],
        "notes": [
            *make_notes([*results, *baselines], sorted(filter(None, common))),
            *note_on_rates(results),
            *note_on_few(results),
            *note_on_collapsed(results),
            *(note_on_columns(left_out) if has_numbers(results) else []),
        ],
        **of_images(results),
    }


def has_values(column: Column, results: list[Result], baselines: list[Result]) -> bool:
    """Whether any measurement has a finite number for a column."""
    numbers = [one.measurement.metrics.get(column.key) for one in [*results, *baselines]]
    return any(number is not None and math.isfinite(number) for number in numbers)


def has_numbers(results: list[Result]) -> bool:
    """Whether anything was measured; else the notes of the measurements say why not."""
    return any(result.measurement.metrics.keys() - {"note"} for result in results)


def note_on_columns(left_out: list[Column]) -> list[str]:
    """A sentence on the numbers that nothing has, with what they need."""
    by_need: dict[str, list[str]] = defaultdict(list)
    for column in left_out:
        if column.needs:
            by_need[column.needs].append(column.heading)
    parts = [f"{'; '.join(names)} (needs {need})" for need, names in by_need.items()]
    return [f"Not measured: {'; '.join(parts)}."] if parts else []


def note_on_few(results: list[Result]) -> list[str]:
    """A sentence on numbers from fewer than 10 anomalous or 10 normal test images."""
    found: dict[str, set[int]] = defaultdict(set)
    for result in results:
        of_class = f" of class {result.held_out}" if result.held_out is not None else ""
        metrics = result.measurement.metrics
        for kind, which in (("anomalous", of_class), ("normal", "")):
            num = metrics.get(f"num_{kind}")
            if num is not None and num < FEW:
                found[f"{kind} test image{{}}{which}"].add(num)
    parts = [
        f"{' to '.join(map(str, sorted({min(nums), max(nums)})))} "
        + words.format("" if nums == {1} else "s")
        for words, nums in found.items()
    ]
    return [f"Rough numbers, from few images: {'; '.join(parts)}."] if parts else []


def note_on_rates(results: list[Result]) -> list[str]:
    """A sentence on the table of `by_rate`, and one on rates that have too few normal images."""
    shown = [
        result.measurement.metrics
        for result in first_of_each(results).values()
        if result.measurement.metrics.get("at_rates")
    ]
    if not shown:
        return []
    few = min(metrics["num_normal"] for metrics in shown)
    present = {found["rate"] for metrics in shown for found in metrics["at_rates"]}
    left_out = [f"{100 * rate:.3g}" for rate in RATES if rate not in present]
    sentence = (
        "The thresholds for several false positive rates are chosen and measured on the same test "
        "images: each is the lowest that at most this share of the normal ones exceeds. On other "
        "images the rates differ. Fit a threshold that is to be used to normal images of its own."
    )
    if left_out:
        sentence += (
            f" Left out: {', '.join(left_out)}%, as there are {few:,} normal test images and the "
            f"smallest rate above 0 is {100 / few:.3g}%."
        )
    return [sentence]


def note_on_collapsed(results: list[Result]) -> list[str]:
    """A sentence on the labels that are not ranked; `explain_collapsed` has the reason."""
    labels = dict.fromkeys(result.label for result in results if result.collapsed)
    return [f"Not ranked, and below the others: {'; '.join(labels)}."] if labels else []


def caution(num_test: int) -> str:
    """What a small test set means for the numbers; empty for a large one."""
    if num_test >= FEW_IMAGES:
        return ""
    return (
        f"The test set has {num_test:,} images. One of them is {100 / max(1, num_test):.2g}% of an "
        "accuracy, and a Fréchet distance is too high for so few: small differences, and rankings "
        "by them, mean nothing. Use more images."
    )


def explain_collapsed(labels: list[str]) -> str:
    """Why these labels are not ranked; empty without any."""
    if not labels:
        return ""
    return (
        f"{'; '.join(labels)}: the reconstructions have less than {COLLAPSED:.0%} of the variance "
        "of the test images. Such a model can have a high confidence or a short distance to "
        "training images without showing anything of an image, so it is not ranked."
    )


def common_classes(results: list[Result]) -> set[str | None]:
    """The classes held out of every label: means over different classes cannot be compared.

    If there is no common class, all of them; {None} for runs with all classes.
    """
    classes: dict[str, set[str | None]] = defaultdict(set)
    for result in results:
        classes[result.label].add(result.held_out)
    return set.intersection(*classes.values()) or set.union(*classes.values())


def make_notes(results: list[Result], classes: list[str]) -> list[str]:
    """The notes of the measurements, each once, and the held-out classes."""
    found = [result.measurement.metrics.get("note") for result in results]
    if classes:
        which = "Held-out class:" if len(classes) == 1 else "Means over the held-out classes"
        found.append(f"{which} {', '.join(classes)}.")
    return list(dict.fromkeys(filter(None, found)))


def seed_values(results: list[Result], key: str) -> dict[str, list[float]]:
    """One value for each seed of each label.

    With held-out classes it is the mean over them. If a seed lacks some of them, there is one
    value for all seeds together: each class is the mean of the seeds that have it.
    """
    values: dict[str, dict[int, dict[str | None, float]]] = defaultdict(lambda: defaultdict(dict))
    for result in results:
        value = result.measurement.metrics.get(key)
        if value is not None:
            values[result.label][result.seed][result.held_out] = value
    found = {}
    for label, by_seed in values.items():
        classes = {name for of_seed in by_seed.values() for name in of_seed}
        seeds = list(by_seed.values())
        if any(set(of_seed) != classes for of_seed in seeds):
            seeds = [
                {
                    name: statistics.fmean(seed[name] for seed in seeds if name in seed)
                    for name in classes
                }
            ]
        found[label] = [statistics.fmean(of_seed.values()) for of_seed in seeds]
    return found


def make_rows(
    results: list[Result],
    columns: list[Column],
    kind: str,
    published: dict[str, float] | None = None,
) -> list[dict[str, Any]]:
    """A row for each label, in the order of the results; those that ignore their input come last.

    Args:
        results: Measured runs, or baselines.
        columns: Columns of the table.
        kind: "variant" or "baseline".
        published: The published figure of each label.
    """
    values = {column.key: seed_values(results, column.key) for column in columns}
    collapsed = {result.label for result in results if result.collapsed}
    return [
        {
            "label": label,
            "kind": kind,
            "values": {
                key: mean_and_std(by_label[label])
                for key, by_label in values.items()
                if label in by_label
            },
            "published": (published or {}).get(label),
            "collapsed": label in collapsed,
        }
        for label in sorted(
            dict.fromkeys(result.label for result in results), key=collapsed.__contains__
        )
    ]


def by_class(
    column: Column, results: list[Result], baselines: list[Result], held_out: list[str]
) -> dict[str, Any]:
    """A table with a column for each held-out class; cells are means over the seeds."""
    variants = {result.label for result in results}
    values: dict[str, dict[str | None, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in [*results, *baselines]:
        value = result.measurement.metrics.get(column.key)
        if value is not None:
            values[result.label][result.held_out].append(value)
    return {
        "heading": f"{column.heading}, by held-out class",
        "digits": min(column.digits, 3),
        "classes": held_out,
        "rows": [
            {
                "label": label,
                "kind": "variant" if label in variants else "baseline",
                "values": [
                    statistics.fmean(of_class[name]) if of_class.get(name) else None
                    for name in held_out
                ],
            }
            for label, of_class in values.items()
        ],
    }


def by_part(results: list[Result], baselines: list[Result]) -> list[dict[str, Any]]:
    """A table for each heading in the `parts` of the metrics, with a column for each part.

    `parts` is `{heading: {part: number}}`; the cells are summarized over the seeds. The heading of
    a part with fewer than 10 images has their number, from `num_of_parts`.
    """
    few = {}
    for result in results:
        for part, num in result.measurement.metrics.get("num_of_parts", {}).items():
            if num < FEW:
                few[part] = f"{part} ({counted(num, 'image')})"
    variants = {result.label for result in results}
    values: dict[str, dict[str, dict[str, list[float]]]] = {}
    for result in [*results, *baselines]:
        for heading, parts in result.measurement.metrics.get("parts", {}).items():
            row = values.setdefault(heading, {}).setdefault(result.label, {})
            for part, number in parts.items():
                row.setdefault(part, []).append(number)
    return [
        {
            "heading": heading,
            "digits": 3,
            "classes": [few.get(name, name) for name in names],
            "rows": [
                {
                    "label": label,
                    "kind": "variant" if label in variants else "baseline",
                    "values": [mean_and_std(row.get(name, [])) for name in names],
                }
                for label, row in rows.items()
            ],
        }
        for heading, rows in values.items()
        for names in [list(dict.fromkeys(name for row in rows.values() for name in row))]
    ]


def by_rate(results: list[Result]) -> list[dict[str, Any]]:
    """A table of the `at_rates` of the metrics: a row for each label and false positive rate.

    It has the first run of each label; `of_images` has those of all.
    """
    rows = []
    first = first_of_each(results)
    several_classes = len({result.held_out for result in results}) > 1
    for label, result in first.items():
        metrics = result.measurement.metrics
        of_class = f", class {result.held_out}" if several_classes else ""
        for found in metrics.get("at_rates", []):
            num, total = found["num_false_alarms"], metrics["num_normal"]
            anomalous = metrics["num_anomalous"]
            hits = round(found["recall"] * anomalous)
            values = [
                f"{found['threshold']:.6g}",
                f"{found['recall']:.3f} ({hits:,} of {anomalous:,})",
                f"{num:,} of {total:,}",
            ]
            row = f"{label}{of_class}, {100 * found['rate']:g}%"
            rows.append({"label": row, "kind": "variant", "values": values})
    if not rows:
        return []
    several = any(first[result.label] is not result for result in results)
    which = ", first run of each" if several else ""
    return [
        {
            "heading": f"Thresholds by false positive rate, chosen on the test images{which}",
            "classes": ["threshold", "recall", "false alarms"],
            "rows": rows,
        }
    ]


def first_of_each(results: list[Result]) -> dict[str, Result]:
    """The first run of each label, in the order of the labels."""
    first: dict[str, Result] = {}
    for result in results:
        first.setdefault(result.label, result)
    return first


def of_images(results: list[Result]) -> dict[str, Any]:
    """For each run, what thresholds find (`at_rates`) and which images the figures show (`shown`).

    Empty for comparisons without them.
    """
    found = [
        {
            "label": result.label,
            "seed": result.seed,
            "held_out": result.held_out,
            **{key: result.measurement.metrics[key] for key in ("at_rates", "shown")},
        }
        for result in results
        if {"at_rates", "shown"} <= result.measurement.metrics.keys()
    ]
    return {"runs": found} if found else {}


def interval_table(results: list[Result], columns: list[Column]) -> list[dict[str, Any]]:
    """A table of the intervals of shares over seeds; none where no label has two seeds."""
    by_heading = {column.heading: seed_values(results, column.key) for column in columns}
    labels = dict.fromkeys(result.label for result in results)
    rows = {
        label: [share_interval(by_label.get(label, [])) for by_label in by_heading.values()]
        for label in labels
    }
    kept = [place for place in range(len(by_heading)) if any(row[place] for row in rows.values())]
    if not kept:
        return []
    return [
        {
            "heading": INTERVALS,
            "classes": [list(by_heading)[place] for place in kept],
            "rows": [
                {
                    "label": label,
                    "kind": "variant",
                    "values": [
                        None
                        if (found := row[place]) is None
                        else f"{found[0]:.3f} to {found[1]:.3f}"
                        for place in kept
                    ],
                }
                for label, row in rows.items()
                if any(row)
            ],
        }
    ]


def by_run(results: list[Result]) -> list[dict[str, Any]]:
    """A table for each heading in the `facts` of the metrics, with a row for each run.

    `facts` is `{heading: {column: text}}`. Rows name the seed where a label has several runs.
    """
    runs_of = Counter(result.label for result in results)
    tables: dict[str, dict[str, Any]] = {}
    for result in results:
        for heading, facts in result.measurement.metrics.get("facts", {}).items():
            table = tables.setdefault(
                heading, {"heading": heading, "classes": list(facts), "rows": []}
            )
            seed = f", seed {result.seed}" if runs_of[result.label] > 1 else ""
            row = {"label": f"{result.label}{seed}", "kind": "variant"}
            table["rows"].append({**row, "values": list(facts.values())})
    return list(tables.values())


def configurations(runs: list[TrainedRun], labels: dict[Path, str]) -> list[dict[str, Any]]:
    """The trained configurations and their times: a row for each label, with and without a
    held-out class.

    Times are those of the fastest seed: other work on the machine only adds to them.
    """
    grouped: dict[tuple[str, bool], list[TrainedRun]] = defaultdict(list)
    for run in runs:
        grouped[labels[run.directory], run.held_out is not None].append(run)
    return [
        {
            "label": label,
            "command": shlex.join(["keras-ae", "train", *group[0].config.command()]),
            "variant": group[0].request.variant,
            "arguments": group[0].request.arguments,
            "latent_dim": group[0].request.latent_dim,
            "held_out": sorted({run.held_out or "" for run in group}) if held_out else None,
            "seeds": sorted({run.request.seed for run in group}),
            "num_runs": len(group),
            "epochs": group[0].request.epochs,
            "num_parameters": next(
                filter(None, (run.results.get("num_parameters") for run in group)), None
            ),
            "seconds_per_epoch": mean_and_std(
                [min(run.results["seconds_per_epoch"] for run in group)]
            ),
            "training_seconds": mean_and_std([min(run.seconds for run in group)]),
        }
        for (label, held_out), group in grouped.items()
    ]


# ---- statistics ----


def mean_and_std(values: Sequence[float | None]) -> dict[str, Any]:
    """`{"mean", "std", "num"}` of the finite values; `std` (n - 1) is None for one value."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return {"mean": None, "std": None, "num": 0}
    std = statistics.stdev(finite) if len(finite) > 1 else None
    return {"mean": statistics.fmean(finite), "std": std, "num": len(finite)}


def share_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95% confidence interval of the mean of shares, by Student's t; None below two values.

    It is cut off at 0 and 1. It takes the values as independent and normally distributed.
    """
    made = mean_and_std(values)
    if made["std"] is None:
        return None
    from scipy.stats import t

    half = float(t.ppf(1 - LEVEL / 2, made["num"] - 1)) * made["std"] / math.sqrt(made["num"])
    return max(0.0, made["mean"] - half), min(1.0, made["mean"] + half)


def make_ranking(column: Column, results: list[Result]) -> dict[str, Any]:
    """The ranking by a column, as groups of labels, with a sentence on its significance.

    Models that ignore their input are not ranked.
    """
    values = seed_values([result for result in results if not result.collapsed], column.key)
    if not values:
        return {"heading": column.heading, "groups": [], "sentence": ""}
    return {
        "heading": column.heading,
        "groups": rank(values, column.better or "higher"),
        "sentence": significance(values),
    }


def rank(values: dict[str, list[float]], better: str, level: float = LEVEL) -> list[list[str]]:
    """Groups of labels, the best first; a group holds what does not differ from its first label.

    Two labels differ if Welch's t-test on their seeds gives p < `level`. A label with one seed is
    a group of its own: it cannot be tested.

    Args:
        values: One value for each seed, by label.
        better: "lower" or "higher".
        level: Significance level, in (0, 1).
    """
    sign = 1 if better == "lower" else -1
    order = sorted(values, key=lambda label: sign * statistics.fmean(values[label]))
    groups: list[list[str]] = []
    for label in order:
        if groups and indistinguishable(values[groups[-1][0]], values[label], level):
            groups[-1].append(label)
        else:
            groups.append([label])
    return groups


def indistinguishable(first: list[float], second: list[float], level: float) -> bool:
    """Whether the means of two samples do not differ significantly by Welch's t-test."""
    if len(first) < 2 or len(second) < 2:
        return False
    if statistics.pvariance(first) == statistics.pvariance(second) == 0.0:
        return statistics.fmean(first) == statistics.fmean(second)
    from scipy.stats import ttest_ind

    test: Any = ttest_ind(first, second, equal_var=False)
    return bool(test.pvalue >= level)


def significance(values: dict[str, list[float]], level: float = LEVEL) -> str:
    """A sentence or two on the significance of a ranking."""
    numbers = sorted({len(seeds) for seeds in values.values()})
    if numbers[-1] < 2:
        return "One seed each: other seeds may give another order."
    seeds = " to ".join(str(number) for number in dict.fromkeys((numbers[0], numbers[-1])))
    words = (
        f"{seeds} seeds each. Variants in one group do not differ significantly from its first "
        f"(Welch's t-test, p >= {level}, not corrected for the number of pairs)."
    )
    if numbers[0] < 2:
        words += " Variants with one seed are not tested and form groups of their own."
    return words
