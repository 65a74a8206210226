"""The result tables of the documentation, from an invented metrics.json."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield {name: importlib.import_module(f"{name}_table") for name in ("bake_off", "family")}
    sys.modules.pop("tables", None)


def value(mean, std=None):
    return {"mean": mean, "std": std, "num": 1 if std is None else 3}


def configuration(label, variant=None, held_out=None, **arguments):
    return {
        "label": label,
        "variant": variant or label,
        "arguments": arguments,
        "latent_dim": 576 if label == "convolutional" else 20,
        "held_out": held_out,
        "seeds": [42, 43],
        "num_parameters": None if label == "tied" else 12345,
        "seconds_per_epoch": value(1.234),
    }


def row(label, kind="variant", **values):
    return {"label": label, "kind": kind, "values": values}


METRICS = {
    "data": {"name": "mnist", "num_test": 10000},
    "made_by": {"versions": {"keras": "3"}, "device": "CPU"},
    "configurations": [
        configuration("deep"),
        configuration("deep", held_out=["1"]),
        configuration("sparse"),
        configuration("vae"),
        configuration("vq_vae, embedding_dim 4", "vq_vae", embedding_dim=4),
        configuration("tied"),
        configuration("linear"),
        configuration("convolutional"),
    ],
    "comparisons": {
        "reconstruction": {
            "rows": [
                row("deep", bce=value(64.123, 0.056), mse=value(4.0)),
                row("sparse", bce=value(65.0), mse=value(4.1)),
                row("vae", bce=value(70), sampled_bce=value(76), negative_elbo=value(101.456)),
                row("tied", bce=value(66.0), mse=value(4.2)),
                row("linear", mse=value(8.765, 0.012)),
                row("PCA", "baseline", bce=value(107.0), mse=value(9.0)),
            ]
        },
        "classification": {
            "rows": [
                row("deep", converged=value(0.8123), published=value(0.77)),
                row("linear", converged=value(0.8372, 0.0041)),
            ]
        },
        "anomaly": {
            "by_class": [],
            "rows": [
                row("deep", auc=value(0.45), auc_signed=value(0.876)),
                row("linear", auc=value(0.3), auc_signed=value(0.5)),
            ],
        },
    },
}


def cells(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in lines
    }


def test_family_table_lists_the_other_variants_and_references(scripts):
    rows = cells(scripts["family"].table(METRICS))
    labels = [label for label in rows if label not in ("variant", "---")]
    assert labels == ["deep", "vae", "vq_vae, embedding_dim 4", "tied", "linear", "convolutional"]
    assert rows["deep"] == ["20", "12,345", "64.12 ± 0.06", "4.00", "–", "0.812", "1.23"]
    assert rows["linear"] == ["20", "12,345", "–", "8.77 ± 0.01", "–", "0.837 ± 0.004", "1.23"]
    assert rows["vae"][2:5] == ["70.00", "–", "101.46"]
    assert rows["tied"][1] == "–"
    assert rows["convolutional"] == ["576", "12,345", "–", "–", "–", "–", "1.23"]  # not measured
    assert all(len(row) == len(rows["variant"]) for row in rows.values())


def test_family_table_includes_the_notes(scripts):
    plain = scripts["family"].table(METRICS)
    parts = METRICS["comparisons"]
    noted = {
        name: {**parts[name], "notes": [f"{name} said so."]}
        for name in ("reconstruction", "classification", "anomaly")
    }
    text = scripts["family"].table({**METRICS, "comparisons": noted})
    assert text == f"{plain} reconstruction said so. classification said so."


def test_bake_off_tables_omit_the_other_variants(scripts):
    text = scripts["bake_off"].tables(METRICS)
    assert "linear" not in text and "tied" not in text
    general, anomaly = text.split("\n\n")[:2]
    rows = cells(general)
    assert rows["vae"][:2] == ["76.12", "76.00"]  # of a sampled code, as published
    assert rows["deep"] == ["63.92", "64.12 ± 0.06", "0.7835", "0.770", "0.812", "12,345", "1.23"]
    assert cells(anomaly)["deep"] == ["0.7972", "0.876", "0.450"]
    assert "10,000 test images; seeds 42, 43; keras 3; CPU" in text


def test_results_page_has_the_headings_of_the_scripts(scripts):
    page = (ROOT / "docs" / "results.md").read_text().splitlines()
    bake_off, family = scripts["bake_off"], scripts["family"]
    for heading in (bake_off.GENERAL, family.HEADING):
        assert f"| {' | '.join(heading)} |" in page
    assert any(line.startswith(f"| {' | '.join(bake_off.ANOMALY)} |") for line in page)


@pytest.mark.parametrize("name", ["bake_off", "family"])
def test_only_text_between_the_markers_is_replaced(scripts, name, tmp_path, monkeypatch):
    script = scripts[name]
    make = script.table if name == "family" else script.tables
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    page = tmp_path / "results.md"
    page.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n")
    arguments = [name, str(tmp_path / "metrics.json"), "--write", str(page)]
    monkeypatch.setattr(sys, "argv", arguments)
    importlib.import_module("tables").run("", make, script.BEGIN, script.END)
    expected = f"before\n{script.BEGIN}\n{make(METRICS)}\n{script.END}\nafter\n"
    assert page.read_text() == expected
    page.write_text("no such lines\n")
    with pytest.raises(SystemExit):
        importlib.import_module("tables").run("", make, script.BEGIN, script.END)
    assert page.read_text() == "no such lines\n"


def test_seconds_per_epoch_can_come_from_other_runs(scripts, tmp_path):
    for name, variant, arguments, seconds in (
        ("a", "tied", {}, 0.25),
        ("b", "vq_vae", {"embedding_dim": 4}, 0.75),
        ("c", "vq_vae", {"embedding_dim": 8}, 9.0),
    ):
        (tmp_path / name).mkdir()
        request = {"variant": variant, "latent_dim": 20, "arguments": arguments}
        (tmp_path / name / "config.json").write_text(json.dumps({"request": request}))
        (tmp_path / name / "test.json").write_text(json.dumps({"seconds_per_epoch": seconds}))
    retimed = sys.modules["tables"].retimed(METRICS, tmp_path)
    found = {row["label"]: row["seconds_per_epoch"]["mean"] for row in retimed["configurations"]}
    assert found == {
        "deep": 1.234, "sparse": 1.234, "vae": 1.234, "vq_vae, embedding_dim 4": 0.75,
        "tied": 0.25, "linear": 1.234, "convolutional": 1.234,
    }  # fmt: skip
