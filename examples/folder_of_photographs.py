"""Train a convolutional VAE on a folder of color photographs of one size.

    python examples/folder_of_photographs.py path/to/my_photographs samples.png

The folder contains image files (PNG, JPEG, ...), in one subfolder per class or without subfolders.
Without arguments the example draws a folder of small pictures first. The same training on the
command line: `keras-ae train --variant conv_vae --dataset path/to/my_photographs --batch-size 32`.
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import keras_ae
from keras_ae import data


def main(folder: str | None = None, figure: str = "samples.png", epochs: int = 30) -> dict:
    keras.utils.set_random_seed(42)
    if folder is None:
        folder = str(draw_pictures(Path(tempfile.mkdtemp()) / "pictures"))
    images = data.load(folder)  # raises data.DataError with a one-line reason if it cannot be read
    split = data.split(images)  # float32 in [0, 1]
    model = keras_ae.ConvVAE(image_shape=images.image_shape, latent_dim=32, filters=(16, 32, 64))
    model.compile()
    model.fit(
        split.train.images,
        batch_size=32,  # a small data set needs many steps per epoch; the default is 256
        epochs=epochs,
        validation_data=split.validation.images,
        verbose=2,
    )
    examples = split.test.images[:10]
    rows = {
        "test images": examples,
        "reconstructions": model.reconstruct(examples),
        "samples": model.sample(10, seed=1),
        "interpolation": model.interpolate(examples[0], examples[1], num_steps=10),
    }
    save_rows(list(rows.values()), figure)
    print(f"wrote {figure}; its rows are: {', '.join(rows)}")
    return rows


def save_rows(rows: list[np.ndarray], path: str) -> None:
    """Save images as a PNG file with one row for each array `(N, height, width, channels)`."""
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    Image.fromarray(np.uint8(np.rint(sheet * 255))).save(path)


def draw_pictures(folder: Path, num_images: int = 600, size: int = 32) -> Path:
    """Draw suns over hills in color, as PNG files."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:size, 0:size] / size
    folder.mkdir(parents=True)
    tints = np.array([(0.5, 0.7, 1), (1, 0.8, 0.3), (0.3, 0.7, 0.3)])
    for number in range(num_images):
        x, y, radius = random.uniform((0.2, 0.15, 0.06), (0.8, 0.5, 0.16))
        sky, sun, hill = random.uniform(0.35, 1.0, (3, 3)) * tints
        picture = np.broadcast_to(sky, (size, size, 3)) * (1 - 0.4 * rows[..., None])
        picture = np.where((np.hypot(rows - y, columns - x) < radius)[..., None], sun, picture)
        ridge = 0.7 + 0.12 * np.sin(random.uniform(3, 9) * columns + random.uniform(0, 6))
        picture = np.where((rows > ridge)[..., None], hill, picture)
        Image.fromarray(np.uint8(picture * 255)).save(folder / f"{number:04d}.png")
    return folder


if __name__ == "__main__":
    arguments = sys.argv[1:] + [None] * 2
    main(arguments[0], arguments[1] or "samples.png")
