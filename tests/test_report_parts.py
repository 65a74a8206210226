"""Interactive parts of the report: the joined script, its policy, their data and fallback."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess

import pytest

from keras_ae.evaluation.report import bundle as bundling
from keras_ae.evaluation.report.blocks import Details, Interactive, Paragraph, Section
from keras_ae.evaluation.report.bundle import bundle, read_asset
from keras_ae.evaluation.report.html import to_html
from keras_ae.evaluation.report.markdown import to_markdown
from keras_ae.evaluation.report.sections import make_sections

MODULES = {
    "main.js": 'import { double, LIMIT as most } from "./a.js";\n'
    'import {\n  half,\n} from "./b.js";\nconsole.log(double(2), most, half(8));\n',
    "a.js": 'import { half } from "./b.js";\nexport const LIMIT = half(20);\n'
    "export function double(x) {\n  return 2 * x;\n}\nfunction hidden() {}\n",
    "b.js": "function hidden() {\n  return 2;\n}\nexport function half(x) {\n"
    "  return x / hidden();\n}\n",
}


def page_of(*blocks):
    return to_html("A title", [Section("A section", list(blocks))])


def test_joined_modules_run_as_the_modules_do():
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    script = bundle("main.js", MODULES.__getitem__)
    made = subprocess.run([node], input=script, capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["4", "10", "4"]
    assert script.count('modules["b.js"] =') == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('import x from "./b.js";', "cannot be part"),
        ('import { a } from "https://example.org/b.js";', "cannot be part"),
        ("export default 3;", "cannot be part"),
        ("export { a };", "cannot be part"),
        ('const a = "</SCRIPT>";', "cannot be part"),
        ('const a = "<!--";', "cannot be part"),
        ('import { a } from "./main.js";', "main.js -> main.js"),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(source, words):
    with pytest.raises(ValueError, match=words):
        bundle("main.js", {"main.js": source + "\n"}.__getitem__)


def test_policy_admits_the_script_and_the_style_of_the_page_and_no_others():
    page = page_of(Interactive("nothing", {}, [Paragraph("fallback")]))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[1]
    for element, directive in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert "unsafe" not in policy and " style=" not in page


def test_data_of_a_part_survives_and_cannot_leave_its_element():
    data = {"</script><script>alert(1)</script>": ["<!-- <script>", "a\u2028b&amp;", 'q"\\', "é"]}
    page = page_of(Interactive("ki<nd>", data, [Paragraph("fallback")]))
    found = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1 and json.loads(found[0]) == data
    assert "<" not in found[0] and 'data-kind="ki&lt;nd&gt;"' in page


def test_numbers_that_are_no_json_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        page_of(Interactive("nothing", {"x": float("nan")}, []))


def test_markdown_has_the_fallback_and_folded_blocks():
    blocks = [
        Details("More", [Paragraph("folded")]),
        Interactive("nothing", {"secret": 1}, [Paragraph("fallback")]),
    ]
    text = to_markdown("T", [Section("S", blocks)])
    assert "**More**\n\nfolded\n\nfallback" in text and "secret" not in text


def test_parts_replace_their_figures_only_where_their_data_can_be_read(tmp_path):
    (tmp_path / "map.json").write_text('{"points": [1, NaN]}')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path.parent / "outside.json").write_text("{}")
    figures = [{"file": "a.txt"}, {"file": "b.txt"}]

    def blocks(file):
        entry = {"kind": "map", "file": file, "replaces": ["a.txt"]}
        comparison = {"title": "T", "figures": figures, "interactive": [entry]}
        content = {"comparisons": {"c": comparison}}
        return make_sections(content, tmp_path)[2].blocks

    part, figure = blocks("map.json")
    assert isinstance(part, Interactive) and part.data == {"points": [1, None]}
    assert "a.txt" in part.fallback[0].text and "b.txt" in figure.text
    for name in ("list.json", "none.json", "../outside.json", str(tmp_path / "map.json"), ""):
        assert not any(isinstance(block, Interactive) for block in blocks(name)), name


def test_parts_of_no_comparison_have_sections_of_their_own(tmp_path):
    (tmp_path / "curves.json").write_text("{}")
    entry = {"kind": "curves", "file": "curves.json", "section": "Curves", "summary": "A sentence."}
    lost = {**entry, "section": "Lost", "file": "lost.json"}
    sections = make_sections({"interactive": [entry, {**entry, "summary": ""}, lost]}, tmp_path)
    (found,) = [section for section in sections if section.title == "Curves"]
    assert [type(block) for block in found.blocks] == [Paragraph, Interactive, Interactive]
    assert "Lost" not in [section.title for section in sections]


def test_scripts_make_no_markup_and_no_requests_and_run_no_text():
    folder = bundling.resources.files("keras_ae.evaluation.report").joinpath("assets")
    names = [each.name for each in folder.iterdir() if each.name.endswith(".js")]
    assert "main.js" in names
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\(|"
        r"XMLHttpRequest|WebSocket|sendBeacon|\bimport\(|localStorage|\bcookie\b"
    )
    for name in names:
        assert not re.findall(forbidden, read_asset(name)), name
