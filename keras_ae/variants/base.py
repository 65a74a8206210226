"""The protocol that every variant speaks, and the one training step."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_images, check_size, check_sizes
from keras_ae.export import export_saved_model
from keras_ae.losses import per_image_bce
from keras_ae.training import EpochTrainer

IMAGES_PER_CALL = 2000
Images = np.ndarray | tf.Tensor


class Autoencoder(EpochTrainer):
    """Encoder, bottleneck, decoder.

    A variant sets `encoder` (images to codes), `bottleneck` (codes to latents; it adds the
    variant's latent loss) and `decoder` (latents to logits), and calls `finish()`.

    The losses, for all variants alike and in nats per image: `reconstruction_loss` is the binary
    cross-entropy summed over pixels and averaged over the batch, `latent_loss` what the
    bottleneck adds, already weighted, `loss` their sum.

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`.
        latent_dim: Size of a latent code, >= 1.
        seed: Of the shuffling and the noise, an integer or None. Initial weights follow
            `keras.utils.set_random_seed`.

    Raises:
        ValueError: an argument outside its range.
    """

    can_sample = False

    def __init__(
        self, image_shape=(28, 28), latent_dim: int = 20, seed: int | None = None, **kwargs
    ):
        super().__init__(seed=seed, **kwargs)
        self.image_shape = check_sizes("image_shape", image_shape, lengths=(2, 3))
        self.latent_dim = check_size("latent_dim", latent_dim)
        self.bottleneck = keras.layers.Identity(name="bottleneck")
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.latent_tracker = keras.metrics.Mean(name="latent_loss")

    @contextlib.contextmanager
    def own_precision(self):
        """Layers made inside compute in the model's precision, also when it is loaded later."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype_policy)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)

    def finish(self) -> None:
        """Builds every weight, so that saving never depends on what was called before."""
        self(tf.zeros((1, *self.image_shape)))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "seed": self.seed,
        }

    # ---- the forward pass and the step ----

    def call(self, images, training=False, details: bool = False):
        """Reconstructions in [0, 1]; with `details`, a dict of encoded, latents and logits."""
        encoded = self.encoder(images, training=training)
        latents = self.bottleneck(encoded, training=training)
        logits = self.decoder(latents, training=training)
        if details:
            return {"encoded": encoded, "latents": latents, "logits": logits}
        return tf.sigmoid(logits)

    def batch_losses(self, images, targets, training: bool):
        """The per-image reconstruction loss `(batch,)`, the latent loss (a scalar), the outputs."""
        outputs = self(images, training=training, details=True)
        latent_loss = tf.add_n([tf.zeros(()), *(tf.cast(loss, tf.float32) for loss in self.losses)])
        return per_image_bce(targets, outputs["logits"]), latent_loss, outputs

    def observe(self, outputs: dict) -> None:
        """Updates a variant's own metrics from the outputs of a step."""

    def train_step(self, data) -> dict:
        images, targets, weight = unpack(data)
        with tf.GradientTape() as tape:
            per_image, latent_loss, outputs = self.batch_losses(images, targets, training=True)
            reconstruction_loss = weighted_mean(per_image, weight)
            # Gradients are summed over replicas, and float16 needs its loss scaled.
            num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = self.optimizer.scale_loss((reconstruction_loss + latent_loss) / num_replicas)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        # Before the update: what is observed is the step as it was, and computed only once.
        logs = self._track(images, targets, weight, reconstruction_loss, latent_loss, outputs)
        self.optimizer.apply(gradients, variables)
        return logs

    def test_step(self, data) -> dict:
        images, targets, weight = unpack(data)
        per_image, latent_loss, outputs = self.batch_losses(images, targets, training=False)
        reconstruction_loss = weighted_mean(per_image, weight)
        return self._track(images, targets, weight, reconstruction_loss, latent_loss, outputs)

    def _track(self, images, targets, weight, reconstruction_loss, latent_loss, outputs) -> dict:
        num_images = tf.cast(tf.shape(images)[0], tf.float32)
        self.reconstruction_tracker.update_state(reconstruction_loss, num_images)
        self.latent_tracker.update_state(latent_loss, num_images)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(reconstruction_loss + latent_loss, num_images)
        self.observe(outputs)
        return self.compute_metrics(images, targets, tf.sigmoid(outputs["logits"]), weight)

    # ---- what a trained model answers ----

    def encode(self, images: Images) -> Images:
        """The deterministic latents of images in [0, 1]: `(N, latent_dim)`.

        Here and below an array is answered with an array, in portions; a tensor with a tensor.
        """
        return self._answer(self._encode, images)

    def decode(self, latents: Images) -> Images:
        """Images in [0, 1], `(N, *image_shape)`, of latents `(N, latent_dim)`."""
        return self._answer(lambda z: tf.sigmoid(self.decoder(z)), latents, self.code_shape)

    def reconstruct(self, images: Images) -> Images:
        """`decode(encode(images))`."""
        return self._answer(self.__call__, images)

    def anomaly_score(self, images: Images, score: str = "bce") -> Images:
        """How badly each image is reconstructed, `(N,)`: higher is more anomalous.

        Args:
            images: In [0, 1], `(N, *image_shape)`.
            score: "bce", the binary cross-entropy in nats, or "signed_residual", the sum over the
                pixels of reconstruction - input. That is no error, for what is lost counts against
                what is added; the published figures of the bake-off were made with it.

        Raises:
            ValueError: an unknown score.
        """

        def bce(x):
            return per_image_bce(x, self(x, details=True)["logits"])

        def signed_residual(x):
            residual = tf.cast(self(x), tf.float32) - tf.cast(x, tf.float32)
            return tf.reduce_sum(residual, axis=list(range(1, residual.shape.rank)))

        scores = {"bce": bce, "signed_residual": signed_residual}
        if score not in list(scores):
            raise ValueError(f"score must be one of {', '.join(scores)}; received {score!r}.")
        return self._answer(scores[score], images)

    def interpolate(self, start: np.ndarray, end: np.ndarray, num_steps: int = 10) -> np.ndarray:
        """Images along the straight line between the codes of two images.

        The line is drawn between what the encoder gives before the bottleneck operation (Gaussian
        parameters, unquantised codes), and each point then passes the bottleneck and the decoder.

        Args:
            start, end: One image each, `image_shape`.
            num_steps: Images returned, both ends included, >= 2.

        Returns:
            `(num_steps, *image_shape)`, in [0, 1].
        """
        if check_size("num_steps", num_steps) < 2:
            raise ValueError(f"num_steps must be >= 2, both ends included; received {num_steps}.")
        ends = np.concatenate(
            [
                check_images(np.asarray(image)[None], self.image_shape, name=name)
                for name, image in (("start", start), ("end", end))
            ]
        )
        encoded = tf.cast(self.encoder(ends, training=False), tf.float32)
        shape = (-1,) + (1,) * (encoded.shape.rank - 1)
        fraction = tf.reshape(tf.linspace(0.0, 1.0, num_steps), shape)
        path = encoded[:1] + fraction * (encoded[1:] - encoded[:1])
        return self.decode(self.bottleneck(path, training=False).numpy())

    def sample(self, num_samples: int, seed: int | None = None) -> np.ndarray:
        """New images, `(num_samples, *image_shape)`, decoded from the prior.

        Args:
            num_samples: >= 1.
            seed: An integer for repeatable samples.

        Raises:
            ValueError: the variant has no prior (`can_sample` is False).
        """
        if not self.can_sample:
            from keras_ae.variants import VARIANTS

            able = [name for name, preset in VARIANTS.items() if preset.load().can_sample]
            raise ValueError(
                f"{type(self).__name__} has no prior to sample from; those that have one are "
                f"{', '.join(able)}."
            )
        check_size("num_samples", num_samples)
        seed = random.randrange(2**31) if seed is None else seed
        return self.decode(self.sample_latents(num_samples, [seed % 2**31, 0]).numpy())

    def sample_latents(self, num_samples, seed) -> tf.Tensor:
        """Latents drawn from the prior, `(num_samples, latent_dim)`; `seed` is two integers."""
        raise ValueError(f"{type(self).__name__} has no prior.")

    def export(self, filepath, format: str = "tf_saved_model", verbose=None, **kwargs) -> None:
        """Writes a SavedModel with the endpoints serve, encode, decode, anomaly_score and, where
        `can_sample`, sample. It needs no keras_ae to be loaded and answers with means, not
        samples. Other formats are Keras's own."""
        if format != "tf_saved_model":
            return super().export(filepath, format=format, verbose=verbose, **kwargs)
        if kwargs:
            raise ValueError(f"A SavedModel is exported without {', '.join(kwargs)}.")
        return export_saved_model(self, filepath, verbose=verbose)

    @property
    def code_shape(self) -> tuple[int, ...]:
        """The shape of one latent code."""
        return tuple(self.decoder.input_shape[1:])

    def _encode(self, images):
        return self.bottleneck(self.encoder(images, training=False), training=False)

    def _answer(self, function: Callable, inputs, shape=None):
        if tf.is_tensor(inputs) or isinstance(inputs, keras.KerasTensor):
            return function(inputs)
        if shape is None:
            inputs = check_images(inputs, self.image_shape)
        else:
            inputs = np.asarray(inputs, dtype=np.float32)
            if inputs.shape[1:] != shape:
                raise ValueError(
                    f"Latents must have the shape (N, {', '.join(map(str, shape))}); received "
                    f"{inputs.shape}."
                )
        portions = np.split(inputs, range(IMAGES_PER_CALL, len(inputs), IMAGES_PER_CALL))
        return np.concatenate([function(tf.constant(portion)).numpy() for portion in portions])


def unpack(data):
    images, targets, weight = keras.utils.unpack_x_y_sample_weight(data)
    images = tf.cast(images, tf.float32)
    return images, images if targets is None else targets, weight


def weighted_mean(per_image, weight):
    """The sum of weighted losses over the number of images: Keras's convention."""
    if weight is not None:
        per_image = per_image * tf.cast(weight, per_image.dtype)
    return tf.reduce_mean(per_image)
