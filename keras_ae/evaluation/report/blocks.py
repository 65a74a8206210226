"""The elements of a report: sections made of paragraphs, lists, tables and pictures.

All text in them is plain; the renderers escape it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """The text of a cell; `best` is printed bold."""

    text: str
    best: bool = False


class Row(NamedTuple):
    """A row of a table; baselines are printed apart."""

    label: str
    cells: list[Cell]
    baseline: bool = False


class Table(NamedTuple):
    """A table; the first heading is that of the labels.

    `meanings` explains headings in a sentence, with the unit; HTML shows it on hover.
    """

    caption: str
    headings: list[str]
    rows: list[Row]
    meanings: dict[str, str] = {}  # noqa: B006, RUF012 - never changed


class Paragraph(NamedTuple):
    """A paragraph, after a bold `lead` where there is one."""

    text: str
    lead: str = ""


class Bullets(NamedTuple):
    """A list."""

    items: list[str]


class Code(NamedTuple):
    """Preformatted text, such as a command."""

    text: str


class Picture(NamedTuple):
    """An image file: `name` is its path relative to the folder, `content` its bytes."""

    name: str
    caption: str
    media_type: str
    content: bytes


class Strip(NamedTuple):
    """Small pictures side by side."""

    pictures: list[Picture]


class Details(NamedTuple):
    """Blocks below a summary, folded until the reader opens them; open in Markdown."""

    summary: str
    blocks: list[Block]


class Interactive(NamedTuple):
    """A part that a script of `assets` draws, and the blocks that stand for it without scripts.

    Attributes:
        kind: A key of the table `PARTS` in `assets/main.js`.
        data: What its `mount` function receives; valid JSON, and untrusted there.
        fallback: What Markdown, and HTML with scripts off, show instead.
    """

    kind: str
    data: dict[str, Any]
    fallback: list[Block]


Block = Paragraph | Bullets | Code | Picture | Strip | Table | Details | Interactive


@dataclass
class Section:
    """A heading and the blocks below it."""

    title: str
    blocks: list[Block] = field(default_factory=list)
