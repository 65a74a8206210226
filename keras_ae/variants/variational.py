"""Shared parts of the variants with a Gaussian code."""

from __future__ import annotations

import math
import random
import warnings
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_number, check_size
from keras_ae.layers import GaussianBottleneck
from keras_ae.layers.noisy import standard_normal
from keras_ae.losses import gaussian_kl, gaussian_log_ratio
from keras_ae.metrics import ActiveUnits
from keras_ae.training.arguments import num_items
from keras_ae.variants.base import Autoencoder
from keras_ae.variants.settings import layer_setting, layer_value

DECODINGS_PER_CALL = 4000
SHARED_SEED = (0, 0)  # of the noise of anomaly scores

if TYPE_CHECKING:
    Base = Autoencoder
else:
    Base = object


class Variational(Base):
    """Mixin: a Gaussian code with its posterior, the prior N(0, I) and the likelihood of images.

    It precedes `Autoencoder` in the bases of a variant, whose bottleneck is
    `gaussian_bottleneck(beta, kl_warmup_epochs, seed)`. Logs `active_units` (see `ActiveUnits`),
    and warns at the end of a `fit` that leaves (almost) none: posterior collapse.
    """

    can_sample = True
    _is_gaussian = True
    _default_samples = {"elbo": 16, "log_likelihood": 100}

    beta = layer_setting("bottleneck.beta", "Weight of the KL divergence, >= 0.")
    kl_warmup_epochs = layer_value(
        "bottleneck.warmup_epochs", "Epochs in which the weight of the KL divergence rises."
    )

    def _finalize(self) -> None:
        # Here, since Keras takes no further state once a model is built.
        self._active_units = ActiveUnits(self.latent_dim)
        # Without XLA: its loops over the pixels run on one core.
        self._estimate = tf.function(self._log_mean_weight, autograph=False)
        super()._finalize()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta": self.beta,
            "kl_warmup_epochs": self.kl_warmup_epochs,
        }

    def _default_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        warmup = [KLWarmup()] if self.kl_warmup_epochs else []
        return [*super()._default_callbacks(epochs), *warmup, CollapseWarning()]

    def _update_metrics(self, outputs: dict) -> None:
        super()._update_metrics(outputs)
        self._active_units.update_state(outputs["encoded"][:, : self.latent_dim])

    def posterior(self, inputs: Any) -> tuple[Any, Any]:
        """Mean and log-variance of the approximate posterior q(z|x).

        Args:
            inputs: Images `(N, *image_shape)`, or what `pack_inputs` returns.

        Returns:
            `z_mean` and `z_log_var`, `(N, latent_dim)` each, float32: arrays for an array, tensors
            for a tensor.
        """
        both = self._in_batches(lambda batch: tf.concat(self._parts_of(batch)[:2], -1), inputs)
        return both[:, : self.latent_dim], both[:, self.latent_dim :]

    def _parts_of(self, inputs) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The means, the log-variances, and the rest of the code, such as a label."""
        encoded = tf.cast(self._encoded(inputs), tf.float32)
        rest = encoded.shape[-1] - 2 * self.latent_dim
        z_mean, z_log_var, others = tf.split(
            encoded, [self.latent_dim, self.latent_dim, rest], axis=-1
        )
        return z_mean, z_log_var, others

    def _sample_latents(self, num_samples, seed) -> tf.Tensor:
        return tf.random.stateless_normal((num_samples, self.latent_dim), seed)

    # ---- the likelihood ----

    def log_likelihood(
        self, images: Any, num_samples: int = 5000, seed: int | None = None
    ) -> np.ndarray:
        """log p(x) of each image, estimated by importance sampling.

        `log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x)` with k samples z_i from q: the bound of Burda et
        al. (arXiv 1509.00519, eq. 8), below log p(x) in expectation, and closer to it with
        more samples. p(z) is N(0, I), independent of the `beta` of the training.

        p(x|z) is the density whose negative logarithm the reconstruction loss is. For "bce" these
        are independent Bernoulli pixels, which are a probability of black and white images only;
        for gray images the formula is the same but no likelihood, so binarize them. For "mse", a
        sum without a factor of 1/2, it is a Gaussian density of variance 1/2 per pixel.

        Args:
            images: `(N, *image_shape)`, or what `pack_inputs` returns.
            num_samples: k, >= 1.
            seed: A whole number for repeatable results.

        Returns:
            `(N,)`, float64, in nats.

        Raises:
            ValueError: unusable images, or `num_samples` below 1.
        """
        inputs = self._check_inputs(images)
        num_samples = check_size("num_samples", num_samples)
        seed = random.randrange(2**31) if seed is None else int(seed) % 2**31
        num_draws = min(num_samples, 100)
        images_per_call = DECODINGS_PER_CALL // num_draws
        results = []
        for start in range(0, num_items(inputs), images_per_call):
            batch = tf.nest.map_structure(
                lambda array, start=start: tf.constant(array[start : start + images_per_call]),
                inputs,
            )
            batch_seed = tf.constant([seed, start])
            results.append(self._estimate(batch, num_samples, num_draws, batch_seed).numpy())
        return np.concatenate(results)

    def _scores(self) -> dict:
        return {**super()._scores(), "elbo": self._negative_elbo, "log_likelihood": self._nats}

    def _negative_elbo(self, batch) -> tf.Tensor:
        """The negative evidence lower bound of each image of a `ScoredBatch`, `(N,)`, in nats.

        Kingma and Welling (arXiv 1312.6114, eq. 10): the mean of -log p(x|z) over samples of the
        code, the same noise for all images, plus the KL divergence in closed form.
        """
        z_mean, z_log_var, others = self._parts_of(batch.inputs)

        def add(step, total):
            draws = z_mean + tf.exp(0.5 * z_log_var) * shared_noise(step, self.latent_dim)
            return step + 1, total - self._log_likelihood_given(batch.images, draws, others)[0]

        _, total = tf.while_loop(
            lambda step, total: step < batch.num_samples,
            add,
            (0, tf.zeros_like(z_mean[:, 0])),
            parallel_iterations=1,
        )
        return total / batch.num_samples + gaussian_kl(z_mean, z_log_var)

    def _nats(self, batch) -> tf.Tensor:
        """The negative `log_likelihood` of each image of a `ScoredBatch`, with shared noise."""
        seed = tf.constant(SHARED_SEED)
        return -self._log_mean_weight(batch.inputs, batch.num_samples, 1, seed, shared=True)

    def _log_likelihood_given(self, images, draws, others) -> tf.Tensor:
        """log p(x|z) of samples of z, `(num_draws, N, latent_dim)`: `(num_draws, N)`, in nats."""
        num_draws = draws.shape[0]
        codes = tf.concat([tf.reshape(draws, (-1, self.latent_dim)), tile(others, num_draws)], -1)
        logits = self.decoder(codes, training=False)
        loss = tf.reshape(self._per_image_loss(tile(images, num_draws), logits), (num_draws, -1))
        if self.reconstruction_loss == "mse":
            loss += 0.5 * math.prod(self.image_shape) * math.log(math.pi)
        return -loss

    def _log_mean_weight(
        self, inputs, num_samples: int, num_draws: int, seed, shared: bool = False
    ) -> tf.Tensor:
        """log of the mean weight of `num_samples` samples, `num_draws` at a time.

        With `shared`, all images get the same noise.
        """
        z_mean, z_log_var, others = self._parts_of(inputs)
        images = self._images_of(inputs)
        num_full, rest = divmod(num_samples, num_draws)

        def add(step, total, num):
            """Add `num` weights to `total`, the logarithm of the sum of the weights so far."""
            shape = (num, 1 if shared else tf.shape(z_mean)[0], self.latent_dim)
            noise = standard_normal(shape, fold_in(seed, step), bits=23)
            draws = z_mean + tf.exp(0.5 * z_log_var) * noise
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


def fold_in(seed, step) -> tf.Tensor:
    """Another seed for each step: int32 `(2,)`."""
    return tf.random.experimental.stateless_fold_in(seed, step)  # pyright: ignore


def shared_noise(step, latent_dim: int) -> tf.Tensor:
    """Standard normal numbers for the codes of all images, `(1, 1, latent_dim)`."""
    return standard_normal((1, 1, latent_dim), fold_in(tf.constant(SHARED_SEED), step), bits=23)


def tile(tensor, num: int) -> tf.Tensor:
    """`num` copies along the first axis."""
    return tf.tile(tensor, [num, *[1] * (tensor.shape.rank - 1)])


def gaussian_bottleneck(beta: float, kl_warmup_epochs: float, seed) -> GaussianBottleneck:
    """The bottleneck of the VAE family, always in float32 regardless of the dtype policy."""
    return GaussianBottleneck(
        check_number("beta", beta),
        seed,
        warmup_epochs=check_number("kl_warmup_epochs", kl_warmup_epochs),
        dtype="float32",
        name="bottleneck",
    )


class KLWarmup(keras.callbacks.Callback):
    """Callback: tell the bottleneck which epoch begins, for the warm-up of the KL divergence."""

    def on_epoch_begin(self, epoch, logs=None):
        model: Any = self.model
        model.bottleneck.begin(epoch)


class CollapseWarning(keras.callbacks.Callback):
    """Callback: warn of posterior collapse, no active unit or only one of ten or more."""

    def on_train_end(self, logs=None):
        model: Any = self.model
        logs = logs or {}
        num_active = logs.get("val_active_units", logs.get("active_units"))
        if num_active is None or num_active > min(1, model.latent_dim // 10):
            return
        warnings.warn(
            f"Posterior collapse in {type(model).__name__}: {int(num_active)} of its "
            f"{model.latent_dim} latent units depend on the image, so the model ignores its input. "
            f"Lower beta (now {model.beta:g}), or raise kl_warmup_epochs (now "
            f"{model.kl_warmup_epochs:g}).",
            UserWarning,
            stacklevel=2,
        )
