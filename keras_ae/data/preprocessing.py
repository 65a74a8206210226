"""Preprocessing: how images of any size and mode become uint8 images of one shape.

A data set, a run and a model keep the same settings, so that new images are read as the training
images were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageOps

from keras_ae.checks import check_sizes
from keras_ae.data.image_set import DataError

RESIZES = ("crop", "pad", "stretch")
COLORS = ("auto", "gray", "rgb")
MAX_SIDE = 2**14
_FILTER = Image.Resampling.LANCZOS  # averages over the source pixels when it makes images smaller
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 exchange height and width
_MAX_16_BIT = 2**16 - 1


@dataclass(frozen=True)
class Preprocessing:
    """How images of any size and mode become images of one shape.

    Attributes:
        image_size: `(height, width)` after resizing, or one number for a square; None for images
            that are not resized. Stored as a tuple or None.
        resize: "crop": scale the shorter side, then cut out the center; "pad": scale the longer
            side, then fill up with `background`; "stretch": scale both sides independently.
        color: "gray": one channel; "rgb": three channels; "auto": gray unless any image of the data
            set has color.
        background: Name of a color or "#rrggbb", as `PIL.ImageColor` reads it: what is behind
            transparent pixels and around padded images. In gray images it becomes gray.

    Raises:
        DataError: a value that is none of these.

    Example:
        >>> Preprocessing(image_size=64, resize="pad").to_dict()
        {'image_size': [64, 64], 'resize': 'pad', 'color': 'auto', 'background': 'white'}
    """

    image_size: tuple[int, int] | None = None
    resize: str = "crop"
    color: str = "auto"
    background: str = "white"

    def __post_init__(self):
        if self.image_size is not None:
            object.__setattr__(self, "image_size", _checked_size(self.image_size))
        for name, choices in (("resize", RESIZES), ("color", COLORS)):
            value = getattr(self, name)
            if value not in choices:
                raise DataError(f"{name} must be one of {', '.join(choices)}; received {value!r}.")
        try:
            ImageColor.getrgb(self.background)
        except (ValueError, TypeError, AttributeError):
            raise DataError(
                "background must be the name of a color, such as white, or #rrggbb; "
                f"received {self.background!r}."
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data from which `from_dict` makes an equal object."""
        return {
            "image_size": None if self.image_size is None else list(self.image_size),
            "resize": self.resize,
            "color": self.color,
            "background": self.background,
        }

    @classmethod
    def from_dict(cls, content: Any) -> Preprocessing:
        """Read from plain JSON data; None and keys that are missing mean the defaults.

        Raises:
            DataError: unknown keys or values.
        """
        content = {} if content is None else content
        if not isinstance(content, Mapping):
            raise DataError(f"preprocessing must be a dict; received {content!r:.100}.")
        unknown = [str(name) for name in content if name not in cls.__dataclass_fields__]
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise DataError(f"preprocessing has no {unknown[0]!r}; it has {known}.")
        return cls(**content)

    def pixels_of(self, image: Image.Image, num_channels: int) -> DecodedImage:
        """Decode an opened image.

        Its EXIF orientation is applied, transparency is composited over `background`, and the size
        is `image_size`, or else its own. Values of 16 bits are divided by 257.

        Args:
            image: What `PIL.Image.open` returned.
            num_channels: 1 for gray, 3 for color.

        Returns:
            The pixels, uint8 `(height, width)` or `(height, width, 3)`, and the largest value of an
            image of 16 bits.

        Raises:
            ValueError: pixels that are outside the range of 16 bits or of floats in [0, 1].
            Exception: any error of Pillow for a damaged file.
        """
        image.load()  # a PNG may have its orientation after the pixels
        if orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        image, peak = _eight_bits(image)
        image = self._opaque(image, num_channels)
        if self.image_size is not None:
            image = self._resized(image, _fill(self.background, image.mode))
        return DecodedImage(np.asarray(image), peak)

    def of_arrays(self, images: np.ndarray) -> np.ndarray:
        """Resize and convert images that are in memory already.

        Args:
            images: `(N, height, width)` or `(N, height, width, channels)` with 3 channels, or 4
                with the transparency last; uint8, or float32 in [0, 1].

        Returns:
            Images of the same type, `(N, height, width)` or `(N, height, width, 3)`. `images`
            itself where there is nothing to do.
        """
        if images.ndim == 4 and images.shape[3] == 4:
            images = _over_background(images, ImageColor.getrgb(self.background)[:3])
        if self.color == "gray" and images.ndim == 4:
            images = _each(images, _luma)
        if self.color == "rgb" and images.ndim == 3:
            images = np.repeat(images[..., None], 3, axis=-1)
        if self.image_size is not None and self.image_size != images.shape[1:3]:
            images = _each(images, self._resized_array)
        return images

    def _opaque(self, image: Image.Image, num_channels: int) -> Image.Image:
        """The image in mode "L" or "RGB", without transparency."""
        mode = "L" if num_channels == 1 else "RGB"
        if not image.has_transparency_data:
            # By way of RGB: Pillow converts LAB to nothing else.
            return (
                image.convert("RGB").convert(mode) if image.mode == "LAB" else image.convert(mode)
            )
        if image.mode == "La":  # Pillow does not convert it to RGBA
            image = image.convert("LA")
        image = image.convert("RGBA")
        color = _fill(self.background, mode)
        color = (color,) * 3 if isinstance(color, int) else color
        behind = Image.new("RGBA", image.size, (*color, 255))
        return Image.alpha_composite(behind, image).convert("RGB").convert(mode)

    def _resized(self, image: Image.Image, fill: Any) -> Image.Image:
        assert self.image_size is not None
        height, width = self.image_size
        if image.size == (width, height):
            return image
        if self.resize == "stretch":
            return image.resize((width, height), _FILTER)
        if self.resize == "crop":
            return ImageOps.fit(image, (width, height), _FILTER)
        # ImageOps.pad fails where the shorter side would round to 0 pixels.
        scale = min(width / image.width, height / image.height)
        size = [max(1, round(scale * side)) for side in image.size]
        padded = Image.new(image.mode, (width, height), fill)
        place = ((width - size[0]) // 2, (height - size[1]) // 2)
        padded.paste(image.resize((size[0], size[1]), _FILTER), place)
        return padded

    def _resized_array(self, image: np.ndarray) -> np.ndarray:
        """One image of an array; floats channel by channel, because Pillow has no float colors."""
        if image.dtype == np.uint8:
            picture = Image.fromarray(image)
            return np.asarray(self._resized(picture, _fill(self.background, picture.mode)))
        color = _fill(self.background, "L" if image.ndim == 2 else "RGB")
        colors = (color,) if isinstance(color, int) else color
        channels = [image] if image.ndim == 2 else np.moveaxis(image, -1, 0)
        resized = [
            np.asarray(self._resized(Image.fromarray(channel), fill / 255))
            for channel, fill in zip(channels, colors, strict=True)
        ]
        return np.clip(resized[0] if image.ndim == 2 else np.stack(resized, axis=-1), 0, 1)


class DecodedImage(NamedTuple):
    """The pixels of one image, uint8, and its largest value where that has 16 bits, else None."""

    pixels: np.ndarray
    peak: int | None


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none or it cannot be parsed.

    Nothing is decoded: `getexif` alone would decode a PNG to find more. Pillow itself applies that
    of a TIFF file.
    """
    if "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # like image viewers, ignore damaged metadata
        return 1
    return value if value in range(1, 9) else 1


def _checked_size(image_size: Any) -> tuple[int, int]:
    try:
        sizes = check_sizes("image_size", image_size)
    except ValueError:
        sizes = ()
    sizes = sizes * 2 if len(sizes) == 1 else sizes
    if len(sizes) != 2 or max(sizes) > MAX_SIDE:
        raise DataError(
            f"image_size must be a height and a width from 1 to {MAX_SIDE}, or one number for "
            f"both; received {image_size!r}."
        )
    return sizes[0], sizes[1]


def _eight_bits(image: Image.Image) -> tuple[Image.Image, int | None]:
    """An image of 8 bits per channel, and the largest value of one that had 16 bits."""
    if image.mode == "F":
        values = np.asarray(image)
        lowest, highest = float(values.min()), float(values.max())
        if not (lowest >= -1e-6 and highest <= 1 + 1e-6):
            raise ValueError(f"its pixels are floats from {lowest:g} to {highest:g}, not in [0, 1]")
        return Image.fromarray(np.rint(values.clip(0, 1) * 255).astype(np.uint8)), None
    if not image.mode.startswith("I"):
        return image, None
    values = np.asarray(image)
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > _MAX_16_BIT:
        raise ValueError(
            f"its pixels are whole numbers from {lowest} to {highest}, and at most {_MAX_16_BIT} "
            "(16 bits) can be read"
        )
    # 65,535 / 257 = 255: white stays white. Adding 128 rounds.
    gray = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return gray, highest


def _fill(background: str, mode: str) -> Any:
    """The color in an image of mode "L" (one number) or "RGB" (three)."""
    color = ImageColor.getcolor(background, mode)
    return color[:3] if isinstance(color, tuple) and mode == "RGB" else color


def _each(images: np.ndarray, function: Any) -> np.ndarray:
    """`function` of each image, without a list of all results in memory."""
    first = function(images[0])
    results = np.empty((len(images), *first.shape), images.dtype)
    for index, image in enumerate(images):
        results[index] = function(image)
    return results


def _luma(image: np.ndarray) -> np.ndarray:
    """A color image in gray, with the weights of `PIL.Image.convert`."""
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).convert("L"))
    return np.clip(image @ np.array([0.299, 0.587, 0.114], np.float32), 0, 1)


def _over_background(images: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    """Images with transparency `(N, H, W, 4)` composited over a color, `(N, H, W, 3)`."""
    full = 255 if images.dtype == np.uint8 else 1

    def composited(image: np.ndarray) -> np.ndarray:
        opacity = image[..., 3:].astype(np.float32) / full
        behind = np.array(color, np.float32) * (full / 255)
        mixed = opacity * image[..., :3] + (1 - opacity) * behind
        return np.rint(mixed) if full == 255 else np.clip(mixed, 0, 1)

    return _each(images, composited)
