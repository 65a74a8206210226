"""The stacked autoencoder: the deep network, trained greedily."""

from __future__ import annotations

import warnings

import keras
import tensorflow as tf

from keras_ae.checks import check_choice
from keras_ae.networks import hidden_blocks
from keras_ae.variants.dense import DenseAutoencoder

OBJECTIVES = ("pixels", "codes")


@keras.saving.register_keras_serializable(package="keras_ae")
class Stacked(DenseAutoencoder):
    """Trains the outer pair of layers first, then the next on what that one encodes, and so on.

    One `fit` runs all stages: its epochs are shared among the pairs of layers, the earlier stages
    taking what does not divide. A stage trains one encoder block and its decoder block with a new
    optimizer; the layers outside it are frozen, in inference mode, and those inside it are not
    there yet. During `fit` the losses are those of the stage; afterwards those of the whole net.

    Args:
        objective: What a stage rebuilds. "pixels": the image, through the frozen outer decoder,
            as in the published figure. "codes": the code of the layer below, by squared error
            summed over its units, as in Geron's chapter; its losses are comparable only within a
            stage, and only the outermost stage's is in nats.
        **network: See `DenseAutoencoder`.

    Raises:
        ValueError: an unknown objective, or tied=True.
    """

    fixed_epochs = True

    def __init__(
        self, image_shape=(28, 28), latent_dim: int = 20, *, objective: str = "pixels", **network
    ):
        check_choice("objective", objective, OBJECTIVES)
        if network.get("tied"):
            raise ValueError("Stacked cannot be tied: a stage would move the frozen kernels.")
        super().__init__(image_shape, latent_dim, **network)
        self.objective = objective
        self.stage = None

    def get_config(self) -> dict:
        return {**super().get_config(), "objective": self.objective}

    @property
    def num_stages(self) -> int:
        return len(self.hidden_units) + 1

    def stage_of(self, epoch: int, epochs: int) -> int:
        """The stage, from 0, that epoch number `epoch` of `epochs` belongs to."""
        ends = [-(-epochs * (stage + 1) // self.num_stages) for stage in range(self.num_stages)]
        return next((stage for stage, end in enumerate(ends) if epoch < end), self.num_stages - 1)

    def own_callbacks(self, epochs: int) -> list[keras.callbacks.Callback]:
        return [GreedyStages(epochs)]

    def fit(self, *args, **kwargs) -> keras.callbacks.History:
        """As `Autoencoder.fit`; `epochs` are shared among the stages."""
        try:
            return super().fit(*args, **kwargs)
        finally:
            self.enter_stage(None)

    def resume_at(self, epoch: int, epochs: int, within: bool = False) -> None:
        self.enter_stage(self.stage_of(epoch if within else epoch - 1, epochs))
        super().resume_at(epoch, epochs, within)

    def enter_stage(self, stage: int | None) -> None:
        """Makes one pair of layers trainable, with an optimizer of its own; None: all of them."""
        if stage == self.stage:
            return
        self.stage = stage
        for number, pair in enumerate(self.pairs()):
            for layer in pair:
                layer.trainable = stage is None or number == stage
        # An optimizer cannot change its variables, and the step was traced with the old ones.
        self.optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        self.optimizer.build(self.trainable_variables)
        self.reset_functions()

    def pairs(self) -> list[tuple]:
        """Encoder and decoder blocks that belong together, outermost first."""
        down = [*hidden_blocks(self.encoder), self.encoder.get_layer("code")]
        up = [*hidden_blocks(self.decoder), self.decoder.get_layer("logits")]
        return list(zip(down, reversed(up), strict=True))

    def stage_outputs(self, images, training: bool) -> dict:
        """The forward pass of the current stage's part of the network."""
        pairs = self.pairs()[: self.stage + 1]
        codes = [self.encoder.get_layer("flatten")(images)]
        for number, (down, _) in enumerate(pairs):
            codes.append(down(codes[-1], training=training and number == self.stage))
        rebuilt, rebuilt_code = codes[-1], None
        for number, (_, up) in reversed(list(enumerate(pairs))):
            rebuilt = up(rebuilt, training=training and number == self.stage)
            if number == self.stage:
                rebuilt_code = rebuilt
        return {
            "latents": codes[-1],
            "logits": self.decoder.get_layer("images")(rebuilt),
            "code_below": codes[-2],
            "rebuilt_code": rebuilt_code,
        }

    def batch_losses(self, images, targets, training: bool):
        if self.stage is None:
            return super().batch_losses(images, targets, training)
        outputs = self.stage_outputs(images, training)
        if self.objective == "codes" and self.stage > 0:
            error = tf.square(outputs["rebuilt_code"] - outputs["code_below"])
            per_image = tf.reduce_sum(tf.cast(error, tf.float32), axis=-1)
        else:
            per_image = self.per_image_loss(targets, outputs["logits"])
        return per_image, tf.zeros(()), outputs


class GreedyStages(keras.callbacks.Callback):
    """Moves a stacked model to the stage of each epoch; warns when not all were reached."""

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        model = self.model
        stage = model.stage_of(epoch, self.epochs)
        if stage != model.stage:
            model.enter_stage(stage)
            # Keras made these before the epoch began and does not make them again.
            model.make_train_function()
            model.make_test_function()

    def on_train_end(self, logs=None):
        model = self.model
        if self.epochs < model.num_stages:
            warnings.warn(
                f"{self.epochs} epochs are too few for {model.num_stages} stages: not all pairs of "
                "layers were trained.",
                stacklevel=2,
            )
        elif model.stage is not None and model.stage < model.num_stages - 1:
            warnings.warn(
                f"Training stopped in stage {model.stage + 1} of {model.num_stages}: the pairs of "
                "layers further in are untrained. Losses of two stages are not comparable, which "
                "early stopping takes for a loss that no longer falls.",
                stacklevel=2,
            )
