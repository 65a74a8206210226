"""`evaluate.py` on a set with a normal class: the layout of MVTec AD, with masks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_helpers import write_image
from programs import evaluate, train

from keras_ae.evaluation.comparisons import COMPARISONS
from keras_ae.evaluation.summary import INTERVALS


@pytest.fixture(scope="module")
def defects(tmp_path_factory):
    """Photographs with white and with black squares; 12x12 pixels in color."""
    folder = tmp_path_factory.mktemp("defects") / "photographs"
    random = np.random.default_rng(0)
    numbers = {"train/good": 60, "validation/good": 30, "test/good": 25, "test/torn": 12}
    for name, num in {**numbers, "test/dirty": 12}.items():
        (folder / name).mkdir(parents=True)
        kind = name.partition("/")[2]
        for index in range(num):
            image = random.integers(100, 150, (12, 12, 3)).astype("uint8")
            if kind != "good":
                image[2:6, 3:7] = 255 if kind == "torn" else 0
                mask = np.zeros((12, 12), "uint8")
                mask[2:6, 3:7] = 255
                (folder / "ground_truth" / kind).mkdir(parents=True, exist_ok=True)
                write_image(folder / "ground_truth" / kind / f"{index:03d}_mask.png", mask)
            write_image(folder / name / f"{index:03d}.png", image)
    return folder


@pytest.mark.slow
def test_set_with_a_normal_class_is_evaluated(defects, tmp_path, offline, capsys):
    options = ["--dataset", defects, "--output-dir", tmp_path / "runs", "--epochs", 2, "--quiet"]
    for seed in (42, 43):
        assert train(*options, "--variant", "deep", "conv_vae", "--seed", seed) == 0
    assert evaluate(tmp_path / "runs", "--output-dir", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "anomaly: anomaly score local_residual\n" in shown
    assert "left out: Classification from few labels: all training images are of one class" in shown
    assert "left out: The 24 test images of dirty, torn: only anomaly detection uses them" in shown
    folder = tmp_path / "out" / "photographs"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["comparisons"]) == set(COMPARISONS) - {"classification", "threshold"}
    part = metrics["comparisons"]["anomaly"]
    rows = {row["label"].partition(" (")[0]: row["values"] for row in part["rows"]}
    assert {"deep", "conv_vae", "nearest neighbor in pixels", "LocalOutlierFactor"} <= set(rows)
    for name in ("deep", "conv_vae"):
        for key in ("auc", "aupr", "recall_1", "recall_5", "f1", "recall", "pixel_auc", "aupro"):
            assert rows[name][key]["num"] == 2 and 0 <= rows[name][key]["mean"] <= 1, key
    assert rows["nearest neighbor in pixels"]["auc"]["mean"] > 0.99
    assert rows["nearest neighbor in pixels"]["pixel_auc"]["mean"] > 0.95
    headings = [table["heading"] for table in part["by_class"]]
    assert headings == [
        INTERVALS,
        "Thresholds by false positive rate, chosen on the test images, first run of each",
        "AUC, by class of anomaly",
        "Recall at the threshold, by class of anomaly",
    ]
    assert part["by_class"][2]["classes"] == ["dirty", "torn"]
    assert "held-out" not in (folder / "report.md").read_text()
    assert "A nat is" in metrics["comparisons"]["reconstruction"]["summary"]
    assert [run["seed"] for run in part["runs"]] == [42, 43] * 2
    for run in part["runs"]:
        assert [each["rate"] for each in run["at_rates"]] == [0.05, 0.1, 0.2]
        for image in run["shown"]["top"]:
            assert image["name"].startswith(f"test/{image['class']}/")
            assert (defects / image["name"]).is_file()
    found = metrics["comparisons"]["scores"]["rows"]
    assert {row["label"].partition(" (")[0] for row in found} == {"deep", "conv_vae"}
    for comparison in metrics["comparisons"].values():
        for figure in comparison["figures"]:
            assert (folder / figure["file"]).stat().st_size > 100
