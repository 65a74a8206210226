"""Figures read back from disk, and distinct styles for variants."""

import numpy as np
import pytest
from PIL import Image

from keras_ae.evaluation import plots
from keras_ae.variants import BAKE_OFF, VARIANTS


def gradient(num, *shape):
    return np.random.default_rng(0).random((num, *shape)).astype("float32")


def test_image_grid_places_tiles_in_order():
    images = gradient(5, 3, 4)
    page = plots.tiled(images, columns=2, white=0.0)
    assert page.shape == (3 * 3 + 2, 2 * 4 + 1)
    for place, image in enumerate(images):
        top, left = (place // 2) * 4, (place % 2) * 5
        np.testing.assert_array_equal(page[top : top + 3, left : left + 4], image)
    assert (page[3] == 0).all() and (page[:, 4] == 0).all()  # a value of 0 is drawn white
    assert (page[8:, 5:] == 0).all()


def test_gaps_between_color_images_are_white():
    page = plots.tiled(gradient(2, 3, 3, 3))
    assert page.shape == (3, 7, 3) and (page[:, 3] == 1).all()
    np.testing.assert_array_equal(
        plots.tiled(gradient(2, 3, 3, 1)), plots.tiled(gradient(2, 3, 3, 1)[..., 0])
    )


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_gif_plays_forward_and_back_dark_on_light(tmp_path, shape):
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


def test_figure_has_page_width_and_a_small_file(tmp_path):
    rows = {"one": gradient(16, 28, 28), "a rather long label, of two lines": gradient(16, 28, 28)}
    path = plots.image_rows(rows, tmp_path / "rows.png", ["a"] + [""] * 15)
    with Image.open(path) as image:
        assert abs(image.width - plots.WIDTH * plots.DPI) < 40
    assert path.stat().st_size < 200_000
    blocks = {str(place): gradient(16, 8, 8) for place in range(6)}
    assert plots.image_blocks(blocks, tmp_path / "blocks.png").stat().st_size > 0


def test_variant_styles_are_distinct():
    styles = [plots.variant_style(name) for name in VARIANTS]
    assert len({(style["color"], style["linestyle"]) for style in styles}) == len(VARIANTS)
    assert len({(style["color"], style["marker"]) for style in styles}) == len(VARIANTS)
    for index, style in enumerate(styles):
        near = styles[max(0, index - 11) : index]
        assert style["color"] not in {other["color"] for other in near}
    assert plots.variant_style("")["color"] not in {style["color"] for style in styles}
    assert len(set(plots.CLASS_COLORS)) == 10


def test_new_variant_does_not_change_existing_styles(monkeypatch):
    names = [*VARIANTS, "mine", "yours"]
    before = [plots.variant_style(name) for name in names]
    monkeypatch.setattr("keras_ae.variants.VARIANTS", {"new": None, **VARIANTS})
    assert [plots.variant_style(name) for name in names] == before


def test_style_of_an_unknown_variant_depends_on_its_name():
    """Fixed values: a style must be the same in every process and version."""
    assert plots.variant_style("mine") == {"color": "#44AA99", "linestyle": "-.", "marker": "1"}
    known = {plots.variant_style(name)["marker"] for name in VARIANTS}
    styles = [plots.variant_style(f"variant {number}") for number in range(200)]
    assert not known & {style["marker"] for style in styles}
    assert {style["color"] for style in styles} == set(plots.VARIANT_COLORS)


def test_bake_off_styles_match_the_published_figures():
    styles = [plots.variant_style(name) for name in BAKE_OFF]
    assert [style["color"] for style in styles] == list(plots.VARIANT_COLORS[:9])
    assert [style["linestyle"] for style in styles] == ["-", "--", "-.", ":"] * 2 + ["-"]
    assert "".join(style["marker"] for style in styles) == "osD^vP*Xd"


def test_labels_of_one_variant_share_its_color_only():
    styles = plots.label_styles({"vae": "vae", "vae, beta 4": "vae", "deep": "deep"})
    assert styles["vae"] == plots.variant_style("vae")
    assert styles["vae"]["color"] == styles["vae, beta 4"]["color"]
    assert styles["vae"]["linestyle"] != styles["vae, beta 4"]["linestyle"]
    assert styles["deep"]["color"] != styles["vae"]["color"]


# ---- many panels ----


@pytest.mark.parametrize("num", [9, 24])
def test_legend_stays_inside_its_figure(tmp_path, monkeypatch, num):
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path, **_: drawn.append(figure) or path)
    names = [f"a_rather_long_name_{place}" for place in range(num)]
    line = np.linspace(0, 1, 3)
    styles = plots.label_styles(dict.fromkeys(names, "deep"))
    plots.curves({name: (line, line) for name in names}, styles, ("x", "y"), tmp_path / "a.png")
    panel = {name: plots.Curve(line, line, "0.123") for name in names}
    plots.curve_panels({"one": panel}, styles, ("x", "y"), tmp_path / "b.png")
    for figure in drawn:
        figure.canvas.draw()
        legend = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
        box = legend.get_window_extent()
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height
        assert len(legend.get_texts()) == num
    assert (drawn[0].get_size_inches()[1] == 4.6) == (num == 9)


def test_panel_size_shrinks_with_the_number_of_panels():
    assert plots.panels_per_row(11) == 3 and plots.panels_per_row(24) == 5
    assert plots.panel_title("denoising_dropout: 0.912", 5) == "denoising_dropout: 0.912"
    assert plots.panel_title("stacked, objective codes: 0.912", 5).count("\n") == 1
    assert plots.panel_title("stacked, objective codes: 0.912", 3).count("\n") == 0


def test_titles_of_many_panels_do_not_overlap(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path, **_: drawn.append(figure) or path)
    titles = [f"denoising_dropout, rate 0.{place}: 0.912" for place in range(24)]
    points = {title: np.random.default_rng(0).random((9, 2)) for title in titles}
    plots.scatter_grid(points, np.arange(9), tuple("abcdefghi"), tmp_path / "a.png")
    figure = drawn[0]
    figure.canvas.draw()
    boxes = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    assert len(boxes) == 24
    for one, other in zip(boxes, boxes[1:], strict=False):
        assert one.x1 < other.x0 or other.x0 < one.x0  # next to it, or in the next row


# ---- latent tools ----


def page_of(monkeypatch):
    """The arguments of the calls of `imshow`."""
    from matplotlib.axes import Axes

    shown, genuine = [], Axes.imshow

    def imshow(self, page, **options):
        shown.append(np.asarray(page))
        return genuine(self, page, **options)

    monkeypatch.setattr(Axes, "imshow", imshow)
    return shown


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_arithmetic_figure_shows_terms_and_signs(tmp_path, monkeypatch, shape):
    shown, images = page_of(monkeypatch), gradient(4, *shape)
    drawn = []
    genuine = plots.save
    monkeypatch.setattr(
        plots, "save", lambda figure, *a, **k: drawn.append(figure) or genuine(figure, *a, **k)
    )
    path = plots.equation(images[:2], images[2:3], images[3], tmp_path / "sum.png")
    for page, image in zip(shown, images, strict=True):
        np.testing.assert_array_equal(page, image)
    signs = [text.get_text() for axis in drawn[0].axes for text in axis.texts]
    assert signs == ["+", "\N{MINUS SIGN}", "="]
    assert path.stat().st_size > 0


def test_traversal_figure_has_one_row_per_dimension(tmp_path, monkeypatch):
    seen = {}

    def image_rows(rows, path, titles):
        seen.update(rows=rows, titles=titles)
        return path

    images = gradient(18, 4, 5).reshape(2, 9, 4, 5)
    monkeypatch.setattr(plots, "image_rows", image_rows)
    plots.traversals({0: images[0], 7: images[1]}, np.linspace(-3, 3, 9), tmp_path / "walks.png")
    assert list(seen["rows"]) == ["dimension 0", "dimension 7"]
    np.testing.assert_array_equal(seen["rows"]["dimension 7"], images[1])
    assert seen["titles"] == ["-3", "", "-1.5", "", "0", "", "1.5", "", "3"]


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_manifold_figure_has_no_gaps(tmp_path, monkeypatch, shape):
    shown, images = page_of(monkeypatch), gradient(6, *shape).reshape(2, 3, *shape)
    path = plots.manifold_grid(images, tmp_path / "manifold.png")
    assert shown[0].shape == (8, 15, *shape[2:])
    for row in range(2):
        for column in range(3):
            place = shown[0][4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
            np.testing.assert_array_equal(place, images[row, column])
    with Image.open(path) as image:
        assert image.width > 600


def test_histograms_have_a_threshold_and_hold_all_scores(tmp_path, monkeypatch):
    seen = []
    save = plots.save
    monkeypatch.setattr(plots, "save", lambda figure, *a: seen.append(figure) or save(figure, *a))
    random = np.random.default_rng(0)
    scores = random.normal(size=200), random.normal(2, 1, size=50)
    one = plots.Histogram(*scores, 1.5, "recall 0.700")
    flat = plots.Histogram(np.ones(3), np.ones(2), 1.0)
    path = plots.histogram_panels({"deep": one, "flat": flat}, "score", tmp_path / "a.png")
    assert Image.open(path).width > 400
    axis = seen[0].axes[0]
    assert axis.get_title() == "deep\nrecall 0.700" and seen[0].axes[1].get_title() == "flat"
    (line,) = axis.lines
    assert set(line.get_xdata()) == {1.5}
    for bars, group in zip(axis.patches, scores, strict=True):
        values, edges, _ = bars.get_data()
        shares = values * np.diff(edges)
        assert shares.sum() == pytest.approx(1.0)
        assert shares[0] == pytest.approx((group < edges[1]).mean())  # with those before the edge
        assert shares[-1] == pytest.approx((group >= edges[-2]).mean())
