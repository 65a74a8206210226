"""Figures in the run directory."""

import matplotlib.axes
import numpy as np
import pytest
from PIL import Image
from programs import command, run_of, train

from keras_ae.evaluation import plots, run_figures
from keras_ae.prediction.outputs import error_maps
from keras_ae.runs.run_directory import FIGURES

HISTORY = [{"epoch": epoch, "loss": 9.0 - epoch, "val_loss": 9.5 - epoch} for epoch in range(1, 4)]


class Model:
    can_sample = False

    def reconstruct(self, inputs):
        return np.clip(inputs + 0.1, 0, 1)


@pytest.mark.parametrize("shape", [(8, 8), (8, 12, 3), (30, 6, 1)])
def test_images_of_any_shape_are_drawn(tmp_path, shape):
    images = np.random.default_rng(0).random((12, *shape)).astype("float32")
    written = run_figures.draw(tmp_path, Model(), images, images, HISTORY)
    assert [path.name for path in written] == ["reconstructions.png", "history.png"]
    assert all(min(Image.open(path).size) > 50 for path in written)


def test_color_images_keep_their_colors(tmp_path):
    # A gradient of more than 128 colors, which a palette would reduce.
    images = np.zeros((10, 16, 16, 3), "float32")
    images[..., 0] = np.linspace(0, 1, 16)[:, None]
    images[..., 1] = np.linspace(0, 1, 16)
    path = run_figures.draw_reconstructions(tmp_path, Model(), images, images)
    colors = Image.open(path).convert("RGB").getcolors(10**6)
    assert colors is not None and len(colors) > 200


@pytest.mark.parametrize("kind", ["photographs", "drawings"])
def test_errors_are_white_on_black_like_those_of_predictions(tmp_path, monkeypatch, kind):
    images = np.random.default_rng(0).random((10, 8, 8)).astype("float32")
    if kind == "drawings":
        images = (images > 0.8).astype("float32")
    drawn = []
    monkeypatch.setattr(plots, "tiled", lambda images, **_: np.zeros((8, 80)))
    show = matplotlib.axes.Axes.imshow
    monkeypatch.setattr(
        matplotlib.axes.Axes,
        "imshow",
        lambda axis, page, cmap, **kwargs: drawn.append(cmap) or show(axis, page, cmap, **kwargs),
    )
    run_figures.draw_reconstructions(tmp_path, Model(), images, images)
    usual = "gray" if kind == "photographs" else "gray_r"
    assert drawn == [usual, usual, "gray"]
    # By hand: an error of 0 is black, and one of half of `white` is half gray.
    maps = error_maps(np.zeros((1, 1, 3)), np.array([[[0.0, 0.25, 0.9]]]), white=0.5)
    np.testing.assert_allclose(maps, [[[0.0, 0.5, 1.0]]])


def test_photographs_stay_and_drawings_become_dark_on_white():
    photographs = np.random.default_rng(0).random((5, 8, 8))
    drawings = np.zeros((5, 8, 8))
    drawings[:, 3:5] = 1
    assert plots.gray_map(photographs) == "gray" and plots.gray_map(drawings) == "gray_r"


def test_training_draws_its_figures(tiny, offline, eager, tmp_path):
    line = [word for word in command(tiny, tmp_path, "vae", epochs=1) if word != "--no-figures"]
    assert train(*line) == 0
    run = run_of(tmp_path, "vae")
    assert all((run / name).stat().st_size > 1000 for name in FIGURES)
    assert train(*command(tiny, tmp_path, "vae", epochs=1), "--overwrite") == 0
    assert not any((run / name).exists() for name in FIGURES)
