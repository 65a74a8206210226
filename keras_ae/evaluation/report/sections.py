"""The sections of a report, from the content of `metrics.json`.

Text from outside (labels, class names, captions, paths, notes) stays plain here; the renderers
escape it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from itertools import compress
from pathlib import Path
from typing import Any

from keras_ae.evaluation.report.blocks import (
    Block,
    Bullets,
    Cell,
    Code,
    Details,
    Interactive,
    Paragraph,
    Picture,
    Row,
    Section,
    Strip,
    Table,
)

DASH = "–"
MISSING = "Missing runs"
TRAINING = "Training"
ARROWS = {"lower": "\N{NO-BREAK SPACE}↓", "higher": "\N{NO-BREAK SPACE}↑"}
NUM_OPEN = 2  # figures of a comparison that are not folded
MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


def make_title(metrics: dict[str, Any]) -> str:
    """The title of the report."""
    return f"Autoencoders compared on {text_of(get(metrics, 'data').get('name')) or 'images'}"


def make_sections(metrics: dict[str, Any], folder: Path) -> list[Section]:
    """The sections of the report, see `keras_ae.evaluation.report.render_report`."""
    comparisons = get(metrics, "comparisons")
    return [
        introduction(metrics),
        overview(metrics),
        *interactive_sections(metrics, folder),
        *(comparison_section(key, one, folder) for key, one in comparisons.items()),
        *training_section(metrics, folder),
        *missing_section(metrics),
        reproduction(metrics),
    ]


def introduction(metrics: dict[str, Any]) -> Section:
    """What the page is about, for a reader who does not know autoencoders."""
    num = len({text_of(one.get("label")) for one in metrics.get("configurations") or []})
    compared = f"compares {num} of them" if num > 1 else "is about one of them"
    return Section(
        "What is this?",
        [
            Paragraph(
                "An autoencoder is a neural network that turns an image into a short list of "
                "numbers, the code, and reconstructs the image from the code alone. It learns from "
                "images without labels: the closer its reconstructions are, the more of an image "
                "the code holds. "
                f"Autoencoders differ in their networks and in the constraints on the code; this "
                f"page {compared}, trained on the same images. All numbers are measured on test "
                "images that were not used in training: how good the reconstructions are, how the "
                "codes are arranged, whether new images can be generated, and what else the codes "
                "are good for. The verdicts come first; below them each comparison has its "
                "figures, its table and folded details."
            )
        ],
    )


def verdicts(metrics: dict[str, Any]) -> list[str]:
    """A sentence or two for each comparison that ranks variants: the best, and what beats it."""
    sentences = []
    for key, one in get(metrics, "comparisons").items():
        columns = [column for column in one.get("columns") or [] if column.get("better") in ARROWS]
        if not (has_table(one) and columns) or one.get("best_in_row"):
            continue
        column = columns[0]
        sign = 1 if column["better"] == "lower" else -1
        rows = [
            (sign * mean, text_of(row.get("label")), format_value(value, digits_of(column)), row)
            for row in one["rows"]
            if (mean := mean_of(value := get(row, "values").get(column.get("key")))) is not None
        ]
        ranked = sorted((row for row in rows if is_ranked(row[3])), key=lambda row: row[0])
        if len(ranked) < 2:
            continue
        mean, best, shown, _ = ranked[0]
        heading = text_of(column.get("heading")) or text_of(column.get("key"))
        words = f"{title_of(key, one)}: {best} is best, with {shown} ({heading})"
        equal = equal_to(best, column, one)
        words += f"; {join(equal)} {'does' if len(equal) == 1 else 'do'} not differ " * bool(equal)
        words += "significantly" * bool(equal)
        chance = finite(column.get("chance"))
        if chance is not None and sign * chance < mean:
            words += f"; worse than chance, {chance:g}"
        bounds = set(map(text_of, column.get("bounds") or ()))
        baselines = [row for row in rows if is_baseline(row[3]) and row[1] not in bounds]
        better = [f"{label}, {text}" for value, label, text, _ in baselines if value < mean]
        if baselines:
            words += (
                f". Better baselines: {'; '.join(better)}" if better else ". No baseline is better"
            )
        sentences.append(f"{words}.")
    return sentences


def equal_to(best: str, column: dict[str, Any], comparison: dict[str, Any]) -> list[str]:
    """The labels that do not differ significantly from the best one by a column."""
    for ranking in comparison.get("rankings") or []:
        groups = ranking.get("groups") or []
        if ranking.get("heading") == column.get("heading") and groups:
            first = [text_of(label) for label in groups[0]]
            return [label for label in first if label != best] if best in first else []
    return []


def overview(metrics: dict[str, Any]) -> Section:
    """The overview: verdicts, configurations with the main number of each comparison."""
    section = Section("Overview", [Paragraph(what_was_compared(metrics))])
    if found := verdicts(metrics):
        one_seed = all(num_runs(one) < 2 for one in metrics.get("configurations") or [])
        caution = " With one seed each, another seed may give another order." if one_seed else ""
        section.blocks += [Paragraph(caution.strip(), "Verdicts."), Bullets(found)]
    configurations = metrics.get("configurations") or []
    first = {}
    for one in configurations:
        first.setdefault(text_of(one.get("label")), one)
    columns, headings, meanings = [], [], dict(MEANINGS)
    for key, one in get(metrics, "comparisons").items():
        if has_table(one) and not one.get("best_in_row"):  # else there is no main number
            rows = [row for row in result_rows(one) if not row.baseline]
            columns.append({row.label: row.cells[0] for row in rows})
            headings.append(f"{title_of(key, one)}: {heading_of(one['columns'][0])}")
            meanings[headings[-1]] = text_of(one["columns"][0].get("meaning"))
    rows = [
        Row(label, [*(cells.get(label, Cell(DASH)) for cells in columns), *costs(one)])
        for label, one in first.items()
    ]
    collapsed = {
        text_of(row.get("label"))
        for one in get(metrics, "comparisons").values()
        for row in one.get("rows") or []
        if row.get("collapsed")
    }
    rows.sort(key=lambda row: row.label in collapsed)
    if rows:
        section.blocks += [
            Paragraph(
                "↓ lower is better, ↑ higher is better, the best in bold; ± is one standard "
                "deviation over seeds. Each column is the main one of its comparison below."
            ),
            without_empty_columns(
                Table(
                    "The main number of each comparison",
                    ["variant", *headings, *COSTS],
                    rows,
                    meanings,
                )
            ),
        ]
    if metrics.get("few_images"):
        section.blocks.append(Paragraph(text_of(metrics["few_images"]), "Few images:"))
    if metrics.get("not_ranked"):
        section.blocks.append(Paragraph(text_of(metrics["not_ranked"]), "Not ranked:"))
    if metrics.get("left_out"):
        section.blocks.append(Paragraph(join_sentences(metrics["left_out"]), "Left out:"))
    if metrics.get("unfinished") or metrics.get("broken"):
        section.blocks.append(Paragraph(f"Some runs could not be compared: see {MISSING} below."))
    elif missing_section(metrics):
        section.blocks.append(
            Paragraph(f"Not all runs of the bake-off are there: see {MISSING} below.")
        )
    if len(first) < len(configurations):
        section.blocks.append(
            Paragraph(
                "Several configurations share a name; parameters and times here are those of the "
                "first. The table of training lists all of them."
            )
        )
    return section


MEANINGS = {
    "variant": "Name of the model; the variants page of the documentation describes each.",
    "parameters": "Numbers that the training sets: weights of the network.",
    "s/epoch": "Seconds for one pass over the training images, of the fastest run.",
    "training,\N{NO-BREAK SPACE}s": "Seconds of all epochs, of the fastest run.",
    "published": "The number of the published comparison, T. Krokotsch's autoencoder bake-off.",
    "code dimensions": "How many numbers the code of an image has.",
    "held out": "Classes that were left out of training, for anomaly detection.",
    "seeds": "Random seeds of the runs: of initial weights, order of the images and noise.",
    "epochs": "Passes over the training images.",
}
COSTS = ("parameters", "s/epoch", "training,\N{NO-BREAK SPACE}s")


def costs(configuration: dict[str, Any]) -> list[Cell]:
    """The cells of the columns `COSTS`."""
    return [
        Cell(format_int(configuration.get("num_parameters"))),
        Cell(format_value(configuration.get("seconds_per_epoch"), 2)),
        Cell(format_value(configuration.get("training_seconds"), 1)),
    ]


def num_runs(configuration: dict[str, Any]) -> int:
    """The number of runs of a configuration."""
    if isinstance(configuration.get("num_runs"), int):
        return configuration["num_runs"]
    timed = configuration.get("training_seconds")
    num = timed.get("num") if isinstance(timed, dict) else None
    return int(num or len(configuration.get("seeds") or ()) or 1)


def what_was_compared(metrics: dict[str, Any]) -> str:
    """The first paragraph: numbers of runs and images, versions, device."""
    data, made_by = get(metrics, "data"), get(metrics, "made_by")
    configurations = metrics.get("configurations") or []
    seeds = dict.fromkeys(seed for one in configurations for seed in one.get("seeds") or ())
    variants = {text_of(one.get("variant")) for one in configurations}
    runs = sum(map(num_runs, configurations))
    compared = (
        f"{pluralize(runs, 'trained run')} of {pluralize(len(variants), 'variant')} in "
        f"{pluralize(len(configurations), 'configuration')}"
    )
    sentences = [f"{compared}, {'seeds' if len(seeds) > 1 else 'seed'} {join(seeds) or DASH}"]
    shape = " × ".join(map(text_of, data.get("image_shape") or ()))
    num_classes = len(data.get("class_names") or ())
    num_train, num_validation, num_test = (
        format_int(data.get(f"num_{name}")) for name in ("train", "validation", "test")
    )
    sentences.append(
        f"Images: {num_train} for training, {num_validation} for validation, {num_test} for testing"
        + (f", of {shape} values in [0, 1]" if shape else "")
        + (f", in {pluralize(num_classes, 'class', 'classes')}" if num_classes else ", no labels")
    )
    made = [versions(made_by), text_of(made_by.get("device"))]
    if any(made):
        sentences.append(f"Made with {', on '.join(filter(None, made))}")
    return ". ".join(sentences) + "."


def without_empty_columns(table: Table) -> Table:
    """A table without the columns in which every cell is a dash."""
    kept = [
        any(row.cells[place].text != DASH for row in table.rows)
        for place in range(len(table.headings) - 1)
    ]
    rows = [row._replace(cells=list(compress(row.cells, kept))) for row in table.rows]
    headings = [table.headings[0], *compress(table.headings[1:], kept)]
    return table._replace(headings=headings, rows=rows)


def join_sentences(sentences: Iterable[Any]) -> str:
    """Sentences as one paragraph."""
    return " ".join(map(text_of, sentences))


def pluralize(number: int, one: str, several: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def versions(made_by: dict[str, Any]) -> str:
    """The versions that made the numbers, as text."""
    return ", ".join(
        f"{text_of(name)} {text_of(version)}" for name, version in get(made_by, "versions").items()
    )


def title_of(key: str, comparison: dict[str, Any]) -> str:
    """The title of a comparison."""
    return text_of(comparison.get("title")) or text_of(key)


def heading_of(column: dict[str, Any]) -> str:
    """The heading of a column, with an arrow where it has a direction."""
    name = text_of(column.get("heading")) or text_of(column.get("key"))
    return name + ARROWS.get(column.get("better") or "", "")


def digits_of(column: dict[str, Any]) -> int:
    """Digits after the decimal point; 2 by default."""
    digits = column.get("digits")
    return 2 if digits is None else int(digits)


def comparison_section(key: str, comparison: dict[str, Any], folder: Path) -> Section:
    """The rankings, figures, tables and notes of a comparison; what is long is folded."""
    section = Section(title_of(key, comparison))
    rankings: list[Block] = [
        ranking_paragraph(one)
        for one in comparison.get("rankings") or []
        if sum(map(len, one.get("groups") or [])) > 1
    ]
    section.blocks += rankings[:1]
    if comparison.get("summary"):
        section.blocks.append(Paragraph(text_of(comparison["summary"])))
    drawn = figures_and_parts(comparison, folder)
    section.blocks += drawn[:NUM_OPEN]
    section.blocks += [result_table(comparison)] if has_table(comparison) else []
    section.blocks += folded("More rankings", rankings[1:])
    section.blocks += folded("More figures", drawn[NUM_OPEN:])
    section.blocks += folded(
        "Tables in detail", [class_table(one) for one in comparison.get("by_class") or []]
    )
    notes = [text_of(note) for note in comparison.get("notes") or []]
    section.blocks += folded("Notes", [Bullets(notes)] if notes else [])
    return section


def folded(summary: str, blocks: list[Block]) -> list[Block]:
    """Blocks behind a summary; nothing without blocks."""
    return [Details(summary, blocks)] if blocks else []


def has_table(comparison: dict[str, Any]) -> bool:
    """Whether there are both rows and columns."""
    return bool(comparison.get("rows") and comparison.get("columns"))


def result_rows(comparison: dict[str, Any]) -> list[Row]:
    """The rows of variants, then of baselines, with a cell for each column."""
    rows = comparison.get("rows") or []
    columns = comparison.get("columns") or []
    in_row = comparison.get("best_in_row")
    best = [None if in_row else best_shown(column, rows) for column in columns]
    made = []
    for row in sorted(rows, key=is_baseline):
        values = get(row, "values")
        best = [best_of_row(values, columns)] * len(columns) if in_row else best
        cells = []
        for column, target in zip(columns, best, strict=True):
            value = values.get(column.get("key"))
            is_best = target is not None and rounded(value, column) == target
            text = format_value(value, digits_of(column))
            cells.append(Cell(text, is_best and is_ranked(row)))
        made.append(Row(text_of(row.get("label")), cells, is_baseline(row)))
    return made


def is_baseline(row: dict[str, Any]) -> bool:
    """Whether a row of `metrics.json` is a baseline."""
    return row.get("kind") == "baseline"


def is_ranked(row: dict[str, Any]) -> bool:
    """Whether a row can have the best number: a model that does not ignore its input."""
    return not is_baseline(row) and not row.get("collapsed")


def rounded(value: Any, column: dict[str, Any]) -> str | None:
    """The mean as it is printed, to compare with others."""
    mean = mean_of(value)
    return None if mean is None else f"{mean:z.{digits_of(column)}f}"


def best_shown(column: dict[str, Any], rows: list[dict[str, Any]]) -> str | None:
    """The best mean of the ranked variants as it is printed; None with fewer than two means."""
    key = column.get("key", "")
    values = [get(row, "values").get(key) for row in rows if is_ranked(row)]
    means = [mean for mean in map(mean_of, values) if mean is not None]
    if column.get("better") not in ARROWS or len(means) < 2:
        return None
    return rounded(min(means) if column["better"] == "lower" else max(means), column)


def best_of_row(values: dict[str, Any], columns: list[dict[str, Any]]) -> str | None:
    """The highest mean of a row as it is printed; None with fewer than two means."""
    means = [
        (mean, rounded(mean, column))
        for column in columns
        if (mean := mean_of(values.get(column.get("key", "")))) is not None
    ]
    return max(means)[1] if len(means) > 1 else None


def result_table(comparison: dict[str, Any]) -> Table:
    """The table of a comparison, with published figures where there are some."""
    headings = [heading_of(column) for column in comparison.get("columns") or []]
    rows = result_rows(comparison)
    figures = [row.get("published") for row in sorted(comparison["rows"], key=is_baseline)]
    if any(finite(figure) is not None for figure in figures):
        keys = [column.get("key") for column in comparison.get("columns") or []]
        compared = comparison.get("published_column")
        place = keys.index(compared) + 1 if compared in keys else len(keys)
        headings.insert(place, "published")
        for row, figure in zip(rows, figures, strict=True):
            row.cells.insert(place, Cell(as_published(figure)))
    meanings = {
        heading_of(column): text_of(column.get("meaning"))
        for column in comparison.get("columns") or []
    }
    return without_empty_columns(Table("", ["variant", *headings], rows, {**MEANINGS, **meanings}))


def as_published(figure: Any) -> str:
    """A published figure with its own digits, not more."""
    return DASH if finite(figure) is None else f"{figure:.10g}"


def class_table(table: dict[str, Any]) -> Table:
    """A table with a column for each held-out class, or for each fact; cells may be texts."""
    classes = [text_of(name) for name in table.get("classes") or []]
    digits = digits_of(table)
    rows = []
    for row in table.get("rows") or []:
        values = [*(row.get("values") or []), *[None] * len(classes)][: len(classes)]
        cells = [
            Cell(text_of(value) if isinstance(value, str) else format_value(value, digits))
            for value in values
        ]
        rows.append(Row(text_of(row.get("label")), cells, is_baseline(row)))
    return Table(text_of(table.get("heading")), ["variant", *classes], rows)


def ranking_paragraph(one: dict[str, Any]) -> Paragraph:
    """`(1) deep = vq_vae; (3) sparse.`: labels in one group do not differ significantly."""
    place, groups = 1, []
    for group in one.get("groups") or []:
        groups.append(f"({place}) {' = '.join(map(text_of, group))}")
        place += len(group)
    sentence = text_of(one.get("sentence"))
    lead = f"Ranking by {text_of(one.get('heading'))}:"
    return Paragraph(f"{'; '.join(groups)}. {sentence}".strip(), lead)


def training_section(metrics: dict[str, Any], folder: Path) -> list[Section]:
    """The curves and the table of configurations; no section without any."""
    curves = [
        make_part(entry, data, [], folder)
        for entry in metrics.get("interactive") or []
        if entry.get("section") == TRAINING and (data := read_data(entry, folder)) is not None
    ]
    headings = ["variant", "code dimensions", "held out", "seeds", "epochs", *COSTS]
    rows = [
        Row(
            text_of(one.get("label")),
            [
                Cell(format_int(one.get("latent_dim"))),
                Cell(join(one.get("held_out")) or DASH),
                Cell(join(one.get("seeds")) or DASH),
                Cell(format_int(one.get("epochs"))),
                *costs(one),
            ],
        )
        for one in metrics.get("configurations") or []
    ]
    table = without_empty_columns(Table("What was trained", headings, rows, MEANINGS))
    blocks = [*curves, *([table] if rows else [])]
    return [Section(TRAINING, blocks)] if blocks else []


def missing_section(metrics: dict[str, Any]) -> list[Section]:
    """Missing, unfinished and broken runs; no section without any."""
    section = Section(MISSING)
    for one in metrics.get("missing") or []:
        section.blocks += [Paragraph(text_of(one.get("what"))), Code(text_of(one.get("command")))]
    for key, lead in (("unfinished", "Unfinished, skipped:"), ("broken", "Cannot be used:")):
        items = [text_of(one) for one in metrics.get(key) or []]
        section.blocks += [Paragraph("", lead), Bullets(items)] if items else []
    return [section] if section.blocks else []


def reproduction(metrics: dict[str, Any]) -> Section:
    """The command, seed, versions, device and data that made the numbers."""
    made_by, data = get(metrics, "made_by"), get(metrics, "data")
    section = Section("How to reproduce")
    if made_by.get("command"):
        section.blocks += [
            Paragraph("This command makes the page and its figures from the trained runs:"),
            Code(text_of(made_by["command"])),
        ]
    facts = {
        "Seed of the evaluation": made_by.get("seed"),
        "Versions": versions(made_by),
        "Numbers were made with more than one version of": join(made_by.get("mixed")),
        "Trained with other versions": join(metrics.get("other_versions")),
        "Device": made_by.get("device"),
        "Data": data.get("options") or data.get("name"),
        "Read with these notices": join_sentences(data.get("notices") or []),
        "Fingerprint of the data": data.get("fingerprint"),
    }
    configurations = metrics.get("configurations") or []
    commands = [text_of(one.get("command")) for one in configurations]
    held_out = any(one.get("held_out") for one in configurations)
    differ = "the seed or the held-out class" if held_out else "the seed"
    if commands := [each for each in dict.fromkeys(commands) if each]:
        section.blocks += [
            Paragraph(
                f"These commands train the runs. Runs of a configuration differ in {differ}; its "
                "first one is here:"
            ),
            Code("\n".join(commands)),
        ]
    items = [f"{name}: {text_of(fact)}" for name, fact in facts.items() if text_of(fact)]
    section.blocks += [Bullets(items)] if items else []
    section.blocks.append(
        Paragraph("Every number here is also in metrics.json, in the same folder.")
    )
    return section


# ---- interactive parts and figures ----


def interactive_sections(metrics: dict[str, Any], folder: Path) -> list[Section]:
    """The sections of interactive parts that belong to no comparison.

    An entry of `metrics["interactive"]` is as in `figures_and_parts`, with a `section`, its
    heading, and perhaps a `summary`, a sentence or two below it. Entries of one section are
    together; those without a readable file are left out, and those of "Training" are in that
    section.
    """
    sections: dict[str, Section] = {}
    for entry in metrics.get("interactive") or []:
        title = text_of(entry.get("section")) or text_of(entry.get("kind"))
        data = None if title == TRAINING else read_data(entry, folder)
        if data is None:
            continue
        section = sections.setdefault(title, Section(title))
        if entry.get("summary"):
            section.blocks.append(Paragraph(text_of(entry["summary"])))
        section.blocks.append(make_part(entry, data, entry.get("figures") or [], folder))
    return list(sections.values())


def figures_and_parts(comparison: dict[str, Any], folder: Path) -> list[Block]:
    """The interactive parts of a comparison, then the figures that no part replaces.

    An entry of `comparison["interactive"]` has a `kind` (see `Interactive`), a `file`, which is a
    JSON file in the folder with the data, and perhaps `replaces`, the file names of the figures
    that it stands for, a `table`, as in `by_class`, or `fallback`, a sentence. Where the file
    cannot be read, the figures are shown as without the entry.
    """
    figures = comparison.get("figures") or []
    blocks: list[Block] = []
    for entry in comparison.get("interactive") or []:
        data = read_data(entry, folder)
        if data is not None:
            names = set(map(str, entry.get("replaces") or []))
            replaced = [figure for figure in figures if figure.get("file") in names]
            figures = [figure for figure in figures if figure.get("file") not in names]
            blocks.append(make_part(entry, data, replaced, folder))
    return blocks + figure_blocks(figures, folder)


def make_part(
    entry: dict[str, Any], data: dict[str, Any], figures: list[dict[str, Any]], folder: Path
) -> Interactive:
    """An interactive part with its fallback: figures, a table, else a sentence."""
    fallback: list[Block] = [*figure_blocks(figures, folder)]
    if entry.get("table"):
        fallback.append(class_table(entry["table"]))
    if not fallback:
        sentence = text_of(entry.get("fallback"))
        fallback = [Paragraph(sentence or "This part needs JavaScript, in report.html.")]
    return Interactive(text_of(entry.get("kind")), data, fallback)


def read_data(entry: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """The JSON object in the file of an entry; None where there is none inside the folder."""
    content = read_inside(str(entry.get("file") or ""), folder)
    try:
        data = json.loads(content or b"null", parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def read_inside(name: str, folder: Path) -> bytes | None:
    """The content of a file inside the folder, whose name is relative to it; None without it."""
    try:
        path = (folder / name).resolve()
        if Path(name).is_absolute() or not path.is_relative_to(folder.resolve()):
            return None
        return path.read_bytes() if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a loop of links, Python < 3.13
        return None


def figure_blocks(figures: list[dict[str, Any]], folder: Path) -> list[Block]:
    """A block for each PNG, one strip for consecutive GIFs, a sentence for an unreadable file.

    Lines of a figure are a list below it.
    """
    blocks: list[Block] = []
    for figure in figures:
        block = read_picture(figure, folder)
        if not isinstance(block, Picture) or block.media_type != "image/gif":
            blocks.append(block)
        elif blocks and isinstance(blocks[-1], Strip):
            blocks[-1].pictures.append(block)
        else:
            blocks.append(Strip([block]))
        if figure.get("lines"):
            blocks.append(Bullets([text_of(line) for line in figure["lines"]]))
    return blocks


def read_picture(figure: dict[str, Any], folder: Path) -> Picture | Paragraph:
    name = str(figure.get("file") or "")
    media_type = MEDIA_TYPES.get(Path(name).suffix.lower())
    try:
        path = (folder / name).resolve()
        if Path(name).is_absolute() or not path.is_relative_to(folder.resolve()):
            return not_shown(name, "it is outside the folder of the report")
        if media_type is None:
            return not_shown(name, "it is neither a PNG nor a GIF file")
        content = path.read_bytes() if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a loop of links, Python < 3.13
        content = None
    if content is None or media_type is None:
        return not_shown(name, "the file is missing or cannot be read")
    return Picture(name, text_of(figure.get("caption")) or text_of(name), media_type, content)


def not_shown(name: str, reason: str) -> Paragraph:
    """The sentence in place of a figure."""
    return Paragraph(f"{text_of(name) or '(no name)'}: {reason}.", "Figure not shown:")


# ---- numbers as text ----


def text_of(thing: Any) -> str:
    """Text as one line of printable characters; empty for None."""
    text = "" if thing is None else str(thing)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def get(content: dict[str, Any], key: str) -> dict[str, Any]:
    """The dict under a key; empty where it is missing."""
    return content.get(key) or {}


def finite(number: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    usable = isinstance(number, int | float) and not isinstance(number, bool)
    return float(number) if usable and math.isfinite(number) else None


def mean_of(value: Any) -> float | None:
    """The mean of a value, which may be a plain number."""
    return finite(value.get("mean") if isinstance(value, dict) else value)


def format_value(value: Any, digits: int) -> str:
    """`64.52`, `64.52 ± 0.11`, or a dash where there is no finite mean."""
    mean = mean_of(value)
    if mean is None:
        return DASH
    text = f"{mean:z.{digits}f}"
    spread = finite(value.get("std")) if isinstance(value, dict) else None
    if spread is None or not (value.get("num") or 0) > 1:
        return text
    return f"{text} ± {spread:.{digits}f}"


def format_int(number: Any) -> str:
    """A whole number with thousands separators."""
    number = mean_of(number)
    return DASH if number is None else f"{number:,.0f}"


def join(things: Iterable[Any] | None) -> str:
    """Items separated by commas."""
    return ", ".join(text_of(thing) for thing in things or ())
