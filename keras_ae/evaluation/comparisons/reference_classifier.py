"""A small classifier, trained once a data set, that says how real generated images look."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons.base import Judge
from keras_ae.files import atomic_write as write_beside

NUM_FEATURES = 64
EPOCHS = 5
LEAST_STEPS = 600  # on small sets
IMAGES_PER_CALL = 1000


def train_judge(split: Split, num_classes: int, path: Path, *, seed: int = 0) -> Judge:
    """A convolutional classifier of the split's training images, from `path` where it lies there.

    Two 3x3 convolutions of 16 and 32 filters, each followed by 2x2 max pooling, a dense layer of
    64 ReLU units, whose outputs are the features, and a softmax. Adam on the cross-entropy, five
    epochs; more on a small set, until 600 steps are done.

    Args:
        split: Images `(N, H, W)` or `(N, H, W, C)` in [0, 1], with labels.
        num_classes: Labels lie in `range(num_classes)`.
        path: A `.keras` file. One that is damaged, or made for other images, is trained anew.
        seed: Of the initial weights and of the order of the images.

    Raises:
        ValueError: the split has no labels.
        OSError: `path` cannot be written.
    """
    if split.train.labels is None or split.test.labels is None:
        raise ValueError("The judge is a classifier: it needs labels, and the split has none.")
    path = Path(path)
    classifier = stored_classifier(path, split.train.images.shape[1:], num_classes)
    if classifier is None:
        classifier = trained_classifier(split.train, num_classes, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_beside(path, classifier.save)
    return as_judge(classifier, split)


def as_judge(classifier: keras.Model, split: Split) -> Judge:
    both = keras.Model(
        classifier.inputs,
        [classifier.get_layer(name).output for name in ("features", "probabilities")],
    )
    run = tf.function(both, reduce_retracing=True)

    def output(place: int, images: np.ndarray) -> np.ndarray:
        images = np.asarray(images, dtype=np.float32)
        portions = np.split(images, range(IMAGES_PER_CALL, len(images), IMAGES_PER_CALL))
        return np.concatenate([run(tf.constant(portion))[place].numpy() for portion in portions])

    judge = Judge(lambda images: output(0, images), lambda images: output(1, images))
    right = judge.probabilities(split.test.images).argmax(axis=1) == split.test.labels
    epochs = num_steps(len(split.train)) * batch_size(len(split.train)) / len(split.train)
    return Judge(
        judge.features,
        judge.probabilities,
        "a convolutional classifier (3x3 convolutions of 16 and 32 filters, a dense layer of "
        f"{NUM_FEATURES} units, the features) after {epochs:.0f} epochs on the training images, "
        f"{right.mean():.2%} right on the test images",
    )


def stored_classifier(path: Path, image_shape, num_classes: int) -> keras.Model | None:
    """What `path` holds, or None where that is nothing, damaged, or made for other images."""
    try:
        classifier = keras.models.load_model(path, compile=False)
        shapes = classifier.input_shape[1:], classifier.get_layer("features").output.shape[1:]
        fits = shapes == (tuple(image_shape), (NUM_FEATURES,))
        return classifier if fits and classifier.output_shape[1:] == (num_classes,) else None
    except Exception:  # a damaged archive raises many kinds
        return None


def trained_classifier(train: Subset, num_classes: int, seed: int) -> keras.Model:
    classifier = new_classifier(train.images.shape[1:], num_classes, seed)
    steps = num_steps(len(train))
    classifier.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
    )
    batches = shuffled_batches(train.images, train.labels, batch_size(len(train)), steps, seed=seed)
    classifier.fit(batches, shuffle=False, verbose=0)
    return classifier


def new_classifier(image_shape, num_classes: int, seed: int) -> keras.Model:
    layers = keras.layers
    height, width, *channels = image_shape
    seeds = iter(range(seed, seed + 4))

    def kernel():
        return keras.initializers.GlorotUniform(next(seeds))

    def convolution(filters: int):
        return layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer=kernel()
        )

    return keras.Sequential(
        [
            layers.Input(tuple(image_shape)),
            layers.Reshape((height, width, *(channels or [1]))),
            convolution(16),
            layers.MaxPooling2D(padding="same"),
            convolution(32),
            layers.MaxPooling2D(padding="same"),
            layers.Flatten(),
            layers.Dense(
                NUM_FEATURES, activation="relu", kernel_initializer=kernel(), name="features"
            ),
            layers.Dense(
                num_classes, activation="softmax", kernel_initializer=kernel(), name="probabilities"
            ),
        ],
        name="judge",
    )


def batch_size(num_images: int) -> int:
    return 256 if num_images >= 10_000 else min(64, num_images)


def num_steps(num_images: int) -> int:
    return max(LEAST_STEPS, EPOCHS * (num_images // batch_size(num_images)))


def shuffled_batches(
    inputs: np.ndarray, targets: np.ndarray, batch_size: int, num_steps: int, *, seed: int
) -> tf.data.Dataset:
    """`num_steps` whole batches from one shuffled pass over the data after another.

    Args:
        inputs, targets: Arrays of one length N.
        batch_size: At most N.
        num_steps: Batches in all.
        seed: They are a function of it alone, whatever TensorFlow's seeds.
    """
    random = np.random.default_rng(seed)
    a_pass = len(inputs) // batch_size
    orders = [
        random.permutation(len(inputs))[: a_pass * batch_size].reshape(a_pass, batch_size)
        for _ in range(-(-num_steps // a_pass))
    ]
    indices = np.concatenate(orders)[:num_steps]
    inputs, targets = tf.constant(inputs), tf.constant(targets)
    return (
        tf.data.Dataset.from_tensor_slices(indices)
        .map(lambda chosen: (tf.gather(inputs, chosen), tf.gather(targets, chosen)))
        .prefetch(2)
    )
