"""A sparse autoencoder with tied weights, built from layers of keras_ae alone.

    python examples/geron_style.py

In the style of A. Géron, "Hands-On Machine Learning", chapter 17. The model is an ordinary
`keras.Model`, so the loss is Keras's own, here scaled to nats/image.
"""

import keras
import numpy as np

from keras_ae import DenseTranspose, KLDivergenceRegularizer
from keras_ae.data import load, split


def build(code_units: int = 100) -> keras.Model:
    """784 -> 100 -> `code_units` sigmoid units, and back with tied weights."""
    dense_1 = keras.layers.Dense(100, activation="selu", kernel_initializer="lecun_normal")
    dense_2 = keras.layers.Dense(
        code_units,
        activation="sigmoid",
        activity_regularizer=KLDivergenceRegularizer(weight=1.0, target=0.1),
    )
    encoder = keras.Sequential(
        [keras.layers.Input((28, 28)), keras.layers.Flatten(), dense_1, dense_2]
    )
    decoder = keras.Sequential(
        [
            keras.layers.Input((code_units,)),
            DenseTranspose(dense_2, activation="selu"),
            DenseTranspose(dense_1, activation="sigmoid"),
            keras.layers.Reshape((28, 28)),
        ]
    )
    return keras.Sequential([encoder, decoder])


@keras.saving.register_keras_serializable()
def nats_per_image(images, reconstructions):
    """BCE summed over the pixels of an image; Keras averages it over the last axis."""
    bce = keras.losses.binary_crossentropy(images, reconstructions)
    return keras.ops.sum(bce, axis=1) * images.shape[-1]


def main(epochs: int = 10, dataset: str = "digits") -> dict[str, float]:
    keras.utils.set_random_seed(42)
    images = split(load(dataset))
    x_train, x_valid = images.train.images, images.validation.images
    model = build()
    model.compile(optimizer="nadam", loss=nats_per_image)
    model.fit(x_train, x_train, epochs=epochs, validation_data=(x_valid, x_valid), verbose=2)
    encoder = model.layers[0]
    activity = float(np.mean(encoder.predict(x_valid, verbose=0)))
    loss = model.evaluate(x_valid, x_valid, verbose=0)
    print(f"validation loss: {loss:.1f} nats/image; mean activation of the code: {activity:.2f}")
    return {"loss": loss, "activity": activity}


if __name__ == "__main__":
    main()
