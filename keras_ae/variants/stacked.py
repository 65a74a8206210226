"""The stacked autoencoder: greedy layer-wise training."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import tensorflow as tf

from keras_ae.checks import check_choice
from keras_ae.networks import hidden_blocks
from keras_ae.progress import counted
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant

OBJECTIVES = ("pixels", "codes")


@variant
class Stacked(DenseAutoencoder):
    """Stacked autoencoder: greedy layer-wise training of a deep autoencoder.

    Trains the outer pair of layers first, then the next pair on the codes of the first, and so on.
    One `fit` runs all stages: its epochs are divided among the pairs of layers, and the earlier
    stages get the remainder. A stage trains one encoder layer and its decoder layer with a new
    optimizer; the layers outside it are frozen, in inference mode, and those inside it are not
    used yet. During `fit` the losses are those of the stage, afterwards those of the whole network.

    Args:
        objective: What a stage reconstructs. "pixels": the image, through the frozen outer decoder,
            as in the published results of the autoencoder bake-off. "codes": the code of the layer
            below, by squared error summed over its units (A. Geron, "Hands-On Machine Learning",
            chapter 17); these losses compare only within a stage, and only the outermost stage's is
            in nats.
        tied: Must be False: a stage would move the kernels of frozen layers.

    Raises:
        ValueError: an argument outside its range, or tied=True.
        TypeError: an unknown argument.
    """

    fixed_epochs = True

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        objective: str = "pixels",
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_choice("objective", objective, OBJECTIVES)
        if tied is True:
            raise ValueError(
                "tied must be False for Stacked, which cannot be tied: a stage would move the "
                "kernels of frozen layers; received True."
            )
        super().__init__(
            image_shape,
            latent_dim,
            hidden_units=hidden_units,
            activation=activation,
            batch_normalization=batch_normalization,
            tied=tied,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            seed=seed,
            **kwargs,
        )
        self.objective = objective
        self._stage: int | None = None
        self._build()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "objective": self.objective}

    @property
    def num_stages(self) -> int:
        """The number of pairs of layers."""
        return len(self.hidden_units) + 1

    def _stage_of(self, epoch: int, epochs: int) -> int:
        """The stage, from 0, of epoch number `epoch` of `epochs`."""
        ends = [-(-epochs * (stage + 1) // self.num_stages) for stage in range(self.num_stages)]
        return next((stage for stage, end in enumerate(ends) if epoch < end), self.num_stages - 1)

    def compile(self, optimizer: Any = None, loss: None = None, **kwargs: Any) -> None:
        """Configure the training, as `Autoencoder.compile`.

        Raises:
            ValueError: a loss is given, or an optimizer that averages the weights.
        """
        given = keras.optimizers.get(optimizer) if isinstance(optimizer, dict) else optimizer
        if getattr(getattr(given, "inner_optimizer", given), "use_ema", False):
            raise ValueError(
                "The optimizer of Stacked must have use_ema=False: each stage has an optimizer of "
                "its own, whose averages end with the stage."
            )
        super().compile(optimizer, loss, **kwargs)

    def _default_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        return [GreedyStages(epochs)]

    def _end_fit(self) -> None:
        self._enter_stage(None)

    def _prepare_resume(self, completed_epochs: int, epochs: int, mid_epoch: bool = False) -> None:
        last_epoch = completed_epochs if mid_epoch else completed_epochs - 1
        self._enter_stage(self._stage_of(last_epoch, epochs))
        super()._prepare_resume(completed_epochs, epochs, mid_epoch)

    def _enter_stage(self, stage: int | None) -> None:
        """Make one pair of layers trainable, with an optimizer of its own; None: all layers."""
        if stage == self._stage:
            return
        self._stage = stage
        for number, pair in enumerate(self._pairs()):
            for layer in pair:
                layer.trainable = stage is None or number == stage
        # An optimizer cannot change its variables, and the step was traced with the old ones.
        self.optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        self.optimizer.build(self.trainable_variables)
        self._reset_functions()

    def _pairs(self) -> list[tuple]:
        """Encoder and decoder layers that belong together, outermost first."""
        down = [*hidden_blocks(self.encoder), self.encoder.get_layer("code")]
        up = [*hidden_blocks(self.decoder), self.decoder.get_layer("logits")]
        return list(zip(down, reversed(up), strict=True))

    def _stage_outputs(self, images, training: bool) -> dict:
        """The forward pass of the current stage's part of the network."""
        assert self._stage is not None
        pairs = self._pairs()[: self._stage + 1]
        codes = [self.encoder.get_layer("flatten")(images)]
        for number, (down, _) in enumerate(pairs):
            codes.append(down(codes[-1], training=training and number == self._stage))
        rebuilt, rebuilt_code = codes[-1], None
        for number, (_, up) in reversed(list(enumerate(pairs))):
            rebuilt = up(rebuilt, training=training and number == self._stage)
            if number == self._stage:
                rebuilt_code = rebuilt
        return {
            "latents": codes[-1],
            "logits": self.decoder.get_layer("images")(rebuilt),
            "code_below": codes[-2],
            "rebuilt_code": rebuilt_code,
        }

    def _batch_losses(self, inputs, targets, training: bool):
        if self._stage is None:
            return super()._batch_losses(inputs, targets, training)
        outputs = self._stage_outputs(inputs, training)
        if self.objective == "codes" and self._stage > 0:
            error = tf.square(outputs["rebuilt_code"] - outputs["code_below"])
            per_image = tf.reduce_sum(tf.cast(error, tf.float32), axis=-1)
        else:
            per_image = self._per_image_loss(targets, outputs["logits"])
        return per_image, tf.zeros(()), outputs


class GreedyStages(keras.callbacks.Callback):
    """Callback: move a stacked model to the stage of each epoch; warn if some were not reached."""

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        model: Any = self.model
        stage = model._stage_of(epoch, self.epochs)
        if stage != model._stage:
            model._enter_stage(stage)
            # Keras made these before the epoch began and does not make them again.
            model.make_train_function()
            model.make_test_function()

    def on_train_end(self, logs=None):
        model: Any = self.model
        if self.epochs < model.num_stages:
            warnings.warn(
                f"{model.num_stages} stages need more than {counted(self.epochs, 'epoch')}: not "
                "all layers were trained.",
                stacklevel=2,
            )
        elif model._stage is not None and model._stage < model.num_stages - 1:
            warnings.warn(
                f"Training stopped in stage {model._stage + 1} of {model.num_stages}: the inner "
                "layers are untrained. Do not use early stopping with a stacked autoencoder: the "
                "loss of a new stage is not comparable with that of the stage before.",
                stacklevel=2,
            )
