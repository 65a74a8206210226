"""The VAE/GAN: a variational autoencoder that measures images with a discriminator's eyes."""

from __future__ import annotations

import math
import warnings

import keras
import tensorflow as tf

from keras_ae.checks import check_filters, check_number
from keras_ae.layers import Sampling
from keras_ae.networks import discriminator
from keras_ae.variants.base import scaled, weighted_mean
from keras_ae.variants.vae import VAE

CHANCE = math.log(2.0)  # the cross-entropy of a discriminator that knows nothing
LOGIT_LIMIT = 9.0  # of a pixel of 0.0001 or 0.9999
MOST_WINS = 0.95  # of the batches of an epoch, without a warning
OBSERVED = (
    "feature_loss",
    "adversarial_loss",
    "discriminator_loss",
    "discriminator_wins",
    "decoder_wins",
)


@keras.saving.register_keras_serializable(package="keras_ae")
class VAEGAN(VAE):
    """A VAE whose decoder also has to fool a discriminator; new images come from N(0, I).

    Larsen et al. (arXiv 1512.09300). Each step trains three nets, each on a loss of its own
    (algorithm 1; all in nats per image):

        encoder         latent_loss + feature_loss
        decoder         gamma * feature_loss + adversarial_loss + saturation
        discriminator   discriminator_loss

    `latent_loss`: `beta` times the divergence from N(0, I).
    `feature_loss`: the squared distance, summed and divided by `2 * feature_variance`, of an image
    and its reconstruction in the discriminator's features, what its last convolution gives: minus
    the log-likelihood of a Gaussian there, up to a constant (eq. 7 and 8, of unit variance).
    `discriminator_loss`: the cross-entropy of real against reconstructed and sampled images, the
    mean of both sides. At chance it is log 2 = 0.693.
    `adversarial_loss`: that of taking made images for real ones. The paper has minus the
    discriminator's loss here, whose gradient vanishes where the discriminator wins (Goodfellow et
    al., arXiv 1406.2661, section 3).

    `loss` and `reconstruction_loss` are reported as of every other variant, so that tables
    compare: the reconstruction loss is that of the pixels, which no net here is trained on, and no
    measure of how good the images look.

    Three guards:
    - The balance. Where the discriminator's loss is further than `equilibrium_margin` below log 2,
      it does not learn from the batch; where it is as far above, the decoder does without the
      adversarial loss. `discriminator_wins` and `decoder_wins` log the share of such batches. An
      epoch in which the discriminator wins nearly all of them brings a warning.
    - Saturation. The decoder pays for logits beyond `LOGIT_LIMIT` (see `saturation`); the paper has
      no such term, and without it this decoder ended in noise on MNIST.
    - Divergence. A step whose losses are not all finite gives no gradient to any net, so what is
      not finite does not spread; momentum still moves them. The training stops after that epoch and
      names the losses that are not finite.

    Args:
        gamma: Factor on the feature loss in the decoder's, >= 0 (section 3.3).
        feature_variance: >= 1e-6. The smaller, the more the encoder tells of an image.
        equilibrium_margin: In nats, >= 0; from log 2 on the discriminator always learns.
        discriminator_filters: Filters of the discriminator's convolutions, outermost first.
        beta, kl_warmup_epochs, **network: See `VAE`.

    Raises:
        ValueError: an argument outside its range.
    """

    xla_on_cpu = False
    steps_per_call = 16

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        gamma: float = 0.3,
        feature_variance: float = 0.1,
        equilibrium_margin: float = 0.35,
        discriminator_filters=(16, 32),
        seed: int | None = None,
        **network,
    ):
        # Before the rest, which calls `finish`.
        self.discriminator_filters = check_filters(discriminator_filters, "discriminator_filters")
        super().__init__(image_shape, latent_dim, seed=seed, **network)
        self.gamma = check_number("gamma", gamma)
        self.feature_variance = check_number("feature_variance", feature_variance, 1e-6)
        self.equilibrium_margin = check_number("equilibrium_margin", equilibrium_margin)

    def finish(self) -> None:
        # Here, since Keras takes no further state once a model is built.
        with self.own_precision():
            self.discriminator = discriminator(self.image_shape, self.discriminator_filters)
        # Another seed than the bottleneck's, or both would draw the same noise.
        self.prior_noise = Sampling(None if self.seed is None else self.seed + 1, dtype="float32")
        self.prior_noise.build(((None, self.latent_dim),) * 2)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in OBSERVED}
        super().finish()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "gamma": self.gamma,
            "feature_variance": self.feature_variance,
            "equilibrium_margin": self.equilibrium_margin,
            "discriminator_filters": self.discriminator_filters,
        }

    # ---- two optimizers ----

    def compile(self, optimizer=None, loss=None, *, discriminator_optimizer=None, **kwargs) -> None:
        """As `EpochTrainer.compile`.

        Args:
            optimizer: Of the encoder and the decoder. Callbacks that change the learning rate
                change this one's.
            discriminator_optimizer: Name or instance; None for one like `optimizer`.
            **kwargs: See `EpochTrainer.compile`.
        """
        super().compile(optimizer, loss, **kwargs)
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if discriminator_optimizer is None:
            config = self.optimizer.get_config()
            discriminator_optimizer = type(self.optimizer).from_config(config)
        discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        if scaled and not isinstance(discriminator_optimizer, keras.optimizers.LossScaleOptimizer):
            discriminator_optimizer = keras.optimizers.LossScaleOptimizer(discriminator_optimizer)
        self.discriminator_optimizer = discriminator_optimizer

    def get_compile_config(self) -> dict:
        config = super().get_compile_config()
        if config:
            config["discriminator_optimizer"] = keras.saving.serialize_keras_object(
                self.discriminator_optimizer
            )
        return config

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [self.optimizer, self.discriminator_optimizer]

    def build_optimizers(self) -> None:
        self.optimizer.build([*self.encoder.trainable_variables, *self.decoder.trainable_variables])
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    # ---- the step ----

    def call(self, inputs, training=False, details: bool = False):
        """As `Autoencoder.call`; in training the details have `sampled_logits`, of the prior."""
        if not (training and details):
            return super().call(inputs, training, details)
        encoded = self.encoder(inputs, training=True)
        latents = self.bottleneck(encoded, training=True)
        origin = tf.zeros_like(latents)
        # In one batch: the decoder's normalisation is to fit both kinds of codes.
        codes = tf.concat([latents, self.prior_noise((origin, origin))], axis=0)
        logits, sampled_logits = tf.split(self.decoder(codes, training=True), 2)
        return {
            "encoded": encoded,
            "latents": latents,
            "logits": logits,
            "sampled_logits": sampled_logits,
        }

    def batch_losses(self, inputs, targets, training: bool):
        """As `Autoencoder.batch_losses`; the outputs have the losses of the three nets too."""
        per_image, latent_loss, outputs = super().batch_losses(inputs, targets, training)
        features, real = self.discriminator(targets)
        rebuilt_features, made = self.discriminator(self.pixels(outputs["logits"]))
        if training:
            _, sampled = self.discriminator(self.pixels(outputs["sampled_logits"]))
            made = tf.concat([made, sampled], axis=0)
        distance = tf.reduce_sum(tf.square(rebuilt_features - features), axis=-1)
        sides = tf.reduce_mean(tf.nn.softplus(-real)), tf.reduce_mean(tf.nn.softplus(made))
        discriminator_loss = 0.5 * tf.add_n(sides)
        advantage = CHANCE - discriminator_loss
        outputs |= {
            "feature_loss": 0.5 / self.feature_variance * distance,
            "discriminator_loss": discriminator_loss,
            "adversarial_loss": tf.reduce_mean(tf.nn.softplus(-made)),
            "discriminator_wins": tf.cast(advantage > self.equilibrium_margin, tf.float32),
            "decoder_wins": tf.cast(-advantage > self.equilibrium_margin, tf.float32),
        }
        return per_image, latent_loss, outputs

    def train_step(self, data) -> dict:
        """One step of algorithm 1."""
        inputs, targets, weight = self.unpack(data)
        encoder, decoder = self.encoder.trainable_variables, self.decoder.trainable_variables
        discriminator = self.discriminator.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            per_image, latent_loss, outputs = self.batch_losses(inputs, targets, training=True)
            feature_loss = weighted_mean(outputs["feature_loss"], weight)
            adversarial_loss = (1.0 - outputs["decoder_wins"]) * outputs["adversarial_loss"]
            discriminator_loss = (1.0 - outputs["discriminator_wins"]) * outputs[
                "discriminator_loss"
            ]
            encoder_loss = scaled(self.optimizer, latent_loss + feature_loss)
            decoder_loss = self.gamma * feature_loss + adversarial_loss + saturation(outputs)
            decoder_loss = scaled(self.optimizer, decoder_loss)
            discriminator_loss = scaled(self.discriminator_optimizer, discriminator_loss)
        reconstruction_loss = weighted_mean(per_image, weight)
        terms = (reconstruction_loss, encoder_loss, decoder_loss, discriminator_loss)
        finite = tf.reduce_all(tf.math.is_finite(tf.stack(terms)))

        def gradients(loss, variables):
            # Zero where a loss is not finite, so that the others do not follow it.
            return [
                tf.where(finite, gradient, tf.zeros_like(gradient))
                for gradient in tape.gradient(loss, variables)
            ]

        updates = gradients(encoder_loss, encoder) + gradients(decoder_loss, decoder)
        discriminator_updates = gradients(discriminator_loss, discriminator)
        logs = self.track(inputs, targets, weight, reconstruction_loss, latent_loss, outputs)
        self.optimizer.apply(updates, [*encoder, *decoder])
        self.discriminator_optimizer.apply(discriminator_updates, discriminator)
        return logs

    def observe(self, outputs: dict) -> None:
        super().observe(outputs)
        num_images = tf.cast(tf.shape(outputs["logits"])[0], tf.float32)
        for name, tracker in self.trackers.items():
            tracker.update_state(tf.reduce_mean(outputs[name]), num_images)

    def own_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        return [*super().own_callbacks(epochs), BalanceWatch()]


def saturation(outputs: dict) -> tf.Tensor:
    """How far logits lie beyond `LOGIT_LIMIT`, squared, summed over pixels: a mean of the images.

    There the sigmoid is flat: a pixel that strays so far finds no way back, and a decoder that has
    many of them gives all images the same noise.
    """
    logits = tf.concat([outputs["logits"], outputs["sampled_logits"]], axis=0)
    beyond = tf.nn.relu(tf.abs(tf.cast(logits, tf.float32)) - LOGIT_LIMIT)
    return tf.reduce_mean(tf.reduce_sum(tf.square(beyond), axis=list(range(1, logits.shape.rank))))


class BalanceWatch(keras.callbacks.Callback):
    """Stops a training that has diverged; warns of one that the discriminator has won."""

    def on_train_begin(self, logs=None):
        self.warned = False

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        diverged = [
            f"{name} became {value:g}" for name, value in logs.items() if not math.isfinite(value)
        ]
        if diverged:
            self.model.stop_training = True
            warnings.warn(
                f"The training stopped in epoch {epoch + 1}: {', '.join(diverged)}. Try a lower "
                "learning rate, of the discriminator above all.",
                stacklevel=2,
            )
        elif logs.get("discriminator_wins", 0.0) > MOST_WINS and not self.warned:
            self.warned = True
            warnings.warn(
                f"The discriminator won {logs['discriminator_wins']:.0%} of the batches of epoch "
                f"{epoch + 1}: the decoder learns little from it. Give it fewer "
                "discriminator_filters, or its optimizer a lower learning rate.",
                stacklevel=2,
            )
