"""`keras.Model` whose `fit` runs many training steps in one compiled call.

The networks are small, so the time a framework spends between two steps matters. Images given as
an array stay in memory as one tensor; an epoch is a permutation of their indices that depends on
(seed, epoch); up to `_steps_per_call` steps run in one compiled loop. Keras's own `fit` drives it,
so callbacks, validation and histories work as usual.
"""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_images
from keras_ae.training.arguments import (
    BATCH_SIZE,
    check_batch_size,
    check_sample_weight,
    is_array,
    is_stored,
    num_items,
    prepend_callbacks,
    split_validation,
)
from keras_ae.training.feed import (
    EpochClock,
    MemoryFeed,
    as_floats,
    feed_of,
    needs_every_batch,
    stored_batches,
)
from keras_ae.training.sources import (
    assert_pixels,
    checked,
    is_source,
    num_batches,
    plain_errors,
)

# Weights x images per compiled call: a second or two for dense networks on two CPU cores.
MAX_WORK_PER_CALL = 2**36


class FunctionCache:
    """Compiled functions by `steps_per_execution`, wrapped so that export() does not track them."""

    def __init__(self):
        self.functions: dict[int, tuple] = {}


class EpochTrainer(keras.Model):
    """`keras.Model` with multi-step execution: `fit` runs many steps in one compiled call.

    That is possible where the images are an array, outside `tf.distribute` and eager execution;
    elsewhere Keras's own loop runs. The steps are those of `train_step` in both cases, in the same
    order. A subclass defines `image_shape`, `_check_inputs(inputs)` and `_images_of(inputs)`.

    Args:
        seed: Seed of the shuffling: a whole number, or None for a random one.
        **kwargs: `name`, `dtype` and `trainable`, as in `keras.Model`.
    """

    image_shape: tuple[int, ...]
    fixed_epochs = False
    """Whether a training must not end before its last epoch (as early stopping would)."""

    _xla_on_cpu = True  # whether jit_compile="auto" means XLA without a GPU
    _steps_per_call = 256  # maximum of one compiled call, which Ctrl-C cannot interrupt

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self._shuffle_seed = random.randrange(2**31) if seed is None else seed
        self._traced_momentum: tuple[float, ...] = ()
        self._batch_problem: str | None = None
        self._feed: MemoryFeed | None = None
        self._reset_functions()

    @property
    def pixel_range(self) -> tuple[float, float]:
        """The lowest and the highest pixel value that an image may have."""
        return (0.0, 1.0)

    def _check_inputs(self, inputs: Any) -> Any:
        """Inputs in memory, ready for the model; ValueError where they cannot be used."""
        return check_images(inputs, self.image_shape, pixel_range=self.pixel_range)

    def _images_of(self, inputs: Any) -> Any:
        """The images among the model's inputs."""
        return inputs

    def _inputs_from(self, parts: dict) -> Any:
        """The model's inputs from a dict, such as an element of a set of tensorflow-datasets."""
        for name in ("image", "images"):
            if name in parts:
                warn_unused(parts)
                return parts[name]
        raise ValueError(
            "A dict of inputs must have the images under 'image' or 'images'; received the keys "
            f"{', '.join(map(repr, parts))}."
        )

    # ---- compile ----

    def compile(
        self,
        optimizer: str | dict | keras.optimizers.Optimizer | None = None,
        loss: None = None,
        *,
        metrics: Sequence | dict | None = None,
        weighted_metrics: Sequence | dict | None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Configure the training, as `keras.Model.compile`. All arguments have defaults.

        Args:
            optimizer: Name or instance; default Adam with learning rate 1e-3.
            loss: Must be None: an autoencoder defines its own loss.
            metrics: Further metrics of `(images, reconstructions)`.
            weighted_metrics: The same, weighted by `sample_weight`.
            run_eagerly: As in Keras; turns multi-step execution off.
            steps_per_execution: As in Keras; the default lets `fit` choose.
            jit_compile: "auto" compiles the training loop with XLA (on a CPU only the dense and
                recurrent models: convolutions are about 30 times slower there); True also
                compiles evaluation and prediction; False nothing.
            **kwargs: As in `keras.Model.compile`.

        Raises:
            ValueError: a loss is given.
        """
        if loss is not None:
            raise ValueError(
                f"An autoencoder defines its own loss; received loss={loss!r}. Leave it out, and "
                "pass other measures as metrics=[...]."
            )
        self._requested_jit_compile = jit_compile
        super().compile(
            optimizer=keras.optimizers.Adam(1e-3) if optimizer is None else optimizer,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            **kwargs,
        )
        self._reset_functions()

    def get_compile_config(self) -> dict:
        config = super().get_compile_config()
        if config:
            config["jit_compile"] = self._requested_jit_compile
        return config

    def compile_from_config(self, config: dict) -> None:
        config = keras.saving.deserialize_keras_object(config)
        config.pop("loss_weights", None)
        self.compile(**config)
        self._build_optimizers()

    def _default_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        """Callbacks that a variant adds to every `fit`."""
        return []

    def _reset_functions(self) -> None:
        """Discard all compiled functions, after a change of the optimizer or of `trainable`."""
        self.train_function = self.test_function = self.predict_function = None
        self._function_cache = FunctionCache()
        self._multi_step: Callable | None = None
        self._single_step: Callable | None = None

    # ---- resuming: see keras_ae.training.resume ----

    def _get_optimizers(self) -> list[keras.optimizers.Optimizer]:
        # Not a property: Keras would save its value under its name.
        return [self.optimizer]

    def _build_optimizers(self) -> None:
        build_optimizer(self.optimizer, self.trainable_variables)

    def _prepare_resume(self, completed_epochs: int, epochs: int, mid_epoch: bool = False) -> None:
        self._build_optimizers()

    @property
    def _steps_done(self) -> int | None:
        feed = self._feed
        return feed.completed if feed and 0 < feed.completed < feed.num_steps else None

    def _skip_steps(self, num_steps: int, metrics: list[np.ndarray]) -> None:
        feed = self._feed
        steps = range(1, feed.num_steps if feed else 0)
        if feed is None or not isinstance(num_steps, int) or num_steps not in steps:
            raise ValueError(f"the epoch has no step {num_steps} to resume at")
        shapes = [tuple(variable.shape) for variable in self.metrics_variables]
        if [np.shape(value) for value in metrics] != shapes:
            raise ValueError("its metrics are those of another model")
        for variable, value in zip(self.metrics_variables, metrics, strict=True):
            variable.assign(value)
        feed.completed = num_steps

    # ---- fit and evaluate ----

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> keras.callbacks.History:
        """Train on images, as `keras.Model.fit`: `fit(x)`, `fit(x, x)` or `fit(tf_dataset)`.

        Args:
            x: Images with pixels in `pixel_range`, `(N, *image_shape)`, or a `tf.data.Dataset` of
                batches of images, `(images, targets)` or `(images, targets, weights)`.
            y: Target images, same shape as `x`; None for `x` itself.
            batch_size: Images per step; default 256. Of fewer images, all.
            epochs, verbose, callbacks, initial_epoch, steps_per_epoch: As in Keras.
            validation_split, validation_data, validation_steps, validation_freq: As in Keras.
            validation_batch_size: Images per step of the validation; default 256.
            shuffle: Whether each epoch has a new order, which depends on (seed, epoch); of arrays
                only. A second `fit` that begins at epoch 0 repeats the orders; continue with
                `initial_epoch`.
            class_weight: Must be None; use `sample_weight`.
            sample_weight: Weight of each image's reconstruction loss, `(N,)`. Latent losses are
                statistics of a batch and are not weighted, like any loss that a layer adds.

        Returns:
            The history, as in Keras.

        Raises:
            ValueError: images that cannot be used (see `check_images`), or a class_weight.
        """
        refuse_class_weight(class_weight)
        self._assert_compile_called("fit")
        try:
            with self._plain_errors():
                return self._fit(
                x, y, batch_size, epochs, callbacks, validation_split, validation_data, shuffle,
                sample_weight, steps_per_epoch,
                {
                    "epochs": epochs, "verbose": verbose, "initial_epoch": initial_epoch,
                    "validation_steps": validation_steps, "validation_freq": validation_freq,
                    "validation_batch_size": validation_batch_size,
                },
            )  # fmt: skip
        finally:
            self._end_fit()

    def _end_fit(self) -> None:
        """Called after every `fit`, also after one that failed."""

    def _fit(
        self, x, y, batch_size, epochs, callbacks, validation_split, validation_data, shuffle,
        sample_weight, steps_per_epoch, arguments: dict[str, Any],
    ) -> keras.callbacks.History:  # fmt: skip
        callbacks = prepend_callbacks(self._default_callbacks(epochs), callbacks)
        distributed = tf.distribute.has_strategy() or self._distribute_strategy is not None
        if not distributed:
            self._build_optimizers()  # built inside the step, it would be traced twice
        if not is_array(x):
            num_steps = steps_per_epoch or num_batches(x)
            x = self._check_source(x)
            with self._momentum_for(num_steps):
                return super().fit(
                    x, y, batch_size, callbacks=callbacks, validation_split=validation_split,
                    validation_data=self._check_validation(
                        validation_data, arguments["validation_batch_size"]
                    ), shuffle=False,
                    sample_weight=sample_weight, steps_per_epoch=steps_per_epoch, **arguments,
                )  # fmt: skip
        x, y, sample_weight = self._check_arrays(x, y, sample_weight)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = split_validation(
                (x, y, sample_weight), validation_split
            )
            validation_data = read_in_batches(validation_data, arguments["validation_batch_size"])
        else:
            validation_data = self._check_validation(
                validation_data, arguments["validation_batch_size"]
            )
        batch_size = check_batch_size(batch_size, num_items(x))
        arguments["validation_data"] = validation_data
        arguments["validation_batch_size"] = arguments["validation_batch_size"] or BATCH_SIZE
        with self._momentum_for(steps_per_epoch or -(-num_items(x) // batch_size)):
            if self.run_eagerly or steps_per_epoch is not None or distributed:
                if is_stored((x, y)):
                    raise ValueError(
                        "StoredImages are trained on in whole epochs, compiled and on one "
                        "device. Leave out steps_per_epoch, run_eagerly and tf.distribute, or load "
                        "the images as floats with numpy.asarray."
                    )
                return super().fit(
                    x, y, batch_size, callbacks=callbacks, shuffle=shuffle,
                    sample_weight=sample_weight, steps_per_epoch=steps_per_epoch, **arguments,
                )  # fmt: skip
            seed = self._shuffle_seed if shuffle else None
            feed = feed_of(x, y, sample_weight, batch_size, seed)
            return self._fit_from_memory(feed, callbacks, arguments)

    @contextlib.contextmanager
    def _momentum_for(self, num_steps: int | None):
        """Batch normalization whose moving averages follow an epoch of `num_steps` steps.

        They average over about 1 / (1 - momentum) steps. With Keras's momentum of 0.99 and six
        steps per epoch they would lag 16 epochs behind the weights, and validation with them. Here
        they average over one epoch at most; from 100 steps on nothing changes.
        """
        layers: list[Any] = [
            layer
            for layer in self._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        before = tuple(layer.momentum for layer in layers)
        if num_steps:
            for layer in layers:
                layer.momentum = min(layer.momentum, 1 - 1 / num_steps)
        now = tuple(layer.momentum for layer in layers)
        if now != self._traced_momentum:  # it is a constant of the traced steps
            self._multi_step = self._single_step = self.train_function = None
            self._traced_momentum = now
        try:
            yield
        finally:
            for layer, momentum in zip(layers, before, strict=True):
                layer.momentum = momentum

    def _fit_from_memory(
        self, feed: MemoryFeed, callbacks: Any, arguments: dict[str, Any]
    ) -> keras.callbacks.History:
        every_batch = any(map(needs_every_batch, getattr(callbacks, "callbacks", callbacks)))
        callbacks = prepend_callbacks([EpochClock(feed)], callbacks)
        compiled_steps = self.steps_per_execution
        if compiled_steps == 1 and not every_batch:
            work = max(1, self.count_params()) * feed.batch_size
            most = min(feed.most_steps_per_call(), self._steps_per_call, MAX_WORK_PER_CALL // work)
            self._use_steps_per_execution(max(1, most))
        self._feed, self.train_function = feed, None
        try:
            return super().fit(
                feed.placeholder(),
                steps_per_epoch=feed.num_steps,
                callbacks=callbacks,
                shuffle=False,
                **arguments,
            )
        finally:
            feed.close()
            self._feed, self.train_function = None, None
            self._use_steps_per_execution(compiled_steps)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The losses and metrics on images, as `keras.Model.evaluate`.

        Args:
            x, y, sample_weight: As in `fit`.
            batch_size: Images per step; default 256.
            verbose, steps, callbacks, return_dict: As in Keras.

        Returns:
            A dict by name with `return_dict=True`; otherwise as in Keras.

        Raises:
            ValueError: images that cannot be used.
        """
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked those
            if is_array(x):
                x, y, sample_weight = self._check_arrays(x, y, sample_weight)
                batch_size = batch_size or BATCH_SIZE
                if is_stored((x, y)):
                    x = read_in_batches((x, y, sample_weight), batch_size)
                    y = sample_weight = batch_size = None
            else:
                x = self._check_source(x)
        with self._plain_errors():
            return super().evaluate(
                x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict, **kwargs
            )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Reconstructions of images, as `keras.Model.predict`. Images are checked as in `fit`.

        A dataset may also have targets, which are ignored.
        """
        if is_array(x):
            x = self._check_inputs(self._select(x))
            if is_stored(x):
                x, batch_size = stored_batches((x,), batch_size or 32), None
        else:
            x = self._check_source(x, inputs_only=True)
        with self._plain_errors():
            return super().predict(x, batch_size, verbose, steps, callbacks)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step, as `keras.Model.train_on_batch`. Images are checked as in `fit`."""
        refuse_class_weight(class_weight)
        x, y, sample_weight = self._check_arrays(x, y, sample_weight)
        return super().train_on_batch(x, y, sample_weight, return_dict=return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The losses of a batch, as `keras.Model.test_on_batch`. Images are checked as in `fit`."""
        x, y, sample_weight = self._check_arrays(x, y, sample_weight)
        return super().test_on_batch(x, y, sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Reconstructions of a batch, as `keras.Model.predict_on_batch`, checked as in `fit`."""
        return super().predict_on_batch(self._check_inputs(self._select(x)))

    def make_train_function(self, force: bool = False):
        if self._feed is None:
            return super().make_train_function(force)
        if force or self._multi_step is None:
            jit = self._requested_jit_compile
            if jit == "auto":
                jit = self._xla_on_cpu or bool(tf.config.list_physical_devices("GPU"))
            self._multi_step = tf.function(self._run_steps, autograph=False, jit_compile=jit)
            # The short last batch runs once per epoch: worth tracing, but not compiling with XLA.
            self._single_step = tf.function(self._run_step, autograph=False)
        self.train_function = self._train_from_memory
        return self.train_function

    def _train_from_memory(self, _: Any) -> dict:
        """Run the next `steps_per_execution` steps of the epoch; returns the metrics so far."""
        feed = self._feed
        assert feed and self._multi_step and self._single_step
        start = feed.completed
        stop = min(feed.requested + self.steps_per_execution, feed.num_steps)
        feed.requested = stop
        if start < min(stop, feed.num_full):
            last = min(stop, feed.num_full)
            self._multi_step(*feed.full_steps(start, last))
        if start < stop == feed.num_steps > feed.num_full:
            self._single_step(*feed.last_step())
        feed.completed = max(start, stop)
        return self.get_metrics_result()

    def _run_steps(self, data, batches, start, stop):
        def body(step):
            self._run_step(data, batches[step])
            return (step + 1,)

        tf.while_loop(lambda step: step < stop, body, (start,), parallel_iterations=1)

    def _run_step(self, data, indices):
        self.train_step(
            tuple(
                None
                if part is None
                else tf.nest.map_structure(lambda array: as_floats(tf.gather(array, indices)), part)
                for part in data
            )
        )

    def _use_steps_per_execution(self, num_steps: int) -> None:
        # Keras compiles this number into its functions, so they are cached by its value.
        cache = self._function_cache.functions
        cache[self.steps_per_execution] = (self.test_function, self.predict_function)
        self.test_function, self.predict_function = cache.get(num_steps, (None, None))
        self.steps_per_execution = num_steps

    # ---- arguments ----

    def _check_arrays(self, x: Any, y: Any, sample_weight: Any) -> tuple:
        x = self._select(x)
        # Keras drops a sample_weight that comes without targets.
        same = y is x or (y is None and sample_weight is not None)
        x = self._check_inputs(x)
        num_images = num_items(x)
        if same:
            y = self._images_of(x)
        elif y is not None:
            if np.ndim(y) == 1:
                raise ValueError(
                    f"targets must be images; received an array of the shape {np.shape(y)}. Labels "
                    "are not targets: fit(images) is enough."
                )
            y = check_images(y, self.image_shape, name="targets", pixel_range=self.pixel_range)
            if len(y) != num_images:
                raise ValueError(
                    f"targets must be as many as the images; received {num_images} images and "
                    f"{len(y)} targets."
                )
        return x, y, check_sample_weight(sample_weight, num_images)

    def _check_validation(self, data: Any, batch_size: int | None = None) -> Any:
        if data is None:
            return None
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if is_array(x):
            return read_in_batches(self._check_arrays(x, y, sample_weight), batch_size)
        x = self._check_source(x)
        return (x, y, sample_weight) if isinstance(data, tuple) else x

    def _check_source(self, x: Any, inputs_only: bool = False) -> Any:
        """Data that arrives in batches, each of which is checked before the model sees it."""
        if x is None:
            raise ValueError("x must be images or a tf.data.Dataset of them; received x=None.")
        if not is_source(x):
            return x

        def check(batch: Any) -> tuple:
            try:
                return self._check_batch(batch, inputs_only)
            except ValueError as error:  # TensorFlow would add a traceback to the message
                self._batch_problem = str(error)
                raise

        @tf.autograph.experimental.do_not_convert  # it has no control flow, and warns instead
        def guard(*batch: Any) -> tuple:
            return self._guard_batch(batch[0] if len(batch) == 1 else batch, inputs_only)

        return checked(x, check, guard)

    def _check_batch(self, batch: Any, inputs_only: bool = False) -> tuple:
        """Inputs, targets and weights of a batch of arrays, checked; without those that are None.

        Args:
            inputs_only: Leave the rest out.
        """
        if inputs_only:
            return (self._check_inputs(self._batch_inputs(batch)),)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        return without_none(self._check_arrays(self._select(x), y, sample_weight))

    def _guard_batch(self, batch: Any, inputs_only: bool = False) -> tuple:
        """As `_check_batch`, for tensors within a graph: assertions on the values."""
        if inputs_only:
            parts: tuple = (self._batch_inputs(batch),)
        else:
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
            parts = without_none((self._select(x), y, sample_weight))
        checks = [each for each in self._assertions(parts) if each is not None]  # None if eager
        with tf.control_dependencies(checks):
            return tf.nest.map_structure(
                lambda part: None if part is None else tf.identity(part), parts
            )

    def _assertions(self, parts: tuple) -> list:
        """Assertions on the inputs and targets of a batch, as operations of a graph."""
        images = [self._images_of(parts[0]), *parts[1:2]]
        return [assert_pixels(each, self.pixel_range) for each in images if each is not None]

    @contextlib.contextmanager
    def _plain_errors(self):
        """Raise the errors of checks as a ValueError of one line."""
        self._batch_problem = None
        try:
            with plain_errors(self.pixel_range):
                yield
        except Exception:
            if self._batch_problem:
                raise ValueError(self._batch_problem) from None
            raise

    def _batch_inputs(self, batch: Any) -> Any:
        """The model's inputs among the parts of a batch."""
        return self._select(keras.utils.unpack_x_y_sample_weight(batch)[0])

    def _select(self, x: Any) -> Any:
        return self._inputs_from(x) if isinstance(x, dict) else x


def warn_unused(parts: dict) -> None:
    """Warn of the parts of a dict of inputs that no model uses."""
    if unused := [name for name in parts if name not in ("image", "images", "label", "labels")]:
        warnings.warn(
            f"The keys {', '.join(map(repr, unused))} of the inputs are not used.", stacklevel=2
        )


def read_in_batches(arrays: tuple, batch_size: int | None) -> Any:
    """Checked inputs, targets and weights for Keras: batches of those that stay on disk."""
    if not is_stored(arrays[:2]):
        return arrays
    return stored_batches(without_none(arrays), batch_size or BATCH_SIZE)


def without_none(parts: tuple) -> tuple:
    """Inputs, targets and weights without those at the end that are None."""
    while len(parts) > 1 and parts[-1] is None:
        parts = parts[:-1]
    return parts


def refuse_class_weight(class_weight: Any) -> None:
    """Raise a ValueError unless `class_weight` is None."""
    if class_weight is not None:
        raise ValueError(
            "class_weight needs class labels, but an autoencoder is trained on images; use "
            f"sample_weight instead. Received class_weight={class_weight!r}."
        )


def build_optimizer(optimizer: keras.optimizers.Optimizer, variables: list) -> None:
    """Create an optimizer's variables if it has none.

    A second `build` would reset the count of steps of a `LossScaleOptimizer`.
    """
    if not optimizer.built:
        optimizer.build(variables)
