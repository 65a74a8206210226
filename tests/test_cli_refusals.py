"""Input that `train.py` refuses: one line, exit code 2, no files written."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from programs import command, read_json, refused, run_of, train

pytestmark = pytest.mark.usefixtures("offline", "eager")


def refused_data(capsys, tmp_path, dataset, *arguments) -> str:
    """Like `refused`, for a data set; also checks that there is no run directory."""
    output_dir = tmp_path / "runs"
    line = refused(capsys, train, *command(dataset, output_dir, "deep", batch_size=1), *arguments)
    assert not output_dir.exists()
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--variant", "denosing"], ["'denosing'", "did you mean denoising"]),
        (["--variant", "deep", "xyz"], ["'xyz'", "vq_vae"]),
        ([], ["--variant", "--bake-off"]),
        (["--bake-off", "--variant", "deep"], ["--bake-off"]),
        (["--variant", "deep", "--latent-dim", "0"], ["--latent-dim", "received 0"]),
        (["--variant", "deep", "--latent-dim", "abc"], ["--latent-dim", "received abc"]),
        (["--variant", "deep", "--latent-dim", "2.5"], ["--latent-dim", "received 2.5"]),
        (["--variant", "deep", "--epochs", "0"], ["--epochs", "received 0"]),
        (["--variant", "deep", "--batch-size", "-1"], ["--batch-size", "received -1"]),
        (["--variant", "deep", "--learning-rate", "0"], ["--learning-rate", "received 0"]),
        (["--variant", "deep", "--learning-rate", "nan"], ["--learning-rate", "received nan"]),
        (["--variant", "deep", "--learning-rate", "inf"], ["--learning-rate", "received inf"]),
        (["--variant", "deep", "--seed", "-1"], ["--seed", "received -1"]),
        (["--variant", "deep", "--jit", "maybe"], ["--jit", "maybe"]),
    ],
)
def test_unusable_argument_is_refused(capsys, tmp_path, arguments, words):
    output_dir = tmp_path / "runs"
    line = refused(capsys, train, *arguments, "--output-dir", output_dir)
    assert all(word in line for word in words)
    assert not output_dir.exists()


def test_unknown_data_set_is_refused_with_the_nearest_name(capsys, tmp_path):
    line = refused_data(capsys, tmp_path, "fashion_mnits")
    assert "fashion_mnits" in line and "Did you mean 'fashion_mnist'" in line


def test_missing_path_is_refused(capsys, tmp_path):
    assert "nowhere.npz" in refused_data(capsys, tmp_path, tmp_path / "nowhere.npz")


def test_truncated_archive_is_refused(capsys, tmp_path, tiny):
    path = tmp_path / "cut.npz"
    path.write_bytes(tiny.read_bytes()[:3000])
    assert "cut.npz" in refused_data(capsys, tmp_path, path)


def test_pickled_array_is_refused(capsys, tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}, None], dtype=object))
    assert "pickled.npy" in refused_data(capsys, tmp_path, tmp_path / "pickled.npy")


def test_folder_without_images_is_refused(capsys, tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "notes.txt").write_text("no images")
    line = refused_data(capsys, tmp_path, tmp_path / "holiday")
    assert "holiday" in line and "no images" in line


def test_file_of_another_kind_is_refused(capsys, tmp_path):
    (tmp_path / "images.csv").write_text("1,2,3")
    assert "images.csv" in refused_data(capsys, tmp_path, tmp_path / "images.csv")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.full((50, 8, 8), 256.0, "float32"), ["[0, 1]", "256"]),
        (np.full((50, 8, 8), -0.5, "float32"), ["[0, 1]", "-0.5"]),
        (np.full((50, 8, 8), np.nan, "float32"), ["NaN"]),
        (np.zeros((0, 8, 8), "float32"), ["(0, 8, 8)"]),
        (np.zeros((50,), "float32"), ["(50,)"]),
        (np.zeros((50, 8, 8), "complex64"), ["complex64"]),
    ],
    ids=["to 256", "negative", "NaN", "empty", "rank", "complex"],
)
def test_unusable_images_are_refused(capsys, tmp_path, images, words):
    np.save(tmp_path / "images.npy", images)
    line = refused_data(capsys, tmp_path, tmp_path / "images.npy")
    assert all(word in line for word in words)


def test_batch_size_above_the_number_of_images_is_refused(capsys, tmp_path, tiny):
    line = refused_data(capsys, tmp_path, tiny, "--batch-size", 166)
    assert "166" in line and "165" in line


def test_batch_size_is_checked_without_the_held_out_class(capsys, tmp_path, tiny):
    arguments = ["--dataset", tiny, "--batch-size", 165, "--output-dir", tmp_path / "runs"]
    refused(capsys, train, "--bake-off", *arguments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("held_out_class", ["9", "cat", "-1"])
def test_unknown_held_out_class_is_refused(capsys, tmp_path, tiny, held_out_class):
    line = refused_data(capsys, tmp_path, tiny, f"--held-out-class={held_out_class}")
    assert held_out_class in line and "0, 1, 2, 3" in line


def test_held_out_class_without_labels_is_refused(capsys, tmp_path):
    np.save(tmp_path / "bare.npy", np.random.default_rng(0).random((60, 8, 8), "float32"))
    assert "no labels" in refused_data(
        capsys, tmp_path, tmp_path / "bare.npy", "--held-out-class=1"
    )


@pytest.mark.parametrize("below", ["file", "file/deeper/still"])
def test_output_folder_below_a_file_is_refused(capsys, tmp_path, tiny, below):
    (tmp_path / "file").write_text("in the way")
    line = refused(capsys, train, *command(tiny, tmp_path / below, "deep"))
    assert "--output-dir" in line and "file" in line
    assert (tmp_path / "file").read_text() == "in the way"


def test_file_in_place_of_a_run_is_refused(capsys, tmp_path, tiny):
    (tmp_path / "tiny.npz").write_text("in the way")
    assert "tiny.npz" in refused(capsys, train, *command(tiny, tmp_path, "deep"))


def test_mnist_without_a_network_is_refused(capsys, tmp_path):
    line = refused_data(capsys, tmp_path, "mnist")
    assert "mnist" in line and "TFDS_DATA_DIR" in line


def test_default_without_a_network_is_digits_with_a_notice(capsys, tmp_path):
    line = command("digits", tmp_path, "shallow", epochs=1, batch_size=256)
    assert train(*[word for word in line if word not in ("--dataset", "digits")]) == 0
    out, err = capsys.readouterr()
    assert "NOTICE" in out + err and "digits" in out + err
    config = read_json(run_of(tmp_path, "shallow", "digits") / "config.json")
    assert config["request"]["dataset"] == "digits"
    assert config["data"]["image_shape"] == [28, 28]


def test_missing_tensorboard_is_refused(capsys, tmp_path, tiny, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *others: None if name == "tensorboard" else find_spec(name, *others),
    )
    line = refused_data(capsys, tmp_path, tiny, "--tensorboard")
    assert "keras_ae[tensorboard]" in line
