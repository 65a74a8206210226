"""Both report pages, parsed: their content, that they agree, and that text is escaped."""

from __future__ import annotations

import base64
import copy
import html
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from keras_ae.evaluation import report, write_report
from keras_ae.evaluation.report import blocks, sections
from keras_ae.evaluation.report import html as report_html
from keras_ae.evaluation.report.bundle import bundle

# Minimal PNG and GIF files.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==")
ODD = 'c d(1)"<b>|`*.gif'
VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = (
    "<script>alert(1)</script>|a|`b` ``` \"q\" 's' ../x\n# c\r\n| d | **e** &lt; _f_ [g](h) "
    "\\\\| ![i](j)"
)
EVIL_LINE = " ".join(EVIL.split())


def value(mean, std=None, num=1):
    return {"mean": mean, "std": std, "num": num}


def row(label, kind="variant", published=None, **values):
    return {"label": label, "kind": kind, "values": values, "published": published}


def configuration(label, **more):
    return {
        "label": label,
        "variant": label,
        "arguments": {},
        "latent_dim": 20,
        "held_out": None,
        "seeds": [42, 43],
        "epochs": 60,
        "num_parameters": 634567,
        "seconds_per_epoch": value(0.76, 0.02, 2),
        "training_seconds": value(45.6, 1.2, 2),
        **more,
    }


def metrics():
    """Metrics of three variants and two comparisons that use every feature of the page."""
    reconstruction = {
        "title": "Reconstruction",
        "summary": "In nats/image.",
        "columns": [
            {"key": "bce", "heading": "BCE, mean code", "digits": 2, "better": "lower"},
            {"key": "sampled_bce", "heading": "BCE, sampled code", "digits": 1, "better": None},
        ],
        "rows": [
            row("entropy floor", "baseline", bce=value(45.5)),
            row("deep", published=63.92, bce=value(64.523, 0.114, 2), sampled_bce=value(64.5)),
            row("vae", published=76.12, bce=value(69.58, 0.2, 1), sampled_bce=value(76.76)),
            row("shallow", published=123.2, bce=value(89.194, None, 2), sampled_bce=value(None)),
        ],
        "published_column": "sampled_bce",
        "by_class": [],
        "rankings": [
            {
                "heading": "BCE, mean code",
                "groups": [["deep", "vae"], ["shallow"]],
                "sentence": "Within a group, the seeds differ by as much.",
            }
        ],
        "figures": [{"file": "reconstruction.png", "caption": "Images over reconstructions."}],
        "notes": ["One note.", "Another."],
    }
    anomaly = {
        "title": "Anomaly detection",
        "summary": "Area under the ROC curve.",
        "columns": [{"key": "auc", "heading": "AUC, BCE", "digits": 4, "better": "higher"}],
        "rows": [
            row("deep", auc=value(0.46, 0.01, 3)),
            row("vae", auc=value(0.34)),
            row("ink sum", "baseline", auc=value(0.911)),
        ],
        "published_column": None,
        "by_class": [
            {
                "heading": "AUC, BCE, by held-out class",
                "digits": 3,
                "classes": ["0", "1", "2"],
                "rows": [
                    {"label": "deep", "values": [0.7123, None, 0.5]},
                    {"label": "vae", "values": [0.5, float("nan")]},
                ],
            }
        ],
        "rankings": [],
        "figures": [{"file": f"{name}.gif", "caption": name} for name in ("a", "b")]
        + [{"file": "reconstruction.png", "caption": "Between."}]
        + [{"file": ODD, "caption": "c"}],
        "notes": [],
    }
    return {
        "data": {
            "name": "mnist",
            "num_train": 55000,
            "num_validation": 5000,
            "num_test": 10000,
            "image_shape": [28, 28],
            "class_names": [str(digit) for digit in range(10)],
            "fingerprint": "0123abcd",
        },
        "made_by": {
            "command": "python evaluate.py runs",
            "seed": 42,
            "versions": {"keras_ae": "0.1.0", "keras": "3.15.1"},
            "device": "CPU (2 cores)",
        },
        "configurations": [
            configuration("deep"),
            configuration("vae", held_out=["1", "7"], training_seconds=value(47.0, 1.0, 4)),
            configuration("shallow", num_parameters=None, seeds=[42]),
        ],
        "comparisons": {"reconstruction": reconstruction, "anomaly": anomaly},
        "missing": [{"what": "sparse, in 20 dimensions", "command": "python train.py -v sparse"}],
        "broken": ["runs/x/config.json is damaged."],
        "unfinished": ["runs/mnist/vae-20d-seed44"],
    }


def planted(thing):
    """`metrics()` with markup in every text, except in names with a meaning."""
    meaning = {"kind", "better", "key", "file", "published_column"}
    if isinstance(thing, dict):
        return {
            EVIL if key in ("keras", "reconstruction") else key: content
            if key in meaning
            else planted(content)
            for key, content in thing.items()
        }
    if isinstance(thing, list):
        return [planted(one) for one in thing]
    return EVIL + thing if isinstance(thing, str) else thing


# ---- parsing the pages ----


class Page(HTMLParser):
    """HTML parser: tags, attributes, tables as rows of texts; checks that every tag is closed."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.unbalanced = [], [], []
        self.tables, self.bold, self.baselines = [], set(), set()
        self.text = ""
        self.feed(source)
        self.close()
        self.unbalanced += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")
        if tag == "tbody":
            self.is_baseline = dict(attrs).get("class") == "baselines"

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        if tag == "strong" and {"th", "td"} & set(self.open):
            table, line = self.tables[-1], self.tables[-1][-1]
            self.bold.add((line[0], table[0][len(line) - 1], line[-1]))
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open:
            return
        self.text += data
        if not {"th", "td"} & set(self.open):
            return
        line = self.tables[-1][-1]
        line[-1] += data
        if "tbody" in self.open and self.is_baseline:
            self.baselines.add(line[0])


def markdown_tables(source):
    """Tables of a Markdown page. Every `|` separates cells, because texts contain none."""
    tables, rule = [], r"\|(?: -+:? \|)+"
    lines = [*source.splitlines(), ""]
    for before, line in zip(lines, lines[1:], strict=False):
        if line.startswith("|") and not before.startswith("|"):
            tables.append([])
        if line.startswith("|") and not re.fullmatch(rule, line):
            tables[-1].append([plain(cell) for cell in line[1:-1].split("|")])
    return tables


def plain(cell):
    cell = re.sub(r"^(\*\*|\*)(.+)\1$", r"\2", cell.strip())
    return html.unescape(re.sub(r"\\([\W_])", r"\1", cell))


def rendered(source):
    """Render CommonMark with tables, using a library that Keras depends on."""
    markdown_it = pytest.importorskip("markdown_it")
    return Page(markdown_it.MarkdownIt("commonmark").enable("table").render(source))


def report_on(content, folder):
    for name in ("reconstruction.png", "a.gif", "b.gif", ODD):
        (folder / name).write_bytes(GIF if name.endswith("gif") else PNG)
    return [path.read_text(encoding="utf-8") for path in write_report(content, folder)]


def images(page):
    return [attributes for tag, attributes in page.tags if tag == "img"]


# ---- content ----


def test_result_table_has_the_expected_cells(tmp_path):
    _, page = report_on(metrics(), tmp_path)
    assert Page(page).tables[1] == [
        ["variant", "BCE, mean code\N{NO-BREAK SPACE}↓", "BCE, sampled code", "published"],
        ["deep", "64.52 ± 0.11", "64.5", "63.92"],
        ["vae", "69.58", "76.8", "76.12"],
        ["shallow", "89.19", "–", "123.2"],
        ["entropy floor", "45.50", "–", "–"],
    ]


def test_columns_of_dashes_are_left_out_everywhere(tmp_path):
    content = metrics()
    for table in content["comparisons"].values():
        for one in table["rows"]:
            one["values"].pop("sampled_bce", None)
            one["values"].pop("auc", None)
    _, page = report_on(content, tmp_path)
    tables = Page(page).tables
    assert tables[1][0] == ["variant", "BCE, mean code\N{NO-BREAK SPACE}↓", "published"]
    assert not any("Anomaly" in heading for heading in tables[0][0])
    for table in (tables[0], tables[1], tables[-1]):
        for place, heading in enumerate(table[0]):
            assert {row[place] for row in table[1:]} - {"–"}, heading


def test_comparisons_left_out_are_named_in_the_overview(tmp_path):
    reason = "Anomaly detection: the images have no class labels."
    source, page = report_on({**metrics(), "left_out": [reason]}, tmp_path)
    assert f"**Left out:** {reason}" in source and reason in page
    assert "Left out" not in report_on(metrics(), tmp_path)[0]
    source, page = report_on({**metrics(), "not_ranked": "vae: a constant."}, tmp_path)
    assert "**Not ranked:** vae: a constant." in source and "vae: a constant." in page


def test_commands_and_reading_of_the_images_are_told(tmp_path):
    content = metrics()
    for one in content["configurations"]:
        one["command"] = f"keras-ae train --variant {one['variant']}"
    content["data"] |= {"options": "--dataset my --image-size 64", "notices": ["skipped a.txt"]}
    content["few_images"] = "The test set has 9 images."
    source, page = report_on(content, tmp_path)
    for words in (
        "keras-ae train --variant deep\n",
        "Data: --dataset my --image-size 64",
        "Read with these notices: skipped a.txt",
    ):
        assert words.strip() in source.replace("`", "") and words.strip() in page
    assert "**Few images:** The test set has 9 images." in source
    assert source.count("keras-ae train --variant deep\n") == 1


def test_model_that_ignores_its_input_is_never_bold(tmp_path):
    content = metrics()
    rows = content["comparisons"]["reconstruction"]["rows"]
    rows.append({**row("flat (ignores its input)", bce=value(1.0)), "collapsed": True})
    content["configurations"].insert(0, configuration("flat (ignores its input)"))
    source, page = report_on(content, tmp_path)
    assert [line[0] for line in Page(page).tables[0]].index("flat (ignores its input)") == 4
    assert "**1.00**" not in source and "| 1.00 |" in source
    assert "**64.52 ± 0.11**" in source


def test_overview_has_the_expected_cells(tmp_path):
    _, page = report_on(metrics(), tmp_path)
    assert Page(page).tables[0] == [
        [
            "variant",
            "Reconstruction: BCE, mean code\N{NO-BREAK SPACE}↓",
            "Anomaly detection: AUC, BCE\N{NO-BREAK SPACE}↑",
            "parameters",
            "s/epoch",
            "training,\N{NO-BREAK SPACE}s",
        ],
        ["deep", "64.52 ± 0.11", "0.4600 ± 0.0100", "634,567", "0.76 ± 0.02", "45.6 ± 1.2"],
        ["vae", "69.58", "0.3400", "634,567", "0.76 ± 0.02", "47.0 ± 1.0"],
        ["shallow", "89.19", "–", "–", "0.76 ± 0.02", "45.6 ± 1.2"],
    ]


def test_class_and_training_tables_have_the_expected_cells(tmp_path):
    _, page = report_on(metrics(), tmp_path)
    by_class, training = Page(page).tables[3:]
    assert by_class == [
        ["variant", "0", "1", "2"],
        ["deep", "0.712", "–", "0.500"],
        ["vae", "0.500", "–", "–"],
    ]
    assert training[2][:5] == ["vae", "20", "1, 7", "42, 43", "60"]


def test_both_pages_have_the_same_tables_and_bold_values(tmp_path):
    markdown, page = report_on(metrics(), tmp_path)
    page, from_markdown = Page(page), rendered(markdown)
    assert len(page.tables) == 5
    assert markdown_tables(markdown) == page.tables
    assert from_markdown.tables == page.tables
    assert from_markdown.bold == page.bold


def test_both_pages_have_the_same_sentences(tmp_path):
    markdown, page = report_on(metrics(), tmp_path)
    texts = [" ".join(Page(page).text.split()), " ".join(rendered(markdown).text.split())]
    for sentence in (
        "8 trained runs of 3 variants in 3 configurations, seeds 42, 43.",
        "55,000 for training, 5,000 for validation, 10,000 for testing, of 28 × 28 values",
        "keras_ae 0.1.0, keras 3.15.1, on CPU (2 cores)",
        "python evaluate.py runs",
        "Ranking by BCE, mean code: (1) deep = vae; (3) shallow. Within a group, the seeds",
        "Images over reconstructions.",
        "sparse, in 20 dimensions",
        "python train.py -v sparse",
        "runs/x/config.json is damaged.",
        "runs/mnist/vae-20d-seed44",
        "Another.",
        "0123abcd",
    ):
        for text in texts:
            assert sentence in text


@pytest.mark.parametrize(
    ("better", "best"), [("lower", "3.00"), ("higher", "100.00"), (None, None)]
)
def test_bold_is_the_best_mean_of_the_variants(tmp_path, better, best):
    content = metrics()
    table = content["comparisons"]["reconstruction"]
    table["columns"][0]["better"] = better
    table["rows"] = [
        row(name, bce=value(mean)) for name, mean in zip("abc", (20, 3, 100), strict=True)
    ]
    table["rows"] += [
        row(f"floor {mean}", "baseline", bce=value(mean)) for mean in (1, 3, 100, 900)
    ]
    table["rows"] += [row("broken", bce=value(float("nan"))), row("none")]
    content["comparisons"] = {"reconstruction": table}
    content["configurations"] = []
    for bold in (Page(report_on(content, tmp_path)[1]).bold, rendered(*written(tmp_path)).bold):
        assert {text for _, _, text in bold} == ({best} if best else set())
        assert {label for label, _, _ in bold} <= set("abc")


def written(folder):
    return [(folder / "report.md").read_text(encoding="utf-8")]


def test_equal_values_are_bold_together_and_a_single_one_is_not(tmp_path):
    content = metrics()
    table = content["comparisons"]["reconstruction"]
    table["rows"] = [row("a", bce=value(1.001)), row("b", bce=value(1.004))]
    table["rows"] += [row("c", bce=value(1.006), sampled_bce=value(1.0))]
    page = Page(report_on(content, tmp_path)[1])
    marks = {
        label for label, heading, _ in page.bold if heading == "BCE, mean code\N{NO-BREAK SPACE}↓"
    }
    assert marks == {"a", "b"}
    table["rows"] = table["rows"][:1]
    assert "a" not in {label for label, _, _ in Page(report_on(content, tmp_path)[1]).bold}


def test_baselines_are_separate_rows_below(tmp_path):
    markdown, page = report_on(metrics(), tmp_path)
    assert Page(page).baselines == {"entropy floor", "ink sum"}
    assert "| *entropy floor* | 45.50 |" in markdown
    assert markdown.index("| shallow |") < markdown.index("*entropy floor*")


@pytest.mark.parametrize(
    ("given", "digits", "text"),
    [
        (value(64.523, 0.114, 2), 2, "64.52 ± 0.11"),
        (value(64.523, 0.114, 1), 2, "64.52"),
        (value(64.523, None, 2), 2, "64.52"),
        (value(64.523, float("nan"), 2), 2, "64.52"),
        (value(64.523, 0.0, 3), 0, "65 ± 0"),
        (value(-0.0001), 2, "0.00"),
        (value(-1.5), 1, "-1.5"),
        (value(None), 2, "–"),
        (value(float("nan"), 1.0, 2), 2, "–"),
        (value(float("inf")), 2, "–"),
        (value("<b>"), 2, "–"),
        ({}, 2, "–"),
        (None, 2, "–"),
        (3, 1, "3.0"),
    ],
)
def test_numbers_are_formatted(given, digits, text):
    assert sections.format_value(given, digits) == text


def test_default_is_two_digits_and_zero_is_allowed():
    assert [sections.digits_of(column) for column in ({}, {"digits": 0}, {"digits": 4})] == [
        2,
        0,
        4,
    ]


def test_published_values_keep_their_digits_in_their_own_column(tmp_path):
    content = metrics()
    table = content["comparisons"]["reconstruction"]
    table["published_column"] = "bce"
    page = Page(report_on(content, tmp_path)[1])
    assert page.tables[1][0] == [
        "variant",
        "BCE, mean code\N{NO-BREAK SPACE}↓",
        "published",
        "BCE, sampled code",
    ]
    assert page.tables[1][3] == ["shallow", "89.19", "123.2", "–"]
    for one in table["rows"]:
        one["published"] = None
    assert "published" not in Page(report_on(content, tmp_path)[1]).tables[1][0]


def test_equally_named_configurations_share_an_overview_row(tmp_path):
    content = metrics()
    content["configurations"] += [configuration("deep", latent_dim=2, num_parameters=5)]
    page = Page(report_on(content, tmp_path)[1])
    assert [line[0] for line in page.tables[0][1:]] == ["deep", "vae", "shallow"]
    assert page.tables[0][1][3] == "634,567"
    assert [line[:2] for line in page.tables[-1][1:]] == [
        ["deep", "20"],
        ["vae", "20"],
        ["shallow", "20"],
        ["deep", "2"],
    ]
    assert "share a name" in page.text


def test_baseline_named_like_a_variant_is_not_in_the_overview(tmp_path):
    content = metrics()
    content["comparisons"]["anomaly"]["rows"] += [row("vae", "baseline", auc=value(0.9))]
    assert Page(report_on(content, tmp_path)[1]).tables[0][2][2] == "0.3400"


def test_single_entry_rankings_and_empty_tables_are_omitted(tmp_path):
    content = metrics()
    table = content["comparisons"]["anomaly"]
    table["columns"], table["by_class"] = [], []
    table["rankings"] = [{"heading": "AUC", "groups": [["deep"]]}, {"heading": "AUC", "groups": []}]
    page = Page(report_on(content, tmp_path)[1])
    assert [table[0][0] for table in page.tables] == ["variant"] * 3
    assert len(page.tables[0][0]) == 5
    assert "Anomaly detection" in page.text and "Ranking by AUC" not in page.text


# ---- figures ----


def test_figures_are_embedded_in_html_and_linked_in_markdown(tmp_path):
    markdown, page = report_on(metrics(), tmp_path)
    inside = images(Page(page))
    assert len(inside) == 5
    for attributes in inside:
        kind, content = attributes["src"].removeprefix("data:image/").split(";base64,")
        assert base64.b64decode(content) == {"png": PNG, "gif": GIF}[kind]
        assert attributes["alt"]
    linked = [(unquote(one["src"]), one["alt"]) for one in images(rendered(markdown))]
    assert linked[0] == ("reconstruction.png", "Images over reconstructions.")
    assert [name for name, _ in linked[1:]] == [
        "a.gif",
        "b.gif",
        "reconstruction.png",
        ODD,
    ]
    assert all((tmp_path / name).is_file() for name, _ in linked)


def test_lines_of_a_figure_are_a_list_below_it(tmp_path):
    content = metrics()
    lines = ["missed: (1) a_b/*c*.png; (2) <d>.png", "false alarms: (1) e.png"]
    content["comparisons"]["anomaly"]["figures"] = [
        {"file": "reconstruction.png", "caption": "Shown.", "lines": lines}
    ]
    markdown, page = report_on(content, tmp_path)
    for text in (rendered(markdown), Page(page)):
        assert all(line in text.text for line in lines)


def test_consecutive_gifs_share_one_row(tmp_path):
    _, page = report_on(metrics(), tmp_path)
    strips = re.findall(r'<div class="strip">(.*?)</div>', page, re.DOTALL)
    assert [strip.count("<img") for strip in strips] == [2, 1]
    assert page.count('src="data:image/gif') == 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret.png", "outside the folder"),
        ("sub/../../secret.png", "outside the folder"),
        ("{outside}/secret.png", "outside the folder"),
        ("{inside}/reconstruction.png", "outside the folder"),
        ("link.png", "outside the folder"),
        ("away/secret.png", "outside the folder"),
        ("gone.png", "missing or cannot be read"),
        ("loop.png", "missing or cannot be read"),
        ("sub.png", "missing or cannot be read"),
        ("nul\0.png", "missing or cannot be read"),
        ("x" * 300 + ".png", "missing or cannot be read"),
        ("", "neither a PNG nor a GIF"),
        ("metrics.json", "neither a PNG nor a GIF"),
    ],
)
def test_invalid_figure_is_refused_unread(tmp_path, name, reason):
    outside, inside = tmp_path, tmp_path / "results"
    (inside / "sub.png").mkdir(parents=True)
    (inside / "sub").mkdir()
    secret = b"\x89PNG secret"
    (outside / "secret.png").write_bytes(secret)
    (inside / "metrics.json").write_bytes(secret)
    (inside / "link.png").symlink_to(outside / "secret.png")
    (inside / "away").symlink_to(outside)
    (inside / "loop.png").symlink_to(inside / "loop.png")
    name = name.format(outside=outside, inside=inside)
    content = metrics()
    content["comparisons"]["anomaly"]["figures"] = [{"file": name, "caption": "hidden"}]
    markdown, page = report_on(content, inside)
    assert base64.b64encode(secret).decode()[:8] not in page
    assert len(images(Page(page))) == 1 == len(images(rendered(markdown)))
    named = sections.text_of(name) or "(no name)"
    for text in (Page(page).text, rendered(markdown).text):
        assert f"Figure not shown: {named}: " in text
        assert reason in text


def test_link_within_the_folder_is_followed(tmp_path):
    (tmp_path / "link.png").symlink_to("reconstruction.png")
    content = metrics()
    content["comparisons"]["anomaly"]["figures"] = [{"file": "link.png", "caption": "x"}]
    _, page = report_on(content, tmp_path)
    assert len(images(Page(page))) == 2


# ---- escaping ----


def harmless(page):
    names = {tag for tag, _ in page.tags}
    assert not names & {"iframe", "object", "embed", "form", "link", "b"}
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [one for one in scripts if one != {"type": "application/json"}] in ([], [{}])
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "a":
            assert re.fullmatch(r"#[a-z0-9-]+", attributes["href"])
        if tag == "img":
            assert re.match(r"data:image/(png|gif);base64,|[^:/]+\.(png|gif)$", attributes["src"])


def test_planted_markup_is_escaped(tmp_path):
    content = planted(metrics())
    markdown, source = report_on(content, tmp_path)
    page, from_markdown = Page(source), rendered(markdown)
    clean = Page(report_on(metrics(), tmp_path)[1])
    harmless(page)
    harmless(from_markdown)
    assert "script" not in {tag for tag, _ in from_markdown.tags}
    assert f"<script>\n{bundle('main.js')}</script>" in source
    assert page.unbalanced == from_markdown.unbalanced == []
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in clean.tags]
    assert [[len(line) for line in table] for table in page.tables] == [
        [len(line) for line in table] for table in clean.tables
    ]
    assert from_markdown.tables == page.tables == markdown_tables(markdown)
    assert page.tables[1][1][0] == f"{EVIL_LINE}deep"
    for text in (page.text, " ".join(from_markdown.text.split())):
        assert text.count("<script>alert(1)</script>") >= 25


@pytest.mark.parametrize(
    "text",
    [
        *"\\`*_{}[]()<>#+-.!|~&$=:\"'",
        *(f"{mark} x" for mark in ("-", "+", "1.", "12)", "#", ">", "=", "*")),
        "---", "***", "___", "===", "- - -", "```", "~~~", "~~x~~", "__x__", "*x*", "_x_", "`x`",
        "\\|", "\\\\|", "|x|", "a|b", "|---|", "&lt;", "&#124;", "<!-- x -->", "![x](y)", "[x]: y",
        "[x][y]", "<https://x.y>", "x\\", "vq_vae", "a_b_c", "a\ud800b", "\u202egnp", "a\u2028b",
        "x\n\n# y", "\tx", "$x$", "<x", "x  \ny", "a*b*c", "**", "64.52", "-3", "1.5 ± 0.1",
    ],
)  # fmt: skip
def test_any_text_is_shown_verbatim_everywhere(tmp_path, text):
    content = metrics()
    content["data"]["name"] = content["made_by"]["device"] = text
    table = content["comparisons"]["reconstruction"]
    table["title"] = table["summary"] = table["rows"][0]["label"] = table["rows"][1]["label"] = text
    table["notes"] = [text]
    table["figures"][0]["caption"] = f"see {text}"
    content["missing"] = [{"what": text, "command": f"run {text}"}]
    markdown, page = report_on(content, tmp_path)
    page, from_markdown = Page(page), rendered(markdown)
    line = sections.text_of(text)
    assert page.tables[1][1][0] == from_markdown.tables[1][1][0] == line
    assert page.tables[1][4][0] == from_markdown.tables[1][4][0] == line
    assert markdown_tables(markdown) == page.tables == from_markdown.tables
    assert (
        images(from_markdown)[0]["alt"] == images(page)[0]["alt"] == sections.text_of(f"see {text}")
    )
    tags = [tag for tag, _ in from_markdown.tags]
    assert not set(tags) & {"a", "del", "hr", "ol", "h3", "blockquote", "script"}
    assert [tags.count(tag) for tag in ("h1", "h2", "pre", "li", "img")] == [1, 7, 2, 10, 5]
    words = from_markdown.text.split()
    title = f"Autoencoders compared on {line} What is this?".split()
    assert words[: len(title)] == title


@pytest.mark.parametrize(
    "command",
    ["python train.py --held-out-class '```\n# loud\n````'", "```", "`````", "~~~", "    "],
)
def test_command_with_a_code_fence_stays_in_its_block(tmp_path, command):
    content = metrics()
    content["missing"][0]["command"] = command
    content["broken"] = ["still *plain*"]
    page = rendered(report_on(content, tmp_path)[0])
    assert sections.text_of(command) in page.text
    assert "still *plain*" in page.text
    tags = [tag for tag, _ in page.tags]
    assert [tags.count(tag) for tag in ("h1", "h2", "pre")] == [1, 7, 2]


# ---- the HTML page ----


def test_html_is_valid_and_makes_no_requests(tmp_path):
    _, source = report_on(metrics(), tmp_path)
    page = Page(source)
    assert source.startswith("<!DOCTYPE html>")
    assert page.unbalanced == []
    without_namespace = source.replace('"http://www.w3.org/2000/svg"', "")
    assert "://" not in without_namespace
    assert "url(" not in source and "@import" not in source
    harmless(page)
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert len(set(names)) == len(names) == 7
    assert links == [f"#{name}" for name in names]
    for feature in ("prefers-color-scheme: dark", "@media print", "overflow-x: auto"):
        assert feature in source


def test_equal_section_titles_get_distinct_anchors():
    anchors = report_html.make_anchors(["A b", "a-b", "é", "漢", "", "a b", "A-b-1", "a b"])
    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch("[a-z0-9-]+", anchor) for anchor in anchors)


# ---- incomplete and unknown metrics ----


@pytest.mark.parametrize("content", [{}, {"comparisons": {}}, {**metrics(), "comparisons": {}}])
def test_report_without_comparisons_is_written(tmp_path, content):
    markdown, page = report_on(content, tmp_path)
    assert Page(page).unbalanced == []
    assert "Overview" in Page(page).text and "How to reproduce" in markdown
    assert markdown_tables(markdown) == Page(page).tables


def without(thing, path):
    first, *rest = path
    if rest:
        without(thing[first], rest)
    else:
        del thing[first]


def every_path(thing, path=()):
    for key, content in thing.items() if isinstance(thing, dict) else enumerate(thing):
        yield (*path, key)
        if isinstance(content, dict | list):
            yield from every_path(content, (*path, key))


def test_any_key_may_be_missing_or_empty(tmp_path):
    for path in every_path(metrics()):
        content = metrics()
        without(content, path)
        made = report.make_sections(content, tmp_path)
        assert report.to_markdown("t", made) and report.to_html("t", made)


def test_unknown_keys_are_ignored(tmp_path):
    expected = report_on(metrics(), tmp_path)
    content = copy.deepcopy(metrics())

    def sprinkle(thing):
        for one in thing.values() if isinstance(thing, dict) else thing:
            if isinstance(one, dict | list):
                sprinkle(one)
        if isinstance(thing, dict) and "keras" not in thing and "reconstruction" not in thing:
            thing["new"] = {"deep": [1, {"<b>": None}]}

    sprinkle(content)
    assert report_on(content, tmp_path) == expected


def test_json_round_trip_gives_the_same_page(tmp_path):
    expected = report_on(metrics(), tmp_path)
    assert report_on(json.loads(json.dumps(metrics())), tmp_path) == expected


# ---- writing ----


def test_report_creates_the_folder_with_only_two_pages(tmp_path):
    folder = tmp_path / "new" / "results"
    paths = write_report(metrics(), folder)
    assert paths == [folder / "report.md", folder / "report.html"]
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.md"]


def test_failed_write_keeps_the_old_page(tmp_path, monkeypatch):
    before = report_on(metrics(), tmp_path)

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report({}, tmp_path)
    names = ("report.md", "report.html")
    assert [(tmp_path / name).read_text(encoding="utf-8") for name in names] == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["report.md", "report.html", ".report.partial.md"])
def test_link_in_the_results_folder_is_replaced_not_followed(tmp_path, name):
    victim, folder = tmp_path / "victim.txt", tmp_path / "results"
    victim.write_text("precious")
    folder.mkdir()
    (folder / name).symlink_to(victim)
    write_report({}, folder)
    assert victim.read_text() == "precious"
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.md"]


def test_report_says_which_versions_are_mixed(tmp_path):
    content = metrics()
    content["made_by"]["versions"]["keras"] = "3.14.0 and 3.15.1"
    content["made_by"]["mixed"] = ["keras"]
    for text in report_on(content, tmp_path):
        assert "keras 3.14.0 and 3.15.1" in text and "more than one version of: keras" in text
    assert "more than one version" not in report_on(metrics(), tmp_path)[0]


def test_report_imports_no_heavy_packages(tmp_path):
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from keras_ae.evaluation.report import render_report\n"
        f"render_report({{}}, {str(tmp_path)!r})\n"
        "heavy = {'keras', 'tensorflow', 'numpy', 'matplotlib'}\n"
        "print(*sorted(heavy & set(sys.modules)), end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""


def test_best_of_each_row_is_marked_and_not_in_the_overview():
    table = {
        "title": "Scores",
        "best_in_row": True,
        "columns": [{"key": key, "heading": key, "digits": 2} for key in ("a", "b", "c")],
        "rows": [
            row("deep", a=value(0.2), b=value(0.801), c=value(0.804)),
            row("vae", a=value(0.9), b=value(0.8)),
            row("one", a=value(0.9)),
            row("chance", "baseline", a=value(0.9), b=value(0.1)),
        ],
    }
    rows = sections.result_rows(table)
    marked = [[cell.best for cell in made.cells] for made in rows]
    assert marked == [
        [False, True, True],  # equal as printed
        [True, False, False],
        [False, False, False],  # nothing to compare with
        [False, False, False],
    ]
    content = metrics()
    content["comparisons"]["scores"] = table
    (table,) = [b for b in sections.overview(content).blocks if isinstance(b, blocks.Table)]
    headings = table.headings
    assert not [heading for heading in headings if heading.startswith("Scores")]
