"""The conditional variational autoencoder: the class of an image as a second input."""

from __future__ import annotations

import math
import random

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_flag, check_labels, check_number, check_size, check_sizes
from keras_ae.layers import ConditionalBottleneck
from keras_ae.losses import gaussian_kl
from keras_ae.networks import bake_off_hidden_units, conditional_encoder, dense_decoder
from keras_ae.variants.base import Autoencoder, Images
from keras_ae.variants.variational import Variational


@keras.saving.register_keras_serializable(package="keras_ae")
class ConditionalVAE(Variational, Autoencoder):
    """A VAE whose encoder and decoder are told the class of the image.

    Sohn et al. (NeurIPS 2015), section 4, with the prior N(0, I) for every class; the same as
    model M2 of Kingma et al. (arXiv 1406.5298, eq. 6) on labelled images. The code need not say
    which class it is, and `sample(num_samples, labels=...)` gives images of the class asked for.

    Trained by `fit(images, labels)`, `fit({"images": images, "labels": labels})` or a
    `tf.data.Dataset` of batches of either; `evaluate` and `validation_data` likewise. Labels are
    whole numbers in `range(num_classes)`, `(N,)`.

    A code, `(latent_dim + num_classes,)`, is the Gaussian one with the one-hot label behind it, so
    `decode` needs nothing else. Where `encode`, `reconstruct`, `anomaly_score`, `posterior`,
    `predict` and the exported endpoints are given images alone, they infer the label
    (`infer_labels`), at the price of `num_classes` passes.

    Args:
        image_shape, latent_dim, seed: See `Autoencoder`.
        num_classes: How many classes there are, >= 1. A class that training never sees keeps its
            number; what is sampled of it means nothing.
        hidden_units, activation, batch_normalization: See `DenseAutoencoder`.
        beta, kl_warmup_epochs: See `VAE`.

    Raises:
        ValueError: an argument outside its range.
    """

    needs_labels = True

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        num_classes: int = 10,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        beta: float = 1.0,
        kl_warmup_epochs: float = 0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, seed, **kwargs)
        self.num_classes = check_size("num_classes", num_classes)
        if hidden_units is None:
            hidden_units = bake_off_hidden_units(self.latent_dim)
        self.hidden_units = check_sizes("hidden_units", hidden_units)
        self.activation = activation
        self.batch_normalization = check_flag("batch_normalization", batch_normalization)
        style = {"activation": activation, "batch_normalization": batch_normalization}
        with self.own_precision():
            self.encoder = conditional_encoder(
                self.image_shape, self.num_classes, self.hidden_units, 2 * self.latent_dim, **style
            )
            self.decoder = dense_decoder(
                self.latent_dim + self.num_classes, self.hidden_units, self.image_shape, **style
            )
        self.bottleneck = ConditionalBottleneck(
            self.num_classes,
            beta=check_number("beta", beta),
            seed=seed,
            warmup_epochs=check_number("kl_warmup_epochs", kl_warmup_epochs),
            dtype="float32",
            name="bottleneck",
        )
        self.finish()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "batch_normalization": self.batch_normalization,
        }

    # ---- the label beside the images ----

    def call(self, inputs, training=False, details: bool = False):
        return super().call(self.conditioned(inputs), training, details)

    def _encoded(self, inputs):
        return super()._encoded(self.conditioned(inputs))

    def conditioned(self, inputs) -> dict:
        """What the encoder takes: images and one-hot labels, inferred where there are none."""
        if isinstance(inputs, dict):
            images, labels = inputs["images"], self.known_labels(inputs["labels"])
        else:
            images, labels = inputs, self._infer_labels(inputs)
        return {"images": tf.convert_to_tensor(images), "labels": self.one_hot(labels)}

    def one_hot(self, labels) -> tf.Tensor:
        return tf.one_hot(tf.cast(labels, tf.int32), self.num_classes)

    def infer_labels(self, images: Images) -> Images:
        """The most plausible label of each image, `(N,)`, int32.

        That of the lowest loss: reconstruction from the mean code, and `beta` times the
        divergence. With `beta=1` and equally frequent classes it approximates the largest p(y|x).
        """
        return self._answer(self._infer_labels, images)

    def _infer_labels(self, images) -> tf.Tensor:
        def loss_of(label):
            labels = tf.repeat(label[None], tf.shape(images)[0])
            inputs = {"images": images, "labels": labels}
            z_mean, z_log_var, label_of_code = self._parts_of(inputs)
            code = tf.concat([z_mean, label_of_code], axis=-1)
            reconstruction = self.per_image_loss(images, self.decoder(code, training=False))
            return reconstruction + self.beta * gaussian_kl(z_mean, z_log_var)

        classes = tf.range(self.num_classes)
        losses = tf.map_fn(loss_of, classes, fn_output_signature=tf.float32, parallel_iterations=1)
        return tf.argmin(losses, axis=0, output_type=tf.int32)

    def posterior(self, images, labels=None) -> tuple[tf.Tensor, tf.Tensor]:
        """`z_mean` and `z_log_var` of q(z|x, y), `(N, latent_dim)` each, float32."""
        return super().posterior(self.with_labels(images, labels))

    # ---- what fit and evaluate are given ----

    def unpack(self, data) -> tuple:
        inputs, targets, weight = keras.utils.unpack_x_y_sample_weight(data)
        if not isinstance(inputs, dict):
            inputs, targets = {"images": inputs, "labels": targets}, None
        images = tf.cast(inputs["images"], tf.float32)
        inputs = {"images": images, "labels": inputs["labels"]}
        return inputs, images if targets is None else targets, weight

    def images_of(self, inputs):
        return inputs["images"] if isinstance(inputs, dict) else inputs

    def check_inputs(self, inputs):
        if not isinstance(inputs, dict):
            return super().check_inputs(inputs)
        if set(inputs) != {"images", "labels"}:
            received = ", ".join(map(repr, inputs))
            raise ValueError(f"A dict must hold 'images' and 'labels'; received {received}.")
        images = super().check_inputs(inputs["images"])
        return {
            "images": images,
            "labels": check_labels(inputs["labels"], len(images), self.num_classes),
        }

    def _checked(self, x, y, sample_weight):
        if not isinstance(x, dict):
            x, y = {"images": x, "labels": y}, None
        return super()._checked(x, y, sample_weight)

    def _checked_dataset(self, x):
        if not isinstance(x, tf.data.Dataset):
            return super()._checked_dataset(x)
        for batch in x.take(1):
            parts = keras.utils.unpack_x_y_sample_weight(batch)
            self._checked(*(None if part is None else as_arrays(part) for part in parts))
        return x.map(self._with_known_labels)

    def _with_known_labels(self, *batch):
        """A batch of a dataset, which fails where a label is unknown: it would count as none."""
        batch = batch if len(batch) > 1 else batch[0]
        inputs, _, _ = self.unpack(batch)
        with tf.control_dependencies([self.known_labels(inputs["labels"])]):
            return tf.nest.map_structure(tf.identity, batch)

    def known_labels(self, labels) -> tf.Tensor:
        """Labels as int32, in a graph that fails where one is unknown."""
        labels = tf.cast(labels, tf.int32)
        message = f"labels must be whole numbers from 0 to {self.num_classes - 1}."
        checks = [
            tf.debugging.assert_non_negative(labels, message),
            tf.debugging.assert_less(labels, self.num_classes, message),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.identity(labels)

    def with_labels(self, images, labels):
        """Images, or images with labels where there are any."""
        return images if labels is None else {"images": images, "labels": labels}

    # ---- what a trained model answers ----

    def encode(self, images: Images, labels=None) -> Images:
        """Codes `(N, latent_dim + num_classes)`: the mean and the one-hot label, given or inferred.

        Args:
            images: `(N, *image_shape)`.
            labels: `(N,)`; None infers them.
        """
        return super().encode(self.with_labels(images, labels))

    def reconstruct(self, images: Images, labels=None) -> Images:
        """`decode(encode(images, labels))`."""
        return super().reconstruct(self.with_labels(images, labels))

    def anomaly_score(self, images: Images, score: str | None = None, labels=None) -> Images:
        """As `Autoencoder.anomaly_score`, with the labels given or inferred."""
        return super().anomaly_score(self.with_labels(images, labels), score)

    def interpolate(
        self, start, end, num_steps: int = 10, *, spherical: bool = False, labels=None
    ) -> np.ndarray:
        """As `LatentTools.interpolate`; between two classes the label fades over too.

        Args:
            start, end, num_steps, spherical: See `LatentTools.interpolate`.
            labels: Those of both ends, `(2,)`; None infers them.
        """
        inputs = self.check_inputs(self.with_labels(self._ends(start, end), labels))
        return self._between(inputs, num_steps, spherical)

    def log_likelihood(
        self, images, num_samples: int = 5000, seed: int | None = None, labels=None
    ) -> np.ndarray:
        """As `Variational.log_likelihood`: log p(x|y) of images with their labels.

        Of images alone it is log p(x) with all classes equally frequent, `num_classes` times the
        work.
        """
        estimate = super().log_likelihood
        if isinstance(images, dict) or labels is not None:
            return estimate(self.with_labels(images, labels), num_samples, seed)
        images = self.check_inputs(images)
        labels_alike = [np.full(len(images), label) for label in range(self.num_classes)]
        of_classes = [
            estimate(self.with_labels(images, labels), num_samples, seed) for labels in labels_alike
        ]
        return np.logaddexp.reduce(of_classes) - math.log(self.num_classes)

    def sample(self, num_samples: int, seed: int | None = None, labels=None) -> np.ndarray:
        """New images, `(num_samples, *image_shape)`, of the classes asked for.

        Args:
            num_samples: >= 1.
            seed: An integer for repeatable samples.
            labels: One label for all, or `(num_samples,)`; None draws them, all equally likely.

        Raises:
            ValueError: an unknown label.
        """
        num_samples = check_size("num_samples", num_samples)
        if labels is not None:
            labels = np.full(num_samples, labels) if np.ndim(labels) == 0 else labels
            labels = check_labels(labels, num_samples, self.num_classes)
        seed = random.randrange(2**31) if seed is None else seed
        return self.decode(self.sample_latents(num_samples, [seed % 2**31, 0], labels).numpy())

    def sample_latents(self, num_samples, seed, labels=None) -> tf.Tensor:
        """Codes from the prior, `(num_samples, latent_dim + num_classes)`."""
        if labels is None:
            labels = tf.random.stateless_uniform(
                (num_samples,), [seed[0], seed[1] + 1], maxval=self.num_classes, dtype=tf.int32
            )
        return tf.concat([super().sample_latents(num_samples, seed), self.one_hot(labels)], axis=-1)


def as_arrays(batch):
    """A tensor as an array, or each of a dict's."""
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
