"""The report of an evaluation, as Markdown and as HTML with the same content.

Nothing else of the package is imported, so a report can be rendered from `metrics.json` alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_ae.evaluation.report.html import to_html
from keras_ae.evaluation.report.markdown import to_markdown
from keras_ae.evaluation.report.sections import make_sections, make_title


def render_report(metrics: dict[str, Any], folder: Path) -> dict[str, str]:
    """Render `report.md`, which links to the figures, and `report.html`, which contains them.

    A number is `{"mean", "std", "num"}`. Its standard deviation is printed where `num` > 1, and a
    dash where the mean is missing or not finite. The best mean of a column with a direction is
    bold, among variants only, together with equal printed values. A figure that is
    not a PNG or GIF file inside `folder` is named, not read. Unknown keys are ignored and every
    key may be missing.

    Args:
        metrics: The content of `metrics.json`: `data`, `made_by`, `configurations`,
            `comparisons`, `missing`, `broken`, `unfinished`, `other_versions`.
        folder: Folder of the figures; only read.

    Returns:
        The text of each file, by its name; Markdown first.
    """
    title, sections = make_title(metrics), make_sections(metrics, folder)
    return {"report.md": to_markdown(title, sections), "report.html": to_html(title, sections)}
