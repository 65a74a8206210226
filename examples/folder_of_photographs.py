"""Trains a convolutional VAE on a folder of colour photographs of one size.

    python examples/folder_of_photographs.py my_photographs sheet.png

The folder holds image files (PNG, JPEG, ...), one subfolder a class or none. Without arguments it
draws itself a folder of small pictures first. On the command line the same is
`python train.py --variant conv_vae --dataset my_photographs --set filters=32,64,128`.
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import keras_ae
from keras_ae import data, plots


def main(folder: str | None = None, sheet: str = "sheet.png", epochs: int = 30) -> dict:
    keras.utils.set_random_seed(42)
    if folder is None:
        folder = draw_pictures(Path(tempfile.mkdtemp()) / "pictures")
    images = data.load(folder)  # float32 in [0, 1], one line of error where it cannot be
    split = data.split(images)
    model = keras_ae.ConvVAE(image_shape=images.image_shape, latent_dim=32, filters=(16, 32, 64))
    model.compile()
    model.fit(split.train.images, epochs=epochs, validation_data=split.validation.images, verbose=2)
    some = split.test.images[:10]
    rows = {
        "test images": some,
        "reconstructions": model.reconstruct(some),
        "new": model.sample(10, seed=1),
        "from one to another": model.interpolate(some[0], some[1], num_steps=10),
    }
    print(f"wrote {plots.image_rows(rows, Path(sheet))}")
    return rows


def draw_pictures(folder: Path, num_images: int = 600, size: int = 32) -> Path:
    """Suns over hills in colour, as PNG files."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:size, 0:size] / size
    folder.mkdir(parents=True)
    for number in range(num_images):
        x, y, radius = random.uniform((0.2, 0.15, 0.06), (0.8, 0.5, 0.16))
        sky, sun, hill = random.uniform(0.35, 1.0, (3, 3)) * (
            (0.5, 0.7, 1),
            (1, 0.8, 0.3),
            (0.3, 0.7, 0.3),
        )
        picture = np.broadcast_to(sky, (size, size, 3)) * (1 - 0.4 * rows[..., None])
        picture = np.where((np.hypot(rows - y, columns - x) < radius)[..., None], sun, picture)
        ridge = 0.7 + 0.12 * np.sin(random.uniform(3, 9) * columns + random.uniform(0, 6))
        picture = np.where((rows > ridge)[..., None], hill, picture)
        Image.fromarray(np.uint8(picture * 255)).save(folder / f"{number:04d}.png")
    return folder


if __name__ == "__main__":
    main(*sys.argv[1:3])
