"""`keras-ae predict`: scores, thresholds and verdicts, and anomaly maps over the images."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from data_helpers import random_images, write_image
from PIL import Image
from programs import compiled, predict, refused
from scipy.ndimage import gaussian_filter

import keras_ae
from keras_ae.anomaly.maps import MapMoments, usual_scale
from keras_ae.prediction import overlays
from keras_ae.prediction import predict as prediction

pytestmark = pytest.mark.usefixtures("offline", "eager")

RATE = 0.5


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A VAE of 12x12 color images in files with thresholds of several scores, and images."""
    root = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(1)
    model = keras_ae.VAE(image_shape=(12, 12, 3), latent_dim=3, hidden_units=(9,), seed=1)
    model.save(root / "none.keras")
    normal = random_images(40, 12, 12, 3, seed=1).astype(np.float32) / 255
    images = random_images(15, 12, 12, 3, seed=2).astype(np.float32) / 255
    np.save(root / "normal.npy", normal)
    np.save(root / "images.npy", images)
    for score, num_samples in (
        ("mse", None), ("ssim", None), ("elbo", 3), ("local_residual", None),
    ):  # fmt: skip
        model.fit_threshold(normal, RATE, score, num_samples=num_samples)
        model.save(root / f"{score}.keras")
        with compiled():
            model.export(root / f"{score} served", verbose=False)
    return SimpleNamespace(root=root, model=model, images=images, normal=normal)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(folder: Path, name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows_of(folder)])


def predicted(models, tmp_path, name, *arguments) -> Path:
    """The folder that `predict` writes for the 15 images, after it has ended with 0."""
    out = tmp_path / "out"
    line = [models.root / name, models.root / "images.npy", "--output", out, "--overwrite"]
    assert predict(*line, *arguments) == 0
    return out


# ---- verdicts ----


@pytest.mark.parametrize("score", ["mse", "ssim", "elbo", "local_residual"])
@pytest.mark.parametrize("kind", [".keras", " served"])
def test_verdicts_are_those_of_the_model(models, tmp_path, capsys, score, kind):
    out = predicted(models, tmp_path, score + kind, "--batch-size", 4)
    model = keras_ae.load_model(models.root / f"{score}.keras")
    assert list(rows_of(out)[0]) == [
        "index", "reconstruction_loss_nats", "anomaly_score", "score", "threshold", "is_anomalous"
    ]  # fmt: skip
    num_samples = {"elbo": 3}.get(score)
    expected = model.anomaly_score(models.images, score, num_samples=num_samples)
    for name in ("score", "anomaly_score"):
        np.testing.assert_allclose(column(out, name), expected, rtol=1e-4)
    loss = model.anomaly_score(models.images)
    np.testing.assert_allclose(column(out, "reconstruction_loss_nats"), loss, rtol=1e-5)
    np.testing.assert_allclose(column(out, "threshold"), model.threshold, rtol=1e-6)
    verdicts = model.is_anomalous(models.images)
    assert 0 < verdicts.sum() < 15
    assert [row["is_anomalous"] for row in rows_of(out)] == [str(int(each)) for each in verdicts]
    line = f"{verdicts.sum()} of 15 images are anomalous (threshold {model.threshold:.6g}, score "
    assert f"{line}{score})" in capsys.readouterr().out


def test_without_a_threshold_there_are_no_verdicts(models, tmp_path, capsys):
    out = predicted(models, tmp_path, "none.keras")
    assert list(rows_of(out)[0]) == ["index", "reconstruction_loss_nats", "anomaly_score"]
    assert "anomalous" not in capsys.readouterr().out


def test_threshold_can_be_given(models, tmp_path, capsys):
    scores = models.model.anomaly_score(models.images, "mse")
    middle = np.sort(scores)[10:12].mean()
    for name, score in (("mse.keras", []), ("elbo served", ["--score", "mse"])):
        out = predicted(models, tmp_path, name, "--threshold", middle, *score)
        np.testing.assert_array_equal(column(out, "is_anomalous"), scores > middle)
        np.testing.assert_allclose(column(out, "threshold"), middle, rtol=1e-6)
        assert "4 of 15 images are anomalous" in capsys.readouterr().out


def test_another_score_has_no_verdicts_without_a_threshold_of_its_own(models, tmp_path, capsys):
    out = predicted(models, tmp_path, "mse.keras", "--score", "ssim")
    assert "is_anomalous" not in rows_of(out)[0]
    expected = models.model.anomaly_score(models.images, "ssim")
    np.testing.assert_allclose(column(out, "anomaly_score"), expected, rtol=1e-4)
    printed = capsys.readouterr()
    assert (
        "no verdicts: the threshold of the model is one of the score mse, not ssim" in printed.err
    )
    assert "are anomalous" not in printed.out


@pytest.mark.parametrize("name", ["none.keras", "mse.keras", "ssim served"])
def test_threshold_is_fitted_to_the_normal_images_that_are_given(models, tmp_path, name):
    before = {path: path.stat().st_mtime_ns for path in models.root.rglob("*")}
    arguments = ["--normal-images", models.root / "normal.npy", "--false-positive-rate", 0.25]
    out = predicted(models, tmp_path, name, *arguments, "--score", "mse", "--batch-size", 7)
    scores = np.sort(models.model.anomaly_score(models.normal, "mse"))
    np.testing.assert_allclose(column(out, "threshold"), scores[29], rtol=2e-5)  # 10 of 40 above
    above = models.model.anomaly_score(models.images, "mse") > scores[29] * (1 + 1e-5)
    np.testing.assert_array_equal(column(out, "is_anomalous"), above)
    assert {path: path.stat().st_mtime_ns for path in models.root.rglob("*")} == before


@pytest.mark.parametrize("name", ["none.keras", "elbo served"])
def test_too_few_normal_images_are_a_warning(models, tmp_path, capsys, name):
    predicted(models, tmp_path, name, "--normal-images", models.root / "normal.npy")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "too few" in line]
    assert line.startswith("predict.py: warning: 40 normal images are too few for a false positive")
    assert "0.01" in line and "at least 100" in line


def test_a_score_of_codes_is_fitted_to_normal_images(models, tmp_path, capsys):
    line = [models.root / "none.keras", models.root / "images.npy", "--output", tmp_path / "out"]
    line += ["--score", "mahalanobis"]
    refusal = refused(capsys, predict, *line)
    assert "mahalanobis has not been fitted: give normal images with --normal-images" in refusal
    assert "fit_scores" not in refusal and not (tmp_path / "out").exists()
    assert predict(*line, "--normal-images", models.root / "normal.npy") == 0
    model = keras_ae.load_model(models.root / "none.keras")
    fit = model.fit_threshold(models.normal, score="mahalanobis")
    np.testing.assert_allclose(column(tmp_path / "out", "threshold"), fit.threshold, rtol=1e-5)
    expected = model.anomaly_score(models.images, "mahalanobis")
    np.testing.assert_allclose(column(tmp_path / "out", "score"), expected, rtol=1e-4)


def test_unreadable_normal_images_are_a_notice(models, tmp_path, capsys):
    for place, image in enumerate(random_images(5, 12, 12, 3)):
        write_image(tmp_path / "normal" / f"{place}.png", image)
    (tmp_path / "normal" / "broken.png").write_bytes(b"no image")
    arguments = ["--normal-images", tmp_path / "normal", "--false-positive-rate", 0.5]
    out = predicted(models, tmp_path, "none.keras", *arguments)
    assert "notice: skipped in" in (err := capsys.readouterr().err) and "broken.png" in err
    assert "is_anomalous" in rows_of(out)[0]


def write_normal(folder: Path) -> None:
    """Normal images that cannot be used, by the name of the test case."""
    np.save(folder / "one.npy", random_images(1, 12, 12, 3))
    np.save(folder / "size.npy", random_images(9, 11, 12, 3))
    np.save(folder / "nan.npy", np.full((9, 12, 12, 3), np.nan, np.float32))
    (folder / "empty").mkdir()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "nan"], "needs a finite number; received nan"),
        (["--threshold", "high"], "received high"),
        (["--false-positive-rate", "0.1"], "give --normal-images PATH, or a number with --thresh"),
        (["--normal-images", "one.npy", "--false-positive-rate", "1"], "between 0 and 1, exclus"),
        (["--normal-images", "one.npy", "--threshold", "3"], "--threshold and --normal-images"),
        (["--normal-images", "nowhere"], "nowhere: does not exist"),
        (["--normal-images", "one.npy"], "needs at least two normal images; received 1."),
        (["--normal-images", "size.npy"], "has 11 x 12 pixels"),
        (["--normal-images", "nan.npy"], "NaN"),
        (["--normal-images", "empty"], "no image files"),
        (["--score", "sim"], "received 'sim'"),
        (["--score", "sim", "--threshold", "3"], "score must be one of bce, mse, s"),
        (["--sigma", "2"], "it needs --maps"),
        (["--maps", "--sigma", "-1"], "at least 0; received -1"),
    ],
)
@pytest.mark.parametrize("name", ["mse.keras", "ssim served"])
def test_unusable_arguments_are_refused(models, tmp_path, capsys, name, arguments, words):
    write_normal(tmp_path)
    written = {path.name for path in tmp_path.iterdir()} | {"nowhere"}
    arguments = [tmp_path / each if each in written else each for each in arguments]
    line = [models.root / name, models.root / "images.npy", "--output", tmp_path / "out"]
    refusal = refused(capsys, predict, *line, *arguments)
    assert words in refusal
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"threshold": 1}', '{"threshold": "x"}'])
def test_damaged_threshold_of_a_saved_model_is_refused(models, tmp_path, capsys, content):
    shutil.copytree(models.root / "mse served", tmp_path / "served")
    (tmp_path / "served" / "threshold.json").write_text(content)
    line = [tmp_path / "served", models.root / "images.npy", "--output", tmp_path / "out"]
    assert "threshold.json" in refused(capsys, predict, *line)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"mse": 1}', '{"mse": ["a", 2]}', '{"mse": [2, 1]}']
)
def test_damaged_map_scales_of_a_saved_model_are_refused(models, tmp_path, capsys, content):
    shutil.copytree(models.root / "mse served", tmp_path / "served")
    (tmp_path / "served" / "map_scales.json").write_text(content)
    line = [tmp_path / "served", models.root / "images.npy", "--output", tmp_path / "out"]
    assert "map_scales.json" in refused(capsys, predict, *line)


def test_threshold_of_a_saved_model_is_that_of_its_endpoint(models, tmp_path):
    shutil.copytree(models.root / "mse served", tmp_path / "served")
    path = tmp_path / "served" / "threshold.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threshold": 1e9}))
    out = predicted(models, tmp_path, tmp_path / "served")
    expected = keras_ae.load_model(models.root / "mse.keras").threshold
    np.testing.assert_allclose(column(out, "threshold"), expected, rtol=1e-6)


# ---- maps ----


def expected_maps(models, sigma: float) -> np.ndarray:
    """The smoothed squared errors, with SciPy."""
    reconstructions = models.model.reconstruct(models.images).astype(np.float64)
    errors = ((reconstructions - models.images) ** 2).sum(-1)
    return np.stack([gaussian_filter(each, sigma, truncate=9) for each in errors])


@pytest.mark.parametrize("name", ["none.keras", "elbo served"])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_maps_are_pictures_with_one_scale(models, tmp_path, capsys, name, batch_size):
    out = predicted(models, tmp_path, name, "--maps", "--sigma", 1, "--batch-size", batch_size)
    maps = expected_maps(models, 1)
    assert f"maps: from 0 (transparent) to {maps.max():.3g} (yellow)" in capsys.readouterr().out
    assert Image.open(out / "map_scale.png").size == overlays.LEGEND
    strength = (maps / maps.max())[..., None]
    gray = 0.15 + 0.5 * (models.images @ [0.299, 0.587, 0.114])[..., None]
    colors = overlays.colors(strength[..., 0])
    pixels = (1 - np.sqrt(strength)) * gray + np.sqrt(strength) * colors
    assert len(list((out / "maps").iterdir())) == 15
    for place, expected in enumerate(pixels):
        picture = np.asarray(Image.open(out / "maps" / f"{place:04}.png"), float)
        assert picture.shape == (120, 120, 3)  # each pixel became 10 x 10
        np.testing.assert_allclose(picture[5::10, 5::10], expected * 255, atol=1.5)
        np.testing.assert_array_equal(picture[5::10, 5::10].repeat(10, 0).repeat(10, 1), picture)


def test_another_threshold_of_a_saved_model_has_its_own_map(models, tmp_path):
    line = ["--normal-images", models.root / "images.npy", "--score", "mse", "--maps", "--sigma", 0]
    out = predicted(models, tmp_path, "local_residual served", *line)
    maps = models.model.anomaly_map(models.images, score="mse")
    picture = np.asarray(Image.open(out / "maps" / "0003.png"), float)
    expected = overlays.overlays(models.images, maps, maps.max())[3]
    np.testing.assert_allclose(picture, expected, atol=1)


def test_few_normal_images_do_not_replace_the_statistics_of_the_model(models, tmp_path):
    np.save(tmp_path / "three.npy", models.normal[:3])
    found = []
    for name in ("local_residual.keras", "local_residual served"):
        line = ["--normal-images", tmp_path / "three.npy"]
        out = predicted(models, tmp_path / name, name, *line)
        found.append((column(out, "score"), column(out, "is_anomalous"), column(out, "threshold")))
    expected = keras_ae.load_model(models.root / "local_residual.keras").anomaly_score(
        models.images, "local_residual"
    )
    for scores, verdicts, threshold in found:
        np.testing.assert_allclose(scores, expected, rtol=1e-4)
        np.testing.assert_array_equal(verdicts, found[0][1])
        np.testing.assert_allclose(threshold, found[0][2], rtol=1e-4)


@pytest.mark.parametrize("name", ["ssim.keras", "ssim served", "local_residual.keras"])
def test_a_threshold_has_the_map_of_its_score(models, tmp_path, capsys, name):
    score = name.partition(".")[0].partition(" ")[0]
    out = predicted(models, tmp_path, name, "--maps", "--sigma", 0)
    model = keras_ae.load_model(models.root / f"{score}.keras")
    maps = model.anomaly_map(models.images, score=score)
    lowest, highest = 2.0, maps.max()  # three channels and the spread
    if score == "ssim":
        lowest, highest = scale_of(models, "ssim")
    expected = overlays.overlays(models.images, maps, highest, lowest)
    picture = np.asarray(Image.open(out / "maps" / "0003.png"), float)
    np.testing.assert_allclose(picture, expected[3], atol=1)
    assert f"maps: from {lowest:.3g} (transparent) to {highest:.3g}" in capsys.readouterr().out


def scale_of(models, score):
    """Mean of all pixels of the maps of the normal images, and that + 5 standard deviations."""
    maps = models.model.anomaly_map(models.normal, score=score).astype(np.float64)
    return maps.mean(), maps.mean() + 5 * maps.std()


@pytest.mark.parametrize("name", ["mse.keras", "mse served"])
def test_scale_of_maps_follows_the_normal_images_and_not_the_others(models, tmp_path, capsys, name):
    lowest, highest = scale_of(models, "mse")
    pictures = []
    for images in (models.images[3:4], np.concatenate([models.images, 0 * models.images])):
        np.save(tmp_path / "some.npy", images)
        line = [models.root / name, tmp_path / "some.npy", "--maps", "--overwrite"]
        assert predict(*line, "--output", tmp_path / "out") == 0
        ends = f"maps: from {lowest:.3g} (transparent) to {highest:.3g} (yellow)"
        assert ends in capsys.readouterr().out
        place = 3 if len(images) > 1 else 0
        pictures.append(np.asarray(Image.open(tmp_path / "out" / "maps" / f"{place:04}.png")))
    np.testing.assert_array_equal(*pictures)
    expected = overlays.overlays(models.images, expected_maps(models, 12 / 32), highest, lowest)
    np.testing.assert_allclose(pictures[0].astype(float), expected[3], atol=1.5)


def test_scale_bounds_the_share_of_normal_pixels_beyond_it():
    """Of any maps: at most 1/26 of the pixels lie above, also after smoothing."""
    random = np.random.default_rng(0)
    worst = (random.random((50, 9, 8)) < 1 / 26.5).astype(np.float32)  # two values: the bound
    for maps in (random.standard_exponential((50, 9, 8)) ** 4, worst, worst * 0 + 3):
        moments = MapMoments()
        for part in np.array_split(maps, 3):
            moments.add(part)
        lowest, highest = usual_scale(moments.result())
        assert lowest == pytest.approx(maps.mean(), rel=1e-5) and highest > lowest
        for sigma in (0, 0.5, 3):
            blurred = np.stack([gaussian_filter(each, sigma) for each in maps]) if sigma else maps
            assert (blurred > highest).mean() <= 1 / 26


def test_the_largest_error_is_opaque_and_none_is_transparent():
    images = np.full((1, 70, 2), 0.5, np.float32)
    maps = np.zeros((1, 70, 2))
    maps[0, 3, 1], maps[0, 4, 0] = 8.0, 9.0
    picture = overlays.overlays(images, maps, 8.0)[0]
    assert picture.shape == (70, 2, 3)  # large pictures keep their size
    np.testing.assert_array_equal(picture[0, 0], 102)  # 255 * (0.15 + 0.5 * 0.5)
    np.testing.assert_allclose(picture[3, 1], 255 * overlays.colors(np.ones(1))[0], atol=0.51)
    np.testing.assert_allclose(picture[4, 0], picture[3, 1])
    assert (overlays.overlays(images, maps * 0, 0.0) == 102).all()
    from_7 = overlays.overlays(images, maps - 1, 8.0, 7.0)[0]  # 7 and 8, and -1 elsewhere
    np.testing.assert_array_equal(from_7[3, 1], 102)
    np.testing.assert_allclose(from_7[4, 0], picture[4, 0])


def test_brightness_of_the_colors_grows_with_the_error():
    colors = overlays.colors(np.linspace(0, 1, 50))
    luminance = colors.astype(float) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


def test_default_sigma_is_a_32nd_of_the_shorter_side(models, tmp_path, monkeypatch):
    assert overlays.default_sigma((64, 96, 3)) == 2.0 and overlays.default_sigma((28, 28)) == 0.875
    seen = []
    maps_of = prediction._maps_of
    monkeypatch.setattr(
        prediction, "_maps_of", lambda *all_: seen.append(all_[-1]) or maps_of(*all_)
    )
    predicted(models, tmp_path, "none.keras", "--maps")
    assert set(seen) == {12 / 32}


def test_maps_skip_unreadable_files_once_and_keep_names(models, tmp_path, capsys):
    for place, image in enumerate(random_images(3, 12, 12, 3)):
        write_image(tmp_path / "images" / "a b" / f"{place}.png", image)
    (tmp_path / "images" / "x.png").write_bytes(b"no image")
    line = [models.root / "mse.keras", tmp_path / "images", "--maps", "--batch-size", 2]
    assert predict(*line, "--output", tmp_path / "out") == 1
    assert "skipped 1 unreadable file: x.png" in capsys.readouterr().err
    found = sorted(path.name for path in (tmp_path / "out" / "maps" / "a b").iterdir())
    assert found == ["0.png", "1.png", "2.png"]
    line = [models.root / "mse.keras", tmp_path / "images", "--maps"]
    inside = refused(capsys, predict, *line, "--output", tmp_path / "images" / "out")
    assert "would become images of it" in inside
