"""Measurements of many runs to what a report says: rows, spreads over seeds, rankings."""

from __future__ import annotations

import statistics
from collections import defaultdict

from keras_ae.evaluation.comparisons import Column, Comparison
from keras_ae.evaluation.comparisons.base import Entry
from keras_ae.evaluation.published import COMPARABLE, PUBLISHED, PUBLISHED_CLASS
from keras_ae.evaluation.ranking import ranked, sentence, spread
from keras_ae.runs.catalog import TrainedRun


def summarised(
    name: str, comparison: Comparison, entries: list[Entry], baselines: list[Entry], dataset: str
) -> dict:
    """A comparison's part of the report, but for its figures."""
    main, *others = comparison.columns
    columns = [main] + [
        column
        for column in others
        if any(column.key in entry.measurement.numbers for entry in [*entries, *baselines])
    ]
    held_out = sorted({entry.held_out for entry in entries if entry.held_out is not None})
    common = common_classes(entries)
    counted = [entry for entry in entries if entry.held_out in common]
    published = PUBLISHED.get(dataset, {}).get(name, {})
    if comparison.held_out and common != {PUBLISHED_CLASS}:
        published = {}
    return {
        "title": comparison.title,
        "summary": comparison.summary,
        "columns": [vars(column) for column in columns],
        "rows": [
            *rows(counted, columns, "variant", published),
            *rows([one for one in baselines if one.held_out in common], columns, "baseline", {}),
        ],
        "published_column": COMPARABLE.get(name),
        "by_class": [by_class(column, entries, baselines, held_out) for column in columns]
        if len(held_out) > 1
        else [],
        "rankings": [ranking(column, counted) for column in columns if column.better],
        "notes": notes([*entries, *baselines], sorted(common - {None})),
    }


def common_classes(entries: list[Entry]) -> set[str | None]:
    """The classes that were held out of every label: means over others are not comparable.

    All of them where there is none in common; {None} of runs with all classes.
    """
    classes = defaultdict(set)
    for entry in entries:
        classes[entry.label].add(entry.held_out)
    return set.intersection(*classes.values()) or set.union(*classes.values())


def notes(entries: list[Entry], classes: list[str]) -> list[str]:
    found = [entry.measurement.numbers.get("note") for entry in entries]
    if classes:
        which = "Held out was" if len(classes) == 1 else "Means over the held-out classes"
        found.append(f"{which} {', '.join(classes)}.")
    return list(dict.fromkeys(filter(None, found)))


def seed_values(entries: list[Entry], key: str) -> dict[str, list[float]]:
    """A value a seed for each label.

    Where classes were held out it is the mean over them; if a seed lacks some, one value for all
    seeds together, each class being the mean of the seeds that have it.
    """
    values = defaultdict(lambda: defaultdict(dict))
    for entry in entries:
        value = entry.measurement.numbers.get(key)
        if value is not None:
            values[entry.label][entry.seed][entry.held_out] = value
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


def rows(entries: list[Entry], columns: list[Column], kind: str, published: dict) -> list[dict]:
    """A row a label, in the order of the entries."""
    values = {column.key: seed_values(entries, column.key) for column in columns}
    return [
        {
            "label": label,
            "kind": kind,
            "values": {
                key: spread(by_label[label])
                for key, by_label in values.items()
                if label in by_label
            },
            "published": published.get(label),
        }
        for label in dict.fromkeys(entry.label for entry in entries)
    ]


def by_class(column: Column, entries, baselines, held_out: list[str]) -> dict:
    """A column with the held-out classes side by side, each the mean over its seeds."""
    variants = {entry.label for entry in entries}
    values = defaultdict(lambda: defaultdict(list))
    for entry in [*entries, *baselines]:
        value = entry.measurement.numbers.get(column.key)
        if value is not None:
            values[entry.label][entry.held_out].append(value)
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


def ranking(column: Column, entries: list[Entry]) -> dict:
    values = seed_values(entries, column.key)
    if not values:
        return {"heading": column.heading, "groups": [], "sentence": ""}
    return {
        "heading": column.heading,
        "groups": ranked(values, column.better),
        "sentence": sentence(values),
    }


def configurations(runs: list[TrainedRun], labels: dict) -> list[dict]:
    """What was trained and how long it took: a row a label, with and without a held-out class.

    Times are those of the fastest seed: whatever else a machine does only ever adds to them.
    """
    grouped = defaultdict(list)
    for run in runs:
        grouped[labels[run.directory], run.held_out is not None].append(run)
    return [
        {
            "label": label,
            "variant": group[0].request.variant,
            "arguments": group[0].request.arguments,
            "latent_dim": group[0].request.latent_dim,
            "held_out": sorted({run.held_out for run in group}) if held_out else None,
            "seeds": sorted({run.request.seed for run in group}),
            "num_runs": len(group),
            "epochs": group[0].request.epochs,
            "num_parameters": next(filter(None, map(num_parameters, group)), None),
            "seconds_per_epoch": spread([min(run.results["seconds_per_epoch"] for run in group)]),
            "training_seconds": spread([min(run.seconds for run in group)]),
        }
        for (label, held_out), group in grouped.items()
    ]


def num_parameters(run: TrainedRun) -> int | None:
    return run.results.get("num_parameters")
