"""The convolutional autoencoder."""

from __future__ import annotations

import math
from typing import Any

import keras

from keras_ae.checks import check_filters, check_sizes
from keras_ae.networks import (
    check_kernel_size,
    convolutional_decoder,
    convolutional_encoder,
    default_filters,
    feature_map_shape,
)
from keras_ae.variants.base import Autoencoder, check_activation
from keras_ae.variants.documentation import document, variant


@document
class ConvolutionalAutoencoder(Autoencoder):
    """Base class of the convolutional autoencoders with max pooling.

    A subclass creates its own bottleneck or corruption in its constructor and passes them to
    `_build`, as a subclass of `DenseAutoencoder` does.

    Args:
        latent_dim: Size of a dense code, >= 1. None makes the last feature map the code, 3x3x64
            for 28x28 images; the attribute `latent_dim` is then its size, 576.
        filters: Filters of each convolution, outermost first. None chooses by the size of an image:
            (16, 32, 64) up to 32x32 pixels, (32, 64, 128, 128) for 64x64.
        kernel_size: Side of the kernels of the decoder, 3 or 4. None for 4, which writes no
            checkerboard, and for 3 with gray images of 28x28 pixels, as in the book.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    _xla_on_cpu = False
    _steps_per_call = 16

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int | None = None,
        *,
        filters=None,
        activation="relu",
        kernel_size: int | None = None,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        image_shape = check_sizes("image_shape", image_shape, lengths=(2, 3))
        filters = check_filters(default_filters(image_shape) if filters is None else filters)
        size = math.prod(feature_map_shape(image_shape, filters))
        super().__init__(
            image_shape,
            size if latent_dim is None else latent_dim,
            seed,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            **kwargs,
        )
        self.filters = filters
        self.activation = check_activation(activation)
        self.kernel_size = check_kernel_size(kernel_size, image_shape)
        self._dense_code = latent_dim is not None

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Any:
        # Files of older versions have no kernel_size: it was 3.
        return super().from_config({"kernel_size": 3, **config}, custom_objects)

    def _build(
        self,
        *,
        bottleneck: keras.layers.Layer | None = None,
        corruption: keras.layers.Layer | None = None,
        code_units: int | None = None,
    ) -> None:
        """Create the networks around a bottleneck; a constructor calls it last.

        Args:
            bottleneck: The layer between encoder and decoder; None for none.
            corruption: A layer that corrupts the encoder's input in training.
            code_units: Width of the encoder's output where the code is dense, `latent_dim` by
                default.
        """
        dense = self.latent_dim if self._dense_code else None
        with self._dtype_scope():
            self.encoder = convolutional_encoder(
                self.image_shape,
                self.filters,
                code_units or dense,
                activation=self.activation,
                corruption=corruption,
            )
            self.decoder = convolutional_decoder(
                dense,
                self.filters,
                self.image_shape,
                activation=self.activation,
                kernel_size=self.kernel_size,
            )
        if bottleneck is not None:
            self.bottleneck = bottleneck
        self._finalize()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim if self._dense_code else None,
            "filters": self.filters,
            "activation": self.activation,
            "kernel_size": self.kernel_size,
        }


@variant
class Convolutional(ConvolutionalAutoencoder):
    """Convolutional autoencoder: convolutions and max pooling, transposed convolutions back.

    After A. Geron, "Hands-On Machine Learning", chapter 17, "Convolutional Autoencoders". Images
    of every size work (see `convolutional_encoder`).

    Args:
        latent_dim: Size of a dense code, >= 1. None makes the last feature map the code, 3x3x64
            for 28x28 images; the attribute `latent_dim` is then its size, 576.
        filters: Filters of each convolution, outermost first. None chooses by the size of an image:
            (16, 32, 64) up to 32x32 pixels, (32, 64, 128, 128) for 64x64.
        kernel_size: Side of the kernels of the decoder, 3 or 4. None for 4, which writes no
            checkerboard, and for 3 with gray images of 28x28 pixels, as in the book.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int | None = None,
        *,
        filters=None,
        activation="relu",
        kernel_size: int | None = None,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            filters=filters,
            activation=activation,
            kernel_size=kernel_size,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            seed=seed,
            **kwargs,
        )
        self._build()
