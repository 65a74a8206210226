"""The convolutional vector-quantized autoencoder (VQ-VAE)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ae.checks import check_filters, check_size, check_sizes
from keras_ae.layers import VectorQuantizer
from keras_ae.metrics import CodebookUsage
from keras_ae.networks import (
    default_strided_filters,
    halved_sizes,
    strided_decoder,
    strided_encoder,
)
from keras_ae.priors.pixel_cnn import PixelCNN
from keras_ae.variants.base import Autoencoder, check_activation
from keras_ae.variants.documentation import variant
from keras_ae.variants.settings import layer_setting, layer_value


@variant
class ConvVQVAE(Autoencoder):
    """Vector-quantized autoencoder (VQ-VAE) with convolutions and a PixelCNN prior.

    The code is a map, 7x7 for a 28x28 image and 16x16 for a 64x64 one, whose every position is one
    of `num_embeddings` shared vectors (van den Oord et al., arXiv 1711.00937). The prior over the
    maps is a `PixelCNN`, which `fit_prior` trains after the autoencoder. Until then it is uniform,
    and `sample` warns. `fit` does not change it: after more training, call `fit_prior` again.

    Logs `perplexity` and `codebook_usage` (see `CodebookUsage`); those of training steps describe
    the codebook after the step, with the replaced vectors.

    Args:
        latent_dim: None, or the value computed from the image shape: height * width *
            `embedding_dim` of the map.
        filters: Filters of the strided convolutions, outermost first, each >= 1; each convolution
            halves the map. A single number is one convolution. None chooses by the size of an
            image: (32, 64) below 128x128 pixels, (32, 64, 128) for 128x128.
        num_residual_blocks: Residual blocks each way, >= 1.
        embedding_dim: Length of a codebook vector, >= 1.
        num_embeddings: Vectors in the codebook, >= 2.
        commitment_cost: Weight of the commitment loss, >= 0. Can be set later.
        ema_decay: Decay of the codebook's moving averages, in [0, 1); None trains the codebook by
            gradient. A number can be set to another number later.
        revive_after: Training steps after which an unused codebook vector is replaced, >= 1; None
            for never.
        prior_filters: Filters of the `PixelCNN`, >= 1.
        prior_blocks: Gated blocks of the `PixelCNN`, >= 1.

    Example:
        model = keras_ae.ConvVQVAE()
        model.compile()
        model.fit(images, epochs=20)
        model.fit_prior(images)
        new_images = model.sample(16, seed=0)

    Raises:
        ValueError: an argument outside its range, or a wrong latent_dim.
        TypeError: an unknown argument.
    """

    can_sample = True
    learns_prior = True
    _xla_on_cpu = False
    _steps_per_call = 16

    num_embeddings = layer_value("bottleneck.num_embeddings", "Vectors in the codebook.")
    commitment_cost = layer_setting(
        "bottleneck.commitment_cost", "Weight of the commitment loss, >= 0."
    )
    ema_decay = layer_setting(
        "bottleneck.ema_decay", "Decay of the codebook's moving averages, in [0, 1), or None."
    )
    revive_after = layer_value(
        "bottleneck.revive_after", "Steps after which an unused codebook vector is replaced."
    )
    prior_filters = layer_value("prior.filters", "Filters of the PixelCNN.")
    prior_blocks = layer_value("prior.num_blocks", "Gated blocks of the PixelCNN.")

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int | None = None,
        *,
        filters=None,
        num_residual_blocks: int = 1,
        activation="relu",
        embedding_dim: int = 16,
        num_embeddings: int = 64,
        commitment_cost: float = 0.25,
        ema_decay: float | None = 0.99,
        revive_after: int | None = 100,
        prior_filters: int = 48,
        prior_blocks: int = 4,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        image_shape = check_sizes("image_shape", image_shape, lengths=(2, 3))
        filters = check_filters(
            default_strided_filters(image_shape) if filters is None else filters
        )
        map_shape = halved_sizes(image_shape, len(filters))
        code_shape = (*map_shape, check_size("embedding_dim", embedding_dim))
        if latent_dim not in (None, math.prod(code_shape)):
            raise ValueError(
                f"latent_dim must be left out or {math.prod(code_shape)}, which follows from the "
                f"image; received {latent_dim!r}."
            )
        super().__init__(
            image_shape,
            math.prod(code_shape),
            seed,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            **kwargs,
        )
        self.filters = filters
        self.num_residual_blocks = check_size("num_residual_blocks", num_residual_blocks)
        self.activation = check_activation(activation)
        self.embedding_dim = code_shape[-1]
        style = {"activation": self.activation}
        with self._dtype_scope():
            self.encoder = strided_encoder(
                image_shape, filters, self.num_residual_blocks, self.embedding_dim, **style
            )
            self.decoder = strided_decoder(
                code_shape, filters, self.num_residual_blocks, image_shape, **style
            )
        self.bottleneck = VectorQuantizer(
            num_embeddings,
            commitment_cost=commitment_cost,
            ema_decay=ema_decay,
            revive_after=revive_after,
            seed=seed,
            dtype="float32",
            name="bottleneck",
        )
        self.prior = PixelCNN(
            map_shape,
            num_embeddings,
            prior_filters,
            prior_blocks,
            seed,
            dtype="float32",
            name="prior",
        )
        self.prior.trainable = False  # in `fit`; `fit_prior` trains a copy
        self._usage = CodebookUsage(1, num_embeddings)
        self._finalize()

    def _finalize(self) -> None:
        self.prior.build()
        super()._finalize()

    @property
    def code_size(self) -> int:
        return super().code_size // self.embedding_dim

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "latent_dim": None,
            "filters": self.filters,
            "num_residual_blocks": self.num_residual_blocks,
            "activation": self.activation,
            "embedding_dim": self.embedding_dim,
            "num_embeddings": self.num_embeddings,
            "commitment_cost": self.commitment_cost,
            "ema_decay": self.ema_decay,
            "revive_after": self.revive_after,
            "prior_filters": self.prior_filters,
            "prior_blocks": self.prior_blocks,
        }

    def _update_metrics(self, outputs: dict) -> None:
        self._usage.update_state(self.bottleneck.indices(outputs["encoded"]))

    def indices(self, images: Any) -> Any:
        """The codebook index at each position of the map: int32, `(N, height, width)`.

        Args:
            images: `(N, *image_shape)`.
        """
        return self._in_batches(
            lambda x: self.bottleneck.indices(self.encoder(x, training=False)), images
        )

    # ---- the prior ----

    def fit_prior(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        images: np.ndarray,
        *,
        epochs: int = 10,
        batch_size: int | None = None,
        learning_rate: float = 2e-3,
        verbose: int | Callable[[str], None] = 0,
    ) -> list[float]:
        """Train the PixelCNN prior, from new weights, on the codes of images.

        The result depends on the autoencoder's weights, the images and the model's seed only.

        Args:
            images: `(N, *image_shape)`.
            epochs: >= 1.
            batch_size: Maps per step; default 64, or all maps where there are fewer.
            learning_rate: >= 0; it falls to 0 along a cosine over the epochs.
            verbose: 0, 1 to print a line per epoch, or a function that is called with each line.

        Returns:
            The prior's negative log-likelihood in each epoch, in nats/image.
        """
        new = PixelCNN.from_config({**self.prior.get_config(), "trainable": True})
        new.build()
        history = new.fit(
            self.indices(images),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            verbose=verbose,
        )
        self.prior.set_weights(new.get_weights())
        return history

    def _sample_latents(self, num_samples, seed) -> tf.Tensor:
        if tf.executing_eagerly() and not self.prior.is_fitted:
            warnings.warn(
                "The prior is uniform until fit_prior(images) is called: samples will not look "
                "like the images.",
                stacklevel=3,
            )
        return self.bottleneck.lookup(self.prior.draw(num_samples, seed))
