"""The documentation: entries of the registries, public names, options, links."""

import re
from pathlib import Path

import pytest
from programs import ROOT

import keras_ae
from keras_ae.cli import COMMANDS, main
from keras_ae.data import DATASETS
from keras_ae.evaluation.comparisons import COMPARISONS
from keras_ae.variants import VARIANTS

DOCS = ROOT / "docs"
PAGES = {
    "train": ("training.md", "variants.md"),
    "evaluate": ("evaluation.md",),
    "predict": ("predict.md",),
    "decode": ("predict.md",),
    "sample": ("predict.md",),
}


def first_cells(page: str) -> list[str]:
    """The names in backticks in the first cells of the tables of a page."""
    rows = re.findall(r"^\|([^|]*)\|", (DOCS / page).read_text(), re.MULTILINE)
    return [name for cell in rows for name in re.findall(r"`(\w+)`", cell)]


def code(page: str) -> str:
    """The code of a page: blocks and words in backticks."""
    text = (DOCS / page).read_text()
    blocks = re.findall(r"^```.*?^```|^    .*?$", text, re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`[^`\n]+`", text)])


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("variants.md", VARIANTS),
        ("evaluation.md", COMPARISONS),
        ("training.md", DATASETS),
    ],
)
def test_every_registry_entry_has_a_row(page, names):
    assert [name for name in names if name not in first_cells(page)] == []


def test_every_public_name_is_documented():
    known = set(re.findall(r"\w+", code("library.md") + code("variants.md")))
    assert [name for name in keras_ae.__all__ if name not in known] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.MULTILINE))
    known = set(re.findall(r"--[a-z][\w-]*", "".join(code(page) for page in PAGES[command])))
    assert len(options) > 4 and sorted(options - known - {"--version"}) == []


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("pattern", ["*.md", "docs/*.md"])
def test_links_lead_to_files_and_headings(pattern):
    pages = list(ROOT.glob(pattern))
    assert pages
    assert [(page.name, target) for page in pages for target in broken_links(page)] == []


def broken_links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(target)
    return broken
