"""Rendering a report as a single HTML file."""

from __future__ import annotations

import base64
import html
import re
from importlib import resources

from keras_ae.evaluation.report.blocks import (
    Block,
    Bullets,
    Code,
    Paragraph,
    Picture,
    Row,
    Section,
    Strip,
    Table,
)

WIDE = 7  # columns; a table with more is set in smaller type
# No scripts, no requests: whatever a label contains, a browser runs and fetches nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def to_html(title: str, sections: list[Section]) -> str:
    """The report as one HTML file that contains its figures and its style sheet."""
    style = (
        resources.files("keras_ae.evaluation.report")
        .joinpath("assets/report.css")
        .read_text(encoding="utf-8")
    )
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
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>",
        f"<h1>{html.escape(title)}</h1>",
        '<nav aria-label="Contents">',
        *links,
        "</nav>\n<main>",
        *parts,
        "</main>\n</body>\n</html>",
    ]
    return "\n".join(lines) + "\n"


def make_anchors(titles: list[str]) -> list[str]:
    """Unique anchors of letters, digits and hyphens."""
    anchors: list[str] = []
    for index, title in enumerate(titles):
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        anchors.append(f"{anchor}-{index}" if anchor in anchors else anchor)
    return anchors


def html_block(block: Block) -> str:
    """One block as HTML."""
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
    raise TypeError(f"unknown block: {block!r}")


def html_picture(picture: Picture) -> str:
    """An image, inlined as a data URL."""
    caption = html.escape(picture.caption)
    content = base64.b64encode(picture.content).decode()
    source = f"data:{picture.media_type};base64,{content}"
    return (
        f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def html_table(table: Table) -> str:
    """A table that scrolls sideways; baselines are in a body of their own."""
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
    """A number with its spread marked up: it is gray, and below the mean in a wide table."""
    mean, mark, spread = map(html.escape, text.partition(" ± "))
    return f'{mean} <span class="spread">± {spread}</span>' if mark else mean


def html_row(row: Row) -> str:
    """One row of a table."""
    cells = [html_number(cell.text) for cell in row.cells]
    marked = [
        f"<td><strong>{text}</strong></td>" if cell.best else f"<td>{text}</td>"
        for text, cell in zip(cells, row.cells, strict=True)
    ]
    return f'<tr><th scope="row">{html.escape(row.label)}</th>{"".join(marked)}</tr>'
