"""Cut crops out of the sample pictures of scikit-learn and scikit-image: sets of photographs.

    python scripts/photographs.py small photographs      # 720 color crops of 64x64 in six folders
    python scripts/photographs.py large photographs.npz  # 20,000 crops of 64x64

The large set has training crops of 12 pictures and test crops of four others. Both depend on a
fixed seed and on the versions of the two libraries (written for scikit-image 0.25 or newer).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64
SEED = 0
SMALL = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower")
TRAIN = (
    "astronaut", "chelsea", "rocket", "flower", "hubble_deep_field", "retina", "motorcycle_left",
    "brick", "grass", "gravel", "camera", "moon",
)  # fmt: skip
TEST = ("coffee", "china", "coins", "immunohistochemistry")


def picture(name: str) -> Image.Image:
    """A sample picture, in color."""
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return Image.fromarray(load_sample_image(f"{name}.jpg"))
    import skimage.data

    if name == "motorcycle_left":
        return Image.fromarray(skimage.data.stereo_motorcycle()[0])
    return Image.fromarray(np.asarray(getattr(skimage.data, name)())).convert("RGB")


def crops(name: str, num: int, random: np.random.Generator) -> np.ndarray:
    """`num` random squares of a picture, scaled to 64x64: `(num, 64, 64, 3)`, uint8."""
    image = picture(name)
    largest = min(image.size) // 2
    found = np.empty((num, SIDE, SIDE, 3), np.uint8)
    for place in range(num):
        side = int(random.integers(SIDE, max(largest, SIDE + 1)))
        left, top = (int(random.integers(0, length - side + 1)) for length in image.size)
        square = image.crop((left, top, left + side, top + side))
        found[place] = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return found


def write_small(folder: Path) -> None:
    random = np.random.default_rng(SEED)
    for name in SMALL:
        (folder / name).mkdir(parents=True)
        for place, crop in enumerate(crops(name, 120, random)):
            Image.fromarray(crop).save(folder / name / f"{place:03d}.png")


def write_large(path: Path) -> None:
    random = np.random.default_rng(SEED)
    parts = {}
    for part, names, num in (("train", TRAIN, 1500), ("test", TEST, 500)):
        images = np.concatenate([crops(name, num, random) for name in names])
        order = random.permutation(len(images))
        parts[f"x_{part}"] = images[order]
        parts[f"y_{part}"] = np.repeat(names, num)[order]
    np.savez(path, **parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("size", choices=("small", "large"))
    parser.add_argument("path", type=Path, help="the folder, or .npz file, to write")
    options = parser.parse_args()
    if options.path.exists():
        parser.error(f"{options.path} exists; choose another name, or delete it")
    (write_small if options.size == "small" else write_large)(options.path)


if __name__ == "__main__":
    main()
