"""An exported model under load: many threads, many batch sizes, and invalid requests."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from harness import Log, Row

THREADS = 8
ENDPOINTS = ("encode", "decode", "serve", "anomaly_score")
METHODS = {"serve": "reconstruct"}  # the method of the model, if its name differs


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Send `trials` requests, a tenth of them invalid, from eight threads."""
    import keras
    import tensorflow as tf

    import keras_ae

    keras.utils.set_random_seed(0)
    model = keras_ae.VAE((8, 8), 4, hidden_units=(32, 16), seed=0)
    model.compile()
    images = np.random.default_rng(0).random((256, 8, 8)).astype("float32")
    model.fit(images, epochs=1, batch_size=64, verbose=0)
    model.export(tmp_path / "saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved_model"))
    codes = model.encode(images)
    inputs = {"decode": np.asarray(codes)}
    expected = {
        name: np.asarray(getattr(model, METHODS.get(name, name))(inputs.get(name, images)))
        for name in ENDPOINTS
    }
    failures, refused, lock = [], [0], threading.Lock()

    def request(number: int) -> None:
        # Through the signature: a restored `tf.function` that refuses an argument's shape keeps
        # its lock, and every other thread waits for it forever (TensorFlow 2.21).
        random = np.random.default_rng(number)
        name = ENDPOINTS[number % len(ENDPOINTS)]
        given = inputs.get(name, images)
        chosen = random.integers(0, len(given), random.integers(1, 17))
        is_invalid = number // len(ENDPOINTS) % 10 == 0
        batch = invalid(given[chosen], random) if is_invalid else given[chosen]
        try:
            answer = served.signatures[name](tf.constant(batch))["output_0"].numpy()
        except Exception as error:  # the runtime has many types of errors
            with lock:
                refused[0] += is_invalid
                failures.extend([] if is_invalid else [f"{name}: {error}"])
            return
        if is_invalid:
            with lock:
                failures.append(
                    f"{name} answered a request of {batch.shape}, NaN: {np.isnan(batch).any()}"
                )
        elif not np.allclose(answer, expected[name][chosen], rtol=1e-5, atol=1e-5):
            with lock:
                failures.append(f"{name}: other numbers than the model's")

    log(f"serving: {trials} requests")
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(request, range(trials)))
    result = (
        f"same answers as the Keras model, from {THREADS} threads; "
        f"{refused[0]:,} invalid requests refused"
    )
    return [Row("requests to a SavedModel", trials, failures, result)]


def invalid(batch: np.ndarray, random) -> np.ndarray:
    """The same request with a wrong shape, or with a NaN."""
    kind = random.integers(3)
    if kind == 0:
        return np.concatenate([batch, batch], axis=-1)
    if kind == 1:  # the right number of values
        return batch.reshape(len(batch), -1, 2)
    batch = batch.copy()
    batch.flat[0] = np.nan
    return batch
