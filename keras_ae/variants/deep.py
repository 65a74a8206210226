"""The plain ("vanilla") autoencoder."""

from __future__ import annotations

import keras

from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class Deep(DenseAutoencoder):
    """Three layers each way, no constraint on the code.

    `tied=True` makes the decoder use the encoder's kernels, transposed. The arguments are those of
    `DenseAutoencoder`.
    """
