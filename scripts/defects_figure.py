"""Show images of a set of defects beside their anomaly maps.

    keras-ae predict RUN defects/grass/test --output found --maps
    python scripts/defects_figure.py defects/grass/test found docs/results/defects.jpg

`docs/defects.md` shows the figure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

KINDS = ("scratch", "stain", "missing", "color", "good")
NUM_IMAGES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", type=Path, help="the folder test of a set")
    parser.add_argument("found", type=Path, help="what keras-ae predict --maps wrote for it")
    parser.add_argument("figure", type=Path, help="the file to write")
    options = parser.parse_args()
    figure, axes = plt.subplots(
        len(KINDS), 2 * NUM_IMAGES, figsize=(8, 5.1), gridspec_kw={"wspace": 0.03, "hspace": 0.03}
    )
    for row, kind in zip(axes, KINDS, strict=True):
        for index in range(NUM_IMAGES):
            name = f"{kind}/{index:03d}.png"
            paths = (options.images / name, options.found / "maps" / name)
            for axis, path in zip(row[2 * index :], paths, strict=False):
                axis.imshow(Image.open(path).convert("RGB"))
                axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(kind, rotation=0, ha="right", va="center")
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(
        options.figure, dpi=130, bbox_inches="tight", pil_kwargs={"quality": 85, "optimize": True}
    )


if __name__ == "__main__":
    main()
