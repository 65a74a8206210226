"""Train a VAE on an array of your own images and export it for serving.

    python examples/your_own_images.py

Replace `make_images()` by your images: an array `(N, height, width)` or
`(N, height, width, channels)` with pixels in [0, 1].
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_ae


def make_images(num_images: int = 2000, size: int = 16, seed: int = 0) -> np.ndarray:
    """Color images of blurred discs with random position, radius and color."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size] / size
    center = random.uniform(0.3, 0.7, (2, num_images, 1, 1))
    radius = random.uniform(0.1, 0.3, (num_images, 1, 1))
    distance = np.hypot(rows - center[0], columns - center[1])
    disc = 1 / (1 + np.exp((distance - radius) * 40))
    color = random.uniform(0.3, 1.0, (num_images, 1, 1, 3))
    return (disc[..., None] * color).astype("float32")


def main(directory: str = "exported_vae", epochs: int = 30) -> dict[str, np.ndarray]:
    keras.utils.set_random_seed(42)
    images = make_images()
    model = keras_ae.VAE(image_shape=images.shape[1:], latent_dim=6, hidden_units=(256, 64))
    model.compile()
    model.fit(images, epochs=epochs, validation_split=0.1, verbose=2)
    model.export(directory, verbose=False)

    served = tf.saved_model.load(directory)  # works without keras and keras_ae
    answers = {
        "codes": served.encode(images[:5]).numpy(),
        "scores": served.anomaly_score(images[:5]).numpy(),
        "samples": served.sample(tf.constant(5), tf.constant(1)).numpy(),
    }
    print(f"exported to {Path(directory)}")
    print(f"anomaly scores of 5 images, in nats: {answers['scores'].round(1)}")
    return answers


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "exported_vae")
