"""The exported model under load: many threads, many shapes, and input that is no image."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from harness import Row

THREADS = 8
ENDPOINTS = ("encode", "decode", "serve", "anomaly_score")
METHODS = {"serve": "reconstruct"}  # where the model has another name for it


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Sends `times` requests, a tenth of them unusable, from eight threads."""
    import keras
    import tensorflow as tf

    import keras_ae

    keras.utils.set_random_seed(0)
    model = keras_ae.VAE((8, 8), 4, hidden_units=(32, 16), seed=0)
    model.compile()
    images = np.random.default_rng(0).random((256, 8, 8)).astype("float32")
    model.fit(images, epochs=1, batch_size=64, verbose=0)
    model.export(folder / "saved_model", verbose=False)
    served = tf.saved_model.load(str(folder / "saved_model"))
    codes = model.encode(images)
    inputs = {"decode": np.asarray(codes)}
    expected = {
        name: np.asarray(getattr(model, METHODS.get(name, name))(inputs.get(name, images)))
        for name in ENDPOINTS
    }
    lost, refused, count = [], [0], threading.Lock()

    def ask(number: int) -> None:
        # By its signature: a restored `tf.function` that refuses an argument's shape keeps its
        # lock, and every other thread waits for it for ever (TensorFlow 2.21).
        random = np.random.default_rng(number)
        name = ENDPOINTS[number % len(ENDPOINTS)]
        given = inputs.get(name, images)
        chosen = random.integers(0, len(given), random.integers(1, 17))
        wrong = number // len(ENDPOINTS) % 10 == 0
        batch = spoiled(given[chosen], random) if wrong else given[chosen]
        try:
            answer = served.signatures[name](tf.constant(batch))["output_0"].numpy()
        except Exception as error:  # whatever a runtime raises: it must be for a reason
            with count:
                refused[0] += wrong
                lost.extend([] if wrong else [f"{name}: {error}"])
            return
        if wrong:
            with count:
                lost.append(f"{name} answered to {batch.shape} with NaN: {np.isnan(batch).any()}")
        elif not np.allclose(answer, expected[name][chosen], rtol=1e-5, atol=1e-5):
            with count:
                lost.append(f"{name}: other numbers than the model's")

    say(f"serving: {times} requests")
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(ask, range(times)))
    kept = (
        f"answers as the Keras model's from {THREADS} threads; {refused[0]:,} unusable ones refused"
    )
    return [Row("requests to a SavedModel", times, lost, kept)]


def spoiled(batch: np.ndarray, random) -> np.ndarray:
    """The same request with a wrong shape, or with a pixel that is no number."""
    kind = random.integers(3)
    if kind == 0:
        return np.concatenate([batch, batch], axis=-1)
    if kind == 1:  # as many numbers as there should be
        return batch.reshape(len(batch), -1, 2)
    batch = batch.copy()
    batch.flat[0] = np.nan
    return batch
