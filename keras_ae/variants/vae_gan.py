"""The VAE/GAN: a variational autoencoder with a discriminator."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import SettableNumber, current_value
from keras_ae.checks import check_filters, check_number
from keras_ae.layers import Sampling
from keras_ae.networks import discriminator
from keras_ae.training.trainer import build_optimizer
from keras_ae.variants.base import scale_loss, weighted_mean
from keras_ae.variants.documentation import variant
from keras_ae.variants.vae import VAE

CHANCE = math.log(2.0)  # the cross-entropy of random guessing
LOGIT_LIMIT = 9.0  # the logit of a pixel of 0.0001 or 0.9999
MAX_WINS = 0.95  # share of the batches of an epoch, without a warning
LOGGED = (
    "feature_loss",
    "adversarial_loss",
    "discriminator_loss",
    "discriminator_wins",
    "decoder_wins",
)


def check_variance(name: str, value: Any) -> float:
    return check_number(name, value, 1e-6)


@variant
class VAEGAN(VAE):
    """VAE/GAN: a variational autoencoder whose decoder also has to fool a discriminator.

    Larsen et al. (arXiv 1512.09300). Each step trains three networks, each on its own loss
    (algorithm 1; all in nats/image):

        encoder         latent_loss + feature_loss
        decoder         gamma * feature_loss + adversarial_loss + saturation
        discriminator   discriminator_loss

    `latent_loss`: `beta` times the divergence from N(0, I).
    `feature_loss`: the squared distance, summed and divided by `2 * feature_variance`, of an image
    and its reconstruction in the discriminator's features, the output of its last convolution:
    the negative log-likelihood of a Gaussian there, up to a constant (eq. 7 and 8, with unit
    variance).
    `discriminator_loss`: the cross-entropy of real against reconstructed and sampled images, the
    mean of both sides. At chance it is log 2 = 0.693.
    `adversarial_loss`: the cross-entropy of taking generated images for real ones. The paper has
    minus the discriminator's loss here, whose gradient vanishes where the discriminator wins
    (Goodfellow et al., arXiv 1406.2661, section 3).

    `loss` and `reconstruction_loss` are reported as for every other variant, so that tables
    compare. The reconstruction loss is that of the pixels. No network here is trained on it, and it
    does not measure how good the images look.

    Three safeguards:
    - Balance. If the discriminator's loss is more than `equilibrium_margin` below log 2, it does
      not learn from the batch; if it is as far above, the decoder ignores the adversarial
      loss. `discriminator_wins` and `decoder_wins` log the share of such batches. An epoch in which
      the discriminator wins nearly all of them causes a warning.
    - Saturation. The decoder is penalized for logits beyond `LOGIT_LIMIT` (see `saturation`). The
      paper has no such term; without it this decoder ended in noise on MNIST.
    - Divergence. A step whose losses are not all finite gives no gradient to any network, so NaN
      does not spread; momentum still moves the weights. Training stops after that epoch and names
      the losses that are not finite.

    Args:
        gamma: Weight of the feature loss in the decoder's loss, >= 0 (section 3.3). Can be set
            later.
        feature_variance: Variance of the features, >= 1e-6. A smaller variance makes the code more
            informative. Can be set later.
        equilibrium_margin: In nats, >= 0; from log 2 on the discriminator always learns. Can
            be set later.
        discriminator_filters: Filters of the discriminator's convolutions, outermost first. A
            single number is one convolution.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    _xla_on_cpu = False
    _steps_per_call = 16

    gamma = SettableNumber()
    feature_variance = SettableNumber(check_variance)
    equilibrium_margin = SettableNumber()

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        gamma: float = 0.3,
        feature_variance: float = 0.1,
        equilibrium_margin: float = 0.35,
        discriminator_filters=(16, 32),
        beta: float = 1.0,
        kl_warmup_epochs: float = 0,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        # Before `super().__init__`, which calls `_finalize`.
        self.discriminator_filters = check_filters(discriminator_filters, "discriminator_filters")
        super().__init__(
            image_shape,
            latent_dim,
            beta=beta,
            kl_warmup_epochs=kl_warmup_epochs,
            hidden_units=hidden_units,
            activation=activation,
            batch_normalization=batch_normalization,
            tied=tied,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            seed=seed,
            **kwargs,
        )
        self.gamma = gamma
        self.feature_variance = feature_variance
        self.equilibrium_margin = equilibrium_margin

    def _finalize(self) -> None:
        # Here, since Keras takes no further state once a model is built.
        with self._dtype_scope():
            self.discriminator = discriminator(self.image_shape, self.discriminator_filters)
        # A seed different from the bottleneck's, or both would draw the same noise.
        self.prior_noise = Sampling(None if self.seed is None else self.seed + 1, dtype="float32")
        self.prior_noise.build(((None, self.latent_dim),) * 2)
        self._trackers = {name: keras.metrics.Mean(name=name) for name in LOGGED}
        super()._finalize()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gamma": self.gamma,
            "feature_variance": self.feature_variance,
            "equilibrium_margin": self.equilibrium_margin,
            "discriminator_filters": self.discriminator_filters,
        }

    # ---- two optimizers ----

    def compile(
        self,
        optimizer: str | dict | keras.optimizers.Optimizer | None = None,
        loss: None = None,
        *,
        discriminator_optimizer: str | dict | keras.optimizers.Optimizer | None = None,
        metrics: Sequence | dict | None = None,
        weighted_metrics: Sequence | dict | None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Configure the training, as `Autoencoder.compile`, with a second optimizer.

        Args:
            optimizer: Optimizer of the encoder and the decoder. Callbacks that change the learning
                rate change this one's.
            discriminator_optimizer: Name or instance; None for one like `optimizer`.
            loss, metrics, weighted_metrics, run_eagerly, steps_per_execution, jit_compile, kwargs:
                See `Autoencoder.compile`.
        """
        super().compile(
            optimizer,
            loss,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            **kwargs,
        )
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if discriminator_optimizer is None:
            config = self.optimizer.get_config()
            discriminator_optimizer = type(self.optimizer).from_config(config)
        discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        if scaled and not isinstance(discriminator_optimizer, keras.optimizers.LossScaleOptimizer):
            discriminator_optimizer = keras.optimizers.LossScaleOptimizer(discriminator_optimizer)
        self.discriminator_optimizer: Any = discriminator_optimizer

    def get_compile_config(self) -> dict:
        config = super().get_compile_config()
        if config:
            config["discriminator_optimizer"] = keras.saving.serialize_keras_object(
                self.discriminator_optimizer
            )
        return config

    def _get_optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [self.optimizer, self.discriminator_optimizer]

    def _build_optimizers(self) -> None:
        generator = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        build_optimizer(self.optimizer, generator)
        build_optimizer(self.discriminator_optimizer, self.discriminator.trainable_variables)

    # ---- the step ----

    def call(self, inputs, training: bool = False, details: bool = False):
        """As `Autoencoder.call`; in training the details have `sampled_logits`, from the prior."""
        if not (training and details):
            return super().call(inputs, training, details)
        encoded = self.encoder(inputs, training=True)
        latents = self.bottleneck(encoded, training=True)
        origin = tf.zeros_like(latents)
        # In one batch: the decoder's batch normalization has to suit both kinds of codes.
        codes = tf.concat([latents, self.prior_noise((origin, origin))], axis=0)
        logits, sampled_logits = tf.split(self.decoder(codes, training=True), 2)
        return {
            "encoded": encoded,
            "latents": latents,
            "logits": logits,
            "sampled_logits": sampled_logits,
        }

    def _batch_losses(self, inputs, targets, training: bool):
        """As `Autoencoder._batch_losses`; the outputs have the losses of the three networks too."""
        per_image, latent_loss, outputs = super()._batch_losses(inputs, targets, training)
        features, real = self.discriminator(targets)
        rebuilt_features, made = self.discriminator(self._pixels(outputs["logits"]))
        if training:
            _, sampled = self.discriminator(self._pixels(outputs["sampled_logits"]))
            made = tf.concat([made, sampled], axis=0)
        distance = tf.reduce_sum(tf.square(rebuilt_features - features), axis=-1)
        sides = tf.reduce_mean(tf.nn.softplus(-real)), tf.reduce_mean(tf.nn.softplus(made))
        discriminator_loss = 0.5 * tf.add_n(sides)
        advantage = CHANCE - discriminator_loss
        margin = current_value(self, "equilibrium_margin")
        variance = current_value(self, "feature_variance", tf.float64)
        outputs |= {
            "feature_loss": tf.cast(0.5 / variance, tf.float32) * distance,
            "discriminator_loss": discriminator_loss,
            "adversarial_loss": tf.reduce_mean(tf.nn.softplus(-made)),
            "discriminator_wins": tf.cast(advantage > margin, tf.float32),
            "decoder_wins": tf.cast(-advantage > margin, tf.float32),
        }
        return per_image, latent_loss, outputs

    def train_step(self, data) -> dict:
        """One step of algorithm 1."""
        inputs, targets, weight = self._unpack(data)
        encoder, decoder = self.encoder.trainable_variables, self.decoder.trainable_variables
        discriminator = self.discriminator.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            per_image, latent_loss, outputs = self._batch_losses(inputs, targets, training=True)
            feature_loss = weighted_mean(outputs["feature_loss"], weight)
            adversarial_loss = (1.0 - outputs["decoder_wins"]) * outputs["adversarial_loss"]
            discriminator_loss = (1.0 - outputs["discriminator_wins"]) * outputs[
                "discriminator_loss"
            ]
            encoder_loss = scale_loss(self.optimizer, latent_loss + feature_loss)
            decoder_loss = (
                current_value(self, "gamma") * feature_loss + adversarial_loss + saturation(outputs)
            )
            decoder_loss = scale_loss(self.optimizer, decoder_loss)
            discriminator_loss = scale_loss(self.discriminator_optimizer, discriminator_loss)
        reconstruction_loss = weighted_mean(per_image, weight)
        terms = (reconstruction_loss, encoder_loss, decoder_loss, discriminator_loss)
        finite = tf.reduce_all(tf.math.is_finite(tf.stack(terms)))

        def gradients(loss, variables):
            # Zero where a loss is not finite, so that NaN does not spread.
            return [
                tf.where(finite, gradient, tf.zeros_like(gradient))
                for gradient in tape.gradient(loss, variables)
            ]

        updates = gradients(encoder_loss, encoder) + gradients(decoder_loss, decoder)
        discriminator_updates = gradients(discriminator_loss, discriminator)
        logs = self._track(inputs, targets, weight, reconstruction_loss, latent_loss, outputs)
        self.optimizer.apply(updates, [*encoder, *decoder])
        self.discriminator_optimizer.apply(discriminator_updates, discriminator)
        return logs

    def _update_metrics(self, outputs: dict) -> None:
        super()._update_metrics(outputs)
        num_images = tf.cast(tf.shape(outputs["logits"])[0], tf.float32)
        for name, tracker in self._trackers.items():
            tracker.update_state(tf.reduce_mean(outputs[name]), num_images)

    def _default_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        return [*super()._default_callbacks(epochs), BalanceWatch()]


def saturation(outputs: dict) -> tf.Tensor:
    """The squared excess of logits over `LOGIT_LIMIT`, summed over pixels, averaged over images.

    The sigmoid is flat there, so a pixel that far out gets no gradient back, and a decoder with
    many such pixels gives all images the same noise.
    """
    logits = tf.concat([outputs["logits"], outputs["sampled_logits"]], axis=0)
    beyond = tf.nn.relu(tf.abs(tf.cast(logits, tf.float32)) - LOGIT_LIMIT)
    return tf.reduce_mean(tf.reduce_sum(tf.square(beyond), axis=list(range(1, logits.shape.rank))))


class BalanceWatch(keras.callbacks.Callback):
    """Callback: stop a training that has diverged; warn where the discriminator has won."""

    def on_train_begin(self, logs=None):
        self.warned = False

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        diverged = [
            f"{name} became {value:g}" for name, value in logs.items() if not math.isfinite(value)
        ]
        if diverged:
            model: Any = self.model
            model.stop_training = True
            warnings.warn(
                f"Training stopped in epoch {epoch + 1}: {', '.join(diverged)}. Use a lower "
                "learning rate, above all for the discriminator.",
                stacklevel=2,
            )
        elif logs.get("discriminator_wins", 0.0) > MAX_WINS and not self.warned:
            self.warned = True
            warnings.warn(
                f"The discriminator won {logs['discriminator_wins']:.0%} of the batches of epoch "
                f"{epoch + 1}, so the decoder learns little from it. Use fewer "
                "discriminator_filters, or a lower learning rate of its optimizer.",
                stacklevel=2,
            )
