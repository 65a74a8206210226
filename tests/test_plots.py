"""Pictures read back from the disk, and colours that tell their subjects apart."""

import numpy as np
import pytest
from PIL import Image

from keras_ae import plots
from keras_ae.variants import VARIANTS


def gradient(num, *shape):
    return np.random.default_rng(0).random((num, *shape)).astype("float32")


def test_tiles_lie_where_they_belong():
    images = gradient(5, 3, 4)
    page = plots.tiled(images, columns=2)
    assert page.shape == (3 * 3 + 2, 2 * 4 + 1)
    for place, image in enumerate(images):
        top, left = (place // 2) * 4, (place % 2) * 5
        np.testing.assert_array_equal(page[top : top + 3, left : left + 4], image)
    assert (page[3] == 0).all() and (page[:, 4] == 0).all()  # drawn white, as ink is dark
    assert (page[8:, 5:] == 0).all()


def test_gaps_between_colour_images_are_white():
    page = plots.tiled(gradient(2, 3, 3, 3))
    assert page.shape == (3, 7, 3) and (page[:, 3] == 1).all()
    np.testing.assert_array_equal(
        plots.tiled(gradient(2, 3, 3, 1)), plots.tiled(gradient(2, 3, 3, 1)[..., 0])
    )


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_a_gif_goes_forth_and_back_and_dark_on_light(tmp_path, shape):
    images = np.stack([np.full(shape, value, "float32") for value in (0.0, 0.5, 1.0)])
    path = plots.oscillating_gif(images, tmp_path / "path.gif", scale=2)
    with Image.open(path) as gif:
        frames = []
        for place in range(gif.n_frames):
            gif.seek(place)
            frames.append(np.asarray(gif.convert("L"))[0, 0])
            assert gif.size == (10, 8)
        assert gif.info["loop"] == 0
    expected = [255, 127, 0, 127] if shape[2:] != (3,) else [0, 128, 255, 128]
    np.testing.assert_allclose(frames, expected, atol=2)


def test_a_figure_is_as_wide_as_a_page_and_small_on_disk(tmp_path):
    rows = {"one": gradient(16, 28, 28), "a rather long label, of two lines": gradient(16, 28, 28)}
    path = plots.image_rows(rows, tmp_path / "rows.png", ["a"] + [""] * 15)
    with Image.open(path) as image:
        assert abs(image.width - plots.WIDTH * plots.DPI) < 40
    assert path.stat().st_size < 200_000
    blocks = {str(place): gradient(16, 8, 8) for place in range(6)}
    assert plots.image_blocks(blocks, tmp_path / "blocks.png").stat().st_size > 0


def test_no_two_variants_look_alike():
    styles = [plots.variant_style(name) for name in VARIANTS]
    assert len({style["color"] for style in styles}) == len(styles)
    assert plots.variant_style("no variant")["color"] not in {style["color"] for style in styles}
    assert len(set(plots.CLASS_COLOURS)) == 10


def test_labels_of_one_variant_share_its_colour_and_differ_otherwise():
    styles = plots.label_styles({"vae": "vae", "vae, beta 4": "vae", "deep": "deep"})
    assert styles["vae"] == plots.variant_style("vae")
    assert styles["vae"]["color"] == styles["vae, beta 4"]["color"]
    assert styles["vae"]["linestyle"] != styles["vae, beta 4"]["linestyle"]
    assert styles["deep"]["color"] != styles["vae"]["color"]
