"""The conditional variational autoencoder: the class of an image is a second input."""

from __future__ import annotations

import math
import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_flag, check_labels, check_number, check_size, check_sizes
from keras_ae.layers import ConditionalBottleneck
from keras_ae.losses import gaussian_kl
from keras_ae.networks import bake_off_hidden_units, conditional_encoder, dense_decoder
from keras_ae.training.sources import assert_message
from keras_ae.training.trainer import warn_unused
from keras_ae.variants.base import Autoencoder, Images, check_activation
from keras_ae.variants.documentation import variant
from keras_ae.variants.variational import Variational


@variant
class ConditionalVAE(Variational, Autoencoder):
    """Conditional variational autoencoder (CVAE): encoder and decoder also get the class.

    Sohn et al. (NeurIPS 2015), section 4, with the prior N(0, I) for every class; the same as
    model M2 of Kingma et al. (arXiv 1406.5298, eq. 6) on labeled images. The code does not need to
    carry the class, and `sample(num_samples, labels=...)` gives images of a chosen class.

    Train it with `fit(images, labels)`, `fit({"images": images, "labels": labels})` or a
    `tf.data.Dataset` of batches of either; `evaluate` and `validation_data` take the same. Labels
    are whole numbers in `range(num_classes)`, `(N,)`.

    A code, `(latent_dim + num_classes,)`, is the Gaussian code followed by the one-hot label, so
    `decode` needs nothing else. Without labels, `encode`, `reconstruct`, `anomaly_score`,
    `posterior`, `predict` and the exported endpoints infer them (`infer_labels`), which takes
    `num_classes` passes.

    Args:
        num_classes: Number of classes, >= 1. A class without training images keeps its index;
            its samples are meaningless.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    needs_labels = True

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        num_classes: int = 10,
        beta: float = 1.0,
        kl_warmup_epochs: float = 0,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            seed,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            **kwargs,
        )
        self.num_classes = check_size("num_classes", num_classes)
        if hidden_units is None:
            hidden_units = bake_off_hidden_units(self.latent_dim)
        self.hidden_units = check_sizes("hidden_units", hidden_units)
        self.activation = check_activation(activation)
        self.batch_normalization = check_flag("batch_normalization", batch_normalization)
        style = {"activation": self.activation, "batch_normalization": self.batch_normalization}
        with self._dtype_scope():
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
        self._finalize()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "batch_normalization": self.batch_normalization,
        }

    # ---- labels ----

    def call(self, inputs, training: bool = False, details: bool = False):
        return super().call(self._conditioned(inputs), training, details)

    def _encoded(self, inputs):
        return super()._encoded(self._conditioned(inputs))

    def _conditioned(self, inputs) -> dict:
        """The encoder's inputs: images and one-hot labels, inferred where there are none."""
        if isinstance(inputs, dict):
            images, labels = inputs["images"], self._known_labels(inputs["labels"])
        else:
            images, labels = inputs, self._infer_labels(inputs)
        return {"images": tf.convert_to_tensor(images), "labels": self._one_hot(labels)}

    def _one_hot(self, labels) -> tf.Tensor:
        return tf.one_hot(tf.cast(labels, tf.int32), self.num_classes)

    def infer_labels(self, images: Images) -> Any:
        """The most likely class of each image: the label with the lowest loss.

        The loss is that of the reconstruction from the mean code plus `beta` times the divergence.
        With `beta=1` and equally frequent classes the label approximates the largest p(y|x).

        Args:
            images: `(N, *image_shape)`.

        Returns:
            int32, `(N,)`.
        """
        return self._in_batches(self._infer_labels, images)

    def _infer_labels(self, images) -> tf.Tensor:
        @tf.autograph.experimental.do_not_convert  # converting takes a second
        def loss_of(label):
            labels = tf.repeat(label[None], tf.shape(images)[0])
            inputs = {"images": images, "labels": labels}
            z_mean, z_log_var, label_of_code = self._parts_of(inputs)
            code = tf.concat([z_mean, label_of_code], axis=-1)
            reconstruction = self._per_image_loss(images, self.decoder(code, training=False))
            return reconstruction + self.beta * gaussian_kl(z_mean, z_log_var)

        classes = tf.range(self.num_classes)
        losses = tf.map_fn(loss_of, classes, fn_output_signature=tf.float32, parallel_iterations=1)
        return tf.argmin(losses, axis=0, output_type=tf.int32)

    def posterior(self, inputs: Any, labels: Any = None) -> tuple[Any, Any]:
        """Mean and log-variance of q(z|x, y): see `VAE.posterior`.

        Args:
            inputs: Images `(N, *image_shape)`, or what `pack_inputs` returns.
            labels: `(N,)`; None infers them.
        """
        return super().posterior(self.pack_inputs(inputs, labels))

    # ---- inputs of fit and evaluate ----

    def _unpack(self, data) -> tuple:
        inputs, targets, weight = keras.utils.unpack_x_y_sample_weight(data)
        if not isinstance(inputs, dict):
            inputs, targets = {"images": inputs, "labels": targets}, None
        images = tf.cast(inputs["images"], tf.float32)
        inputs = {"images": images, "labels": inputs["labels"]}
        return inputs, images if targets is None else targets, weight

    def _images_of(self, inputs):
        return inputs["images"] if isinstance(inputs, dict) else inputs

    def _check_inputs(self, inputs):
        if not isinstance(inputs, dict):
            return super()._check_inputs(inputs)
        inputs = self._inputs_from(inputs)
        images = super()._check_inputs(inputs["images"])
        return {
            "images": images,
            "labels": check_labels(inputs["labels"], len(images), self.num_classes),
        }

    def _check_arrays(self, x, y, sample_weight) -> tuple:
        if not isinstance(x, dict):
            x, y = {"images": x, "labels": y}, None
        return super()._check_arrays(x, y, sample_weight)

    def _inputs_from(self, parts: dict) -> dict:
        named = {f"{name}s" if name in ("image", "label") else name: parts[name] for name in parts}
        if not named.keys() >= {"images", "labels"}:
            received = ", ".join(map(repr, parts))
            raise ValueError(
                f"A dict of inputs must have the keys 'images' and 'labels'; received {received}."
            )
        warn_unused(parts)
        return {"images": named["images"], "labels": named["labels"]}

    def _batch_inputs(self, batch: Any) -> Any:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        if isinstance(x, dict) or y is None or len(y.shape) != 1:
            return super()._batch_inputs(batch)
        return {"images": x, "labels": y}

    def _assertions(self, parts: tuple) -> list:
        inputs, targets = parts[0], parts[1:2]
        if not isinstance(inputs, dict):
            inputs, targets = dict(zip(("images", "labels"), parts, strict=False)), ()
        checks = super()._assertions((inputs["images"], *targets))
        if "labels" in inputs:  # the one-hot vector of an unknown label would be zero
            labels = tf.cast(inputs["labels"], tf.float32)
            known = (labels >= 0) & (labels < self.num_classes) & (labels == tf.floor(labels))
            message = f"labels must be whole numbers from 0 to {self.num_classes - 1}."
            checks.append(assert_message(tf.reduce_all(known), message))
        return checks

    def _known_labels(self, labels) -> tf.Tensor:
        """Labels as int32; an unknown label raises when the graph runs."""
        labels = tf.cast(labels, tf.int32)
        message = f"labels must be whole numbers from 0 to {self.num_classes - 1}."
        checks = [
            tf.debugging.assert_non_negative(labels, message),
            tf.debugging.assert_less(labels, self.num_classes, message),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.identity(labels)

    def pack_inputs(self, images: Any, labels: Any = None) -> Any:
        return images if labels is None else {"images": images, "labels": labels}

    # ---- a trained model ----

    def encode(self, images: Images, labels: Any = None) -> Any:
        """The deterministic latent codes of images: the mean, then the one-hot label.

        Args:
            images: `(N, *image_shape)`.
            labels: `(N,)`; None infers them.

        Returns:
            `(N, latent_dim + num_classes)`.
        """
        return super().encode(self.pack_inputs(images, labels))

    def reconstruct(self, images: Images, labels: Any = None) -> Any:
        """Reconstructions of images: `decode(encode(images, labels))`, `(N, *image_shape)`."""
        return super().reconstruct(self.pack_inputs(images, labels))

    def anomaly_score(
        self,
        images: Images,
        score: str | None = None,
        labels: Any = None,
        *,
        num_samples: int | None = None,
    ) -> Any:
        """The anomaly score of each image, given its class: see `Autoencoder.anomaly_score`.

        Args:
            images, score, num_samples: See `Autoencoder.anomaly_score`.
            labels: `(N,)`; None infers them.
        """
        inputs = self.pack_inputs(images, labels)
        return super().anomaly_score(inputs, score, num_samples=num_samples)

    def interpolate(
        self,
        start: np.ndarray,
        end: np.ndarray,
        num_steps: int = 10,
        *,
        spherical: bool = False,
        labels: Any = None,
    ) -> np.ndarray:
        """Interpolation between two images, as in every variant; the label is interpolated too.

        Args:
            start, end, num_steps, spherical: See `Autoencoder.interpolate`.
            labels: The labels of both images, `(2,)`; None infers them.
        """
        inputs = self._check_inputs(self.pack_inputs(self._ends(start, end), labels))
        return self._between(inputs, num_steps, spherical)

    def log_likelihood(
        self,
        images: Any,
        num_samples: int = 5000,
        seed: int | None = None,
        labels: Any = None,
    ) -> np.ndarray:
        """log p(x|y) of images with labels, by importance sampling: see `VAE.log_likelihood`.

        Without labels it is log p(x) with all classes equally frequent, which takes `num_classes`
        times as long.
        """
        estimate = super().log_likelihood
        if isinstance(images, dict) or labels is not None:
            return estimate(self.pack_inputs(images, labels), num_samples, seed)
        images = self._check_inputs(images)
        same_labels = [np.full(len(images), label) for label in range(self.num_classes)]
        of_classes = [
            estimate(self.pack_inputs(images, labels), num_samples, seed) for labels in same_labels
        ]
        return np.logaddexp.reduce(of_classes) - math.log(self.num_classes)

    def sample(self, num_samples: int, seed: int | None = None, labels: Any = None) -> np.ndarray:
        """New images of chosen classes, `(num_samples, *image_shape)`.

        Args:
            num_samples: >= 1.
            seed: A whole number for repeatable samples.
            labels: One label for all, or `(num_samples,)`; None draws them with equal probability.

        Raises:
            ValueError: an unknown label.
        """
        num_samples = check_size("num_samples", num_samples)
        if labels is not None:
            labels = np.full(num_samples, labels) if np.ndim(labels) == 0 else labels
            labels = check_labels(labels, num_samples, self.num_classes)
        seed = random.randrange(2**31) if seed is None else seed
        return self.decode(self._sample_latents(num_samples, [seed % 2**31, 0], labels).numpy())

    def _sample_latents(self, num_samples, seed, labels=None) -> tf.Tensor:
        """Codes from the prior, `(num_samples, latent_dim + num_classes)`."""
        if labels is None:
            labels = tf.random.stateless_uniform(
                (num_samples,),
                tf.stack([seed[0], seed[1] + 1]),
                maxval=self.num_classes,
                dtype=tf.int32,
            )
        return tf.concat(
            [super()._sample_latents(num_samples, seed), self._one_hot(labels)], axis=-1
        )
