"""Encoders and decoders: any image shape, and layers against slow versions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ae
from keras_ae import layers, networks
from keras_ae.layers import lstm as lstm_module
from keras_ae.networks.convolutional import _upsampling, feature_map_sizes

FILTERS = (16, 32, 64)
SHAPES = [(28, 28), (6, 5), (4, 4, 3), (9, 17, 3), (1, 8), (32, 31, 1), (1, 1)]


def images_of(shape, num=2):
    return np.random.default_rng(0).uniform(size=(num, *shape)).astype("float32")


# ---- convolutional ----


def test_feature_maps_halve_and_round_down_to_one_pixel():
    assert feature_map_sizes((28, 28), 3) == [(28, 28), (14, 14), (7, 7), (3, 3)]
    assert feature_map_sizes((6, 5, 3), 3) == [(6, 5), (3, 2), (1, 1), (1, 1)]
    assert feature_map_sizes((1, 8), 2) == [(1, 8), (1, 4), (1, 2)]


@pytest.mark.parametrize("latent_dim", [None, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_work_for_any_image_shape(shape, latent_dim):
    filters = (3, 4, 5)
    encoder = networks.convolutional_encoder(shape, filters, latent_dim)
    decoder = networks.convolutional_decoder(latent_dim, filters, shape)
    codes = encoder(images_of(shape))
    wanted = (*feature_map_sizes(shape, 3)[-1], 5) if latent_dim is None else (7,)
    assert codes.shape == (2, *wanted)
    assert decoder(codes).shape == (2, *shape)


def test_mnist_network_matches_the_book():
    """The network of Geron, layer by layer, with "same" padding where he uses it."""
    keras.utils.set_random_seed(0)
    book_encoder = keras.Sequential(
        [
            keras.layers.Input((28, 28)),
            keras.layers.Reshape((28, 28, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2),
        ]
    )
    book_decoder = keras.Sequential(
        [
            keras.layers.Input((3, 3, 64)),
            keras.layers.Conv2DTranspose(32, 3, 2, activation="relu"),
            keras.layers.Conv2DTranspose(16, 3, 2, padding="same", activation="relu"),
            keras.layers.Conv2DTranspose(1, 3, 2, padding="same"),
            keras.layers.Reshape((28, 28)),
        ]
    )
    encoder = networks.convolutional_encoder((28, 28), FILTERS)
    decoder = networks.convolutional_decoder(None, FILTERS, (28, 28))
    assert (encoder.count_params(), decoder.count_params()) == (23_296, 23_233)
    encoder.set_weights(book_encoder.get_weights())
    decoder.set_weights(book_decoder.get_weights())
    codes = encoder(images_of((28, 28)))
    assert codes.shape == (2, 3, 3, 64)
    np.testing.assert_allclose(codes, book_encoder(images_of((28, 28))), atol=1e-6)
    np.testing.assert_allclose(decoder(codes), book_decoder(codes), atol=1e-5)


def slow_upsampling(maps, kernel, bias, large):
    """Transposed convolution: add the kernel, scaled by each pixel, to the larger map."""
    num, height, width, _ = maps.shape
    strides = [1 if now == then else 2 for now, then in zip((height, width), large, strict=True)]
    size = kernel.shape[0]
    # What is cropped, the half at the start rounded down.
    starts = [
        (stride * (side - 1) + size - wanted) // 2
        for stride, side, wanted in zip(strides, (height, width), large, strict=True)
    ]
    canvas = np.zeros((num, 2 * height + size, 2 * width + size, kernel.shape[2]))
    for row in range(height):
        for column in range(width):
            top, left = row * strides[0], column * strides[1]
            painted = np.einsum("nc,hwoc->nhwo", maps[:, row, column], kernel)
            canvas[:, top : top + size, left : left + size] += painted
    ends = [start + side for start, side in zip(starts, large, strict=True)]
    return canvas[:, starts[0] : ends[0], starts[1] : ends[1]] + bias


@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize(
    ("small", "large"),
    [((3, 3), (7, 7)), ((3, 2), (6, 5)), ((2, 3), (4, 6)), ((1, 4), (1, 9)), ((1, 1), (1, 1))],
)
def test_upsampling_matches_a_slow_transposed_convolution(small, large, kernel_size):
    maps = np.random.default_rng(1).normal(size=(2, *small, 4)).astype("float32")
    layers = _upsampling(5, kernel_size, small, large, "up", {"bias_initializer": "normal"})
    answer = keras.Sequential([keras.layers.Input(maps.shape[1:]), *layers])(maps)
    kernel, bias = (np.float64(weight) for weight in layers[0].get_weights())
    expected = slow_upsampling(np.float64(maps), kernel, bias, large)
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("image_shape", "filters", "kernel_size"),
    [
        ((28, 28), (16, 32, 64), 3),
        ((28, 28, 1), (16, 32, 64), 3),
        ((28, 28, 3), (16, 32, 64), 4),
        ((32, 32), (16, 32, 64), 4),
        ((8, 8), (16, 32, 64), 4),
        ((32, 32, 3), (16, 32, 64), 4),
        ((8, 256), (16, 32, 64), 4),
        ((64, 64, 3), (32, 64, 128, 128), 4),
        ((100, 64), (32, 64, 128, 128), 4),
        ((128, 128, 3), (32, 64, 128, 128, 128), 4),
        ((256, 256, 3), (32, 64, 128, 128, 128, 128), 4),
    ],
)
def test_convolutions_follow_the_size_of_the_images(image_shape, filters, kernel_size):
    model = keras_ae.Convolutional(image_shape)
    assert (model.filters, model.kernel_size) == (filters, kernel_size)
    assert min(model.code_shape[:2]) == 1 or 3 <= min(model.code_shape[:2]) <= 8
    assert model.reconstruct(np.zeros((1, *image_shape), "float32")).shape == (1, *image_shape)


@pytest.mark.parametrize("shape", [(8, 8), (32, 32, 3), (64, 64)])
@pytest.mark.parametrize("variant", [keras_ae.Convolutional, keras_ae.ConvVAE])
def test_config_of_an_old_file_keeps_its_kernels(variant, shape):
    old = variant(shape, 4, filters=(4, 4), kernel_size=3).get_config()
    assert variant.from_config(old).kernel_size == 3
    del old["kernel_size"]
    assert variant.from_config(old).kernel_size == 3


def test_even_kernel_writes_no_checkerboard_on_an_even_map():
    layers = _upsampling(1, 4, (6, 6), (12, 12), "up", {"kernel_initializer": "ones"})
    answer = keras.Sequential([keras.layers.Input((6, 6, 1)), *layers])(np.ones((1, 6, 6, 1)))
    assert np.ptp(np.asarray(answer)[0, 2:-2, 2:-2]) == 0  # with a kernel of 3 it is 3


def test_selu_convolutions_use_lecun_initialization():
    for network in (
        networks.convolutional_encoder((8, 8), (3, 4), activation="selu"),
        networks.convolutional_decoder(5, (3, 4), (8, 8), activation="selu"),
    ):
        for layer in network.layers:
            if getattr(layer, "activation", None) is keras.activations.selu:
                assert isinstance(layer.kernel_initializer, keras.initializers.LecunNormal)


# ---- recurrent ----


@pytest.mark.parametrize("shape", SHAPES)
def test_lstms_work_for_any_image_shape(shape):
    encoder = networks.recurrent_encoder(shape, 6, 3)
    decoder = networks.recurrent_decoder(3, 6, shape)
    codes = encoder(images_of(shape))
    assert codes.shape == (2, 3)
    assert decoder(codes).shape == (2, *shape)


def test_lstm_sizes_match_the_book():
    """Four gates of (inputs + units + 1) x units each, and the dense rows."""
    encoder = networks.recurrent_encoder((28, 28), 100, 30)
    decoder = networks.recurrent_decoder(30, 100, (28, 28))
    assert encoder.count_params() == 4 * 100 * (28 + 100 + 1) + 4 * 30 * (100 + 30 + 1)
    assert decoder.count_params() == 4 * 100 * (30 + 100 + 1) + 28 * (100 + 1)


def slow_lstm(rows, kernel, recurrent_kernel, bias):
    """Hochreiter and Schmidhuber with Keras's order of gates: input, forget, cell, output."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    units = recurrent_kernel.shape[0]
    state, cell, states = np.zeros((len(rows), units)), np.zeros((len(rows), units)), []
    for step in range(rows.shape[1]):
        gates = rows[:, step] @ kernel + state @ recurrent_kernel + bias
        enter, forget, new, leave = np.split(gates, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(cell)
        states.append(state)
    return np.stack(states, axis=1)


LSTM_CASES = {
    "last state": {},
    "all states": {"return_sequences": True},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "with states": {"return_state": True},
}


@pytest.mark.parametrize("case", LSTM_CASES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradients_of_our_lstm_are_those_of_keras(case, jit_compile):
    rng = np.random.default_rng(0)
    sequences, hidden, carry = (
        tf.constant(rng.normal(size=shape), tf.float32) for shape in [(4, 6, 3), (4, 5), (4, 5)]
    )
    results = []
    for lstm in (layers.LSTM(5, **LSTM_CASES[case]), keras.layers.LSTM(5, **LSTM_CASES[case])):
        lstm.build(sequences.shape)
        values = np.random.default_rng(1)
        lstm.set_weights([values.normal(size=w.shape) * 0.5 for w in lstm.weights])

        def run(lstm=lstm):
            with tf.GradientTape() as tape:
                inputs = [sequences, hidden, carry]
                tape.watch(inputs)
                outputs = lstm(sequences, initial_state=[hidden, carry], training=True)
                outputs = tf.nest.flatten(outputs)
                loss = sum(
                    tf.reduce_sum(
                        each**2 * np.arange(each.shape.num_elements()).reshape(each.shape)
                    )
                    for each in outputs
                )
            return outputs, tape.gradient(loss, [*inputs, *(w.value for w in lstm.weights)])

        results.append(tf.nest.flatten(tf.function(run, jit_compile=jit_compile)()))
    for ours, keras_ones in zip(*results, strict=True):
        np.testing.assert_allclose(ours, keras_ones, rtol=1e-4, atol=1e-4 * np.abs(ours).max())


def test_our_lstm_computes_the_equations_in_training(monkeypatch):
    sequences = images_of((5, 4))
    lstm = layers.LSTM(6, return_sequences=True)
    recurrence, calls = lstm_module.recurrence, []
    monkeypatch.setattr(
        lstm_module, "recurrence", lambda *args: calls.append(args) or recurrence(*args)
    )
    answer = lstm(sequences, training=True)
    assert len(calls) == 1
    weights = [np.float64(weight) for weight in lstm.get_weights()]
    np.testing.assert_allclose(answer, slow_lstm(np.float64(sequences), *weights), atol=1e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"activation": "relu"},
        {"recurrent_activation": "relu"},
        {"use_bias": False},
        {"unroll": True},
        {"dtype": "mixed_float16"},
    ],
)
def test_our_lstm_leaves_other_cells_to_keras(changed, monkeypatch):
    monkeypatch.setattr(lstm_module, "recurrence", None)
    sequences = images_of((5, 4))
    ours, keras_one = (kind(6, **changed) for kind in (layers.LSTM, keras.layers.LSTM))
    ours.build(sequences.shape)
    keras_one.build(sequences.shape)
    keras_one.set_weights(ours.get_weights())
    answers = [np.float32(lstm(sequences, training=True)) for lstm in (ours, keras_one)]
    np.testing.assert_allclose(*answers, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 3)])
def test_images_are_processed_row_by_row(shape):
    images = images_of(shape)
    keras.utils.set_random_seed(1)
    encoder = networks.recurrent_encoder(shape, 6, 3)
    decoder = networks.recurrent_decoder(3, 6, shape)
    first, second, third = (
        [np.float64(weight) for weight in network.get_layer(name).get_weights()]
        for network, name in ((encoder, "hidden"), (encoder, "code"), (decoder, "hidden"))
    )
    rows = np.float64(images).reshape(2, shape[0], -1)
    codes = slow_lstm(slow_lstm(rows, *first), *second)[:, -1]
    np.testing.assert_allclose(encoder(images), codes, atol=1e-5)
    kernel, bias = (np.float64(weight) for weight in decoder.get_layer("logits").get_weights())
    repeated = np.repeat(codes[:, None], shape[0], axis=1)
    logits = slow_lstm(repeated, *third) @ kernel + bias
    answer = decoder(codes.astype("float32"))
    np.testing.assert_allclose(answer, logits.reshape(2, *shape), atol=1e-5)
