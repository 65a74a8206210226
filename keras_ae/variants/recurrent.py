"""The recurrent autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_ae.checks import check_size
from keras_ae.networks import recurrent_decoder, recurrent_encoder
from keras_ae.variants.base import Autoencoder
from keras_ae.variants.documentation import variant


@variant
class Recurrent(Autoencoder):
    """Recurrent autoencoder (LSTM): reads and writes an image row by row.

    Sequence to vector, vector to sequence, each with two LSTMs: `units`, then `latent_dim` for the
    code; `units`, then one dense layer for every row. After A. Geron, "Hands-On Machine Learning",
    chapter 17, "Recurrent Autoencoders".

    Args:
        latent_dim: Size of the latent code, >= 1. Its values lie in (-1, 1).
        units: Units of the LSTMs next to the code, >= 1.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    _xla_on_cpu = False  # but both halves of a batch are: see _differentiate
    _steps_per_call = 32

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 30,
        *,
        units: int = 100,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            seed,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            **kwargs,
        )
        self.units = check_size("units", units)
        with self._dtype_scope():
            self.encoder = recurrent_encoder(self.image_shape, self.units, self.latent_dim)
            self.decoder = recurrent_decoder(self.latent_dim, self.units, self.image_shape)
        self._finalize()

    def _reset_functions(self) -> None:
        super()._reset_functions()
        self._half_step: Callable | None = None
        self._in_halves = False

    def _run_steps(self, data, batches, start, stop) -> None:
        on_cpu = not tf.config.list_physical_devices("GPU")
        self._in_halves = on_cpu and self._requested_jit_compile == "auto" and batches.shape[1] > 1
        try:
            super()._run_steps(data, batches, start, stop)
        finally:
            self._in_halves = False

    def _differentiate(self, inputs, targets, weight) -> tuple:
        """As `Autoencoder._differentiate`; on a CPU, both halves of a batch at the same time.

        The products of a row are too small for two threads. Two XLA programs with one thread each
        are faster, and their sums are those of the whole batch up to rounding.
        """
        if not self._in_halves:
            return super()._differentiate(inputs, targets, weight)
        half_step = self._half_step or tf.function(
            super()._differentiate, autograph=False, jit_compile=True
        )
        self._half_step = half_step
        size = inputs.shape[0]
        sizes = [size // 2, size - size // 2]
        parts = [
            (None, None) if part is None else tf.split(part, sizes)
            for part in (inputs, targets, weight)
        ]
        halves = [half_step(*half) for half in zip(*parts, strict=True)]

        def mean(values):
            return tf.add_n([v * (n / sum(sizes)) for v, n in zip(values, sizes, strict=True)])

        *numbers, outputs = zip(*halves, strict=True)
        numbers = tf.nest.map_structure(lambda *values: mean(values), *zip(*numbers, strict=True))
        outputs = {name: tf.concat([one[name] for one in outputs], 0) for name in outputs[0]}
        return *numbers, outputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
