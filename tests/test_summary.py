"""Summaries: rows, spreads and tables by class, from invented measurements."""

import dataclasses
import statistics

import pytest
from fake_runs import write_run

from keras_ae.anomaly.detection import RATES
from keras_ae.evaluation.comparisons import Column, Comparison
from keras_ae.evaluation.comparisons.base import Measurement, Result
from keras_ae.evaluation.summary import (
    INTERVALS,
    caution,
    configurations,
    explain_collapsed,
    share_interval,
    summarize,
)
from keras_ae.runs.catalog import find_runs, labels, sorted_runs

COLUMNS = (Column("auc", "AUC", 4, "higher"), Column("odd", "odd"), Column("absent", "absent"))
NOVEL = Comparison("novel", "Novelty", "What is new.", COLUMNS, held_out=True)
WHOLE = Comparison("whole", "Whole", "All of it.", COLUMNS)


def entry(
    label, auc, *, seed=1, held_out=None, variant=None, collapsed=False, follows_bake_off=True,
    **numbers,
):  # fmt: skip
    measurement = Measurement({"auc": auc, **numbers})
    return Result(
        label, variant or label, seed, 2, held_out, measurement, collapsed, follows_bake_off
    )


def row(part, label):
    return next(row for row in part["rows"] if row["label"] == label)


def found_at(rate, threshold, recall, num):
    return {"rate": rate, "threshold": threshold, "recall": recall, "num_false_alarms": num}


def test_thresholds_by_rate_are_a_table_of_the_first_runs_and_a_note():
    counts = {"num_normal": 80, "num_anomalous": 40, "shown": {"top": []}}
    first = entry("a", 0.9, at_rates=[found_at(0.05, 3.25, 0.5, 4)], **counts)
    second = entry("a", 0.8, seed=2, at_rates=[found_at(0.05, 9.0, 0.1, 3)], **counts)
    part = summarize("novel", NOVEL, [first, second], [], "toy")
    (table,) = [one for one in part["by_class"] if "chosen on the test images" in one["heading"]]
    assert table["classes"] == ["threshold", "recall", "false alarms"]
    assert [(row["label"], row["values"]) for row in table["rows"]] == [
        ("a, 5%", ["3.25", "0.500 (20 of 40)", "4 of 80"])
    ]
    (note,) = [note for note in part["notes"] if "thresholds" in note]
    assert "measured on the same test images" in note
    assert "0.1, 1, 10, 20%" in note and "1.25%" in note
    assert [(run["seed"], run["at_rates"][0]["threshold"]) for run in part["runs"]] == [
        (1, 3.25),
        (2, 9.0),
    ]
    classes = [
        entry("a", 0.9, held_out=held_out, at_rates=[found_at(rate, 3.0, 0.5, 4) for rate in RATES],
              **{**counts, "num_normal": num})
        for held_out, num in (("1", 1000), ("2", 30))
    ]  # fmt: skip
    part = summarize("novel", NOVEL, classes, [], "toy")
    assert not any("Left out" in note for note in part["notes"])
    tables = [one for one in part["by_class"] if "chosen on the test images" in one["heading"]]
    assert tables[0]["rows"][0]["label"] == "a, class 1, 0.1%"
    none = summarize("novel", NOVEL, [entry("a", 0.9, at_rates=[], **counts)], [], "toy")
    assert not any("thresholds" in note for note in none["notes"])
    assert "runs" not in summarize("novel", NOVEL, [entry("a", 0.9)], [], "toy")


def test_sets_of_defects_have_a_summary_of_their_own():
    comparison = dataclasses.replace(NOVEL, of_defects="Defects.")
    found = [entry("a", 0.9)]
    for of_defects, words in ((True, "Defects."), (False, "What is new.")):
        part = summarize("novel", comparison, found, [], "toy", of_defects=of_defects)
        assert part["summary"] == words
    assert summarize("whole", WHOLE, found, [], "toy", of_defects=True)["summary"] == "All of it."


def test_seeds_are_summarized_as_mean_and_spread():
    entries = [entry("vae", value, seed=seed) for seed, value in enumerate((0.5, 0.6, 0.9))]
    part = summarize("whole", WHOLE, [*entries, entry("deep", 0.7, odd=3)], [], "toy")
    assert row(part, "vae")["values"] == {
        "auc": {
            "mean": pytest.approx(2 / 3),
            "std": pytest.approx(statistics.stdev((0.5, 0.6, 0.9))),
            "num": 3,
        }
    }
    assert row(part, "deep")["values"]["auc"] == {"mean": 0.7, "std": None, "num": 1}
    assert row(part, "deep")["values"]["odd"]["mean"] == 3
    # The third column has no values.
    assert [column["key"] for column in part["columns"]] == ["auc", "odd"]
    assert [line["label"] for line in part["rows"]] == ["vae", "deep"]


def test_held_out_classes_are_averaged_before_seeds():
    values = {(1, "0"): 0.2, (1, "1"): 0.4, (2, "0"): 0.6, (2, "1"): 0.9}
    entries = [entry("vae", auc, seed=s, held_out=h) for (s, h), auc in values.items()]
    chance = [entry("chance", 0.5, seed=0, held_out=name, variant="") for name in "01"]
    part = summarize("novel", NOVEL, entries, chance, "toy")
    value = row(part, "vae")["values"]["auc"]
    assert value["mean"] == pytest.approx((0.3 + 0.75) / 2) and value["num"] == 2
    assert value["std"] == pytest.approx(statistics.stdev((0.3, 0.75)))
    assert row(part, "chance")["kind"] == "baseline"
    by_class = part["by_class"][0]
    assert by_class["classes"] == ["0", "1"]
    assert by_class["rows"][0] == {
        "label": "vae",
        "kind": "variant",
        "values": [pytest.approx(0.4), pytest.approx(0.65)],
    }
    assert by_class["rows"][1] == {"label": "chance", "kind": "baseline", "values": [0.5, 0.5]}
    assert "0, 1" in part["notes"][0]


def test_means_use_the_classes_that_all_labels_have():
    entries = [entry("vae", 0.2, held_out="0"), entry("vae", 0.4, held_out="1")]
    chance = [entry("chance", 0.1, held_out="0"), entry("chance", 0.7, held_out="1")]
    entries.append(entry("deep", 0.3, held_out="1"))
    part = summarize("novel", NOVEL, entries, chance, "toy")
    means = {line["label"]: line["values"]["auc"]["mean"] for line in part["rows"]}
    assert means == {"vae": 0.4, "deep": 0.3, "chance": 0.7}
    assert part["rankings"][0]["groups"] == [["vae"], ["deep"]]
    assert part["notes"] == ["Held-out class: 1."]
    apart = [entry("vae", 0.2, held_out="0"), entry("deep", 0.3, held_out="1")]
    part = summarize("novel", NOVEL, apart, [], "toy")
    assert [line["values"]["auc"]["mean"] for line in part["rows"]] == [0.2, 0.3]


def test_incomplete_seeds_are_averaged_per_class():
    entries = [entry("vae", value, held_out=name) for name, value in (("0", 0.2), ("1", 0.4))]
    entries.append(entry("vae", 0.9, seed=2, held_out="1"))
    part = summarize("novel", NOVEL, entries, [], "toy")
    expected = (0.2 + (0.4 + 0.9) / 2) / 2
    value = row(part, "vae")["values"]["auc"]
    assert value == {"mean": pytest.approx(expected), "std": None, "num": 1}
    assert part["by_class"][0]["rows"][0]["values"] == [0.2, pytest.approx(0.65)]
    scattered = [entry("vae", 0.2, held_out="0"), entry("vae", 0.6, seed=2, held_out="1")]
    part = summarize("novel", NOVEL, scattered, [], "toy")
    assert row(part, "vae")["values"]["auc"]["mean"] == pytest.approx(0.4)


def test_published_value_of_a_class_applies_to_that_class_only():
    ones = [entry("vae", 0.7, held_out="1")]
    part = summarize("anomaly", NOVEL, ones, [], "mnist")
    assert row(part, "vae")["published"] == 0.7823
    part = summarize("anomaly", NOVEL, [*ones, entry("vae", 0.2, held_out="2")], [], "mnist")
    assert row(part, "vae")["published"] is None


def test_missing_class_of_a_label_is_empty():
    entries = [entry("vae", 0.2, held_out="0"), entry("vae", 0.4, held_out="1")]
    part = summarize("novel", NOVEL, [*entries, entry("deep", 0.3, held_out="1")], [], "toy")
    assert part["by_class"][0]["rows"][1] == {
        "label": "deep",
        "kind": "variant",
        "values": [None, 0.3],
    }


def test_intervals_over_seeds_match_scipy():
    from scipy.stats import t

    shares = dataclasses.replace(NOVEL, intervals=True)
    values = (0.5, 0.6, 0.9)
    entries = [
        entry("vae", value, seed=seed, held_out=name, odd=0.99 + 0.005 * seed)
        for seed, value in enumerate(values)
        for name in "ab"
    ]
    part = summarize("novel", shares, [*entries, entry("deep", 0.7, held_out="a")], [], "toy")
    table = next(one for one in part["by_class"] if one["heading"] == INTERVALS)
    assert table["classes"] == ["AUC", "odd"]
    (made,) = table["rows"]  # deep has one seed
    low, high = t.interval(0.95, 2, statistics.fmean(values), statistics.stdev(values) / 3**0.5)
    assert made["values"] == [f"{max(0, low):.3f} to {min(1, high):.3f}", "0.983 to 1.000"]
    assert share_interval([0.5]) is None
    close = share_interval([0.5, 0.52, 0.54, 0.5])
    expected = t.interval(0.95, 3, 0.515, statistics.stdev([0.5, 0.52, 0.54, 0.5]) / 2)
    assert close == pytest.approx(expected)
    alone = summarize("novel", shares, [entry("vae", 0.7, held_out="a")], [], "toy")
    assert not [one for one in alone["by_class"] if one["heading"] == INTERVALS]


def test_numbers_from_few_images_are_marked_in_one_note():
    def few(num_anomalous, num_normal=50, **options):
        numbers = {"num_anomalous": num_anomalous, "num_normal": num_normal}
        return entry("vae", 0.5, **numbers, **options)

    def notes(*entries):
        found = summarize("novel", NOVEL, list(entries), [], "toy")["notes"]
        return [note for note in found if "few images" in note]

    assert notes(few(10, held_out="a"), few(30, 10, held_out="b")) == []
    one = [few(4, held_out="a", seed=1), few(7, held_out="a", seed=2), few(1, 9, held_out="b")]
    assert notes(*one) == [
        "Rough numbers, from few images: 4 to 7 anomalous test images of class a; 1 anomalous test "
        "image of class b; 9 normal test images."
    ]
    assert notes(few(0, 3)) == [
        "Rough numbers, from few images: 0 anomalous test images; 3 normal test images."
    ]
    parts = {
        "parts": {"AUC": {"hole": 0.5, "crack": 0.6}},
        "num_of_parts": {"hole": 4, "crack": 10},
    }
    part = summarize("novel", NOVEL, [entry("vae", 0.5, **parts)], [], "toy")
    assert part["by_class"][-1]["classes"] == ["hole (4 images)", "crack"]
    assert part["by_class"][-1]["rows"][0]["values"][0]["mean"] == 0.5


def test_single_held_out_class_has_no_class_table():
    part = summarize("novel", NOVEL, [entry("vae", 0.2, held_out="0")], [], "toy")
    assert part["by_class"] == []


def test_only_variants_and_columns_with_a_direction_are_ranked():
    entries = [entry("vae", 0.2, odd=1), entry("deep", 0.9, odd=2), entry("sparse", 0.5)]
    part = summarize("whole", WHOLE, entries, [entry("chance", 1.0, variant="")], "toy")
    assert len(part["rankings"]) == 1
    assert part["rankings"][0]["groups"] == [["deep"], ["sparse"], ["vae"]]
    assert "One seed" in part["rankings"][0]["sentence"]


def test_row_without_the_main_metric_is_not_ranked():
    conditional = Result("cond", "cond", 1, 2, None, Measurement({"note": "It takes labels."}))
    part = summarize(
        "whole", WHOLE, [conditional, entry("vae", 0.5), entry("deep", 0.6)], [], "toy"
    )
    assert row(part, "cond")["values"] == {}
    assert part["rankings"][0]["groups"] == [["deep"], ["vae"]]
    assert part["notes"] == ["It takes labels."]
    alone = summarize("whole", WHOLE, [conditional], [], "toy")
    assert [column["key"] for column in alone["columns"]] == ["auc"]
    assert alone["rankings"][0]["groups"] == []


def test_published_values_are_assigned_to_their_variants():
    entries = [entry("vae", 0.7), entry("vae, beta 4", 0.6, variant="vae")]
    part = summarize("anomaly", WHOLE, entries, [], "mnist")
    assert row(part, "vae")["published"] == 0.7823
    assert row(part, "vae, beta 4")["published"] is None
    assert part["published_column"] == "auc_signed"
    assert row(summarize("anomaly", WHOLE, entries, [], "digits"), "vae")["published"] is None


def test_published_values_need_runs_of_the_bake_off():
    published = Comparison("whole", "Whole", "All of it.", COLUMNS, with_published="As published.")
    entries = [entry("vae", 0.7), entry("deep", 0.6, follows_bake_off=False)]
    part = summarize("anomaly", published, entries, [], "mnist")
    assert row(part, "vae")["published"] == 0.7823 and row(part, "deep")["published"] is None
    assert part["summary"] == "All of it. As published."
    entries.append(entry("vae", 0.7, seed=2, follows_bake_off=False))  # not all runs of the label
    part = summarize("anomaly", published, entries, [], "mnist")
    assert row(part, "vae")["published"] is None
    assert part["summary"] == "All of it."


def test_label_that_ignores_its_input_is_last_and_not_ranked():
    entries = [
        entry("vae (ignores its input)", 0.99, collapsed=True, odd=9),
        entry("deep", 0.5),
        entry("sparse", 0.6),
    ]
    part = summarize("whole", WHOLE, entries, [entry("chance", 0.1, variant="")], "toy")
    assert part["rankings"][0]["groups"] == [["sparse"], ["deep"]]
    variants = [line for line in part["rows"] if line["kind"] == "variant"]
    assert [line["collapsed"] for line in variants] == [False, False, True]
    (note,) = part["notes"]
    assert "vae (ignores its input)" in note
    words = explain_collapsed(["vae (ignores its input)"])
    assert words.startswith("vae (ignores its input): ") and "less than 1% of the variance" in words
    assert explain_collapsed([]) == ""
    assert summarize("whole", WHOLE, entries[1:], [], "toy")["notes"] == []


def test_columns_without_numbers_are_left_out_with_what_they_need():
    columns = (
        Column("auc", "AUC", needs="class labels"),
        Column("share", "share", needs="class labels"),
        Column("odd", "odd"),
        Column("kl", "KL", needs="a Gaussian code"),
        Column("silent", "silent"),
    )
    comparison = Comparison("whole", "Whole", "All.", columns, with_labels="Of the classes.")
    entries = [entry("vae", None, odd=3), entry("deep", float("nan"), odd=4)]
    part = summarize("whole", comparison, entries, [], "toy", labeled=False)
    assert [column["key"] for column in part["columns"]] == ["odd"]
    expected = "Not measured: AUC; share (needs class labels); KL (needs a Gaussian code)."
    assert part["notes"] == [expected] and part["summary"] == "All."
    assert summarize("whole", comparison, entries, [], "toy")["summary"] == "All. Of the classes."


def test_comparison_without_any_number_gives_its_own_reason():
    columns = (Column("auc", "AUC", needs="class labels"), Column("share", "share"))
    comparison = Comparison("whole", "Whole", "All.", columns)
    entries = [entry("vae", None, note="Too few images.")]
    del entries[0].measurement.metrics["auc"]
    assert summarize("whole", comparison, entries, [], "toy")["notes"] == ["Too few images."]


@pytest.mark.parametrize("num, words", [(18, "18 images. One of them is 5.6%"), (200, "")])
def test_small_test_set_is_cautioned_against(num, words):
    assert words in caution(num) and bool(caution(num)) == bool(words)


def test_repeated_notes_are_merged():
    entries = [entry("vae", 0.7, note="Say this."), entry("deep", 0.6)]
    chance = entry("chance", 0.5, variant="", note="Say this.")
    assert summarize("whole", WHOLE, entries, [chance], "toy")["notes"] == ["Say this."]


def test_configuration_row_has_seeds_and_times(tmp_path):
    slow = write_run(tmp_path / "a", seed=2)
    (slow / "history.csv").write_text("epoch,seconds\n1,8.0\n2,9.0\n")
    write_run(tmp_path / "b", seed=1)
    for digit in "73":
        write_run(tmp_path / digit, latent_dim=2, held_out_class=digit)
    runs = sorted_runs(find_runs(tmp_path).runs)
    rows = configurations(runs, labels(runs))
    assert [(line["label"], line["held_out"], line["seeds"]) for line in rows] == [
        ("deep", None, [1, 2]),
        ("deep", ["3", "7"], [42]),
    ]
    assert rows[0]["training_seconds"] == {"mean": 0.75, "std": None, "num": 1}
    assert rows[0]["seconds_per_epoch"]["mean"] == 0.25
    assert rows[0]["num_parameters"] is None and rows[1]["latent_dim"] == 2


def test_parts_are_summarized_over_seeds_in_a_table_each():
    entries = [
        entry("vae", 0.5, seed=seed, parts={"AUC, by class": {"torn": torn, "dirty": 0.5}})
        for seed, torn in enumerate((0.2, 0.4))
    ]
    chance = entry("chance", 0.5, variant="", parts={"AUC, by class": {"torn": 0.1}})
    part = summarize("whole", WHOLE, entries, [chance], "toy")
    (table,) = part["by_class"]
    assert table["heading"] == "AUC, by class" and table["classes"] == ["torn", "dirty"]
    vae, baseline = table["rows"]
    assert vae["values"][0] == {
        "mean": pytest.approx(0.3),
        "std": pytest.approx(statistics.stdev((0.2, 0.4))),
        "num": 2,
    }
    assert vae["kind"] == "variant" and baseline["kind"] == "baseline"
    assert baseline["values"][0]["mean"] == 0.1 and baseline["values"][1]["mean"] is None


def test_columns_can_do_without_a_table_by_class():
    columns = (COLUMNS[0], Column("odd", "odd", by_class=False))
    comparison = Comparison("novel", "Novelty", "", columns, held_out=True)
    entries = [entry("vae", 0.2, odd=1, held_out=name) for name in "01"]
    part = summarize("novel", comparison, entries, [], "toy")
    assert [table["heading"] for table in part["by_class"]] == ["AUC, by held-out class"]


def test_comparison_with_the_best_in_each_row_ranks_nothing():
    comparison = Comparison("whole", "Whole", "", COLUMNS, best_in_row=True)
    part = summarize("whole", comparison, [entry("vae", 0.2), entry("deep", 0.4)], [], "toy")
    assert part["best_in_row"] and part["rankings"] == []
    assert not summarize("whole", WHOLE, [entry("vae", 0.2)], [], "toy")["best_in_row"]
