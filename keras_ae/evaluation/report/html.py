"""Rendering a report as a single HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from typing import Any

from keras_ae.evaluation.report.blocks import (
    Block,
    Bullets,
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
from keras_ae.evaluation.report.bundle import bundle, read_asset

WIDE, HUGE = 7, 10  # columns; a table with more is set in smaller type, and in still smaller
# One script and one style sheet, known by digest, and no requests: whatever a label contains,
# a browser runs nothing of it and fetches nothing. blob: is for images that the script makes.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src '{style}'; script-src '{script}'; "
    "connect-src 'none'; base-uri 'none'; form-action 'none'"
)
# Inside a script element these could end it, or change how the rest of it is read.
JSON_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def to_html(title: str, sections: list[Section]) -> str:
    """The report as one HTML file that contains its figures and its style sheet."""
    style, script = f"\n{read_asset('report.css')}", f"\n{bundle('main.js')}"
    policy = POLICY.format(style=digest_of(style), script=digest_of(script))
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
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>",
        f"<h1>{html.escape(title)}</h1>",
        '<nav aria-label="Contents">',
        *links,
        "</nav>\n<main>",
        *parts,
        f"</main>\n<script>{script}</script>\n</body>\n</html>",
    ]
    return "\n".join(lines) + "\n"


def digest_of(text: str) -> str:
    """The digest of an inline script or style sheet, as a policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


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
        case Details(summary, blocks):
            inside = "\n".join(map(html_block, blocks))
            return f"<details><summary>{html.escape(summary)}</summary>\n{inside}\n</details>"
        case Interactive(kind, data, fallback):
            inside = "\n".join(map(html_block, fallback))
            return (
                f'<div class="interactive" data-kind="{html.escape(kind)}">\n'
                f'<div class="fallback">\n{inside}\n</div>\n'
                f'<script type="application/json">{script_json(data)}</script>\n</div>'
            )
    raise TypeError(f"unknown block: {block!r}")


def script_json(data: Any) -> str:
    """JSON that stays inside its script element, whatever strings it contains.

    Raises:
        ValueError: a number is not finite, which is no JSON.
    """
    return json.dumps(data, separators=(",", ":"), allow_nan=False).translate(JSON_ESCAPES)


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
    name = caption or "Table"
    lines = [f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">']
    num = len(table.headings)
    size = "huge" if num > HUGE else "wide" if num > WIDE else ""
    lines.append(f'<table class="{size}">' if size else "<table>")
    lines += [f"<caption>{caption}</caption>"] if caption else []
    headings = "".join(
        f'<th scope="col"{title_attribute(table.meanings.get(name, ""))}>{html.escape(name)}</th>'
        for name in table.headings
    )
    lines.append(f"<thead><tr>{headings}</tr></thead>")
    for baseline, mark in ((False, ""), (True, ' class="baselines"')):
        rows = [html_row(row, table.headings[1:]) for row in table.rows if row.baseline == baseline]
        lines += [f"<tbody{mark}>", *rows, "</tbody>"] if rows else []
    return "\n".join([*lines, "</table>", "</div>"])


def html_number(text: str) -> str:
    """A number with its spread marked up: it is gray, and below the mean in a wide table."""
    mean, mark, spread = map(html.escape, text.partition(" ± "))
    return f'{mean} <span class="spread">± {spread}</span>' if mark else mean


def title_attribute(text: str) -> str:
    """An attribute with an explanation, or nothing."""
    return f' title="{html.escape(text)}"' if text else ""


def html_row(row: Row, headings: list[str]) -> str:
    """One row of a table. On a phone it is a block in which each cell names its heading."""
    cells = []
    for cell, heading in zip(row.cells, headings, strict=True):
        text = html_number(cell.text)
        text = f"<strong>{text}</strong>" if cell.best else text
        empty = " data-empty" if cell.text == "–" else ""
        cells.append(f'<td data-heading="{html.escape(heading)}"{empty}><span>{text}</span></td>')
    return f'<tr><th scope="row">{html.escape(row.label)}</th>{"".join(cells)}</tr>'
