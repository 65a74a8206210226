"""The weights of a run depend on its request, not on who else draws random numbers."""

from __future__ import annotations

import random
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from programs import assert_same_run, command, run_of, train

from keras_ae.runs.randomness import own_seeds

pytestmark = pytest.mark.usefixtures("offline", "eager")


def initial_weights() -> list[np.ndarray]:
    layer = keras.layers.Dense(3)
    layer.build((2,))
    return [keras.random.SeedGenerator().state.numpy(), layer.kernel.numpy()]


def draw_in_another_thread() -> None:
    def draw():
        random.random()
        np.random.random()
        keras.random.normal((2,))
        tf.random.normal((2,))

    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()


def test_own_seeds_are_those_of_set_random_seed():
    keras.utils.set_random_seed(5)
    expected = initial_weights()
    random.seed(0)
    with own_seeds(5):
        draw_in_another_thread()
        received = initial_weights()
    for ours, theirs in zip(received, expected, strict=True):
        assert np.array_equal(ours, theirs)


def test_block_leaves_the_global_generator_alone():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with own_seeds(5):
        initial_weights()
        with own_seeds(6):
            inner = initial_weights()
        initial_weights()
    assert random.random() == expected
    with own_seeds(6):
        assert np.array_equal(initial_weights()[0], inner[0])


def test_other_threads_draw_from_the_global_generator():
    seeds = []

    def seed_of_a_generator():
        seeds.append(keras.random.SeedGenerator().state.numpy())

    for _ in range(2):
        random.seed(3)
        with own_seeds(5):
            thread = threading.Thread(target=seed_of_a_generator)
            thread.start()
            thread.join()
    random.seed(3)
    seed_of_a_generator()
    assert np.array_equal(seeds[0], seeds[1]) and np.array_equal(seeds[0], seeds[2])


@pytest.mark.parametrize("variant", ["stacked", "vae", "denoising", "vq_vae"])
def test_draws_of_another_thread_change_no_weights(tiny, tmp_path, monkeypatch, variant):
    assert train(*command(tiny, tmp_path / "alone", variant), "--quiet") == 0
    init, callback = keras.layers.Dense.__init__, keras.callbacks.CallbackList.on_epoch_begin

    def drawing_init(self, *arguments, **options):
        draw_in_another_thread()
        return init(self, *arguments, **options)

    def drawing_callback(self, *arguments, **options):
        draw_in_another_thread()
        return callback(self, *arguments, **options)

    monkeypatch.setattr(keras.layers.Dense, "__init__", drawing_init)
    monkeypatch.setattr(keras.callbacks.CallbackList, "on_epoch_begin", drawing_callback)
    random.seed(99)
    np.random.seed(99)
    tf.random.set_seed(99)
    assert train(*command(tiny, tmp_path / "with", variant), "--quiet") == 0
    assert_same_run(run_of(tmp_path / "alone", variant), run_of(tmp_path / "with", variant))
