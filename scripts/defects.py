"""Make sets of defect images: textures of sample pictures with synthetic defects, and their masks.

    python scripts/defects.py defects              # 64x64 pixels
    python scripts/defects.py defects --side 128

Writes one set for each texture, in the layout of MVTec AD (Bergmann et al., CVPR 2019), with
validation images as in MVTec LOCO AD:

    defects/brick/train/good/000.png               400 normal images for training
    defects/brick/validation/good/000.png          80 normal images, for the threshold
    defects/brick/test/good/000.png                80 normal images
    defects/brick/test/scratch/000.png             40 of each defect: scratch, stain, missing, color
    defects/brick/ground_truth/scratch/000_mask.png   white where the image was changed

The images are crops of 128x128 pixels of the sample pictures of scikit-image, halved with --side
64. Crops for training come from the left part of a picture, those for validation from the middle,
those for the test from the right: crops overlap, so validation images from the same part would be
too easy, and a threshold fitted to them too low. The sets depend on a fixed seed and on the
versions of Pillow, NumPy and SciPy.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

SEED = 0
CROP = 128
SIDES = (64, 128)
PARTS = {"train": (0.0, 0.45), "validation": (0.45, 0.72), "test": (0.72, 1.0)}  # of the width
TEXTURES = ("brick", "grass", "gravel", "immunohistochemistry")
NUM_GOOD = {"train": 400, "validation": 80, "test": 80}
NUM_DEFECT = 40
OVERSAMPLING = 4  # for smooth edges of scratches
EDGE = 0.15  # opacity below which a spot ends
LUMINANCE = (0.299, 0.587, 0.114)


def picture(name: str) -> np.ndarray:
    """A sample picture in color, `(height, width, 3)`, uint8."""
    import skimage.data

    image = Image.fromarray(np.asarray(getattr(skimage.data, name)()))
    return np.asarray(image.convert("RGB"))


def part(whole: np.ndarray, split: str) -> np.ndarray:
    """The columns of a picture that belong to a split."""
    start, stop = (int(share * whole.shape[1]) for share in PARTS[split])
    return whole[:, start:stop]


def crop(area: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A random square of 128x128 pixels, mirrored at random; float64, 0 to 255."""
    top, left = (int(random.integers(0, length - CROP + 1)) for length in area.shape[:2])
    square = area[top : top + CROP, left : left + CROP]
    return (square[:, ::-1] if random.random() < 0.5 else square).astype(np.float64)


# ---- defects: from a crop and a generator to what is laid over the crop, and its opacity ----

Layer = tuple[np.ndarray | float, np.ndarray]


def blob(random: np.random.Generator, share: float, softness: float) -> np.ndarray:
    """An irregular spot that covers about `share` of the crop: opacity `(128, 128)`, 0 to 1."""
    rows, columns = np.mgrid[:CROP, :CROP]
    row, column = random.uniform(0.25, 0.75, 2) * CROP
    distance = np.hypot(rows - row, columns - column) / CROP
    rough = gaussian_filter(random.normal(size=(CROP, CROP)), 9)
    height = 0.08 * rough / rough.std() - distance
    inside = (height > np.quantile(height, 1 - share)).astype(np.float64)
    soft = gaussian_filter(inside, softness)
    return np.maximum(soft - EDGE, 0.0) / (1 - EDGE)


def scratch(image: np.ndarray, random: np.random.Generator) -> Layer:
    """A thin bent line, lighter or darker than what it crosses."""
    angle = random.uniform(0, np.pi)
    length = random.uniform(50, 90)
    bend = random.uniform(-0.3, 0.3)
    steps = np.linspace(-0.5, 0.5, 24)
    along = np.stack([np.cos(angle) * steps, np.sin(angle) * steps]) * length
    across = np.stack([-np.sin(angle), np.cos(angle)])[:, None] * bend * length * (1 - 4 * steps**2)
    middle = random.uniform(0.35, 0.65, 2)[:, None] * CROP
    points = (middle + along + across).T * OVERSAMPLING
    canvas = Image.new("L", (CROP * OVERSAMPLING, CROP * OVERSAMPLING))
    width = round(random.uniform(2.2, 3.2) * OVERSAMPLING)
    ImageDraw.Draw(canvas).line([tuple(point) for point in points], 255, width, joint="curve")
    opacity = np.asarray(canvas.resize((CROP, CROP), Image.Resampling.BOX)) / 255.0
    return 240.0 if image.mean() < 160 else 25.0, 0.85 * opacity


def stain(image: np.ndarray, random: np.random.Generator) -> Layer:
    """A dark spot through which the texture shows."""
    opacity = blob(random, random.uniform(0.03, 0.08), 2.0)
    return image * random.uniform(0.4, 0.6), opacity


def missing(image: np.ndarray, random: np.random.Generator) -> Layer:
    """A spot where the texture is gone: flat, in the color of its surroundings."""
    opacity = blob(random, random.uniform(0.04, 0.09), 0.8)
    flat = np.average(image, axis=(0, 1), weights=np.broadcast_to(opacity[..., None], image.shape))
    return np.broadcast_to(flat, image.shape), opacity


def color(image: np.ndarray, random: np.random.Generator) -> Layer:
    """A spot of another tint, about as bright as before."""
    opacity = blob(random, random.uniform(0.05, 0.12), 2.5)
    tint = random.permutation([24.0, 0.0, -24.0]) * random.uniform(0.8, 1.2)
    return image + tint - tint @ LUMINANCE, opacity


DEFECTS = {"scratch": scratch, "stain": stain, "missing": missing, "color": color}


# ---- sets ----


def scaled(image: np.ndarray, side: int) -> np.ndarray:
    """A crop as an image of `side` pixels, uint8; means of 2x2 pixels for 64."""
    means = in_blocks(image, side).mean(axis=(1, 3))
    return np.clip(np.rint(means), 0, 255).astype(np.uint8)


def in_blocks(image: np.ndarray, side: int) -> np.ndarray:
    """The pixels of a crop by the pixels of an image: `(side, n, side, n, ...)`."""
    return image.reshape(side, CROP // side, side, CROP // side, *image.shape[2:])


def with_defect(
    image: np.ndarray, other: np.ndarray | float, opacity: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """A crop with a defect, `(side, side, 3)`, uint8, and the mask of changed pixels, booleans.

    A pixel under the defect that happens to be as before is changed by one level, so that the mask
    has no holes.
    """
    changed = scaled(image + (other - image) * opacity[..., None], side)
    mask = np.asarray(in_blocks(opacity > 0, side).any(axis=(1, 3)))
    same = mask & np.all(changed == scaled(image, side), axis=-1)
    changed[same] ^= 1
    return changed, mask


def generator(*parts: str | int) -> np.random.Generator:
    """Random numbers of one image: it does not depend on the other images."""
    words = [zlib.crc32(str(each).encode()) for each in parts]
    return np.random.default_rng([SEED, *words])


def normal_image(name: str, whole: np.ndarray, split: str, kind: str, index: int) -> np.ndarray:
    """A crop without a defect; for a test image with one, what it looked like before."""
    return crop(part(whole, split), generator(name, split, kind, index, "crop"))


def write_set(folder: Path, name: str, side: int) -> None:
    whole = picture(name)
    for split, num in NUM_GOOD.items():
        target = folder / split / "good"
        target.mkdir(parents=True)
        for index in range(num):
            image = normal_image(name, whole, split, "good", index)
            Image.fromarray(scaled(image, side)).save(target / f"{index:03d}.png")
    for kind, defect in DEFECTS.items():
        target, masks = folder / "test" / kind, folder / "ground_truth" / kind
        target.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index in range(NUM_DEFECT):
            image = normal_image(name, whole, "test", kind, index)
            layer = defect(image, generator(name, kind, index))
            changed, mask = with_defect(image, *layer, side)
            Image.fromarray(changed).save(target / f"{index:03d}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"{index:03d}_mask.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output", type=Path, help="the folder to write")
    parser.add_argument(
        "--side",
        type=int,
        choices=SIDES,
        default=64,
        help="side of an image in pixels (default: 64)",
    )
    options = parser.parse_args()
    if options.output.exists():
        parser.error(f"{options.output} exists; choose another name, or delete it")
    for name in TEXTURES:
        write_set(options.output / name, name, options.side)


if __name__ == "__main__":
    main()
