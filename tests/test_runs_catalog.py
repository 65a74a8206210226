"""Finding run directories: usable, unfinished and broken ones, labels, missing runs."""

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from fake_runs import write_run

from keras_ae.data import ImageSet
from keras_ae.runs.budget import default_budget
from keras_ae.runs.catalog import find_runs, labels, missing_runs, sorted_runs
from keras_ae.variants import BAKE_OFF


def image_set():
    images, names = np.zeros((4, 8, 8), "uint8"), tuple("0123456789")
    return ImageSet("digits", images, np.arange(4), images, np.arange(4), names)


def test_scan_separates_finished_unfinished_and_broken_runs(tmp_path):
    good = write_run(tmp_path / "deep" / "er" / "good")
    unfinished = write_run(tmp_path / "unfinished", finished=False)
    broken = write_run(tmp_path / "broken")
    (broken / "config.json").write_text('{"request": ')
    (tmp_path / "no run").mkdir()
    found = find_runs(tmp_path)
    assert [run.directory for run in found.runs] == [good]
    assert found.runs[0].seconds == 0.75
    assert found.unfinished == [unfinished]
    assert len(found.broken) == 1 and str(broken / "config.json") in str(found.broken[0])


def without(key, part):
    def edit(config):
        del config[part][key]

    return edit


def replaced(part, key, value):
    def edit(config):
        config[part][key] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        *(without(key, "request") for key in ("variant", "seed", "held_out_class", "fingerprint")),
        *(without(key, "data") for key in ("source", "class_names", "num_test")),
        replaced("request", "variant", "no such variant"),
        replaced("request", "latent_dim", "20"),
        replaced("request", "arguments", None),
        replaced("data", "class_names", "0123"),
        lambda config: config.pop("request"),
        lambda config: config.update(data=[]),
    ],
)
def test_damaged_config_is_reported(tmp_path, edit):
    run = write_run(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    edit(config)
    (run / "config.json").write_text(json.dumps(config))
    found = find_runs(tmp_path)
    assert found.runs == [] and len(found.broken) == 1
    assert str(run / "config.json") in str(found.broken[0]) and "\n" not in str(found.broken[0])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "[]"),
        ("config.json", "\x00\x01"),
        ("test.json", "{}"),
        ("test.json", "[1]"),
        ("test.json", '{"reconstruction_loss": 64.5}'),
        ("test.json", '{"reconstruction_loss": 64.5, "seconds_per_epoch": "x"}'),
        ("test.json", ""),
        ("history.csv", ""),
        ("history.csv", "epoch,seconds\n"),
        ("history.csv", "epoch,loss\n1,2.0\n"),
        ("history.csv", "epoch,seconds\nx,y\n"),
    ],
)
def test_damaged_file_is_reported(tmp_path, name, content):
    run = write_run(tmp_path / "run")
    (run / name).write_text(content)
    found = find_runs(tmp_path)
    assert found.runs == [] and len(found.broken) == 1
    assert str(run / name) in str(found.broken[0])


def test_missing_history_is_reported(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "history.csv").unlink()
    assert "history.csv" in str(find_runs(tmp_path).broken[0])


def test_label_names_what_differs_from_most_runs(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / f"deep-{seed}", seed=seed)
        write_run(tmp_path / f"vae-{seed}", "vae", seed=seed)
    write_run(tmp_path / "short", epochs=5)
    write_run(tmp_path / "narrow", latent_dim=3)
    write_run(tmp_path / "slow", learning_rate=1e-4)
    write_run(tmp_path / "codes", "stacked", arguments={"objective": "codes"})
    runs = find_runs(tmp_path).runs
    named = {path.name: label for path, label in labels(runs).items()}
    assert named == {
        "deep-1": "deep",
        "deep-2": "deep",
        "vae-1": "vae",
        "vae-2": "vae",
        "short": "deep, 5 epochs",
        "narrow": "deep, 3-d",
        "slow": "deep, learning rate 0.0001",
        "codes": "stacked, objective codes",
    }


def test_label_names_another_score_or_rate_of_the_threshold(tmp_path):
    usual = {"threshold": 2.0, "threshold_score": "mse", "threshold_rate": 0.01}
    changes = {
        "a": {},
        "b": {},
        "score": {"threshold_score": "bce"},
        "rate": {"threshold_rate": 0.2},
        "none": None,
    }
    for seed, (name, change) in enumerate(changes.items()):
        folder = write_run(tmp_path / name, seed=seed)
        if change is not None:
            results = json.loads((folder / "test.json").read_text())
            (folder / "test.json").write_text(json.dumps({**results, **usual, **change}))
    named = {path.name: label for path, label in labels(find_runs(tmp_path).runs).items()}
    assert named == {
        "a": "deep",
        "b": "deep",
        "none": "deep",
        "score": "deep, anomaly score bce",
        "rate": "deep, false positive rate 0.2",
    }


def test_label_omits_a_budget_that_follows_from_the_number_of_images(tmp_path):
    budget = dataclasses.asdict(default_budget(10))
    write_run(tmp_path / "deep", **budget)
    write_run(tmp_path / "vae", "vae", **budget)
    write_run(tmp_path / "greedy", "stacked", **{**budget, "patience": None})
    write_run(tmp_path / "short", **{**budget, "epochs": 5})
    larger = default_budget(2000)
    assert larger != default_budget(10)
    folder = write_run(tmp_path / "larger", "vae")
    content = json.loads((folder / "config.json").read_text())
    content["data"]["num_train"] = 2000
    content["request"].update(dataclasses.asdict(larger))
    (folder / "config.json").write_text(json.dumps(content))
    named = {path.name: label for path, label in labels(find_runs(tmp_path).runs).items()}
    assert named == {
        "deep": "deep",
        "vae": "vae",
        "greedy": "stacked",
        "short": "deep, 5 epochs",
        "larger": "vae",
    }
    write_run(tmp_path / "never", **{**budget, "patience": None})
    named = {path.name: label for path, label in labels(find_runs(tmp_path).runs).items()}
    assert named["never"] == "deep, no patience" and named["greedy"] == "stacked"
    (tmp_path / "never" / "config.json").unlink()
    for name in ("deep", "greedy", "larger"):  # now most are of another budget
        (tmp_path / name / "config.json").unlink()
    write_run(tmp_path / "also", **{**budget, "epochs": 5})
    named = {path.name: label for path, label in labels(find_runs(tmp_path).runs).items()}
    assert named["also"] == "deep" and named["vae"].startswith(f"vae, {budget['epochs']} epochs")


def test_label_omits_the_default_latent_dim(tmp_path):
    write_run(tmp_path / "deep")
    write_run(tmp_path / "vae", "vae")
    write_run(tmp_path / "conv", "convolutional", latent_dim=576)  # computed from the image shape
    write_run(tmp_path / "dense", "convolutional", latent_dim=20)
    write_run(tmp_path / "wide", "conv_vae", latent_dim=576)
    write_run(tmp_path / "narrow", "conv_vae", latent_dim=20)
    write_run(tmp_path / "rows", "recurrent", latent_dim=20)
    write_run(tmp_path / "flat", "linear", latent_dim=2)
    named = {path.name: label for path, label in labels(find_runs(tmp_path).runs).items()}
    assert named == {
        "deep": "deep",
        "vae": "vae",
        "conv": "convolutional",
        "dense": "convolutional, 20-d",
        "wide": "conv_vae",
        "narrow": "conv_vae, 20-d",
        "rows": "recurrent",  # like most runs
        "flat": "linear, 2-d",
    }


def test_labels_of_variants_with_their_own_sizes_only(tmp_path):
    write_run(tmp_path / "a", "convolutional", latent_dim=576)
    write_run(tmp_path / "b", "recurrent", latent_dim=30)
    write_run(tmp_path / "c", "sparse_l1", latent_dim=40)
    named = {path.name: label for path, label in labels(find_runs(tmp_path).runs).items()}
    assert named == {"a": "convolutional", "b": "recurrent", "c": "sparse_l1"}


def test_runs_without_a_class_are_labeled_separately(tmp_path):
    write_run(tmp_path / "a", latent_dim=20)
    for digit in "012":
        write_run(tmp_path / digit, latent_dim=2, held_out_class=digit)
    assert set(labels(find_runs(tmp_path).runs).values()) == {"deep"}


def test_runs_are_sorted_as_in_the_registry(tmp_path):
    write_run(tmp_path / "0", "vae", arguments={"beta": 4})
    write_run(tmp_path / "1", "vae", seed=3)
    write_run(tmp_path / "2", "vae", seed=2)
    write_run(tmp_path / "3", "shallow")
    names = [run.directory.name for run in sorted_runs(find_runs(tmp_path).runs)]
    assert names == ["3", "2", "1", "0"]


def test_missing_runs_have_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in BAKE_OFF:
        if name != "sparse":
            write_run(tmp_path / "runs" / "digits" / name, name)
    lacking = missing_runs(find_runs(Path("runs")).runs, image_set())
    assert [row["what"].split(", with ")[0] for row in lacking] == ["sparse", ", ".join(BAKE_OFF)]
    command = shlex.split(lacking[0]["command"])
    start = ["keras-ae", "train", "--variant", "sparse", "--dataset", "digits"]
    assert command == [*start, "--epochs", "60", "--batch-size", "256"]
    command = shlex.split(lacking[1]["command"])
    assert command[-4:] == ["--latent-dim", "2", "--held-out-class", "1"]


def test_command_of_missing_runs_uses_the_same_folder(tmp_path):
    write_run(tmp_path / "mine" / "digits" / "deep", epochs=3, batch_size=8, patience=2)
    command = shlex.split(missing_runs(find_runs(tmp_path).runs, image_set())[0]["command"])
    budget = ["--epochs", "3", "--batch-size", "8", "--patience", "2"]
    assert command[-8:] == ["--output-dir", str(tmp_path / "mine"), *budget]


def test_command_of_missing_runs_leaves_out_the_default_budget(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    budget = dataclasses.asdict(default_budget(10))  # images, as the fake runs say
    write_run(tmp_path / "runs" / "digits" / "deep", **budget)
    command = shlex.split(missing_runs(find_runs(Path("runs")).runs, image_set())[0]["command"])
    assert command[-2:] == ["--dataset", "digits"]


def test_nothing_is_missing_from_a_complete_bake_off(tmp_path):
    for name in BAKE_OFF:
        write_run(tmp_path / name, name)
        write_run(tmp_path / f"{name}-7", name, latent_dim=2, held_out_class="7")
    assert missing_runs(find_runs(tmp_path).runs, image_set()) == []


@pytest.mark.parametrize("shape", [(28, 28, 3), (64, 64), (8, 40)])
def test_nothing_is_missing_for_photographs(tmp_path, shape):
    write_run(tmp_path / "deep")
    images = np.zeros((4, *shape), np.uint8)
    labels = np.arange(4)
    names = tuple("0123")
    photographs = ImageSet("digits", images, labels, images, labels, names)
    assert missing_runs(find_runs(tmp_path).runs, photographs) == []


def test_nothing_is_missing_from_own_images_without_a_bake_off(tmp_path):
    """Unless a run has its 60 epochs of 256 images, which `train --bake-off` gives it."""
    run = write_run(tmp_path / "deep", epochs=45)
    config = json.loads((run / "config.json").read_text())
    config["data"]["source"] = "/somewhere/mine"
    (run / "config.json").write_text(json.dumps(config))
    assert missing_runs(find_runs(tmp_path).runs, image_set()) == []
    config["request"] |= {"epochs": 60, "batch_size": 10}  # images, as the fake runs say
    (run / "config.json").write_text(json.dumps(config))
    assert len(missing_runs(find_runs(tmp_path).runs, image_set())) == 2


def test_runs_of_other_defaults_are_not_seeds_of_one_model(tmp_path):
    """As where two versions chose other kernels: no request names the argument."""
    for seed, kernel_size in enumerate([4, 4, 3, None]):
        folder = write_run(tmp_path / f"{seed}", "convolutional", latent_dim=64, seed=seed)
        content = json.loads((folder / "config.json").read_text())
        content["model"] = {"seed": seed, "name": f"convolutional_{seed}", "filters": [4, 8]}
        if kernel_size is not None:
            content["model"]["kernel_size"] = kernel_size
        (folder / "config.json").write_text(json.dumps(content))
    named = {path.name: label for path, label in labels(find_runs(tmp_path).runs).items()}
    assert named == {
        "0": "convolutional",
        "1": "convolutional",
        "2": "convolutional, kernel_size 3",
        "3": "convolutional",
    }
