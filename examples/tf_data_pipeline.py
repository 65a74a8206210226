"""Trains on a `tf.data` pipeline: for sets that do not fit into memory, or images made on the fly.

    python examples/tf_data_pipeline.py my_images.npz

The archive holds `x_train`, `(N, height, width)` or with channels, uint8 or in [0, 1]. Without an
argument the 8x8 digits of scikit-learn are taken. A pipeline gives batches of images in [0, 1];
`(images, targets)` and `(images, targets, weights)` are understood too.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import keras_ae


def main(archive: str | None = None, epochs: int = 20) -> dict[str, list[float]]:
    keras.utils.set_random_seed(42)
    images = read(archive)
    train, validation = np.split(images, [int(0.9 * len(images))])
    pipeline = (
        tf.data.Dataset.from_tensor_slices(train)
        .shuffle(len(train), seed=42)
        .map(scaled)
        .map(shifted, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(64)
        .prefetch(tf.data.AUTOTUNE)
    )
    unseen = tf.data.Dataset.from_tensor_slices(validation).map(scaled).batch(256)
    model = keras_ae.Denoising(image_shape=images.shape[1:], latent_dim=10, noise_stddev=0.3)
    model.compile()
    history = model.fit(pipeline, epochs=epochs, validation_data=unseen, verbose=2)
    return history.history


def read(archive: str | None) -> np.ndarray:
    if archive is not None:
        return np.load(archive, allow_pickle=False)["x_train"]
    from sklearn.datasets import load_digits

    return np.uint8(load_digits().images * 15)


def scaled(image):
    """Pixels in [0, 1]: those of 8 bits are divided by 255."""
    return tf.image.convert_image_dtype(image, tf.float32)


def shifted(image):
    """Moves an image by a pixel at random: what only a pipeline can do anew in every epoch."""
    shift = tf.random.uniform((2,), -1, 2, dtype=tf.int32)
    return tf.roll(image, shift, axis=(0, 1))


if __name__ == "__main__":
    main(*sys.argv[1:2])
