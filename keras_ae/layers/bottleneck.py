"""The interface of all bottlenecks, and the bottleneck without a constraint."""

from __future__ import annotations

from typing import Any

import keras

from keras_ae.attributes import FixedArgument


class Bottleneck(keras.layers.Layer):
    """Base class of the layers between encoder and decoder.

    A bottleneck maps the encoder's output to the decoder's input, the latents, and adds the latent
    loss, if any, with `add_loss`. A new bottleneck overrides `call` and, where the defaults do not
    apply, the three members below.
    """

    is_discrete: bool = False
    """Whether the latents are from a finite set."""

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the latents, without the batch size that the layer was built with.

        Raises:
            AttributeError: the layer is not built.
        """
        config = self.get_build_config()
        if not config:
            raise AttributeError(f"The layer {self.name} is not built, so it has no output_shape.")
        return (None, *self.compute_output_shape(config["input_shape"])[1:])

    def code_statistics(self, encoded: Any) -> dict[str, float]:
        """Statistics of the codes of N images; empty where there are none to report.

        Args:
            encoded: Encoder outputs, `(N, ...)`.
        """
        return {}

    def snap(self, latents: Any) -> Any:
        """The nearest latents that this bottleneck can emit, in the shape of `latents`.

        For codes that did not come from the encoder, such as samples of a fitted prior. Continuous
        bottlenecks return `latents` unchanged.
        """
        return latents


@keras.saving.register_keras_serializable(package="keras_ae")
class IdentityBottleneck(Bottleneck):
    """A bottleneck without a constraint: the code itself, or an activation of it.

    Example: the code of a sparse autoencoder:

    ```python
    IdentityBottleneck("sigmoid", activity_regularizer=KLDivergenceRegularizer(target=0.25))
    ```

    Args:
        activation: As in `keras.layers.Activation`. None leaves the code unchanged.
        **kwargs: Arguments of `keras.layers.Layer`, such as `activity_regularizer`.
    """

    activation = FixedArgument()

    def __init__(self, activation: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.activation = keras.activations.get(activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
        }
