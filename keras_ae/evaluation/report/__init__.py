"""Numbers and pictures to two pages that say the same: `report.md` and `report.html`.

Both are rendered from one list of sections. Whatever comes from outside (labels, class names,
captions, paths, notes) is plain text there and is escaped by the renderer, and only there.
Nothing of the package is imported, so a report can be made again from `metrics.json` alone.
"""

from __future__ import annotations

import base64
import html
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

NOTHING = "–"
MISSING = "Missing runs"
ARROWS = {"lower": "\N{NO-BREAK SPACE}↓", "higher": "\N{NO-BREAK SPACE}↑"}
MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


def write_report(metrics: dict, folder: Path) -> list[Path]:
    """Writes `report.md`, which links to the figures, and `report.html`, which holds them.

    A number is `{"mean", "std", "num"}`; its standard deviation is shown where `num` > 1, and a
    dash where it is missing or not finite. The best mean of a column that has a direction is bold,
    among the variants alone, and so are those that read the same. A figure that is not a PNG or
    GIF file inside `folder` is named, not read. Unknown keys are ignored and every key may be
    missing.

    Args:
        metrics: What `metrics.json` holds: `data`, `made_by`, `configurations`, `comparisons`,
            `missing`, `broken`, `unfinished`, `other_versions`.
        folder: Where the figures are, and the pages will be; made where it is missing.

    Returns:
        The two paths, Markdown first.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    title = f"Autoencoders compared on {text_of(part(metrics, 'data').get('name')) or 'images'}"
    sections = make_sections(metrics, folder)
    pages = {"report.md": to_markdown(title, sections), "report.html": to_html(title, sections)}
    return [write_beside(folder / name, page) for name, page in pages.items()]


def write_beside(path: Path, page: str) -> Path:
    """Writes under another name, then renames: there is never half a page."""
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        temporary.write_bytes(page.encode())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


# ---- what a page is made of: plain text, not yet escaped ----


class Cell(NamedTuple):
    text: str
    best: bool = False


class Row(NamedTuple):
    label: str
    cells: list[Cell]
    baseline: bool = False


class Table(NamedTuple):
    caption: str
    headings: list[str]
    rows: list[Row]


class Paragraph(NamedTuple):
    text: str
    lead: str = ""


class Bullets(NamedTuple):
    items: list[str]


class Code(NamedTuple):
    text: str


class Picture(NamedTuple):
    """`name` is the path relative to the folder, `content` the bytes of the file."""

    name: str
    caption: str
    media_type: str
    content: bytes


class Strip(NamedTuple):
    """Small pictures side by side."""

    pictures: list[Picture]


@dataclass
class Section:
    title: str
    blocks: list = field(default_factory=list)


# ---- from numbers to text ----


def text_of(thing) -> str:
    """One line of printable characters; empty for None."""
    text = "" if thing is None else str(thing)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def part(content: dict, key: str) -> dict:
    return content.get(key) or {}


def finite(number) -> float | None:
    usable = isinstance(number, int | float) and not isinstance(number, bool)
    return float(number) if usable and math.isfinite(number) else None


def mean_of(value) -> float | None:
    return finite(value.get("mean") if isinstance(value, dict) else value)


def shown(value, digits: int) -> str:
    """`64.52`, `64.52 ± 0.11` or a dash."""
    mean = mean_of(value)
    if mean is None:
        return NOTHING
    text = f"{mean:z.{digits}f}"
    spread = finite(value.get("std")) if isinstance(value, dict) else None
    if spread is None or not (value.get("num") or 0) > 1:
        return text
    return f"{text} ± {spread:.{digits}f}"


def counted(number) -> str:
    """A whole number, thousands apart."""
    number = mean_of(number)
    return NOTHING if number is None else f"{number:,.0f}"


def listed(things) -> str:
    return ", ".join(text_of(thing) for thing in things or ())


# ---- the sections ----


def make_sections(metrics: dict, folder: Path) -> list[Section]:
    comparisons = part(metrics, "comparisons")
    return [
        overview(metrics),
        *(comparison_section(key, one, folder) for key, one in comparisons.items()),
        *training(metrics),
        *left_out(metrics),
        reproduction(metrics),
    ]


def overview(metrics: dict) -> Section:
    section = Section("Overview", [Paragraph(what_was_compared(metrics))])
    configurations = metrics.get("configurations") or []
    first = {}
    for one in configurations:
        first.setdefault(text_of(one.get("label")), one)
    columns, headings = [], []
    for key, one in part(metrics, "comparisons").items():
        if has_table(one):
            rows = [row for row in result_rows(one) if not row.baseline]
            columns.append({row.label: row.cells[0] for row in rows})
            headings.append(f"{title_of(key, one)}: {heading_of(one['columns'][0])}")
    rows = [
        Row(label, [*(cells.get(label, Cell(NOTHING)) for cells in columns), *costs(one)])
        for label, one in first.items()
    ]
    if rows:
        section.blocks += [
            Paragraph(
                "↓ lower is better, ↑ higher is better, the best in bold; ± is one standard "
                "deviation between runs. Each column is the main one of its comparison below."
            ),
            Table("The main number of each comparison", ["variant", *headings, *COSTS], rows),
        ]
    if left_out(metrics):
        section.blocks.append(Paragraph(f"Not all was there to compare: see {MISSING} below."))
    if len(first) < len(configurations):
        section.blocks.append(
            Paragraph(
                "Several configurations share a name; parameters and times here are those of the "
                "first, and the table of training has them all."
            )
        )
    return section


COSTS = ("parameters", "s an epoch", "training,\N{NO-BREAK SPACE}s")


def costs(configuration: dict) -> list[Cell]:
    return [
        Cell(counted(configuration.get("num_parameters"))),
        Cell(shown(configuration.get("seconds_per_epoch"), 2)),
        Cell(shown(configuration.get("training_seconds"), 1)),
    ]


def num_runs(configuration: dict) -> int:
    if isinstance(configuration.get("num_runs"), int):
        return configuration["num_runs"]
    timed = configuration.get("training_seconds")
    num = timed.get("num") if isinstance(timed, dict) else None
    return int(num or len(configuration.get("seeds") or ()) or 1)


def what_was_compared(metrics: dict) -> str:
    data, made_by = part(metrics, "data"), part(metrics, "made_by")
    configurations = metrics.get("configurations") or []
    seeds = dict.fromkeys(seed for one in configurations for seed in one.get("seeds") or ())
    variants = {text_of(one.get("variant")) for one in configurations}
    runs = sum(map(num_runs, configurations))
    compared = (
        f"{numbered(runs, 'trained run')} of {numbered(len(variants), 'variant')} in "
        f"{numbered(len(configurations), 'configuration')}"
    )
    sentences = [f"{compared}, {'seeds' if len(seeds) > 1 else 'seed'} {listed(seeds) or NOTHING}"]
    shape = " × ".join(map(text_of, data.get("image_shape") or ()))
    num_classes = len(data.get("class_names") or ())
    sentences.append(
        f"Images: {counted(data.get('num_train'))} for training, "
        f"{counted(data.get('num_validation'))} for validation, {counted(data.get('num_test'))} "
        f"for testing"
        + (f", of {shape} values in [0, 1]" if shape else "")
        + (f", in {numbered(num_classes, 'class', 'classes')}" if num_classes else ", no labels")
    )
    made = [versions(made_by), text_of(made_by.get("device"))]
    if any(made):
        sentences.append(f"Made with {', on '.join(filter(None, made))}")
    return ". ".join(sentences) + "."


def numbered(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def versions(made_by: dict) -> str:
    return ", ".join(
        f"{text_of(name)} {text_of(version)}" for name, version in part(made_by, "versions").items()
    )


def title_of(key: str, comparison: dict) -> str:
    return text_of(comparison.get("title")) or text_of(key)


def heading_of(column: dict) -> str:
    name = text_of(column.get("heading")) or text_of(column.get("key"))
    return name + ARROWS.get(column.get("better"), "")


def digits_of(column: dict) -> int:
    digits = column.get("digits")
    return 2 if digits is None else int(digits)


def comparison_section(key: str, comparison: dict, folder: Path) -> Section:
    section = Section(title_of(key, comparison))
    if comparison.get("summary"):
        section.blocks.append(Paragraph(text_of(comparison["summary"])))
    section.blocks += figure_blocks(comparison.get("figures") or [], folder)
    section.blocks += [result_table(comparison)] if has_table(comparison) else []
    section.blocks += [class_table(one) for one in comparison.get("by_class") or []]
    section.blocks += [
        ranking(one)
        for one in comparison.get("rankings") or []
        if sum(map(len, one.get("groups") or [])) > 1
    ]
    if comparison.get("notes"):
        section.blocks.append(Bullets([text_of(note) for note in comparison["notes"]]))
    return section


def has_table(comparison: dict) -> bool:
    return bool(comparison.get("rows") and comparison.get("columns"))


def result_rows(comparison: dict) -> list[Row]:
    """Variants, then baselines, a cell for each column."""
    rows = comparison.get("rows") or []
    columns = comparison.get("columns") or []
    best = [best_shown(column, rows) for column in columns]
    made = []
    for row in sorted(rows, key=is_baseline):
        values = part(row, "values")
        cells = []
        for column, target in zip(columns, best, strict=True):
            value = values.get(column.get("key"))
            is_best = target is not None and rounded(value, column) == target
            text = shown(value, digits_of(column))
            cells.append(Cell(text, is_best and not is_baseline(row)))
        made.append(Row(text_of(row.get("label")), cells, is_baseline(row)))
    return made


def is_baseline(row: dict) -> bool:
    return row.get("kind") == "baseline"


def rounded(value, column: dict) -> str | None:
    mean = mean_of(value)
    return None if mean is None else f"{mean:z.{digits_of(column)}f}"


def best_shown(column: dict, rows: list[dict]) -> str | None:
    """The best mean of the variants as it reads; None where there is nothing to choose from."""
    values = [part(row, "values").get(column.get("key")) for row in rows if not is_baseline(row)]
    values = [value for value in values if mean_of(value) is not None]
    if column.get("better") not in ARROWS or len(values) < 2:
        return None
    choose = min if column["better"] == "lower" else max
    return rounded(choose(values, key=mean_of), column)


def result_table(comparison: dict) -> Table:
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
    return Table("", ["variant", *headings], rows)


def as_published(figure) -> str:
    """With the digits it was published with, not more."""
    return NOTHING if finite(figure) is None else f"{figure:.10g}"


def class_table(table: dict) -> Table:
    classes = [text_of(name) for name in table.get("classes") or []]
    digits = digits_of(table)
    rows = []
    for row in table.get("rows") or []:
        values = [*(row.get("values") or []), *[None] * len(classes)][: len(classes)]
        cells = [Cell(shown(value, digits)) for value in values]
        rows.append(Row(text_of(row.get("label")), cells, is_baseline(row)))
    return Table(text_of(table.get("heading")), ["variant", *classes], rows)


def ranking(one: dict) -> Paragraph:
    """`(1) deep = vq_vae; (3) sparse.`: those that share a place cannot be told apart."""
    place, groups = 1, []
    for group in one.get("groups") or []:
        groups.append(f"({place}) {' = '.join(map(text_of, group))}")
        place += len(group)
    sentence = text_of(one.get("sentence"))
    lead = f"Ranking by {text_of(one.get('heading'))}:"
    return Paragraph(f"{'; '.join(groups)}. {sentence}".strip(), lead)


def training(metrics: dict) -> list[Section]:
    headings = ["variant", "code dimensions", "held out", "seeds", "epochs", *COSTS]
    rows = [
        Row(
            text_of(one.get("label")),
            [
                Cell(counted(one.get("latent_dim"))),
                Cell(listed(one.get("held_out")) or NOTHING),
                Cell(listed(one.get("seeds")) or NOTHING),
                Cell(counted(one.get("epochs"))),
                *costs(one),
            ],
        )
        for one in metrics.get("configurations") or []
    ]
    return [Section("Training", [Table("What was trained", headings, rows)])] if rows else []


def left_out(metrics: dict) -> list[Section]:
    section = Section(MISSING)
    for one in metrics.get("missing") or []:
        section.blocks += [Paragraph(text_of(one.get("what"))), Code(text_of(one.get("command")))]
    for key, lead in (("unfinished", "Unfinished, left out:"), ("broken", "Cannot be used:")):
        items = [text_of(one) for one in metrics.get(key) or []]
        section.blocks += [Paragraph("", lead), Bullets(items)] if items else []
    return [section] if section.blocks else []


def reproduction(metrics: dict) -> Section:
    made_by, data = part(metrics, "made_by"), part(metrics, "data")
    section = Section("How to reproduce")
    if made_by.get("command"):
        section.blocks += [
            Paragraph("This page and its figures, from the trained runs:"),
            Code(text_of(made_by["command"])),
        ]
    facts = {
        "Seed of the evaluation": made_by.get("seed"),
        "Versions": versions(made_by),
        "Trained with other versions": listed(metrics.get("other_versions")),
        "Device": made_by.get("device"),
        "Data": data.get("name"),
        "Fingerprint of the data": data.get("fingerprint"),
    }
    items = [f"{name}: {text_of(fact)}" for name, fact in facts.items() if text_of(fact)]
    section.blocks += [Bullets(items)] if items else []
    section.blocks.append(Paragraph("Every number here is in metrics.json, beside this page."))
    return section


# ---- figures ----


def figure_blocks(figures: list[dict], folder: Path) -> list:
    """A block a PNG; GIFs that follow one another in one strip; a sentence where none is read."""
    blocks: list = []
    for figure in figures:
        block = read_picture(figure, folder)
        if not isinstance(block, Picture) or block.media_type != "image/gif":
            blocks.append(block)
        elif blocks and isinstance(blocks[-1], Strip):
            blocks[-1].pictures.append(block)
        else:
            blocks.append(Strip([block]))
    return blocks


def read_picture(figure: dict, folder: Path) -> Picture | Paragraph:
    name = str(figure.get("file") or "")
    media_type = MEDIA_TYPES.get(Path(name).suffix.lower())
    try:
        path = (folder / name).resolve()
        if Path(name).is_absolute() or not path.is_relative_to(folder.resolve()):
            return not_shown(name, "it leads out of the folder")
        if media_type is None:
            return not_shown(name, "it is neither PNG nor GIF")
        content = path.read_bytes() if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        content = None
    if content is None:
        return not_shown(name, "there is no such file to read")
    return Picture(name, text_of(figure.get("caption")) or text_of(name), media_type, content)


def not_shown(name: str, reason: str) -> Paragraph:
    return Paragraph(f"{text_of(name) or '(no name)'}: {reason}.", "Figure not shown:")


# ---- Markdown ----

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
# An underscore inside a word is no emphasis; escaping it would spoil `vq_vae` for readers.
SPECIAL = re.compile(r"[&<>|`\\*\[\]~$#]|(?<![^\W_])_|_(?![^\W_])")
# What would begin a list, a rule or an underline.
AT_START = re.compile(r"^(\d*)([-+=.)])(?=[\s=-]|$)")


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in a paragraph, a heading, a cell or a link."""
    escaped = SPECIAL.sub(lambda found: ENTITIES.get(found[0], f"\\{found[0]}"), text)
    return AT_START.sub(r"\1\\\2", escaped)


def to_markdown(title: str, sections: list[Section]) -> str:
    blocks = [f"# {markdown_text(title)}"]
    for section in sections:
        blocks.append(f"## {markdown_text(section.title)}")
        blocks += [markdown_block(block) for block in section.blocks]
    return "\n\n".join(blocks) + "\n"


def markdown_block(block) -> str:
    match block:
        case Paragraph(text, lead):
            lead = f"**{markdown_text(lead)}** " if lead else ""
            return (lead + markdown_text(text)).strip()
        case Bullets(items):
            return "\n".join(f"- {markdown_text(item)}" for item in items)
        case Code(text):
            longest = max((len(run) for run in re.findall("`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}\n{text}\n{fence}"
        case Picture():
            return f"{markdown_image(block)}\n\n*{markdown_text(block.caption)}*"
        case Strip(pictures):
            captions = [markdown_text(picture.caption) for picture in pictures]
            return " ".join(map(markdown_image, pictures)) + f"\n\n*{' · '.join(captions)}*"
        case Table():
            return markdown_table(block)
    raise TypeError(f"No such block in a page: {block!r}.")


def markdown_image(picture: Picture) -> str:
    return f"![{markdown_text(picture.caption)}]({quote(picture.name)})"


def markdown_table(table: Table) -> str:
    def line(cells) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"**{markdown_text(table.caption)}**", ""] if table.caption else []
    lines.append(line(map(markdown_text, table.headings)))
    lines.append(line(["---", *["---:"] * (len(table.headings) - 1)]))
    for row in table.rows:
        label = markdown_text(row.label)
        cells = [markdown_text(cell.text) for cell in row.cells]
        marked = [f"**{t}**" if c.best else t for t, c in zip(cells, row.cells, strict=True)]
        lines.append(line([f"*{label}*" if row.baseline and label else label, *marked]))
    return "\n".join(lines)


# ---- HTML ----

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1f2328; --quiet: #59636e; --line: #d8dee4; --soft: #f6f8fa;
  --link: #0b5cad;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --ink: #e3e6ea; --quiet: #9aa4af; --line: #343b44; --soft: #1e2329;
    --link: #7ab8ff;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1000px; padding: 0 1.25rem 4rem; background: var(--page);
  color: var(--ink); font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  overflow-wrap: anywhere;
}
h1 { margin: 2.5rem 0 1rem; font-size: 2rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 0 0 0.75rem; font-size: 1.4rem; line-height: 1.3; }
a { color: var(--link); }
section { padding-top: 2.75rem; scroll-margin-top: 1.5rem; }
nav {
  position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; gap: 0 1.1rem;
  padding: 0.6rem 0; white-space: nowrap; font-size: 0.8125rem; background: var(--page);
  border-bottom: 1px solid var(--line);
}
nav a { color: var(--quiet); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--link); text-decoration: underline; }
p, ul { max-width: 46rem; }
pre {
  padding: 0.75rem 1rem; overflow-x: auto; border-radius: 6px; background: var(--soft);
  font: 0.85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
.scroll { margin: 1.25rem 0; overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 0.875rem; line-height: 1.4; }
caption { padding: 0 0 0.4rem; color: var(--quiet); text-align: left; font-weight: 600; }
th, td {
  padding: 0.35rem 0.6rem; text-align: right; overflow-wrap: normal;
  font-variant-numeric: tabular-nums;
}
td { white-space: nowrap; }
thead th {
  min-width: 5rem; border-bottom: 2px solid var(--line); color: var(--quiet);
  font-weight: 600; vertical-align: bottom;
}
tbody tr + tr > * { border-top: 1px solid var(--line); }
tr > :first-child {
  position: sticky; left: 0; min-width: 7rem; max-width: min(15rem, 40vw); padding-left: 0;
  background: var(--page); text-align: left; overflow-wrap: break-word;
}
tbody th { font-weight: 400; }
.spread { color: var(--quiet); font-size: 0.9em; font-weight: 400; }
.wide { font-size: 0.8125rem; }
.wide th, .wide td { padding: 0.3rem 0.4rem; }
.wide thead th { min-width: 0; }
.wide tr > :first-child { padding-left: 0; }
.wide .spread { display: block; }
.baselines { border-top: 2px solid var(--line); color: var(--quiet); font-style: italic; }
figure { margin: 1.5rem 0; }
figure img {
  display: block; max-width: 100%; margin: 0 auto; padding: 0.6rem; background: #ffffff;
  border: 1px solid var(--line); border-radius: 6px;
}
figcaption { margin-top: 0.5rem; color: var(--quiet); font-size: 0.875rem; line-height: 1.5; }
.strip { display: flex; flex-wrap: wrap; gap: 0.75rem; margin: 1.5rem 0; }
.strip figure { width: 96px; margin: 0; }
.strip img { width: 96px; padding: 0.3rem; }
.strip figcaption { margin-top: 0.25rem; font-size: 0.75rem; line-height: 1.3; text-align: center; }
@media (max-width: 700px) {
  nav { flex-wrap: nowrap; overflow-x: auto; scrollbar-width: none; }
}
@media print {
  :root { --page: #fff; --ink: #000; --quiet: #444; --line: #bbb; --soft: #f4f4f4; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table, .wide { font-size: 8pt; }
  tr > :first-child { position: static; }
  th, td { padding: 0.2rem 0.3rem; }
  thead th { min-width: 0; }
  figure, tr, pre { break-inside: avoid; }
  h2, caption { break-after: avoid; }
}
"""

WIDE = 7  # columns: with more than that, a table is set closer
# No script, no request: whatever a label holds, a browser runs and fetches nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def to_html(title: str, sections: list[Section]) -> str:
    anchors = make_anchors([section.title for section in sections])
    links = [
        f'<a href="#{anchor}">{html.escape(section.title)}</a>'
        for anchor, section in zip(anchors, sections, strict=True)
    ]
    parts = []
    for anchor, section in zip(anchors, sections, strict=True):
        inside = [f"<h2>{html.escape(section.title)}</h2>", *map(html_block, section.blocks)]
        parts.append("\n".join([f'<section id="{anchor}">', *inside, "</section>"]))
    lines = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
        f"<h1>{html.escape(title)}</h1>",
        '<nav aria-label="Contents">',
        *links,
        "</nav>\n<main>",
        *parts,
        "</main>\n</body>\n</html>",
    ]
    return "\n".join(lines) + "\n"


def make_anchors(titles: list[str]) -> list[str]:
    """Letters, digits and hyphens, no two alike."""
    anchors: list[str] = []
    for place, title in enumerate(titles):
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        anchors.append(f"{anchor}-{place}" if anchor in anchors else anchor)
    return anchors


def html_block(block) -> str:
    match block:
        case Paragraph(text, lead):
            lead = f"<strong>{html.escape(lead)}</strong> " if lead else ""
            return f"<p>{(lead + html.escape(text)).strip()}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case Code(text):
            return f"<pre><code>{html.escape(text)}</code></pre>"
        case Picture():
            return html_picture(block)
        case Strip(pictures):
            return f'<div class="strip">{"".join(map(html_picture, pictures))}</div>'
        case Table():
            return html_table(block)
    raise TypeError(f"No such block in a page: {block!r}.")


def html_picture(picture: Picture) -> str:
    caption = html.escape(picture.caption)
    content = base64.b64encode(picture.content).decode()
    source = f"data:{picture.media_type};base64,{content}"
    return (
        f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def html_table(table: Table) -> str:
    caption = html.escape(table.caption)
    lines = ['<div class="scroll" tabindex="0" role="region" aria-label="Table">']
    lines.append('<table class="wide">' if len(table.headings) > WIDE else "<table>")
    lines += [f"<caption>{caption}</caption>"] if caption else []
    headings = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.headings)
    lines.append(f"<thead><tr>{headings}</tr></thead>")
    for baseline, mark in ((False, ""), (True, ' class="baselines"')):
        rows = [html_row(row) for row in table.rows if row.baseline == baseline]
        lines += [f"<tbody{mark}>", *rows, "</tbody>"] if rows else []
    return "\n".join([*lines, "</table>", "</div>"])


def html_number(text: str) -> str:
    """Its spread, if it has one, apart: it is set quieter, and below the mean in a wide table."""
    mean, mark, spread = map(html.escape, text.partition(" ± "))
    return f'{mean} <span class="spread">± {spread}</span>' if mark else mean


def html_row(row: Row) -> str:
    cells = [html_number(cell.text) for cell in row.cells]
    marked = [
        f"<td><strong>{text}</strong></td>" if cell.best else f"<td>{text}</td>"
        for text, cell in zip(cells, row.cells, strict=True)
    ]
    return f'<tr><th scope="row">{html.escape(row.label)}</th>{"".join(marked)}</tr>'
