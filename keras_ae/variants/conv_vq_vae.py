"""The convolutional vector-quantised autoencoder."""

from __future__ import annotations

import math
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_filters, check_size, check_sizes
from keras_ae.layers import VectorQuantizer
from keras_ae.metrics import CodebookUsage
from keras_ae.networks import halved_sizes, strided_decoder, strided_encoder
from keras_ae.pixel_cnn import PixelCNN
from keras_ae.variants.base import Autoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class ConvVQVAE(Autoencoder):
    """A map of codes, 7x7 of a 28x28 image, each one of `num_embeddings` shared vectors.

    Van den Oord et al. (arXiv 1711.00937). The prior over the maps is a `PixelCNN`, which
    `fit_prior` trains once the autoencoder is; until then it is uniform, and `sample` warns. `fit`
    leaves it as it is: after more training, fit it anew.

    Logs `perplexity` and `codebook_usage` (see `CodebookUsage`); those of training steps are of
    the codebook as the step leaves it, with what was revived.

    Args:
        image_shape, seed: See `Autoencoder`.
        latent_dim: None, or what follows from the image: height * width * `embedding_dim` of the
            map.
        filters: Filters of the strided convolutions, outermost first; each halves the map.
        num_residual_blocks: Residual blocks each way, >= 1.
        activation: Of the hidden layers.
        embedding_dim: Length of a codebook vector.
        num_embeddings: Codebook vectors, >= 2.
        commitment_cost, ema_decay, revive_after: See `VectorQuantizer`.
        prior_filters, prior_blocks: Filters and blocks of the `PixelCNN`.
        **arguments: See `Autoencoder`.

    Raises:
        ValueError: an argument outside its range, or another latent_dim than follows.
    """

    can_sample = True
    xla_on_cpu = False
    steps_per_call = 16

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int | None = None,
        *,
        filters=(32, 64),
        num_residual_blocks: int = 1,
        activation="relu",
        embedding_dim: int = 16,
        num_embeddings: int = 64,
        commitment_cost: float = 0.25,
        ema_decay: float | None = 0.99,
        revive_after: int | None = 100,
        prior_filters: int = 48,
        prior_blocks: int = 4,
        seed: int | None = None,
        **arguments,
    ):
        image_shape = check_sizes("image_shape", image_shape, lengths=(2, 3))
        filters = check_filters(filters)
        map_shape = halved_sizes(image_shape, len(filters))
        code_shape = (*map_shape, check_size("embedding_dim", embedding_dim))
        if latent_dim not in (None, math.prod(code_shape)):
            raise ValueError(
                f"latent_dim must be left out, or {math.prod(code_shape)} as follows from the "
                f"image; received {latent_dim!r}."
            )
        super().__init__(image_shape, math.prod(code_shape), seed, **arguments)
        self.filters = filters
        self.num_residual_blocks = check_size("num_residual_blocks", num_residual_blocks)
        self.activation = activation
        self.embedding_dim = code_shape[-1]
        style = {"activation": activation}
        with self.own_precision():
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
        self.prior.trainable = False  # by `fit`; `fit_prior` trains a copy
        self.usage = CodebookUsage(1, num_embeddings)
        self.finish()

    def finish(self) -> None:
        self.prior.build()
        super().finish()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "latent_dim": None,
            "filters": self.filters,
            "num_residual_blocks": self.num_residual_blocks,
            "activation": self.activation,
            "embedding_dim": self.embedding_dim,
            "num_embeddings": self.bottleneck.num_embeddings,
            "commitment_cost": self.bottleneck.commitment_cost,
            "ema_decay": self.bottleneck.ema_decay,
            "revive_after": self.bottleneck.revive_after,
            "prior_filters": self.prior.filters,
            "prior_blocks": self.prior.num_blocks,
        }

    def observe(self, outputs: dict) -> None:
        self.usage.update_state(self.bottleneck.indices(outputs["encoded"]))

    def indices(self, images) -> np.ndarray:
        """The codebook index at each place of the map: int32, `(N, height, width)`."""
        return self._answer(
            lambda x: self.bottleneck.indices(self.encoder(x, training=False)), images
        )

    # ---- the prior ----

    def fit_prior(
        self,
        images: np.ndarray,
        *,
        epochs: int = 10,
        batch_size: int | None = None,
        learning_rate: float = 2e-3,
        verbose: int = 0,
    ) -> list[float]:
        """Trains the prior, from new weights, on the codes of images.

        A function of the autoencoder's weights, the images and the model's seed.

        Args:
            images: `(N, *image_shape)`.
            epochs, batch_size, learning_rate, verbose: See `PixelCNN.fit`.

        Returns:
            The prior's negative log-likelihood in each epoch, in nats per image.
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

    def sample_latents(self, num_samples, seed) -> tf.Tensor:
        if tf.executing_eagerly() and not self.prior.is_fitted:
            warnings.warn(
                "The prior is uniform until fit_prior(images) is called: samples will show nothing "
                "of the images.",
                stacklevel=3,
            )
        return self.bottleneck.lookup(self.prior.draw(num_samples, seed))
