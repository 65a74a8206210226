"""The protocol that every variant speaks, and the one training step."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_choice, check_images, check_size, check_sizes
from keras_ae.saving.export import export_saved_model
from keras_ae.losses import per_image_bce, per_image_mse
from keras_ae.training.trainer import EpochTrainer, num_items
from keras_ae.variants.latents import LatentTools

IMAGES_PER_CALL = 2000
Images = np.ndarray | tf.Tensor
LOSSES = ("bce", "mse")
# Of the output: from logits to pixels, and the range of the images it is for.
ACTIVATIONS = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "linear": tf.identity}
PIXEL_RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "linear": (0.0, 1.0)}


class Autoencoder(LatentTools, EpochTrainer):
    """Encoder, bottleneck, decoder.

    A variant sets `encoder` (images to codes), `bottleneck` (codes to latents; it adds the
    variant's latent loss) and `decoder` (latents to logits: what comes before the output
    activation), and calls `finish()`.

    The losses, for all variants alike and in nats per image: `reconstruction_loss` is the binary
    cross-entropy (or the squared error) summed over pixels and averaged over the batch,
    `latent_loss` what the bottleneck adds, already weighted, `loss` their sum.

    Args:
        image_shape: `(height, width)` or `(height, width, channels)`.
        latent_dim: Size of a latent code, >= 1.
        seed: Of the shuffling and the noise, an integer or None. Initial weights follow
            `keras.utils.set_random_seed`.
        reconstruction_loss: "bce", or "mse", the squared error summed over the pixels.
        output_activation: "sigmoid"; with "mse" also "linear", or "tanh" for images in [-1, 1].

    Raises:
        ValueError: an argument outside its range.
    """

    can_sample = False
    needs_labels = False  # whether `fit` takes class labels and the constructor `num_classes`

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        seed: int | None = None,
        *,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        self.image_shape = check_sizes("image_shape", image_shape, lengths=(2, 3))
        self.latent_dim = check_size("latent_dim", latent_dim)
        self.reconstruction_loss = check_choice("reconstruction_loss", reconstruction_loss, LOSSES)
        self.output_activation = check_choice("output_activation", output_activation, ACTIVATIONS)
        if reconstruction_loss == "bce" and output_activation != "sigmoid":
            raise ValueError(
                "output_activation must be sigmoid with reconstruction_loss 'bce'; received "
                f"{output_activation!r}."
            )
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

    @property
    def pixel_range(self) -> tuple[float, float]:
        """The lowest and the highest pixel an image may have."""
        return PIXEL_RANGES[self.output_activation]

    def finish(self) -> None:
        """Builds every weight, so that saving never depends on what was called before."""
        if not hasattr(self, "bottleneck"):
            self.bottleneck = keras.layers.Identity(name="bottleneck")
        self(tf.zeros((1, *self.image_shape)))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "seed": self.seed,
            "reconstruction_loss": self.reconstruction_loss,
            "output_activation": self.output_activation,
        }

    # ---- the forward pass and the step ----

    def call(self, inputs, training=False, details: bool = False):
        """Reconstructions; with `details`, a dict of encoded, latents and logits."""
        encoded = self.encoder(inputs, training=training)
        latents = self.bottleneck(encoded, training=training)
        logits = self.decoder(latents, training=training)
        if details:
            return {"encoded": encoded, "latents": latents, "logits": logits}
        return self.pixels(logits)

    def pixels(self, logits) -> tf.Tensor:
        """The output activation."""
        return ACTIVATIONS[self.output_activation](logits)

    def per_image_loss(self, targets, logits) -> tf.Tensor:
        """The reconstruction loss of each image, `(batch,)`."""
        if self.reconstruction_loss == "bce":
            return per_image_bce(targets, logits)
        return per_image_mse(targets, self.pixels(logits))

    def batch_losses(self, inputs, targets, training: bool):
        """The per-image reconstruction loss `(batch,)`, the latent loss (a scalar), the outputs."""
        outputs = self(inputs, training=training, details=True)
        latent_loss = tf.add_n([tf.zeros(()), *(tf.cast(loss, tf.float32) for loss in self.losses)])
        return self.per_image_loss(targets, outputs["logits"]), latent_loss, outputs

    def unpack(self, data) -> tuple:
        """Inputs, target images and sample weights (or None) of what Keras hands to a step."""
        inputs, targets, weight = keras.utils.unpack_x_y_sample_weight(data)
        inputs = tf.cast(inputs, tf.float32)
        return inputs, inputs if targets is None else targets, weight

    def observe(self, outputs: dict) -> None:
        """Updates a variant's own metrics from the outputs of a step."""

    def train_step(self, data) -> dict:
        inputs, targets, weight = self.unpack(data)
        with tf.GradientTape() as tape:
            per_image, latent_loss, outputs = self.batch_losses(inputs, targets, training=True)
            reconstruction_loss = weighted_mean(per_image, weight)
            loss = scaled(self.optimizer, reconstruction_loss + latent_loss)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        # Before the update: what is observed is the step as it was, and computed only once.
        logs = self.track(inputs, targets, weight, reconstruction_loss, latent_loss, outputs)
        self.optimizer.apply(gradients, variables)
        return logs

    def test_step(self, data) -> dict:
        inputs, targets, weight = self.unpack(data)
        per_image, latent_loss, outputs = self.batch_losses(inputs, targets, training=False)
        reconstruction_loss = weighted_mean(per_image, weight)
        return self.track(inputs, targets, weight, reconstruction_loss, latent_loss, outputs)

    def track(self, inputs, targets, weight, reconstruction_loss, latent_loss, outputs) -> dict:
        """Updates all metrics with a step; returns them as logs."""
        num_images = tf.cast(tf.shape(targets)[0], tf.float32)
        self.reconstruction_tracker.update_state(reconstruction_loss, num_images)
        self.latent_tracker.update_state(latent_loss, num_images)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(reconstruction_loss + latent_loss, num_images)
        self.observe(outputs)
        return self.compute_metrics(inputs, targets, self.pixels(outputs["logits"]), weight)

    # ---- what a trained model answers ----

    def encode(self, images: Images) -> Images:
        """The deterministic latents of images: `(N, *code_shape)`, mostly `(N, latent_dim)`.

        Here and below an array is answered with an array, in portions; a tensor with a tensor.
        """
        return self._answer(self._encode, images)

    def decode(self, latents: Images) -> Images:
        """Images, `(N, *image_shape)`, of latents `(N, *code_shape)`."""
        return self._answer(
            lambda codes: self.pixels(self.decoder(codes)), latents, self.check_latents
        )

    def reconstruct(self, images: Images) -> Images:
        """`decode(encode(images))`."""
        return self._answer(self.__call__, images)

    def anomaly_score(self, images: Images, score: str | None = None) -> Images:
        """How badly each image is reconstructed, `(N,)`: higher is more anomalous.

        Args:
            images: `(N, *image_shape)`.
            score: "bce", the binary cross-entropy in nats (of a sigmoid output); "mse", the
                squared error summed over the pixels; None for the one of the two that the model
                was trained with; or "signed_residual", the sum over the pixels of reconstruction
                - input. That is no error, for what is lost counts against what is added; the
                published figures of the bake-off were made with it.

        Raises:
            ValueError: an unknown score, or "bce" of another than a sigmoid output.
        """

        def bce(x, logits):
            return per_image_bce(x, logits)

        def mse(x, logits):
            return per_image_mse(x, self.pixels(logits))

        def signed_residual(x, logits):
            residual = tf.cast(self.pixels(logits), tf.float32) - tf.cast(x, tf.float32)
            return tf.reduce_sum(residual, axis=list(range(1, residual.shape.rank)))

        scores = {"bce": bce, "mse": mse, "signed_residual": signed_residual}
        if self.output_activation != "sigmoid":
            del scores["bce"]
        score = check_choice("score", score or self.reconstruction_loss, scores)

        def scored(inputs):
            logits = self(inputs, details=True)["logits"]
            return scores[score](self.images_of(inputs), logits)

        return self._answer(scored, images)

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

    def images_of(self, inputs):
        """The images among the model's inputs."""
        return inputs

    def check_inputs(self, inputs):
        """Inputs in memory, ready for the model, or a ValueError."""
        return check_images(inputs, self.image_shape, pixel_range=self.pixel_range)

    def check_latents(self, latents) -> np.ndarray:
        latents, shape = np.asarray(latents, dtype=np.float32), self.code_shape
        if latents.shape[1:] != shape:
            raise ValueError(
                f"Latents must have the shape (N, {', '.join(map(str, shape))}); received "
                f"{latents.shape}."
            )
        return latents

    def _encode(self, inputs):
        return self.bottleneck(self._encoded(inputs), training=False)

    def _encoded(self, inputs):
        """What the encoder gives before the bottleneck operation."""
        return self.encoder(inputs, training=False)

    def _answer(self, function: Callable, inputs, check: Callable | None = None):
        """`function(inputs)`, of arrays in portions and as an array."""
        if holds_tensors(inputs):
            return function(inputs)
        inputs = (check or self.check_inputs)(inputs)
        answers = []
        for start in range(0, num_items(inputs), IMAGES_PER_CALL):
            portion = tf.nest.map_structure(
                lambda array, start=start: tf.constant(array[start : start + IMAGES_PER_CALL]),
                inputs,
            )
            answers.append(function(portion).numpy())
        return np.concatenate(answers)


def holds_tensors(inputs) -> bool:
    """Whether an input, or a part of a nest, is a tensor: those are neither checked nor cut."""
    kinds = (tf.Tensor, keras.KerasTensor)
    return any(isinstance(part, kinds) for part in tf.nest.flatten(inputs))


def scaled(optimizer, loss) -> tf.Tensor:
    """A loss as its gradients need it: they are summed over replicas, and float16 needs a scale."""
    return optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)


def weighted_mean(per_image, weight):
    """The sum of weighted losses over the number of images: Keras's convention."""
    if weight is not None:
        per_image = per_image * tf.cast(weight, per_image.dtype)
    return tf.reduce_mean(per_image)
