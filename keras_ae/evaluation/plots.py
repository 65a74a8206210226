"""Figures: images, maps, densities, curves and dots, drawn from arrays with matplotlib.

Every class and every variant has one color in all figures, distinct for color-blind readers too.
matplotlib is imported when something is drawn.
"""

from __future__ import annotations

import hashlib
import math
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_ae.data.drawings import are_drawings, is_gray
from keras_ae.files import atomic_write

VERSION = 4  # bump it when figures change: they are drawn again
PACKAGES = ("matplotlib", "pillow")
WIDTH = 10.0  # inches: the width of a page
DPI = 110
INK = "#333333"
CAPTION_SIZE, CAPTION_LINE = 6.5, 0.11  # points; inches for a line
# Paul Tol's "muted" scheme, and black.
CLASS_COLORS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000",
)  # fmt: skip
# Okabe and Ito's colors, then darker relatives; markers and dashes distinguish neighbors.
VARIANT_COLORS = (
    "#E69F00", "#0072B2", "#009E73", "#56B4E9", "#000000",
    "#D55E00", "#882255", "#CC79A7", "#999933", "#44AA99", "#AA4499", "#661100",
)  # fmt: skip
SERIES_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^vP*Xdh<>"
MARK_COLORS = (*SERIES_COLORS, "#E69F00", "#56B4E9", "#8C564B", "#7F7F7F", "#BCBD22")
# The position of a name decides its style, so never reorder them. Add a new variant at the end, or
# leave it out: its style then depends on its name.
VARIANTS = (
    "shallow", "deep", "stacked", "sparse", "denoising", "vae", "beta_vae_strict",
    "beta_vae_loose", "vq_vae",
    "tied", "linear", "convolutional", "recurrent", "sparse_l1", "denoising_dropout",
    "conv_vae", "conv_vq_vae", "conditional_vae", "iwae", "binary", "vae_gan",
    "conv_denoising",
)  # fmt: skip
OTHER_MARKERS = "p8H1234"  # of variants that are not in that list


def class_color(index: int) -> str:
    """The color of a class."""
    return CLASS_COLORS[index % len(CLASS_COLORS)]


def variant_style(variant: str) -> dict[str, Any]:
    """`color`, `linestyle` and `marker` of a variant; gray for the empty name of a baseline.

    A style depends only on the name, so a new variant does not change existing styles.
    """
    if not variant:
        return {"color": "0.5", "linestyle": ":", "marker": "."}
    if variant not in VARIANTS:
        number = int.from_bytes(hashlib.sha256(variant.encode()).digest()[:8])
        number, color = divmod(number, len(VARIANT_COLORS))
        number, dash = divmod(number, len(DASHES))
        return {
            "color": VARIANT_COLORS[color],
            "linestyle": DASHES[dash],
            "marker": OTHER_MARKERS[number % len(OTHER_MARKERS)],
        }
    index = VARIANTS.index(variant)
    # A repeated color has another dash and another marker.
    repetition, color = divmod(index, len(VARIANT_COLORS))
    return {
        "color": VARIANT_COLORS[color],
        "linestyle": DASHES[(index + repetition) % len(DASHES)],
        "marker": MARKERS[(index + 5 * repetition) % len(MARKERS)],
    }


def label_styles(variants: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The style of each label's variant; further labels of a variant differ in dash and marker."""
    styles: dict[str, dict[str, Any]] = {}
    used: Counter[str] = Counter()
    for label, variant in variants.items():
        style, shift = variant_style(variant), used[variant]
        if shift:
            markers = OTHER_MARKERS if style["marker"] in OTHER_MARKERS else MARKERS
            for key, choices in (("linestyle", DASHES), ("marker", markers)):
                place = choices.index(style[key]) if style[key] in choices else 0
                style[key] = choices[(place + shift) % len(choices)]
        styles[label] = style
        used[variant] += 1
    return styles


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Any, list[Any]]:
    """A matplotlib figure without a window, and its axes as a flat list. Sizes are in inches."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "font.size": 9,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
        }
    )
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
    )
    return figure, list(axes.flat)


def save(figure: Any, path: Path, num_colors: int | None = None) -> Path:
    """Write a PNG, with a palette of `num_colors` where that is given, to make the file smaller.

    Do not reduce the palette of line plots: it would change their colors.
    """
    import io

    import matplotlib.pyplot as plt
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format="png")
    plt.close(figure)
    image = Image.open(buffer).convert("RGB")
    if num_colors is not None:
        image = image.quantize(num_colors, dither=Image.Dither.NONE)
    return atomic_write(path, lambda temporary: image.save(temporary, optimize=True))


def gray_map(images: np.ndarray) -> str:
    """The colormap of gray images: drawings on black become dark on white, photographs stay.

    Args:
        images: `(N, ...)`, pixels in [0, 1].
    """
    return "gray_r" if are_drawings(images) else "gray"


def image_rows(
    rows: dict[str, np.ndarray],
    path: Path,
    column_titles: Sequence[str] = (),
    like: np.ndarray | None = None,
    dark_zero: Collection[str] = (),
    captions: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Draw a row of images for each label.

    Args:
        rows: `{label: (num, *image_shape)}`, the same `num` for all.
        path: The PNG to write.
        column_titles: Titles above the columns.
        like: Images that decide how gray ones are drawn (see `gray_map`); default: the first row.
        dark_zero: Labels of gray rows in which 0 is black, also in figures of dark drawings.
        captions: Small texts below the images of a row, by its label; lines are kept.
    """
    usual = gray_map(next(iter(rows.values())) if like is None else like)
    num = max(len(images) for images in rows.values())
    shape = next(iter(rows.values())).shape[1:]
    margin = 1.6
    size = min((WIDTH - margin) / num, 0.9)
    height = size * shape[0] / shape[1]
    captions = captions or {}
    below = {
        label: CAPTION_LINE * (1 + max(text.count("\n") + 1 for text in texts))
        for label, texts in captions.items()
    }
    total = height * len(rows) + sum(below.values())
    figure, axes = new_figure(size * num + margin, total + 0.35 * bool(column_titles))
    figure.set_layout_engine("none")
    axes[0].remove()
    top = 0.35 * bool(column_titles)
    full_width, full_height = figure.get_size_inches()
    for label, images in rows.items():
        top += height
        bottom = 1 - top / full_height
        box = [margin / full_width, bottom, size * len(images) / full_width, height / full_height]
        axis = figure.add_axes(box)
        colors = "gray" if label in dark_zero else usual
        page = tiled(images, white=0.0 if is_gray(images) and colors == "gray_r" else 1.0)
        axis.imshow(page, cmap=colors, vmin=0, vmax=1, interpolation="nearest")
        axis.axis("off")
        figure.text(
            (margin - 0.1) / full_width, bottom + height / full_height / 2,
            textwrap.fill(label, 19), ha="right", va="center",
        )  # fmt: skip
        for column, text in enumerate(captions.get(label, ())):
            figure.text(
                (margin + (column + 0.5) * size) / full_width, bottom - 0.04 / full_height, text,
                ha="center", va="top", fontsize=CAPTION_SIZE, parse_math=False,
            )  # fmt: skip
        top += below.get(label, 0.0)
    for place, title in enumerate(column_titles):
        x = (margin + (place + 0.5) * size) / full_width
        figure.text(x, 1 - 0.2 / full_height, title, ha="center", va="center")
    return save_images(figure, path, rows.values())


def save_images(figure: Any, path: Path, images: Iterable[np.ndarray]) -> Path:
    """Write a PNG of images: gray ones with a palette, color in full."""
    return save(figure, path, num_colors=128 if all(map(is_gray, images)) else None)


def tiled(
    images: np.ndarray, columns: int | None = None, gap: int = 1, white: float | None = None
) -> np.ndarray:
    """One image of many, `columns` in a row, with gaps of `gap` pixels.

    The gaps are `white`: by default 1 for color, and for gray images what `gray_map` draws white.
    """
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    if images.shape[3:] == (1,):
        images = images[..., 0]
    height, width, *channels = images.shape[1:]
    if white is None:
        white = 1.0 if channels or gray_map(images) == "gray" else 0.0
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *channels), white)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        top, left = row * (height + gap), column * (width + gap)
        page[top : top + height, left : left + width] = image
    return page


def image_blocks(
    blocks: dict[str, np.ndarray], path: Path, columns: int = 4, per_row: int = 5
) -> Path:
    """Draw a block of images for each label, `columns` images wide, `per_row` blocks in a row."""
    rows = -(-len(blocks) // per_row)
    width = min(len(blocks), per_row) * WIDTH / per_row
    figure, axes = new_figure(
        width, rows * (WIDTH / per_row + 0.25), rows, min(len(blocks), per_row)
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    for axis in axes:
        axis.axis("off")
    colors = gray_map(next(iter(blocks.values())))
    for axis, (label, images) in zip(axes, blocks.items(), strict=False):
        page = tiled(images, columns, white=None if images.ndim > 3 else float(colors == "gray"))
        axis.imshow(page, cmap=colors, vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(panel_title(label, per_row), fontsize=9)
    return save_images(figure, path, blocks.values())


def equation(
    plus: Sequence[np.ndarray], minus: Sequence[np.ndarray], result: np.ndarray, path: Path
) -> Path:
    """Draw `a + b - c = d` in images, as for arithmetic in latent space.

    Each term is an image, `image_shape`, or several, `(N, *image_shape)`, which are tiled.
    """
    terms = [("+", image) for image in plus] + [("\N{MINUS SIGN}", image) for image in minus]
    terms.append(("=", result))
    height, width = result.shape[:2]
    side = min(1.2, WIDTH / len(terms))
    figure, axes = new_figure(len(terms) * side, side * height / width, 1, len(terms))
    for place, (axis, (sign, image)) in enumerate(zip(axes, terms, strict=True)):
        images = image if image.ndim > result.ndim else image[None]
        white = 0.0 if is_gray(images) and gray_map(result) == "gray_r" else 1.0
        page = tiled(images, math.ceil(len(images) ** 0.5), white=white)
        axis.imshow(page, cmap=gray_map(result), vmin=0, vmax=1, interpolation="nearest")
        axis.axis("off")
        if place:
            axis.text(-0.16, 0.5, sign, transform=axis.transAxes, ha="center", va="center")
    return save_images(figure, path, [result[None]])


def traversals(
    images: dict[int, np.ndarray], values: Sequence[float], path: Path, num_titles: int = 5
) -> Path:
    """Draw a row for each latent dimension, `(num, *image_shape)`; `values` title the columns."""
    every = max(1, (len(values) - 1) // (num_titles - 1))
    titles = [f"{value:z.2g}" if place % every == 0 else "" for place, value in enumerate(values)]
    rows = {f"dimension {dimension}": row for dimension, row in images.items()}
    return image_rows(rows, path, titles)


def manifold_grid(images: np.ndarray, path: Path) -> Path:
    """Draw a grid of images, `(rows, columns, *image_shape)`, without gaps."""
    rows, columns, height, width = images.shape[:4]
    page = tiled(images.reshape(rows * columns, *images.shape[2:]), columns, gap=0)
    size = 0.75 * WIDTH
    figure, axes = new_figure(size, size * rows * height / (columns * width))
    axes[0].imshow(page, cmap=gray_map(page), vmin=0, vmax=1, interpolation="nearest")
    axes[0].axis("off")
    return save_images(figure, path, [page[None]])


def oscillating_gif(images: np.ndarray, path: Path, scale: int = 4, milliseconds: int = 90) -> Path:
    """Write a GIF that runs forward and back; gray images as `gray_map` draws them."""
    from PIL import Image

    frames, inverted = [], gray_map(images) == "gray_r"
    for image in [*images, *images[-2:0:-1]]:
        page = np.squeeze(image)
        page = page if page.ndim == 3 or not inverted else 1.0 - page
        page = np.uint8(np.clip(page * 255.0 + 0.5, 0, 255))
        page = page.repeat(scale, axis=0).repeat(scale, axis=1)
        frames.append(Image.fromarray(page))
    first, *rest = frames
    return atomic_write(
        path,
        lambda temporary: first.save(
            temporary, save_all=True, append_images=rest, duration=milliseconds, loop=0
        ),
    )


def panels_per_row(num_panels: int) -> int:
    """Three large panels in a row; above 15 panels, five small ones."""
    return 3 if num_panels <= 15 else 5


def panel_title(title: str, per_row: int) -> str:
    """A title broken into lines that fit above a panel."""
    return textwrap.fill(title, 120 // per_row)


def scatter_grid(
    maps: dict[str, np.ndarray],
    labels: np.ndarray | None,
    class_names: Sequence[str],
    path: Path,
) -> Path:
    """Draw points `(N, 2)` for each title, colored by class, with one legend for all panels."""
    from matplotlib.lines import Line2D

    per_row = panels_per_row(len(maps))
    columns = min(per_row, len(maps))
    rows = -(-len(maps) // columns)
    side = WIDTH / per_row
    figure, axes = new_figure(columns * side, rows * side + 0.5, rows, columns)
    colors = "0.3" if labels is None else [class_color(label) for label in labels]
    for axis in axes:
        axis.axis("off")
    for axis, (title, points) in zip(axes, maps.items(), strict=False):
        size = float(np.clip(20_000 / len(points), 2.0, 40.0))  # few points would be invisible
        axis.scatter(*points.T, c=colors, s=size, alpha=0.6, linewidths=0, rasterized=True)
        axis.set_title(panel_title(title, per_row), fontsize=9)
        axis.axis("on")  # a thin frame: few points of two panels would look like one map
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color="0.85", linewidth=0.8)
    if labels is not None:
        handles = [
            Line2D([], [], marker="o", linestyle="", color=class_color(index), label=name)
            for index, name in enumerate(class_names)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 10))
    return save(figure, path, num_colors=256)


def density_grid(
    densities: dict[str, tuple[np.ndarray, np.ndarray]],
    notes: dict[str, str],
    x_label: str,
    path: Path,
    reference: tuple[np.ndarray, np.ndarray] | None = None,
) -> Path:
    """Draw a histogram (edges, density) for each title, a note inside, `reference` as a line."""
    per_row = panels_per_row(len(densities))
    columns = min(per_row, len(densities))
    rows = -(-len(densities) // columns)
    figure, axes = new_figure(columns * WIDTH / per_row, rows * 1.9, rows, columns)
    for axis in axes[len(densities) :]:
        axis.axis("off")
    for axis, (title, (edges, density)) in zip(axes, densities.items(), strict=False):
        axis.stairs(density, edges, fill=True, color="#0072B2", alpha=0.7)
        if reference is not None:
            axis.plot(*reference, color="#D55E00", linewidth=1.2)
        axis.locator_params(axis="x", nbins=6)
        axis.set_title(panel_title(title, per_row), fontsize=9)
        axis.set_yticks([])
        axis.text(
            0.98, 0.95, notes[title], ha="right", va="top", transform=axis.transAxes, fontsize=7
        )
    for axis in axes[max(0, len(densities) - columns) : len(densities)]:
        axis.set_xlabel(x_label)
    return save(figure, path)


def curves(
    series: dict[str, tuple[np.ndarray, np.ndarray]],
    styles: dict[str, dict[str, Any]],
    labels: tuple[str, str],
    path: Path,
    *,
    bands: dict[str, np.ndarray] | None = None,
    log_x: bool = False,
) -> Path:
    """Draw lines (x, y) by name, with the legend on the right; `bands` are half-widths around y."""
    figure, axes = new_figure(WIDTH * 0.85, legend_height(len(series)))
    axis = axes[0]
    for name, (x, y) in series.items():
        axis.plot(x, y, label=name, linewidth=1.6, markersize=4, **styles[name])
        if bands and name in bands:
            low, high = y - bands[name], y + bands[name]
            axis.fill_between(x, low, high, color=styles[name]["color"], alpha=0.15, linewidth=0)
    if log_x:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:,g}")
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.grid(alpha=0.25)
    figure.legend(loc="outside right center")
    return save(figure, path)


def legend_height(num_lines: int) -> float:
    """Height in inches of a figure with a legend of `num_lines` next to its axes."""
    return max(4.6, 0.19 * num_lines + 0.5)


class Histogram(NamedTuple):
    """Scores of normal and of anomalous images, `(N,)` each, the threshold, a second title.

    There may be no anomalous images.
    """

    normal: np.ndarray
    anomalous: np.ndarray
    threshold: float
    note: str = ""


def histogram_panels(
    panels: dict[str, Histogram], x_label: str, path: Path, num_bins: int = 40
) -> Path:
    """Draw histograms of area 1 in a panel for each title, with the threshold as a line.

    Bars reach to the 99th percentile of each group; the outermost ones hold everything beyond.
    """
    per_row = panels_per_row(len(panels))
    columns = min(per_row, len(panels))
    rows = -(-len(panels) // columns)
    width = max(columns * WIDTH / per_row, 5.0)
    figure, axes = new_figure(width, rows * 2.2 + 0.4, rows, columns)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    handles = []
    for axis, (title, panel) in zip(axes, panels.items(), strict=False):
        groups = {"normal images": panel.normal, "anomalous images": panel.anomalous}
        groups = {name: scores for name, scores in groups.items() if len(scores)}
        ends = [np.quantile(scores, (0.01, 0.99)) for scores in groups.values()]
        low = min(panel.threshold, *(end[0] for end in ends))
        high = max(panel.threshold, *(end[1] for end in ends))
        edges = np.linspace(low, high if high > low else low + 1.0, num_bins + 1)
        handles = []
        for (name, scores), color in zip(groups.items(), SERIES_COLORS, strict=False):
            heights, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges, density=True)
            handles.append(
                axis.stairs(heights, edges, fill=True, color=color, alpha=0.5, label=name)
            )
        handles.append(
            axis.axvline(panel.threshold, color="black", linestyle="--", label="threshold")
        )
        axis.set_title(f"{panel_title(title, per_row)}\n{panel.note}".strip(), fontsize=9)
        axis.set_yticks([])
    for axis in axes[max(0, len(panels) - columns) : len(panels)]:
        axis.set_xlabel(x_label)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return save(figure, path)


class Curve(NamedTuple):
    """A line, a note for the legend, and the half-width of the band around the line."""

    x: np.ndarray
    y: np.ndarray
    note: str = ""
    band: np.ndarray | None = None


def curve_panels(
    panels: dict[str, dict[str, Curve]],
    styles: dict[str, dict[str, Any]],
    labels: tuple[str, str],
    path: Path,
    *,
    legend_title: str = "",
    diagonal: bool = False,
) -> Path:
    """Draw curves by name, in a panel for each title.

    Each panel has a legend with the notes: below the panel, or to the right of a single panel.
    """
    if len(panels) == 1:
        figure, axes = new_figure(WIDTH * 0.75, legend_height(*map(len, panels.values())))
        legend = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)}
    else:
        width = WIDTH / len(panels)
        height = width * 0.95 + 0.17 * max(len(curves) for curves in panels.values())
        figure, axes = new_figure(WIDTH, height, 1, len(panels), sharey=True)
        legend = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        if diagonal:
            axis.plot([0, 1], [0, 1], color="0.75", linewidth=1, zorder=0)
            axis.set_ylim(-0.02, 1.02)
        for name, (x, y, note, band) in curves.items():
            style = {key: value for key, value in styles[name].items() if key != "marker"}
            axis.plot(x, y, label=f"{name}: {note}" if note else name, linewidth=1.6, **style)
            if band is not None:
                axis.fill_between(
                    x, y - band, y + band, color=style["color"], alpha=0.1, linewidth=0
                )
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(labels[0])
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, title=legend_title, **legend)
    axes[0].set_ylabel(labels[1])
    return save(figure, path)


def dots(
    series: dict[str, dict[str, float]],
    x_label: str,
    path: Path,
    *,
    spreads: dict[str, dict[str, float]] | None = None,
) -> Path:
    """Draw a row for each label, a mark for each series `{label: number}`, spreads as lines."""
    rows = list(dict.fromkeys(label for made in series.values() for label in made))
    figure, axes = new_figure(WIDTH * 0.85, 0.34 * len(rows) + 1.2)
    axis = axes[0]
    for place, (name, made) in enumerate(series.items()):
        heights = [rows.index(label) for label in made]
        widths = [(spreads or {}).get(name, {}).get(label, 0.0) for label in made]
        axis.errorbar(
            list(made.values()), heights, xerr=widths, label=name, linestyle="", alpha=0.9,
            marker=MARKERS[place % len(MARKERS)], color=MARK_COLORS[place % len(MARK_COLORS)],
            markersize=6, elinewidth=1.4,
        )  # fmt: skip
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(alpha=0.25)
    axis.set_xlabel(x_label)
    figure.legend(loc="outside upper center", ncols=min(len(series), 4))
    return save(figure, path)
