"""Base class of all variants: the interface and the training step that they share."""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.anomaly.tools import AnomalyTools
from keras_ae.checks import check_choice, check_size, check_sizes
from keras_ae.layers import Bottleneck, IdentityBottleneck
from keras_ae.losses import per_image_bce, per_image_mse
from keras_ae.saving.export import export_saved_model
from keras_ae.training.arguments import num_items
from keras_ae.training.sources import batches_of, is_source
from keras_ae.training.trainer import EpochTrainer
from keras_ae.variants.documentation import document
from keras_ae.variants.latents import LatentTools
from keras_ae.variants.settings import check_keras_arguments, check_settable

BATCH_SIZE = 2000  # images per call of the network outside training
PIXELS_PER_CALL = 2**22  # of larger images, fewer at a time
Images = Any  # an array or a tensor
LOSSES = ("bce", "mse")
# Output activations, from logits to pixels, and the pixel range of each.
ACTIVATIONS = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "linear": tf.identity}
PIXEL_RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "linear": (0.0, 1.0)}


@document
class Autoencoder(LatentTools, AnomalyTools, EpochTrainer):
    """Autoencoder base class: an encoder, a bottleneck and a decoder, as a `keras.Model`.

    A subclass sets `encoder` (images to codes), `bottleneck` (codes to latents; it adds the latent
    loss; leave it out for none) and `decoder` (latents to logits, the values before the output
    activation), and then calls `_finalize()`. It returns its own arguments from `get_config`.

    All variants report the same losses: `reconstruction_loss`, summed over the pixels of an image
    and averaged over the batch (in nats/image for binary cross-entropy); `latent_loss`, what the
    bottleneck adds, already weighted; `loss`, their sum.

    Every argument is an attribute of the model. One that cannot be changed later raises an
    AttributeError when it is set.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    can_sample = False
    """Whether `sample` works: the variant has a prior over its codes."""
    needs_labels = False
    """Whether `fit` takes class labels, and the constructor `num_classes`."""
    learns_prior = False
    """Whether `fit_prior` trains a prior of the model's own after `fit`."""

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        seed: int | None = None,
        *,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        **kwargs: Any,
    ):
        check_keras_arguments(type(self), kwargs)
        super().__init__(seed=check_seed(seed), **kwargs)
        self.image_shape = check_sizes("image_shape", image_shape, lengths=(2, 3))
        self.latent_dim = check_size("latent_dim", latent_dim)
        self.reconstruction_loss = check_choice("reconstruction_loss", reconstruction_loss, LOSSES)
        self.output_activation = check_choice(
            "output_activation", output_activation, list(ACTIVATIONS)
        )
        if reconstruction_loss == "bce" and output_activation != "sigmoid":
            raise ValueError(
                "output_activation must be sigmoid with reconstruction_loss 'bce'; received "
                f"{output_activation!r}."
            )
        self._reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self._preprocessing: str | None = None
        self._latent_tracker = keras.metrics.Mean(name="latent_loss")

    def __setattr__(self, name: str, value: Any) -> None:
        check_settable(self, name, value)
        super().__setattr__(name, value)

    @contextlib.contextmanager
    def _dtype_scope(self):
        """Layers created inside use the model's dtype policy, also when the model is loaded."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype_policy)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)

    def _finalize(self) -> None:
        """Build all weights, so that saving does not depend on what was called before."""
        if not hasattr(self, "bottleneck"):
            self.bottleneck = IdentityBottleneck(name="bottleneck")
        if not isinstance(self.bottleneck, Bottleneck):
            raise TypeError(
                "bottleneck must be a keras_ae.layers.Bottleneck; received a "
                f"{type(self.bottleneck).__name__}."
            )
        self(tf.zeros((1, *self.image_shape)))

    def get_config(self) -> dict[str, Any]:
        settings = self.preprocessing
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "seed": self.seed,
            "reconstruction_loss": self.reconstruction_loss,
            "output_activation": self.output_activation,
            # Not an argument of the constructors; models without it keep their config.
            **({} if settings is None else {"preprocessing": settings}),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        settings = config.pop("preprocessing", None)
        model = super().from_config(config, custom_objects)
        model.set_preprocessing(settings)
        return model

    @property
    def preprocessing(self) -> dict[str, Any] | None:
        """How image files become images for this model, as plain JSON data, or None.

        The programs store `keras_ae.data.Preprocessing.to_dict()` here. It is saved with the model,
        and exported as `preprocessing.json`. Change it with `set_preprocessing`.
        """
        text = self._preprocessing
        return None if text is None else json.loads(text)

    def set_preprocessing(self, settings: Mapping[str, Any] | None) -> None:
        """Store how image files become images for this model. It does not change the model.

        Args:
            settings: Plain JSON data, such as `keras_ae.data.Preprocessing(64).to_dict()`; None
                for none.

        Raises:
            ValueError: something else.
        """
        text = None
        if settings is not None:
            try:
                text = json.dumps(dict(settings), allow_nan=False)
            except (TypeError, ValueError):
                text = ""
            if not text or json.loads(text) != settings:
                raise ValueError(
                    f"preprocessing must be a dict of plain JSON values or None; received "
                    f"{settings!r:.100}."
                )
        self._preprocessing = text  # text, because Keras would wrap a dict and track it

    # ---- properties of the model ----

    @property
    def pixel_range(self) -> tuple[float, float]:
        """The lowest and the highest pixel value that an image may have."""
        return PIXEL_RANGES[self.output_activation]

    @property
    def code_shape(self) -> tuple[int, ...]:
        """The shape of one latent code, mostly `(latent_dim,)`."""
        return tuple(self.decoder.input_shape[1:])

    @property
    def code_size(self) -> int:
        """How many numbers one latent code has; a vector from a codebook counts as its index."""
        return math.prod(self.code_shape)

    @property
    def is_discrete(self) -> bool:
        """Whether the latent code is discrete, such as a quantized or a binary one."""
        return self.bottleneck.is_discrete

    @property
    def has_bce(self) -> bool:
        """Whether pixels of the output are probabilities, so that it has a binary cross-entropy."""
        return self.output_activation == "sigmoid"

    @property
    def scalar_codebooks(self) -> np.ndarray | None:
        """The values each latent dimension can take, `(latent_dim, num_embeddings)`, or None.

        None where the dimensions have no codebooks of their own.
        """
        return None

    # ---- symbolic tensors and the summary, as functional models have them ----

    @property
    def input(self) -> Any:
        """The symbolic input of the model, `(None, *image_shape)`.

        For models made of its parts: `keras.Model(model.input, model.encoder(model.input))`.
        """
        self._call_symbolically()
        return super().input

    @property
    def output(self) -> Any:
        """The symbolic reconstructions of `input`, `(None, *image_shape)`."""
        self._call_symbolically()
        return super().output

    @property
    def inputs(self) -> list:
        """`input` as a list of tensors."""
        return tf.nest.flatten(self.input)

    @property
    def outputs(self) -> list:
        """`output` as a list of tensors."""
        return tf.nest.flatten(self.output)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape of images as the model takes them, `(None, *image_shape)`."""
        return (None, *self.image_shape)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of reconstructions, `(None, *image_shape)`."""
        return (None, *self.image_shape)

    def _call_symbolically(self) -> None:
        if not self._inbound_nodes:  # Keras takes both tensors from the first symbolic call
            self(keras.Input(self.image_shape, name="images"))

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Print the layers and the number of parameters, as `keras.Model.summary`.

        The variables of the optimizer are left out: the total is that of `count_params()`.
        """
        # Keras adds the optimizer's variables to the total of a compiled model.
        compiled, self.compiled = self.compiled, False
        try:
            super().summary(*args, **kwargs)
        finally:
            self.compiled = compiled

    # ---- the forward pass and the training step ----

    def call(self, inputs, training: bool = False, details: bool = False):
        """Reconstructions; with `details`, a dict of encoded, latents and logits."""
        encoded = self.encoder(inputs, training=training)
        latents = self.bottleneck(encoded, training=training)
        logits = self.decoder(latents, training=training)
        if details:
            return {"encoded": encoded, "latents": latents, "logits": logits}
        return self._pixels(logits)

    def _pixels(self, logits) -> tf.Tensor:
        """The output activation."""
        return ACTIVATIONS[self.output_activation](logits)

    def _per_image_loss(self, targets, logits) -> tf.Tensor:
        """The reconstruction loss of each image, `(batch,)`."""
        if self.reconstruction_loss == "bce":
            return per_image_bce(targets, logits)
        return per_image_mse(targets, self._pixels(logits))

    def _batch_losses(self, inputs, targets, training: bool):
        """The per-image reconstruction loss `(batch,)`, the latent loss (a scalar), the outputs."""
        outputs = self(inputs, training=training, details=True)
        latent_loss = tf.add_n([tf.zeros(()), *(tf.cast(loss, tf.float32) for loss in self.losses)])
        return self._per_image_loss(targets, outputs["logits"]), latent_loss, outputs

    def _unpack(self, data) -> tuple:
        """Inputs, target images and sample weights (or None) of the data of a Keras step."""
        inputs, targets, weight = keras.utils.unpack_x_y_sample_weight(data)
        inputs = tf.cast(inputs, tf.float32)
        return inputs, inputs if targets is None else targets, weight

    def _update_metrics(self, outputs: dict) -> None:
        """Update a variant's own metrics from the outputs of a step."""

    def train_step(self, data) -> dict:
        inputs, targets, weight = self._unpack(data)
        gradients, reconstruction_loss, latent_loss, outputs = self._differentiate(
            inputs, targets, weight
        )
        # Before the update: the metrics describe the step's own forward pass.
        logs = self._track(inputs, targets, weight, reconstruction_loss, latent_loss, outputs)
        self.optimizer.apply(gradients, self.trainable_variables)
        return logs

    def _differentiate(self, inputs, targets, weight) -> tuple:
        """Gradients of the trainable variables, reconstruction and latent loss, outputs."""
        with tf.GradientTape() as tape:
            per_image, latent_loss, outputs = self._batch_losses(inputs, targets, training=True)
            reconstruction_loss = weighted_mean(per_image, weight)
            loss = scale_loss(self.optimizer, reconstruction_loss + latent_loss)
        gradients = tape.gradient(loss, self.trainable_variables)
        return gradients, reconstruction_loss, latent_loss, outputs

    def test_step(self, data) -> dict:
        inputs, targets, weight = self._unpack(data)
        per_image, latent_loss, outputs = self._batch_losses(inputs, targets, training=False)
        reconstruction_loss = weighted_mean(per_image, weight)
        return self._track(inputs, targets, weight, reconstruction_loss, latent_loss, outputs)

    def _track(self, inputs, targets, weight, reconstruction_loss, latent_loss, outputs) -> dict:
        """Update all metrics with a step; returns them as logs."""
        num_images = tf.cast(tf.shape(targets)[0], tf.float32)
        self._reconstruction_tracker.update_state(reconstruction_loss, num_images)
        self._latent_tracker.update_state(latent_loss, num_images)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(reconstruction_loss + latent_loss, num_images)
        self._update_metrics(outputs)
        return self.compute_metrics(inputs, targets, self._pixels(outputs["logits"]), weight)

    # ---- a trained model ----

    def pack_inputs(self, images: Any, labels: Any = None) -> Any:
        """Images and labels as this model takes them.

        Returns:
            `images`; where `needs_labels`, and with labels, `{"images": ..., "labels": ...}`.
        """
        return images

    def encode(self, images: Images) -> Any:
        """The deterministic latent codes of images.

        For a Gaussian code that is the mean, for a quantized one the codebook entries. Arrays are
        encoded in batches and return an array; a tensor returns a tensor. The same holds for
        `decode`, `reconstruct`, `anomaly_score` and `posterior`.

        Args:
            images: `(N, *image_shape)`, pixels in `pixel_range`.

        Returns:
            `(N, *code_shape)`, mostly `(N, latent_dim)`.

        Raises:
            ValueError: images that cannot be used.
        """
        return self._in_batches(self._encode, images)

    def decode(self, latents: Images) -> Any:
        """Images from latent codes.

        Args:
            latents: `(N, *code_shape)`.

        Returns:
            `(N, *image_shape)`.

        Raises:
            ValueError: another shape.
        """
        return self._in_batches(
            lambda codes: self._pixels(self.decoder(codes)), latents, self._check_latents
        )

    def reconstruct(self, images: Images) -> Any:
        """Reconstructions of images: `decode(encode(images))`, `(N, *image_shape)`."""
        return self._in_batches(self.__call__, images)

    def posterior(self, inputs: Any) -> tuple[Any, Any] | None:
        """`(z_mean, z_log_var)` of q(z|x), `(N, latent_dim)` each; None for a code without one.

        Only variants with a Gaussian code have a posterior.
        """
        return None

    def code_statistics(self, inputs: Any) -> dict[str, float]:
        """Statistics of the latent codes of images, by name.

        Args:
            inputs: Images `(N, *image_shape)`, or what `pack_inputs` returns.

        Returns:
            For a quantized code `perplexity` and `codes_used` (the share of the codebook that was
            chosen at least once); `{}` for a code that has no statistics.
        """
        return self.bottleneck.code_statistics(self._in_batches(self._encoded, inputs))

    def snap_latents(self, latents: Any) -> np.ndarray:
        """The nearest latents that the bottleneck can produce: `latents` itself where it is
        continuous, the nearest codebook entries where it is quantized.

        Args:
            latents: `(N, *code_shape)`.
        """
        return np.asarray(self.bottleneck.snap(self._check_latents(latents)))

    def fit_prior(self, images: np.ndarray, **arguments: Any) -> list[float]:
        """Train the model's own prior, for models with a learned prior (`learns_prior`).

        Raises:
            ValueError: it has none.
        """
        raise ValueError(
            f"{type(self).__name__} has no prior of its own to train (learns_prior is False); "
            "keras_ae.priors.fit.fit_prior(model, images) fits one to the codes of any model."
        )

    def sample(self, num_samples: int, seed: int | None = None) -> np.ndarray:
        """New images, decoded from codes drawn from the prior.

        Args:
            num_samples: >= 1.
            seed: A whole number for repeatable samples.

        Returns:
            `(num_samples, *image_shape)`.

        Raises:
            ValueError: the variant has no prior (`can_sample` is False).
        """
        if not self.can_sample:
            from keras_ae.variants import names_with_prior

            raise ValueError(
                f"{type(self).__name__} has no prior to sample from; use a variant that has one: "
                f"{', '.join(names_with_prior())}."
            )
        check_size("num_samples", num_samples)
        seed = random.randrange(2**31) if seed is None else seed
        return self.decode(self._sample_latents(num_samples, [seed % 2**31, 0]).numpy())

    def _sample_latents(self, num_samples, seed) -> tf.Tensor:
        """Codes drawn from the prior, `(num_samples, *code_shape)`; `seed` is two integers."""
        raise ValueError(f"{type(self).__name__} has no prior.")

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any
    ):
        """Write a `.keras` file, as `keras.Model.save`; `keras_ae.load_model` reads it.

        Raises:
            ValueError: a file name of HDF5, which would lose what a variant needs.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"A variant is saved as a .keras file, not as HDF5; received {str(filepath)!r}."
            )
        return super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: Any = None,
        score: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a SavedModel, which runs without keras_ae.

        Its endpoints are `serve`, `encode`, `decode`, `reconstruction_loss`, `anomaly_score` and
        `anomaly_map`; where `can_sample`, `sample`; and with a `threshold`, `verdict` and, where
        its score has a map, `verdict_map`. They are deterministic: codes are means, not samples.
        `preprocessing` is also written to `preprocessing.json`, `threshold_fit` to
        `threshold.json`, `map_scales` to `map_scales.json`.

        Args:
            filepath: The folder to write.
            format: "tf_saved_model"; other formats are Keras's own.
            verbose: As in Keras.
            score: "bce" or "mse", of the endpoints `anomaly_score` and `anomaly_map`; by default
                the loss that the model was trained with.
            **kwargs: As in Keras, for other formats.

        Raises:
            ValueError: arguments that a SavedModel does not take.
        """
        if format != "tf_saved_model":
            if score is not None:
                raise ValueError(f"the format {format!r} has no anomaly score; leave score out.")
            return super().export(filepath, format=format, verbose=verbose, **kwargs)
        if kwargs:
            raise ValueError(
                f"export takes no {', '.join(kwargs)} with format 'tf_saved_model'; leave it out."
            )
        return export_saved_model(self, filepath, verbose=verbose, score=score)

    # ---- helpers ----

    def _check_latents(self, latents: Any) -> np.ndarray:
        latents, shape = np.asarray(latents, dtype=np.float32), self.code_shape
        if latents.shape[1:] != shape:
            raise ValueError(
                f"latents must have the shape (N, {', '.join(map(str, shape))}); received "
                f"{latents.shape}."
            )
        return latents

    def _encode(self, inputs):
        return self.bottleneck(self._encoded(inputs), training=False)

    def _encoded(self, inputs):
        """The encoder's output, before the bottleneck."""
        return self.encoder(inputs, training=False)

    def _in_batches(self, function: Callable, inputs: Any, check: Callable | None = None) -> Any:
        """`function(inputs)`; arrays are checked, processed in batches and return an array.

        So does data that arrives in batches, such as a dataset. Tensors return a tensor; those
        with values are checked too, those of a graph have none.
        """
        if not is_source(inputs) and holds_tensors(inputs):
            if all(map(has_value, tf.nest.flatten(inputs))):
                (check or self._check_inputs)(tf.nest.map_structure(np.asarray, inputs))
            return function(inputs)
        batches = self._batches(inputs, check)
        return np.concatenate([function(batch).numpy() for batch in batches])

    def _batches(self, inputs: Any, check: Callable | None = None) -> Iterator[Any]:
        """Inputs with values as tensors in batches, each checked before it is used."""
        check = check or self._check_inputs
        if is_source(inputs):
            for batch in batches_of(inputs):
                yield from self._batches(self._batch_inputs(batch), check)
            return
        if holds_tensors(inputs):
            inputs = tf.nest.map_structure(np.asarray, inputs)
        inputs = check(self._select(inputs))
        size = max(1, min(BATCH_SIZE, PIXELS_PER_CALL // math.prod(self.image_shape)))
        for start in range(0, num_items(inputs), size):
            yield tf.nest.map_structure(
                lambda array, start=start: tf.constant(array[start : start + size]), inputs
            )


def check_seed(seed: Any) -> int | None:
    """`seed` as an int, or None; ValueError unless it is a whole number >= 0 or None."""
    if seed is None:
        return None
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed >= 0:
        return int(seed)
    raise ValueError(f"seed must be a whole number >= 0 or None; received {seed!r}.")


def check_activation(activation: Any) -> Any:
    """An activation as Keras saves it: a name, the config of a registered function, or None.

    Raises:
        ValueError: Keras does not know it, or could not load it again.
    """
    wanted = (
        "activation must be the name of a Keras activation or a function registered with "
        "keras.saving.register_keras_serializable"
    )
    if activation is None:
        return None
    try:
        function = keras.activations.get(activation)
        name = function.__name__
    except (ValueError, TypeError, AttributeError):  # a layer has no such attribute
        raise ValueError(f"{wanted}; received {activation!r}.") from None
    if isinstance(activation, str):
        return activation
    if getattr(keras.activations, name, None) is function:
        return name
    registered = keras.saving.get_registered_name(function)
    if keras.saving.get_registered_object(registered) is not function:
        raise ValueError(f"{wanted}; received {activation!r}.")
    return keras.activations.serialize(function)


def holds_tensors(inputs: Any) -> bool:
    """Whether an input, or a part of it, is a tensor; those are not batched."""
    kinds = (tf.Tensor, keras.KerasTensor)
    return any(isinstance(part, kinds) for part in tf.nest.flatten(inputs))


def has_value(part: Any) -> bool:
    """Whether a part of an input is an array or an eager tensor, not a tensor of a graph."""
    return not isinstance(part, (tf.Tensor, keras.KerasTensor)) or hasattr(part, "numpy")


def scale_loss(optimizer, loss) -> tf.Tensor:
    """A loss scaled for its gradients, which are summed over replicas and may be float16."""
    return optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)


def weighted_mean(per_image, weight):
    """The sum of weighted losses divided by the number of images, as Keras does."""
    if weight is not None:
        per_image = per_image * tf.cast(weight, per_image.dtype)
    return tf.reduce_mean(per_image)
