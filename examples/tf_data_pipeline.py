"""Train on a `tf.data` pipeline: for data that do not fit into memory, or for augmentation.

    python examples/tf_data_pipeline.py my_images.npz

The archive contains an array `x_train`, `(N, height, width)` or with channels, uint8 or floats in
[0, 1]. Without an argument the example uses scikit-learn's 8x8 digits. The pipeline yields batches
of images in [0, 1]; batches of `(images, targets)` and `(images, targets, weights)` work too.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import keras_ae


def main(archive: str | None = None, epochs: int = 20) -> dict[str, list[float]]:
    keras.utils.set_random_seed(42)
    images = read_images(archive)
    train, validation = np.split(images, [int(0.9 * len(images))])
    train_data = (
        tf.data.Dataset.from_tensor_slices(train)
        .shuffle(len(train), seed=42)
        .map(to_float)
        .map(shift, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(64)
        .prefetch(tf.data.AUTOTUNE)
    )
    validation_data = tf.data.Dataset.from_tensor_slices(validation).map(to_float).batch(256)
    model = keras_ae.Denoising(image_shape=images.shape[1:], latent_dim=10, noise_stddev=0.3)
    model.compile()
    history = model.fit(train_data, epochs=epochs, validation_data=validation_data, verbose=2)
    return history.history


def read_images(archive: str | None) -> np.ndarray:
    if archive is not None:
        return np.load(archive, allow_pickle=False)["x_train"]
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().images * 15, dtype=np.uint8)


def to_float(image):
    """Convert pixels to [0, 1]; uint8 pixels are divided by 255."""
    return tf.image.convert_image_dtype(image, tf.float32)


def shift(image):
    """Shift an image by at most one pixel; the augmentation differs in every epoch."""
    offset = tf.random.uniform((2,), -1, 2, dtype=tf.int32)
    return tf.roll(image, offset, axis=(0, 1))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
