"""The elements of a report: sections made of paragraphs, lists, tables and pictures.

All text in them is plain; the renderers escape it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


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
    """A table; the first heading is that of the labels."""

    caption: str
    headings: list[str]
    rows: list[Row]


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


Block = Paragraph | Bullets | Code | Picture | Strip | Table


@dataclass
class Section:
    """A heading and the blocks below it."""

    title: str
    blocks: list[Block] = field(default_factory=list)
