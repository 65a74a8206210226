"""Rendering a report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from keras_ae.evaluation.report.blocks import (
    Block,
    Bullets,
    Code,
    Details,
    Interactive,
    Paragraph,
    Picture,
    Section,
    Strip,
    Table,
)

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
# An underscore inside a word is not emphasis, and `vq_vae` stays readable in the source.
SPECIAL = re.compile(r"[&<>|`\\*\[\]~$#]|(?<![^\W_])_|_(?![^\W_])")
# The start of a list, a rule or an underline.
AT_START = re.compile(r"^(\d*)([-+=.)])(?=[\s=-]|$)")


def markdown_text(text: str) -> str:
    """Text escaped for a paragraph, a heading, a cell or a link."""
    escaped = SPECIAL.sub(lambda found: ENTITIES.get(found[0], f"\\{found[0]}"), text)
    return AT_START.sub(r"\1\\\2", escaped)


def to_markdown(title: str, sections: list[Section]) -> str:
    """The report as Markdown, with links to the figures."""
    blocks = [f"# {markdown_text(title)}"]
    for section in sections:
        blocks.append(f"## {markdown_text(section.title)}")
        blocks += [markdown_block(block) for block in section.blocks]
    return "\n\n".join(blocks) + "\n"


def markdown_block(block: Block) -> str:
    """One block as Markdown."""
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
        case Details(summary, blocks):
            return "\n\n".join([f"**{markdown_text(summary)}**", *map(markdown_block, blocks)])
        case Interactive(_, _, fallback):
            return "\n\n".join(map(markdown_block, fallback))
    raise TypeError(f"unknown block: {block!r}")


def markdown_image(picture: Picture) -> str:
    """A link to an image file."""
    return f"![{markdown_text(picture.caption)}]({quote(picture.name)})"


def markdown_table(table: Table) -> str:
    """A table; baselines are italic, the best values bold."""

    def line(cells: Iterable[str]) -> str:
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
