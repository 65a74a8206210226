"""`keras-ae predict`, `decode` and `sample` with small models that were not trained."""

from __future__ import annotations

import csv
import json
import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import fake_runs
import keras
import numpy as np
import pytest
from data_helpers import random_images, write_image
from PIL import Image, ImageOps
from programs import compiled, decode, predict, refused, sample

import keras_ae
from keras_ae.prediction import outputs
from keras_ae.prediction import predict as prediction
from keras_ae.prediction.outputs import numbered_in, write_contact_sheet, write_png
from keras_ae.prediction.trained_model import ServedModel, TrainedModel, open_model
from keras_ae.runs.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("offline", "eager")

SETTINGS = {"image_size": [8, 6], "resize": "crop", "color": "rgb", "background": "red"}


def make_run(folder: Path, model, variant: str) -> Path:
    """A finished run directory of a model, made without training."""
    run = RunDirectory(folder)
    run.start(fake_runs.config(variant))
    run.write_history([{"epoch": 1, "loss": 2.0, "seconds": 0.5}])
    run.finish(model, {"reconstruction_loss": 2.0, "seconds_per_epoch": 0.5})
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A VAE of color images with preprocessing, in all three forms, and a gray one without."""
    root = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(1)
    color = keras_ae.VAE(image_shape=(8, 6, 3), latent_dim=3, hidden_units=(9,), seed=1)
    color.set_preprocessing(SETTINGS)
    color.save(root / "color.keras")
    gray = keras_ae.Deep(image_shape=(8, 8), latent_dim=4, hidden_units=(9,), seed=1)
    gray.save(root / "gray.keras")
    with compiled():
        color.export(root / "served", verbose=False)
    run = make_run(root / "run", color, "vae")
    return SimpleNamespace(
        color=color,
        gray=gray,
        run=run,
        file=root / "color.keras",
        gray_file=root / "gray.keras",
        served=root / "served",
    )


@pytest.fixture
def photographs(tmp_path):
    """Seven color images of several sizes and formats in nested folders."""
    folder = tmp_path / "photographs"
    names = ["a.png", "b.png", "c.tiff", "d.gif", "deep er/c.png", "deep er/still/e.png", "f.png"]
    for number, name in enumerate(names):
        write_image(folder / name, random_images(1, 11 + number, 20, 3, seed=number)[0])
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(folder: Path, name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows_of(folder)])


def resized_by_pillow(folder: Path, names) -> np.ndarray:
    """The images as Pillow's own functions resize them, with the settings of the color model."""
    pictures = [
        ImageOps.fit(Image.open(folder / name).convert("RGB"), (6, 8), Image.Resampling.LANCZOS)
        for name in names
    ]
    return np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---- predict: numbers ----


def test_scores_and_codes_are_those_of_the_model_on_the_resized_images(
    models, photographs, tmp_path
):
    assert predict(models.file, photographs, "--output", tmp_path / "out") == 0
    rows = rows_of(tmp_path / "out")
    assert list(rows[0]) == ["file", "reconstruction_loss_nats", "anomaly_score"]
    names = [row["file"] for row in rows]
    assert sorted(names) == files_below(photographs)
    images = resized_by_pillow(photographs, names)
    expected = models.color.anomaly_score(images)
    np.testing.assert_allclose(column(tmp_path / "out", "anomaly_score"), expected, rtol=1e-5)
    loss = column(tmp_path / "out", "reconstruction_loss_nats")
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    codes = np.load(tmp_path / "out" / "codes.npy", allow_pickle=False)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes, models.color.encode(images), rtol=1e-4, atol=1e-6)


def test_run_file_and_saved_model_give_the_same_numbers(models, photographs, tmp_path):
    assert predict(models.file, photographs, "--output", tmp_path / "file") == 0
    for name in ("run", "served"):
        source = tmp_path / f"copy of {name}"
        shutil.copytree(getattr(models, name), source)  # nothing else is near it
        assert predict(source, photographs, "--output", tmp_path / name) == 0
        for each in ("reconstruction_loss_nats", "anomaly_score"):
            expected = column(tmp_path / "file", each)
            np.testing.assert_allclose(column(tmp_path / name, each), expected, rtol=1e-5)
        codes = np.load(tmp_path / name / "codes.npy")
        np.testing.assert_allclose(
            codes, np.load(tmp_path / "file" / "codes.npy"), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batch_size_does_not_change_the_results(models, photographs, tmp_path, batch_size):
    arguments = [models.file, photographs, "--batch-size", batch_size]
    assert predict(*arguments, "--output", tmp_path / "out") == 0
    images = resized_by_pillow(photographs, [row["file"] for row in rows_of(tmp_path / "out")])
    scores = column(tmp_path / "out", "anomaly_score")
    np.testing.assert_allclose(scores, models.color.anomaly_score(images), rtol=1e-5)
    codes = np.load(tmp_path / "out" / "codes.npy")
    np.testing.assert_allclose(codes, models.color.encode(images), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("score", ["bce", "mse", "signed_residual"])
def test_score_is_the_one_that_was_asked_for(models, photographs, tmp_path, score):
    arguments = [photographs, "--score", score]
    assert predict(models.file, *arguments, "--output", tmp_path / "file") == 0
    assert predict(models.served, *arguments, "--output", tmp_path / "served") == 0
    images = resized_by_pillow(photographs, [row["file"] for row in rows_of(tmp_path / "file")])
    for folder in (tmp_path / "file", tmp_path / "served"):
        scores = column(folder, "anomaly_score")
        expected = models.color.anomaly_score(images, score)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
        loss = column(folder, "reconstruction_loss_nats")
        np.testing.assert_allclose(loss, models.color.anomaly_score(images), rtol=1e-5)


@pytest.mark.parametrize("kind", ["uint8", "float", "0 to 255", "bool", "columns", "flat", "4-d"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_are_scored_by_index(models, tmp_path, kind, suffix):
    images = random_images(11, 8, 8)
    if kind == "bool":
        images = images > 127
    pixels = images.astype(np.float32) / (1 if kind == "bool" else 255)
    stored = {
        "float": pixels,
        "0 to 255": images.astype(np.float64),
        "columns": np.asfortranarray(images),
        "flat": images.reshape(11, 64),
        "4-d": images[..., None],
    }.get(kind, images)
    path = tmp_path / f"array{suffix}"
    if suffix == ".npy":
        np.save(path, stored)
    else:
        np.savez_compressed(path, labels=np.arange(11), x_train=stored)
    arguments = ["--output", tmp_path / "out", "--batch-size", 4]
    assert predict(models.gray_file, path, *arguments) == 0
    assert [row["index"] for row in rows_of(tmp_path / "out")] == [str(k) for k in range(11)]
    scores = column(tmp_path / "out", "anomaly_score")
    np.testing.assert_allclose(scores, models.gray.anomaly_score(pixels), rtol=1e-5)
    codes = np.load(tmp_path / "out" / "codes.npy")
    np.testing.assert_allclose(codes, models.gray.encode(pixels), rtol=1e-4, atol=1e-6)


def test_arrays_are_resized_and_colored_like_files(models, tmp_path):
    images = random_images(3, 20, 30)
    np.save(tmp_path / "gray.npy", images)
    assert predict(models.file, tmp_path / "gray.npy", "--output", tmp_path / "out") == 0
    for number, image in enumerate(images):
        write_image(tmp_path / "files" / f"{number}.png", image)
    assert predict(models.file, tmp_path / "files", "--output", tmp_path / "of files") == 0
    scores = [column(tmp_path / name, "anomaly_score") for name in ("out", "of files")]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def test_squared_error_and_symmetric_pixels_are_recognized_in_a_saved_model(tmp_path):
    keras.utils.set_random_seed(2)
    model = keras_ae.Deep(
        image_shape=(8, 8),
        latent_dim=4,
        hidden_units=(9,),
        reconstruction_loss="mse",
        output_activation="tanh",
    )
    model.save(tmp_path / "m.keras")
    with compiled():
        model.export(tmp_path / "served", verbose=False)
    images = random_images(5, 8, 8)
    np.save(tmp_path / "a.npy", images)
    symmetric = images.astype(np.float32) / 255 * 2 - 1
    for source in ("m.keras", "served"):
        out = tmp_path / f"out of {source}"
        arguments = ["--output", out, "--reconstructions"]
        assert predict(tmp_path / source, tmp_path / "a.npy", *arguments) == 0
        losses = column(out, "reconstruction_loss_squared_error")
        np.testing.assert_allclose(losses, model.anomaly_score(symmetric), rtol=1e-4)
        picture = np.asarray(Image.open(out / "reconstructions" / "0002.png"))
        expected = (model.reconstruct(symmetric)[2] + 1) / 2 * 255
        np.testing.assert_allclose(picture, expected, atol=0.51)


# ---- predict: pictures ----


def test_reconstructions_and_error_maps_are_pictures_with_the_names_of_the_images(
    models, photographs, tmp_path
):
    options = ["--reconstructions", "--error-maps", "--output", tmp_path / "out"]
    assert predict(models.file, photographs, *options) == 0
    names = files_below(photographs)
    images = resized_by_pillow(photographs, names)
    expected = models.color.reconstruct(images)
    written = [name if name.endswith(".png") else f"{name}.png" for name in names]
    assert files_below(tmp_path / "out" / "reconstructions") == sorted(written)
    assert files_below(tmp_path / "out" / "error_maps") == sorted(written)
    for name, image, reconstruction in zip(written, images, expected, strict=True):
        picture = Image.open(tmp_path / "out" / "reconstructions" / name)
        np.testing.assert_allclose(np.asarray(picture), reconstruction * 255, atol=0.51)
        errors = Image.open(tmp_path / "out" / "error_maps" / name)
        assert errors.size == (6, 8) and errors.mode == "L"
        error = np.abs(image - reconstruction).mean(-1) / 0.5 * 255
        np.testing.assert_allclose(np.asarray(errors), error.clip(0, 255), atol=0.6)


def test_names_that_differ_in_the_suffix_only_give_two_pictures(models, tmp_path):
    for number, name in enumerate(["a.gif", "a.gif.png", "a.png"]):
        write_image(tmp_path / "images" / name, random_images(1, 9, 9, 3, seed=number)[0])
    arguments = [models.file, tmp_path / "images", "--reconstructions"]
    assert predict(*arguments, "--output", tmp_path / "out") == 0
    found = files_below(tmp_path / "out" / "reconstructions")
    assert found == ["a.gif.png", "a.gif.png.png", "a.png"]


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/x.png"])
def test_no_picture_leaves_the_output_folder(tmp_path, name):
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="leads out of the output folder"):
        write_png(np.zeros((4, 4)), tmp_path / "out", name)
    assert files_below(tmp_path) == []


def test_one_image_file_is_predicted_by_its_name(models, photographs, tmp_path):
    arguments = ["--reconstructions", "--output", tmp_path / "out"]
    assert predict(models.file, photographs / "deep er" / "c.png", *arguments) == 0
    assert [row["file"] for row in rows_of(tmp_path / "out")] == ["c.png"]
    assert files_below(tmp_path / "out") == [
        "codes.npy",
        "predictions.csv",
        "reconstructions/c.png",
    ]


# ---- predict: memory ----


class Constant(TrainedModel):
    """A model without a network, whose scores are the means of the images."""

    image_shape, code_shape, pixel_range = (32, 32), (5,), (0.0, 1.0)
    loss = default_score = "bce"
    preprocessing = keras_ae.data.Preprocessing(image_size=32)

    def encode(self, images):
        return np.ones((len(images), 5), np.float32)

    def anomaly_score(self, images, score=None):
        return images.mean((1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["files", ".npy", ".npz"])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, kind):
    peaks = {}
    numbers = (32, 512) if kind == "files" else (2048, 8192)
    for number in numbers:
        images = random_images(number, 32, 32)
        path = tmp_path / f"{number}{kind}"
        if kind == "files":
            for index, image in enumerate(images):
                write_image(path / f"{index:04}.bmp", image)
        elif kind == ".npy":
            np.save(path, images)
        else:
            np.savez_compressed(path, images=images)
        if not peaks:  # what is loaded once does not count
            prediction.predict_files(Constant(), path, tmp_path / "first", batch_size=32)
        tracemalloc.start()
        prediction.predict_files(Constant(), path, tmp_path / f"out{number}", batch_size=32)
        peaks[number] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(np.load(tmp_path / f"out{number}" / "codes.npy")) == number
        scores = column(tmp_path / f"out{number}", "anomaly_score")
        np.testing.assert_allclose(scores, images.mean((1, 2)) / 255, rtol=1e-5)
    # All images would take 0.5 MB (files) or 6 MB (arrays) more, as float32 four times that.
    assert peaks[numbers[1]] - peaks[numbers[0]] < 300_000


# ---- predict: skipped and refused files ----


def test_unreadable_files_are_skipped_and_named(models, photographs, tmp_path, capsys):
    (photographs / "b.png").write_bytes(b"no image")
    whole = (photographs / "deep er" / "c.png").read_bytes()
    (photographs / "deep er" / "c.png").write_bytes(whole[: len(whole) // 2])
    (photographs / "notes.txt").write_text("no image")
    arguments = [models.file, photographs, "--batch-size", 2, "--output", tmp_path / "out"]
    assert predict(*arguments) == 1
    _, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if "error:" in line]
    assert lines == ["predict.py: error: skipped 2 unreadable files: b.png, deep er/c.png"]
    assert "notes.txt" in err
    names = [row["file"] for row in rows_of(tmp_path / "out")]
    lost = {"b.png", "deep er/c.png", "notes.txt"}
    assert sorted(names) == sorted(set(files_below(photographs)) - lost)
    codes = np.load(tmp_path / "out" / "codes.npy")
    expected = models.color.encode(resized_by_pillow(photographs, names))
    np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["b.png", "notes.txt"])
def test_strict_refuses_unreadable_files_before_predicting(
    models, photographs, tmp_path, capsys, monkeypatch, name
):
    (photographs / name).write_text("no image")
    monkeypatch.setattr(keras_ae.VAE, "encode", lambda *_: pytest.fail("predicted"))
    arguments = [models.file, photographs, "--strict", "--batch-size", 1]
    arguments += ["--output", tmp_path / "out"]
    line = refused(capsys, predict, *arguments)
    assert name in line and "leave out --strict" in line
    assert not (tmp_path / "out").exists()


def test_images_of_another_size_are_refused_with_advice(models, photographs, tmp_path, capsys):
    arguments = ["--output", tmp_path / "out"]
    line = refused(capsys, predict, models.gray_file, photographs, *arguments)
    assert "11 x 20" in line and "8 x 8" in line and "train --image-size 8x8" in line
    np.save(tmp_path / "a.npy", random_images(3, 9, 8))
    line = refused(capsys, predict, models.gray_file, tmp_path / "a.npy", *arguments)
    assert "9 x 8" in line and "8 x 8" in line and "train --image-size 8x8" in line
    assert not (tmp_path / "out").exists()


def test_strict_and_sizes_are_explained_without_options_in_python(models, photographs, tmp_path):
    with pytest.raises(ValueError, match="train a model with an image size") as caught:
        prediction.predict_files(models.gray_file, photographs, tmp_path / "out")
    assert "--" not in str(caught.value)
    (photographs / "b.png").write_text("no image")
    with pytest.raises(ValueError, match=r"b\.png.*predict without strict") as caught:
        prediction.predict_files(models.file, photographs, tmp_path / "out", strict=True)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("program", [predict, decode, sample])
def test_several_runs_are_refused_by_their_names(models, photographs, tmp_path, capsys, program):
    other = shutil.copytree(models.run, tmp_path / "other")
    more = [] if program is sample else [photographs]
    arguments = [models.run, other, *more, "--output", tmp_path / "out"]
    line = refused(capsys, program, *arguments)
    assert f"takes one run; received 2: {models.run}, {other}" in line


def test_several_inputs_are_refused_with_what_is_taken(models, photographs, tmp_path, capsys):
    files = [photographs / "a.png", photographs / "b.png"]
    line = refused(capsys, predict, models.run, *files, "--output", tmp_path / "out")
    assert "takes RUN INPUT; received 3 paths" in line


def write_inputs(folder: Path) -> None:
    """Input files that cannot be used, by the name of the test case."""
    np.save(folder / "pickled.npy", np.array([{"a": 1}, None], dtype=object))
    np.save(folder / "whole.npy", random_images(50, 8, 8))
    (folder / "cut.npy").write_bytes((folder / "whole.npy").read_bytes()[:1000])
    np.savez(folder / "other.npz", weights=np.zeros(3))
    np.savez(folder / "whole.npz", images=random_images(50, 8, 8))
    (folder / "cut.npz").write_bytes((folder / "whole.npz").read_bytes()[:1000])
    np.save(folder / "nan.npy", np.full((4, 8, 8), np.nan, np.float32))
    np.save(folder / "range.npy", np.full((4, 8, 8), 256))
    np.save(folder / "vectors.npy", np.zeros((4, 3)))
    np.save(folder / "none.npy", np.zeros((0, 8, 8)))
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "empty").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "a.png").write_bytes(b"no image")
    (folder / "broken" / "b.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("nowhere", "does not exist"),
        ("pickled.npy", "pickled"),
        ("cut.npy", "damaged"),
        ("other.npz", "weights"),
        ("cut.npz", "damaged"),
        ("nan.npy", "NaN"),
        ("range.npy", "256"),
        ("vectors.npy", "(1, 3)"),
        ("none.npy", "no images"),
        ("broken.png", "not an image"),
        ("empty", "no image files"),
        ("broken", "none of 2 images"),
    ],
)
def test_unusable_input_is_refused(models, tmp_path, capsys, name, word):
    write_inputs(tmp_path)
    arguments = ["--output", tmp_path / "out"]
    line = refused(capsys, predict, models.gray_file, tmp_path / name, *arguments)
    assert word in line and name in line
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def write_runs(folder: Path, models) -> None:
    """Models that cannot be used, by the name of the test case."""
    fake_runs.write_run(folder / "unfinished", finished=False)
    fake_runs.write_run(folder / "damaged")
    shutil.copytree(models.run, folder / "changed")
    (folder / "changed" / "history.csv").write_text("epoch,seconds,loss\n1,0.5,3.0\n")
    (folder / "empty").mkdir()
    shutil.copytree(models.run, folder / "runs" / "mnist" / "vae")
    (folder / "text.keras").write_text("no model")
    (folder / "broken export").mkdir()
    (folder / "broken export" / "saved_model.pb").write_bytes(b"no model")
    shutil.copytree(models.served, folder / "bad settings")
    settings = json.dumps({"image_size": [9, 9]})
    (folder / "bad settings" / "preprocessing.json").write_text(settings)
    shutil.copytree(models.served, folder / "no settings")
    (folder / "no settings" / "preprocessing.json").write_text("{")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("nowhere", "does not exist"),
        ("unfinished", "not finished"),
        ("damaged", "model.keras"),
        ("changed", "history.csv"),
        ("empty", "neither a run directory"),
        ("runs", "mnist/vae"),
        ("text.keras", "not the file of a variant"),
        ("broken export", "cannot be loaded"),
        ("bad settings", "do not belong together"),
        ("no settings", "preprocessing.json"),
    ],
)
def test_unusable_run_is_refused(models, photographs, tmp_path, capsys, name, word):
    write_runs(tmp_path, models)
    arguments = [tmp_path / name, photographs, "--output", tmp_path / "out"]
    line = refused(capsys, predict, *arguments)
    assert word in line
    assert not (tmp_path / "out").exists()


def test_saved_model_of_something_else_is_refused(models, photographs, tmp_path, capsys):
    import tensorflow as tf

    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([None])])
    with compiled():
        tf.saved_model.save(module, tmp_path / "other")
    arguments = [tmp_path / "other", photographs, "--output", tmp_path / "out"]
    assert "endpoint 'serve'" in refused(capsys, predict, *arguments)


def test_binarized_training_images_are_a_notice(models, photographs, tmp_path, capsys):
    shutil.copytree(models.run, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"]["binarize"] = "threshold"
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    results = json.loads((tmp_path / "run" / "test.json").read_text())
    del results["digests"]["config.json"]
    (tmp_path / "run" / "test.json").write_text(json.dumps(results))
    assert predict(tmp_path / "run", photographs, "--output", tmp_path / "out") == 0
    assert "black and white (threshold)" in capsys.readouterr().err


# ---- existing and interrupted results ----


def test_existing_results_are_refused_unless_overwritten(models, photographs, tmp_path, capsys):
    arguments = [models.file, photographs, "--output", tmp_path / "out"]
    assert predict(*arguments, "--reconstructions") == 0
    (tmp_path / "out" / "mine.txt").write_text("mine")
    before = files_below(tmp_path / "out")
    line = refused(capsys, predict, *arguments)
    assert "codes.npy" in line and "--overwrite" in line
    assert files_below(tmp_path / "out") == before
    (photographs / "a.png").unlink()
    assert predict(*arguments, "--overwrite") == 0
    assert files_below(tmp_path / "out") == ["codes.npy", "mine.txt", "predictions.csv"]
    assert len(rows_of(tmp_path / "out")) == 6


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("number", [1, 2])
def test_interruption_leaves_the_output_folder_as_it_was(
    models, photographs, tmp_path, capsys, monkeypatch, number, exists
):
    arguments = [models.file, photographs, "--reconstructions", "--batch-size", 3]
    arguments += ["--output", tmp_path / "out"]
    if exists:
        assert predict(*arguments) == 0
        arguments.append("--overwrite")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    encode, calls = keras_ae.VAE.encode, []

    def interrupted(self, images):
        calls.append(len(images))
        if len(calls) == number:
            raise KeyboardInterrupt
        return encode(self, images)

    monkeypatch.setattr(keras_ae.VAE, "encode", interrupted)
    assert predict(*arguments) == 130
    assert "re-run the same command" in capsys.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    before.pop(tmp_path / "out", None), after.pop(tmp_path / "out", None)
    assert after == before


@pytest.mark.parametrize("step", ["delete", "move"])
def test_interruption_while_results_are_moved_leaves_no_table(
    models, photographs, tmp_path, monkeypatch, step
):
    arguments = [models.file, photographs, "--output", tmp_path / "out"]
    assert predict(*arguments) == 0
    owner, name = {"delete": (outputs, "_delete"), "move": (outputs.os, "replace")}[step]
    original = getattr(owner, name)

    def interrupted(*paths):
        original(*paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, interrupted)
    assert predict(*arguments, "--overwrite") == 130
    assert files_below(tmp_path / "out") == ["codes.npy"]
    monkeypatch.undo()
    assert predict(*arguments, "--overwrite") == 0
    assert files_below(tmp_path / "out") == ["codes.npy", "predictions.csv"]


def test_files_of_a_killed_process_are_cleaned_up(models, photographs, tmp_path):
    left = tmp_path / ".out.keras_ae.partial"
    left.mkdir()
    (left / "reconstructions").mkdir()
    arguments = [models.file, photographs, "--output", tmp_path / "out"]
    assert predict(*arguments) == 0
    assert not left.exists()
    assert files_below(tmp_path / "out") == ["codes.npy", "predictions.csv"]


@pytest.mark.parametrize("option", ["--reconstructions", "--error-maps"])
def test_pictures_are_not_written_among_the_images(models, photographs, capsys, option):
    arguments = [models.file, photographs, "--output", photographs / "out", option]
    assert "--output" in refused(capsys, predict, *arguments)
    assert not (photographs / "out").exists()


def test_quiet_prints_nothing_and_progress_prints_few_lines(models, tmp_path, capsys):
    np.save(tmp_path / "a.npy", random_images(60, 8, 8))
    arguments = [models.gray_file, tmp_path / "a.npy", "--batch-size", 1, "--output"]
    assert predict(*arguments, tmp_path / "quiet", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert predict(*arguments, tmp_path / "out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert 4 < len(lines) < 11 and "60/60 images" in lines[-3]
    assert lines[-2:] == [
        f"wrote 60 predictions to {tmp_path / 'out'}",
        "anomaly score: bce, the training loss",
    ]


# ---- decode ----


@pytest.mark.parametrize("source", ["file", "run", "served"])
def test_decoded_images_are_those_of_the_model(models, tmp_path, source):
    codes = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.save(tmp_path / "codes.npy", codes)
    arguments = [tmp_path / "codes.npy", "--output", tmp_path / "out", "--batch-size", 2]
    assert decode(getattr(models, source), *arguments) == 0
    assert files_below(tmp_path / "out") == [f"{index:04}.png" for index in range(5)]
    for index, image in enumerate(models.color.decode(codes)):
        picture = np.asarray(Image.open(tmp_path / "out" / f"{index:04}.png"))
        np.testing.assert_allclose(picture, image * 255, atol=0.51)


def test_decoding_predicted_codes_gives_the_reconstructions(models, photographs, tmp_path):
    arguments = ["--reconstructions", "--output", tmp_path / "out"]
    assert predict(models.file, photographs, *arguments) == 0
    codes = tmp_path / "out" / "codes.npy"
    assert decode(models.file, codes, "--output", tmp_path / "decoded") == 0
    name = rows_of(tmp_path / "out")[1]["file"]
    reconstruction = Image.open(tmp_path / "out" / "reconstructions" / name)
    decoded = Image.open(tmp_path / "decoded" / "0001.png")
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(reconstruction))


@pytest.mark.parametrize(
    ("codes", "word"),
    [
        (np.zeros((5, 4)), "(N, 3)"),
        (np.zeros(3), "(N, 3)"),
        (np.zeros((0, 3)), "(0, 3)"),
        (np.full((5, 3), np.nan), "NaN"),
        (np.full((5, 3), "a"), "numbers"),
        (np.full((5, 3), None), "pickled"),
    ],
)
@pytest.mark.parametrize("source", ["file", "served"])
def test_unusable_codes_are_refused(models, tmp_path, capsys, codes, word, source):
    np.save(tmp_path / "codes.npy", codes)
    arguments = [tmp_path / "codes.npy", "--output", tmp_path / "out"]
    line = refused(capsys, decode, getattr(models, source), *arguments)
    assert word in line and "codes.npy" in line
    assert not (tmp_path / "out").exists()


def test_codes_in_an_archive_are_refused(models, tmp_path, capsys):
    np.savez(tmp_path / "codes.npz", codes=np.zeros((5, 3)))
    line = refused(capsys, decode, models.file, tmp_path / "codes.npz", "--output", tmp_path / "o")
    assert ".npy" in line


def test_decoded_images_replace_only_decoded_images(models, tmp_path, capsys):
    arguments = [models.file, tmp_path / "codes.npy", "--output", tmp_path / "out"]
    np.save(tmp_path / "codes.npy", np.zeros((3, 3)))
    assert decode(*arguments) == 0
    (tmp_path / "out" / "holiday.png").write_bytes(b"mine")
    assert "0000.png" in refused(capsys, decode, *arguments)
    np.save(tmp_path / "codes.npy", np.zeros((2, 3)))
    assert decode(*arguments, "--overwrite") == 0
    assert files_below(tmp_path / "out") == ["0000.png", "0001.png", "holiday.png"]


# ---- sample ----


@pytest.mark.parametrize("source", ["file", "run", "served"])
def test_samples_are_those_of_the_model_with_a_contact_sheet(models, tmp_path, source):
    arguments = ["-n", 5, "--seed", 9, "--output", tmp_path / "out"]
    assert sample(getattr(models, source), *arguments) == 0
    names = [f"{index:04}.png" for index in range(5)]
    assert files_below(tmp_path / "out") == [*names, "samples.png"]
    sheet = np.asarray(Image.open(tmp_path / "out" / "samples.png"))
    height, width = 16 * 8, 16 * 6  # 128 / 8: each pixel becomes 16 x 16
    assert sheet.shape == (2 * (height + 2) + 2, 3 * (width + 2) + 2, 3)  # two rows of three
    for index, image in enumerate(models.color.sample(5, seed=9)):
        picture = np.asarray(Image.open(tmp_path / "out" / names[index]))
        np.testing.assert_allclose(picture, image * 255, atol=0.51)
        top, left = 2 + (height + 2) * (index // 3), 2 + (width + 2) * (index % 3)
        tile = sheet[top : top + height, left : left + width]
        np.testing.assert_array_equal(tile, np.kron(picture, np.ones((16, 16, 1), np.uint8)))
    assert (sheet[height + 4 :, 2 * (width + 2) + 2 :] == 128).all()


@pytest.mark.parametrize(("side", "scale"), [(28, 4), (64, 2), (65, 1), (200, 1)])
def test_small_images_are_enlarged_on_the_contact_sheet(tmp_path, side, scale):
    write_contact_sheet(np.zeros((2, side, side)), tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size == (2 * side * scale + 6, side * scale + 4)


def test_sample_is_repeatable_and_depends_on_the_seed(models, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = ["-n", 2, "--seed", seed, "--output", tmp_path / name]
        assert sample(models.file, *arguments) == 0
    a, b, c = ((tmp_path / name / "samples.png").read_bytes() for name in "abc")
    assert a == b != c


def test_model_without_a_prior_is_refused_with_the_variants_that_have_one(models, tmp_path, capsys):
    line = refused(capsys, sample, models.gray_file, "--output", tmp_path / "out")
    assert "no prior" in line and "conv_vae" in line and "vq_vae" in line
    with compiled():
        models.gray.export(tmp_path / "served", verbose=False)
    line = refused(capsys, sample, tmp_path / "served", "--output", tmp_path / "out")
    assert "no prior" in line and "conv_vae" in line
    assert not (tmp_path / "out").exists()


def test_samples_beyond_the_memory_limit_are_refused(models, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_AE_MAX_GB", "0.001")
    arguments = ["-n", 10_000, "--output", tmp_path / "out"]
    assert "KERAS_AE_MAX_GB" in refused(capsys, sample, models.file, *arguments)


# ---- in Python ----


def test_predict_files_takes_an_opened_model(models, photographs, tmp_path):
    opened = open_model(models.served)
    assert isinstance(opened, ServedModel) and opened.image_shape == (8, 6, 3)
    done = prediction.predict_files(opened, photographs, tmp_path / "out")
    assert (done.num_images, done.skipped, done.notices) == (7, [], [])


def test_files_of_the_user_are_no_earlier_results(tmp_path):
    for name in ("0000.png", "0001.png", "0003.png", "20240101.png", "note.txt"):
        (tmp_path / name).touch()
    owned = numbered_in(tmp_path, 1)
    assert [path.name for path in sorted(tmp_path.iterdir()) if owned(path.name)] == [
        "0000.png",
        "0001.png",
    ]
    assert numbered_in(tmp_path, 4)("0003.png")  # it would be written over
