"""The fast path of `fit`: whole stretches of an epoch in one compiled call.

The nets are small, so what a framework does between two steps decides the speed. Images given as
an array stay in memory as one tensor; an epoch is a permutation of their indices, keyed by
(seed, epoch); up to `steps_per_call` steps run inside one compiled loop. Keras's own `fit` drives
it, so callbacks, validation and histories are the ordinary ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_images

BATCH_SIZE = 256
WORK_OF_A_CALL = 2**36  # weights x images: dense nets take a second or two of two CPU cores


def epoch_order(num_images: int, seed: int, epoch: int) -> tf.Tensor:
    """The order of the images in one epoch: a permutation, the same for the same (seed, epoch)."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(num_images), seed=[seed % 2**31, epoch]
    )


class MemoryFeed:
    """Images in memory and the position within an epoch over them, in steps.

    `position` is what was done, `asked` what Keras has asked for: less, where an epoch goes on.

    Args:
        images: Inputs, `(N, ...)`, or a nest of such arrays.
        targets: Targets of the same shape, or None where they are the inputs.
        sample_weight: Shape `(N,)`, or None.
        batch_size: Images a step; the last step of an epoch takes what is left.
        seed: Key of the epochs' orders; None for the stored order.
    """

    def __init__(self, images, targets, sample_weight, batch_size: int, seed: int | None):
        targets = None if targets is images else targets
        self.data = tuple(
            None if part is None else tf.nest.map_structure(tf.convert_to_tensor, part)
            for part in (images, targets, sample_weight)
        )
        self.num_images = num_items(images)
        self.batch_size = batch_size
        self.seed = seed
        self.num_full = self.num_images // batch_size
        self.num_steps = -(-self.num_images // batch_size)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Starts an epoch."""
        if self.seed is None:
            order = tf.range(self.num_images)
        else:
            order = epoch_order(self.num_images, self.seed, epoch)
        cut = self.num_full * self.batch_size
        self.batches = tf.reshape(order[:cut], (self.num_full, self.batch_size))
        self.last_batch = order[cut:]
        self.position = self.asked = 0

    def placeholder(self) -> tf.data.Dataset:
        """What Keras is given to count steps with; the steps read `data` themselves."""
        return tf.data.Dataset.from_tensors(0).repeat()


class Traced:
    """Functions by the steps they take; in an object, lest an export tracks them with the model."""

    def __init__(self):
        self.functions = {}


class EpochClock(keras.callbacks.Callback):
    """Tells the feed which epoch begins, also where a callback moved the first one."""

    def __init__(self, feed: MemoryFeed):
        super().__init__()
        self.feed = feed

    def on_epoch_begin(self, epoch, logs=None):
        self.feed.begin(epoch)


def needs_every_batch(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback wants to be called after each batch rather than each stretch.

    One can say that it does not, by an attribute `every_batch` of False.
    """
    kind = type(callback)
    if not getattr(callback, "every_batch", True):
        return False
    if getattr(callback, "save_freq", None) == "epoch":
        return False
    if getattr(callback, "update_freq", None) == "epoch" and not getattr(
        callback, "_should_trace", False
    ):
        return False
    if kind.__module__.startswith("keras.") and kind.__name__ in {
        "ProgbarLogger",
        "TerminateOnNaN",
    }:
        return False
    base = keras.callbacks.Callback
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    return any(
        getattr(callback, hook, None) is not None
        and getattr(getattr(callback, hook), "__func__", None) is not getattr(base, hook)
        for hook in hooks
    )


def is_array(x) -> bool:
    """Whether the inputs are in memory: an array, or a dict of arrays."""
    if isinstance(x, dict):
        return any(map(is_array, x.values()))
    return isinstance(x, (np.ndarray, tf.Tensor, list)) or hasattr(x, "__array__")


def num_items(inputs) -> int:
    """The length of an array, or of the arrays in a nest."""
    return len(tf.nest.flatten(inputs)[0])


class EpochTrainer(keras.Model):
    """A `keras.Model` whose `fit` runs on the fast path where it can.

    It can when the images come as an array, outside `tf.distribute` and eager mode. The steps are
    `train_step`'s either way and in the same order. A subclass has `image_shape`,
    `check_inputs(inputs)` and `images_of(inputs)`.
    """

    pixel_range = (0.0, 1.0)
    fixed_epochs = False  # whether a training must not end before its last epoch
    xla_on_cpu = True  # whether "auto" compiles with XLA where there is no GPU
    steps_per_call = 256  # at most, in one compiled loop, for whose end Ctrl-C has to wait

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.shuffle_seed = random.randrange(2**31) if seed is None else seed
        self._feed = None
        self.reset_functions()

    # ---- compile ----

    def compile(
        self,
        optimizer=None,
        loss=None,
        *,
        metrics=None,
        weighted_metrics=None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        **kwargs,
    ) -> None:
        """As `keras.Model.compile`; without arguments, the bake-off's Adam at 1e-3.

        Args:
            optimizer: Name or instance.
            loss: Must be None: a variant brings its own loss.
            metrics: Further metrics of `(images, reconstructions)`.
            weighted_metrics: Likewise, weighted by `sample_weight`.
            run_eagerly: As in Keras; switches the fast path off.
            steps_per_execution: As in Keras.
            jit_compile: "auto" compiles the training loop with XLA, on a CPU only where that is
                faster (`xla_on_cpu`: it is not for convolutions, by 30 times); True also
                evaluation and prediction; False nothing.

        Raises:
            ValueError: a loss is given.
        """
        if loss is not None:
            raise ValueError(
                f"An autoencoder brings its own loss; received loss={loss!r}. Leave it out, and "
                "pass further measures as metrics=[...]."
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
        self.reset_functions()

    def get_compile_config(self) -> dict:
        config = super().get_compile_config()
        if config:
            config["jit_compile"] = self._requested_jit_compile
        return config

    def compile_from_config(self, config: dict) -> None:
        config = keras.saving.deserialize_keras_object(config)
        config.pop("loss_weights", None)
        self.compile(**config)
        self.build_optimizers()

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All that training steps with; what a run keeps, besides the weights."""
        return [self.optimizer]

    def build_optimizers(self) -> None:
        """Makes the optimizers' variables, so that a saved state finds them."""
        self.optimizer.build(self.trainable_variables)

    def own_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        """What a variant adds to the callbacks of every `fit`."""
        return []

    def reset_functions(self) -> None:
        """Forgets every traced function: what a change of optimizer or `trainable` needs."""
        self.train_function = self.test_function = self.predict_function = None
        self._traced = Traced()
        self._stretch = self._single = None

    def resume_at(self, epoch: int, epochs: int, within: bool = False) -> None:
        """Readies a fresh model for a state that was saved after `epoch` of `epochs` epochs.

        Args:
            within: Whether it was saved within the next epoch, not before it.
        """
        self.build_optimizers()

    @property
    def steps_done(self) -> int | None:
        """Steps of the epoch under way; None outside the fast path and at an epoch's end."""
        feed = self._feed
        return feed.position if feed and 0 < feed.position < feed.num_steps else None

    def skip_steps(self, num_steps: int, metrics: list[np.ndarray]) -> None:
        """Goes on within the epoch that has just begun, on the fast path.

        Args:
            num_steps: Steps that were done in it, `steps_done` of then.
            metrics: Values of `metrics_variables` then.

        Raises:
            ValueError: it has no such step, or other metrics.
        """
        steps = range(1, self._feed.num_steps if self._feed else 0)
        if not isinstance(num_steps, int) or num_steps not in steps:
            raise ValueError(f"there is no step {num_steps} to go on from")
        shapes = [tuple(variable.shape) for variable in self.metrics_variables]
        if [np.shape(value) for value in metrics] != shapes:
            raise ValueError("its metrics are those of another network")
        for variable, value in zip(self.metrics_variables, metrics, strict=True):
            variable.assign(value)
        self._feed.position = num_steps

    # ---- fit and evaluate ----

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs: int = 1,
        verbose="auto",
        callbacks=None,
        validation_split: float = 0.0,
        validation_data=None,
        shuffle: bool = True,
        class_weight=None,
        sample_weight=None,
        initial_epoch: int = 0,
        steps_per_epoch=None,
        **kwargs,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, on images alone: `fit(x)`, `fit(x, x)` or `fit(tf_dataset)`.

        Args:
            x: Images in [0, 1], `(N, *image_shape)`, or a `tf.data.Dataset` of batches of images,
                `(images, targets)` or `(images, targets, weights)`.
            y: Target images, of the shape of `x`; None for `x` itself.
            batch_size: Default 256, or all images where there are fewer.
            shuffle: A new order each epoch, keyed by (seed, epoch); of arrays only. A `fit` that
                begins at epoch 0 again repeats the orders: go on with `initial_epoch`.
            sample_weight: Weight of each image's reconstruction loss, `(N,)`. Latent losses are
                statistics of a batch and are not weighted, as with any loss a layer adds.

        Raises:
            ValueError: images that are not usable (see `check_images`), a class_weight, or a
                batch_size beyond the number of images.
        """
        if class_weight is not None:
            raise ValueError(
                "class_weight needs class labels, and an autoencoder is fitted to images; use "
                f"sample_weight instead. Received class_weight={class_weight!r}."
            )
        self._assert_compile_called("fit")
        callbacks = joined(self.own_callbacks(epochs), callbacks)
        arguments = dict(epochs=epochs, verbose=verbose, initial_epoch=initial_epoch, **kwargs)
        if not is_array(x):
            x = self._checked_dataset(x)
            return super().fit(
                x, y, batch_size, callbacks=callbacks, validation_split=validation_split,
                validation_data=self._checked_validation(validation_data), shuffle=False,
                sample_weight=sample_weight, steps_per_epoch=steps_per_epoch, **arguments,
            )  # fmt: skip
        x, y, sample_weight = self._checked(x, y, sample_weight)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = split_tail(
                (x, y, sample_weight), validation_split
            )
        else:
            validation_data = self._checked_validation(validation_data)
        batch_size = checked_batch_size(batch_size, num_items(x))
        arguments["validation_data"] = validation_data
        arguments.setdefault("validation_batch_size", BATCH_SIZE)
        if (
            self.run_eagerly
            or steps_per_epoch is not None
            or tf.distribute.has_strategy()
            or self._distribute_strategy is not None
        ):
            return super().fit(
                x, y, batch_size, callbacks=callbacks, shuffle=shuffle,
                sample_weight=sample_weight, steps_per_epoch=steps_per_epoch, **arguments,
            )  # fmt: skip
        return self._fit_from_memory(
            MemoryFeed(x, y, sample_weight, batch_size, self.shuffle_seed if shuffle else None),
            callbacks,
            arguments,
        )

    def _fit_from_memory(self, feed: MemoryFeed, callbacks, arguments) -> keras.callbacks.History:
        every_batch = any(map(needs_every_batch, getattr(callbacks, "callbacks", callbacks)))
        callbacks = joined([EpochClock(feed)], callbacks)
        compiled_steps = self.steps_per_execution
        if compiled_steps == 1 and not every_batch:
            work = max(1, self.count_params()) * feed.batch_size
            most = min(feed.num_steps, self.steps_per_call, WORK_OF_A_CALL // work)
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
            self._feed, self.train_function = None, None
            self._use_steps_per_execution(compiled_steps)

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, **kwargs
    ):
        """As `keras.Model.evaluate`, on images alone. The default batch_size is 256."""
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked those
            if is_array(x):
                x, y, sample_weight = self._checked(x, y, sample_weight)
                batch_size = batch_size or BATCH_SIZE
            else:
                x = self._checked_dataset(x)
        return super().evaluate(x, y, batch_size, verbose, sample_weight, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As `keras.Model.predict`: reconstructions. Arrays are looked at first, as in `fit`."""
        return super().predict(self.check_inputs(x) if is_array(x) else x, *args, **kwargs)

    def make_train_function(self, force: bool = False):
        if self._feed is None:
            return super().make_train_function(force)
        if force or self._stretch is None:
            jit = self._requested_jit_compile
            if jit == "auto":
                jit = self.xla_on_cpu or bool(tf.config.list_physical_devices("GPU"))
            self._stretch = tf.function(self._run_stretch, autograph=False, jit_compile=jit)
            # The short last batch runs once an epoch: tracing it is worth it, XLA is not.
            self._single = tf.function(self._run_batch, autograph=False)
        self.train_function = self._train_from_memory
        return self.train_function

    def _train_from_memory(self, _) -> dict:
        """Runs the next `steps_per_execution` steps of the epoch; returns the metrics so far."""
        feed = self._feed
        start, stop = feed.position, min(feed.asked + self.steps_per_execution, feed.num_steps)
        feed.asked = stop
        if start < min(stop, feed.num_full):
            last = min(stop, feed.num_full)
            self._stretch(feed.data, feed.batches, tf.constant(start), tf.constant(last))
        if start < stop == feed.num_steps > feed.num_full:
            self._single(feed.data, feed.last_batch)
        feed.position = max(start, stop)
        return self.get_metrics_result()

    def _run_stretch(self, data, batches, start, stop):
        def body(step):
            self._run_batch(data, batches[step])
            return (step + 1,)

        tf.while_loop(lambda step: step < stop, body, (start,), parallel_iterations=1)

    def _run_batch(self, data, indices):
        self.train_step(
            tuple(
                None
                if part is None
                else tf.nest.map_structure(lambda array: tf.gather(array, indices), part)
                for part in data
            )
        )

    def _use_steps_per_execution(self, num_steps: int) -> None:
        # Keras bakes this number into the functions it traces: each value keeps its own.
        traced = self._traced.functions
        traced[self.steps_per_execution] = (self.test_function, self.predict_function)
        self.test_function, self.predict_function = traced.get(num_steps, (None, None))
        self.steps_per_execution = num_steps

    # ---- arguments ----

    def _checked(self, x, y, sample_weight):
        # Keras drops a sample_weight that comes without targets.
        same = y is x or (y is None and sample_weight is not None)
        x = self.check_inputs(x)
        num_images = num_items(x)
        if same:
            y = self.images_of(x)
        elif y is not None:
            if np.ndim(y) == 1:
                raise ValueError(
                    f"targets must be images; received an array of the shape {np.shape(y)}. Labels "
                    "are not targets: fit(images) is enough."
                )
            y = check_images(y, self.image_shape, name="targets", pixel_range=self.pixel_range)
            if len(y) != num_images:
                raise ValueError(f"Received {num_images} images but {len(y)} targets.")
        return x, y, checked_weight(sample_weight, num_images)

    def _checked_validation(self, data):
        if data is None:
            return None
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if is_array(x):
            return self._checked(x, y, sample_weight)
        x = self._checked_dataset(x)
        return (x, y, sample_weight) if isinstance(data, tuple) else x

    def _checked_dataset(self, x):
        """Looks at a dataset's first batch: 0..255 would train without an error, to nonsense."""
        if x is None:
            raise ValueError("There are no images to work on; received x=None.")
        if isinstance(x, tf.data.Dataset):
            for batch in x.take(1):
                images, targets, _ = keras.utils.unpack_x_y_sample_weight(batch)
                check_images(
                    images.numpy(),
                    self.image_shape,
                    name="The dataset's images",
                    pixel_range=self.pixel_range,
                )
                if targets is not None and targets.shape != images.shape:
                    raise ValueError(
                        f"A dataset's targets must be images of the shape {tuple(images.shape)}; "
                        f"received {tuple(targets.shape)}. Labels are not targets: map the dataset "
                        "to its images alone."
                    )
        return x


def checked_batch_size(batch_size: int | None, num_images: int) -> int:
    if batch_size is None:
        return min(BATCH_SIZE, num_images)
    if not 1 <= batch_size <= num_images:
        raise ValueError(
            f"batch_size must lie between 1 and the number of images; received "
            f"batch_size={batch_size} with {num_images} images."
        )
    return int(batch_size)


def checked_weight(sample_weight, num_images: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    sample_weight = np.asarray(sample_weight, dtype=np.float32)
    if sample_weight.shape != (num_images,) or not np.isfinite(sample_weight).all():
        raise ValueError(
            f"sample_weight must have the shape ({num_images},), a finite weight an image; "
            f"received {sample_weight.shape}."
        )
    return sample_weight


def joined(own: list, callbacks):
    """The callbacks of a `fit` with some of our own before them, in a list or a CallbackList."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        for callback in own:
            callbacks.append(callback)
        return callbacks
    given = callbacks if isinstance(callbacks, Iterable) else [callbacks]
    return [*own, *(callback for callback in given if callback is not None)]


def split_tail(arrays, fraction: float):
    """Splits off the last `fraction` of each array, as Keras's `validation_split` does."""
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"validation_split must lie between 0 and 1; received {fraction!r}.")
    num_images = num_items(arrays[0])
    num = int(np.floor(num_images * (1.0 - fraction)))
    if num == 0 or num == num_images:
        raise ValueError(
            f"validation_split={fraction} of {num_images} images leaves an empty part."
        )

    def part(where: slice):
        return tuple(
            None if array is None else tf.nest.map_structure(lambda each: each[where], array)
            for array in arrays
        )

    return part(slice(None, num)), part(slice(num, None))
