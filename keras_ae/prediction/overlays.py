"""Pictures of anomaly maps over their images, with one scale for all, and its legend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_ae.prediction.outputs import pixel_scale

COLORS = "inferno"  # perceptually ordered: dark to bright
LUMINANCE = (0.299, 0.587, 0.114)
DARKEST, CONTRAST = 0.15, 0.5  # of the image behind the map
DIMMEST = 0.3  # place in the colors of an error of 0: black would look like the image
SIGMA_SHARE = 1 / 32  # of the shorter side
LEGEND = (320, 54)  # width and height


def default_sigma(image_shape: tuple[int, ...]) -> float:
    """A 32nd of the shorter side, in pixels: 2 for images of 64 x 64."""
    return min(image_shape[:2]) * SIGMA_SHARE


def overlays(
    images: np.ndarray, maps: np.ndarray, highest: float, lowest: float = 0.0
) -> np.ndarray:
    """Images in gray with their anomaly maps in color: the larger the error, the more opaque.

    Args:
        images: `(N, H, W)` or `(N, H, W, 1 or 3)`, pixels in [0, 1].
        maps: `(N, H, W)`.
        highest: The error that is opaque, in the last color.
        lowest: The error that is transparent, as smaller ones are.

    Returns:
        `(N, s * H, s * W, 3)`, uint8, where each pixel became s x s (see `pixel_scale`).
    """
    if images.ndim == 4:
        images = (
            images @ np.array(LUMINANCE, np.float32) if images.shape[-1] == 3 else images[..., 0]
        )
    gray = (DARKEST + CONTRAST * images)[..., None]
    span = highest - lowest
    strength = np.clip((maps - lowest) / span if span > 0 else np.zeros_like(maps), 0.0, 1.0)
    opacity = opacities(strength)[..., None]
    pictures = (1 - opacity) * gray + opacity * colors(strength)
    pictures = np.rint(255 * pictures).astype(np.uint8)
    scale = pixel_scale(maps.shape[1:])
    return pictures.repeat(scale, axis=1).repeat(scale, axis=2)


def colors(strength: np.ndarray) -> np.ndarray:
    """Colors `(..., 3)` in [0, 1] of strengths in [0, 1]."""
    from matplotlib import colormaps

    shown = DIMMEST + (1 - DIMMEST) * strength
    return colormaps[COLORS](shown)[..., :3].astype(np.float32)


def opacities(strength: np.ndarray) -> np.ndarray:
    """Opacities in [0, 1] of strengths in [0, 1]."""
    return np.sqrt(strength)


def write_legend(path: Path, highest: float, words: str, lowest: float = 0.0) -> None:
    """Write the scale of overlays as a PNG file: a bar over gray, its two ends, and words."""
    width, height = LEGEND
    strength = np.linspace(0, 1, width - 20, dtype=np.float32)[None, None]
    bar = overlays(np.full_like(strength, 0.5), strength, 1.0)[0].repeat(16, axis=0)
    page = Image.new("RGB", LEGEND, "white")
    page.paste(Image.fromarray(bar), (10, 6))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for text, place, anchor in ((f"{lowest:.3g}", 10, "lt"), (f"{highest:.3g}", width - 10, "rt")):
        draw.text((place, 26), text, "black", font, anchor)
    draw.text((width // 2, height - 4), words, "black", font, "mb")
    page.save(path, format="PNG")
