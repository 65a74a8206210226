"""What the variants with a Gaussian code share."""

from __future__ import annotations

import math
import random
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_number, check_size
from keras_ae.layers import GaussianBottleneck
from keras_ae.layers.noisy import standard_normal
from keras_ae.losses import gaussian_log_ratio
from keras_ae.metrics import ActiveUnits
from keras_ae.training.trainer import num_items
from keras_ae.variants.base import holds_tensors

DECODINGS_PER_STEP = 4000


class Variational:
    """A Gaussian code: its posterior, the prior N(0, I), the likelihood of images.

    Goes before `Autoencoder` in the bases of a variant, whose bottleneck is
    `gaussian_bottleneck(beta, kl_warmup_epochs, seed)`. Logs `active_units` (see `ActiveUnits`)
    and warns at the end of a `fit` that leaves (almost) none: posterior collapse.
    """

    can_sample = True

    @property
    def beta(self) -> float:
        """Factor on the KL divergence."""
        return self.bottleneck.beta

    def finish(self) -> None:
        # Here, since Keras takes no further state once a model is built.
        self.activity = ActiveUnits(self.latent_dim)
        # Without XLA: its loops over the pixels run on one core.
        self._estimate = tf.function(self._log_mean_weight, autograph=False)
        super().finish()

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "beta": self.beta,
            "kl_warmup_epochs": self.bottleneck.warmup_epochs,
        }

    def own_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        warmup = [KLWarmup()] if self.bottleneck.warmup_epochs else []
        return [*super().own_callbacks(epochs), *warmup, CollapseWarning()]

    def observe(self, outputs: dict) -> None:
        super().observe(outputs)
        self.activity.update_state(outputs["encoded"][:, : self.latent_dim])

    def posterior(self, inputs) -> tuple[tf.Tensor, tf.Tensor]:
        """`z_mean` and `z_log_var` of q(z|x), `(N, latent_dim)` each, float32."""
        if not holds_tensors(inputs):
            inputs = self.check_inputs(inputs)
        z_mean, z_log_var, _ = self._parts_of(inputs)
        return z_mean, z_log_var

    def _parts_of(self, inputs) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The means, the log-variances, and what else the code holds, such as a label."""
        encoded = tf.cast(self._encoded(inputs), tf.float32)
        num_others = encoded.shape[-1] - 2 * self.latent_dim
        return tuple(tf.split(encoded, [self.latent_dim, self.latent_dim, num_others], axis=-1))

    def sample_latents(self, num_samples, seed) -> tf.Tensor:
        return tf.random.stateless_normal((num_samples, self.latent_dim), seed)

    # ---- the likelihood ----

    def log_likelihood(self, images, num_samples: int = 5000, seed: int | None = None):
        """log p(x) of each image, estimated by importance sampling.

        `log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x)` with z_i drawn from q: the k-sample bound of
        Burda et al. (arXiv 1509.00519, eq. 8), below log p(x) in expectation and nearer to it the
        more samples there are. Whatever the beta of the training, p(z) is N(0, I).

        p(x|z) is what the reconstruction loss is the negative logarithm of: for "bce" independent
        Bernoulli pixels, a probability of black and white images only (of grey ones it is the same
        formula and no likelihood: see `--binarize` of train.py); for "mse", a sum without a factor
        of 1/2, a Gaussian density of variance 1/2 a pixel.

        Args:
            images: `(N, *image_shape)`, or what else the variant takes.
            num_samples: k, >= 1.
            seed: An integer for repeatable answers.

        Returns:
            `(N,)`, float64, in nats.

        Raises:
            ValueError: unusable images, or a `num_samples` below 1.
        """
        inputs = self.check_inputs(images)
        num_samples = check_size("num_samples", num_samples)
        seed = random.randrange(2**31) if seed is None else int(seed) % 2**31
        num_draws = min(num_samples, 100)
        images_per_call = DECODINGS_PER_STEP // num_draws
        answers = []
        for start in range(0, num_items(inputs), images_per_call):
            portion = tf.nest.map_structure(
                lambda array, start=start: tf.constant(array[start : start + images_per_call]),
                inputs,
            )
            portion_seed = tf.constant([seed, start])
            answers.append(self._estimate(portion, num_samples, num_draws, portion_seed).numpy())
        return np.concatenate(answers)

    def _log_likelihood_given(self, images, draws, others) -> tf.Tensor:
        """log p(x|z) of draws of z, `(num_draws, N, latent_dim)`: `(num_draws, N)`, in nats."""
        num_draws = draws.shape[0]
        codes = tf.concat([tf.reshape(draws, (-1, self.latent_dim)), tile(others, num_draws)], -1)
        logits = self.decoder(codes, training=False)
        loss = tf.reshape(self.per_image_loss(tile(images, num_draws), logits), (num_draws, -1))
        if self.reconstruction_loss == "mse":
            loss += 0.5 * math.prod(self.image_shape) * math.log(math.pi)
        return -loss

    def _log_mean_weight(self, inputs, num_samples: int, num_draws: int, seed) -> tf.Tensor:
        """The logarithm of the mean weight of `num_samples` draws, taken `num_draws` at a time."""
        z_mean, z_log_var, others = self._parts_of(inputs)
        images = self.images_of(inputs)
        num_full, rest = divmod(num_samples, num_draws)

        def add(step, total, num):
            """`total`, the logarithm of the sum of the weights so far, with `num` more of them."""
            step_seed = tf.random.experimental.stateless_fold_in(seed, step)
            shape = (num, tf.shape(z_mean)[0], self.latent_dim)
            draws = z_mean + tf.exp(0.5 * z_log_var) * standard_normal(shape, step_seed, bits=23)
            weights = self._log_likelihood_given(images, draws, others)
            weights -= gaussian_log_ratio(draws, z_mean, z_log_var)
            weights = tf.concat([total[None], tf.cast(weights, tf.float64)], axis=0)
            return step + 1, tf.reduce_logsumexp(weights, axis=0)

        none = tf.fill(tf.shape(z_mean)[:1], tf.constant(-math.inf, tf.float64))
        step, total = tf.while_loop(
            lambda step, total: step < num_full,
            lambda step, total: add(step, total, num_draws),
            (0, none),
            parallel_iterations=1,
        )
        if rest:
            step, total = add(step, total, rest)
        return total - math.log(num_samples)


def tile(tensor, num: int) -> tf.Tensor:
    """`num` copies, one behind the other."""
    return tf.tile(tensor, [num, *[1] * (tensor.shape.rank - 1)])


def gaussian_bottleneck(beta: float, kl_warmup_epochs: float, seed) -> GaussianBottleneck:
    """The bottleneck of the VAE family, in float32 whatever the precision of the nets."""
    return GaussianBottleneck(
        check_number("beta", beta),
        seed,
        warmup_epochs=check_number("kl_warmup_epochs", kl_warmup_epochs),
        dtype="float32",
        name="bottleneck",
    )


class KLWarmup(keras.callbacks.Callback):
    """Tells the bottleneck which epoch begins, in whose first ones its divergence counts less."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.bottleneck.begin(epoch)


class CollapseWarning(keras.callbacks.Callback):
    """Warns of a training that leaves no active unit, or a single one of ten or more."""

    def on_train_end(self, logs=None):
        model, logs = self.model, logs or {}
        num_active = logs.get("val_active_units", logs.get("active_units"))
        if num_active is None or num_active > min(1, model.latent_dim // 10):
            return
        warnings.warn(
            f"The posterior of {type(model).__name__} has collapsed: of its {model.latent_dim} "
            f"latent units {int(num_active)} vary with the image, so reconstructions and codes say "
            f"next to nothing of it. Lower beta (now {model.beta:g}), or let the divergence come "
            f"in slowly with kl_warmup_epochs (now {model.bottleneck.warmup_epochs:g}).",
            UserWarning,
            stacklevel=2,
        )
