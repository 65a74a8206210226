"""`train.py` and `evaluate.py` on folders of image files of any size and format."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from data_helpers import random_images, write_image
from PIL import Image, ImageOps
from programs import command, evaluate, read_json, refused, run_of, train

from keras_ae import data
from keras_ae.data import splits
from keras_ae.evaluation.evaluation import load_data
from keras_ae.runs.catalog import read_run
from keras_ae.runs.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("offline", "eager")


@pytest.fixture
def photographs(tmp_path):
    """Color images of several sizes in two classes, and files that are no images."""
    folder = tmp_path / "photographs"
    for number in range(24):
        image = random_images(1, 20 + number % 3, 30, 3, seed=number)[0]
        write_image(folder / ("ant", "bee")[number % 2] / f"{number:02}.webp", image, lossless=True)
    (folder / "bee" / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_images_of_several_sizes_are_refused_with_the_command_that_works(
    photographs, tmp_path, capsys
):
    words = command(photographs, tmp_path / "runs", "shallow", epochs=1, batch_size=8)
    line = refused(capsys, train, *words)
    assert "20 x 30" in line and "22 x 30" in line
    again = shlex.split(line.partition("all of them: keras-ae train ")[2])
    assert again[: len(words)] == words and again[-2] == "--image-size"
    assert train(*again) == 0
    _, err = capsys.readouterr()
    notice = "notice: photographs: read 24 images; skipped 2 files (1 unreadable, 1 .txt)"
    assert f"train.py: {notice}" in err
    results = ["--output-dir", tmp_path / "results", "--comparisons", "reconstruction"]
    assert evaluate(tmp_path / "runs", *results) == 0
    assert f"evaluate.py: {notice}" in capsys.readouterr().err


def test_preprocessing_is_recorded_and_used_again(photographs, tmp_path, capsys):
    words = command(photographs, tmp_path / "runs", "shallow", epochs=1, batch_size=8)
    words += ["--image-size", "8x12", "--resize", "pad", "--color", "gray", "--background", "red"]
    assert train(*words, "--quiet") == 0
    run = RunDirectory(run_of(tmp_path / "runs", "shallow", "photographs"))
    settings = {"image_size": [8, 12], "resize": "pad", "color": "gray", "background": "red"}
    config = read_json(run.path("config.json"))
    assert config["data"]["preprocessing"] == settings
    assert config["data"]["image_shape"] == [8, 12]
    assert run.load_model().preprocessing == settings
    loaded = load_data(read_run(run))  # fails if the fingerprint differs
    first = sorted(photographs.rglob("*.webp"))[0]
    gray = Image.open(first).convert("L")
    red = round(0.299 * 255)  # in gray
    expected = ImageOps.pad(gray, (12, 8), Image.Resampling.LANCZOS, color=red)
    images = np.concatenate([loaded.train_images, loaded.test_images])
    assert (images == np.asarray(expected)).all((1, 2)).sum() == 1
    model = run.load_model()
    again = data.Preprocessing.from_dict(model.preprocessing)
    image = data.read_image(first, again, model.image_shape)
    np.testing.assert_array_equal(image, expected)
    capsys.readouterr()
    assert train(*words) == 0  # the same request: nothing to do
    assert "already finished" in capsys.readouterr().out
    assert train(*words, "--background", "blue") == 2
    assert "other images of the same name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--image-size", "0"], ["--image-size", "received 0"]),
        (["--image-size", "64x"], ["--image-size", "received 64x"]),
        (["--image-size", "1x2x3"], ["--image-size", "1x2x3"]),
        (["--image-size", "99999"], ["image_size", "99999"]),
        (["--resize", "pad"], ["--resize", "--image-size"]),
        (["--resize", "fill", "--image-size", "8"], ["--resize", "fill"]),
        (["--color", "sepia"], ["--color", "sepia"]),
        (["--background", "whiteish"], ["background", "whiteish"]),
        (
            ["--strict", "--image-size", "8"],
            ["2 files (1 unreadable, 1 .txt)", "leave out --strict"],
        ),
    ],
)
def test_unusable_options_are_refused(photographs, tmp_path, capsys, options, words):
    line = command(photographs, tmp_path / "runs", "shallow", epochs=1, batch_size=8)
    received = refused(capsys, train, *line, *options).replace("notice", "")
    assert all(word in received for word in words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("channels", [2, 5])
def test_images_of_other_channels_are_refused_before_training(channels, tmp_path, capsys):
    np.savez(tmp_path / "a.npz", images=random_images(40, 31, 27, channels))
    line = command(tmp_path / "a.npz", tmp_path / "runs", "deep", epochs=1, batch_size=8)
    assert f"received {channels}" in refused(capsys, train, *line)
    assert not (tmp_path / "runs").exists()


def test_arrays_with_transparency_are_trained_on_with_a_notice(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", images=random_images(40, 9, 7, 4))
    line = command(tmp_path / "a.npz", tmp_path / "runs", "shallow", epochs=1, batch_size=8)
    assert train(*line) == 0
    assert "transparency" in capsys.readouterr().err
    run = RunDirectory(run_of(tmp_path / "runs", "shallow", "a.npz"))
    assert run.load_model().image_shape == (9, 7, 3)


def test_set_beyond_the_memory_limit_is_trained_on_alike(
    photographs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("KERAS_AE_CACHE", str(tmp_path / "cache"))
    results = []
    for limit in ("24GB", "0.01MB"):
        words = command(photographs, tmp_path / limit, "vae", epochs=2, batch_size=8)
        words += ["--image-size", "8", "--memory-limit", limit]
        assert train(*words, "--quiet") == 0
        run = RunDirectory(run_of(tmp_path / limit, "vae", "photographs"))
        history = [{**row, "seconds": 0} for row in run.history]
        results.append((history, {**run.results, "seconds_per_epoch": 0}))
        assert ("they are read from disk" in capsys.readouterr().err) == (limit == "0.01MB")
    assert results[0] == results[1]
    monkeypatch.setitem(splits._MOST_IN_MEMORY, "train", 7)
    words = [tmp_path / limit, "--output-dir", tmp_path / "results", "--memory-limit", limit]
    assert evaluate(*words, "--comparisons", "reconstruction") == 0
    out, err = capsys.readouterr()
    assert "they are read from disk" in err
    run = read_run(RunDirectory(run_of(tmp_path / limit, "vae", "photographs")))
    number = run.data.num_train
    assert number > 7 and f"7 of its {number} training images are used" in out


@pytest.mark.parametrize("limit", ["4", "0GB", "manyGB", "-1MB", "4B"])
def test_unusable_memory_limits_are_refused(limit, photographs, tmp_path, capsys):
    words = command(photographs, tmp_path / "runs", "shallow", epochs=1, batch_size=8)
    assert f"500MB or 4GB; received {limit}" in refused(
        capsys, train, *words, f"--memory-limit={limit}"
    )
