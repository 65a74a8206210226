"""VectorQuantizer: nearest neighbors, moving averages and revivals against slow versions."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ae.layers import VectorQuantizer


def codes(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0.0, scale, shape).astype("float32")


def quantizer_with(codebook, channels=None, **arguments):
    codebook = np.asarray(codebook, "float32")
    quantizer = VectorQuantizer(len(codebook), **arguments)
    quantizer.build((None, channels or codebook.shape[1]))
    quantizer.embeddings.assign(codebook)
    if quantizer.ema_decay is not None:
        quantizer.ema_sums.assign(codebook)
    return quantizer


def nearest_by_hand(codebook, vectors):
    """Index of the nearest row of the codebook for each vector, in float64, one by one."""
    codebook = np.float64(codebook)
    return np.array([((codebook - vector) ** 2).sum(axis=1).argmin() for vector in vectors])


def state_of(quantizer):
    return {weight.name: np.array(weight) for weight in quantizer.weights}


# ---- the search ----


@pytest.mark.parametrize("shape", [(200, 3), (9, 5, 3), (9, 4, 2, 3)])
@pytest.mark.parametrize("num_embeddings", [2, 7, 300])
def test_indices_match_a_slow_nearest_search(shape, num_embeddings):
    codebook, inputs = codes(num_embeddings, 3), codes(*shape, seed=1)
    quantizer = quantizer_with(codebook)
    indices = quantizer.indices(inputs)
    assert indices.dtype == tf.int32 and indices.shape == shape[:-1]
    expected = nearest_by_hand(codebook, inputs.reshape(-1, 3)).reshape(shape[:-1])
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(quantizer(inputs), codebook[expected])
    np.testing.assert_array_equal(quantizer.lookup(indices), codebook[expected])


def test_embedding_dim_groups_consecutive_channels():
    codebook, inputs = codes(20, 3), codes(50, 12, seed=1)
    quantizer = quantizer_with(codebook, channels=12, embedding_dim=3)
    indices = quantizer.indices(inputs)
    assert indices.shape == (50, 4)
    for place in range(4):
        part = inputs[:, 3 * place : 3 * place + 3]
        expected = nearest_by_hand(codebook, part)
        np.testing.assert_array_equal(indices[:, place], expected)
        np.testing.assert_array_equal(
            quantizer(inputs)[:, 3 * place : 3 * place + 3], codebook[expected]
        )
    np.testing.assert_array_equal(quantizer.lookup(indices), quantizer(inputs))


def test_ties_go_to_the_first_index():
    quantizer = quantizer_with([[5.0, 5.0], [1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(
        quantizer.indices(np.float32([[2, 0], [0, 0], [-3, 1]])), [1, 1, 3]
    )


def test_search_is_precise_far_from_the_origin():
    codebook, inputs = 1000 + codes(50, 4, scale=0.1), 1000 + codes(200, 4, seed=1, scale=0.1)
    expected = nearest_by_hand(codebook, np.float64(inputs))
    np.testing.assert_array_equal(quantizer_with(codebook).indices(inputs), expected)


def test_nan_gets_a_valid_index():
    indices = quantizer_with(codes(5, 2)).indices(np.full((3, 2), np.nan, "float32")).numpy()
    assert ((indices >= 0) & (indices < 5)).all()


# ---- the loss ----


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_loss_is_summed_over_the_code_and_averaged_over_the_batch(training, ema_decay):
    codebook = codes(7, 3)
    for tile in (1, 8):
        quantizer = quantizer_with(codebook, commitment_cost=0.25, ema_decay=ema_decay)
        inputs = np.tile(codes(8, 5, 2, 3, seed=1), (tile, 1, 1, 1))
        quantizer(inputs, training=training)
        (loss,) = quantizer.losses
        quantized = codebook[nearest_by_hand(codebook, inputs.reshape(-1, 3))].reshape(inputs.shape)
        error = ((np.float64(inputs) - quantized) ** 2).sum(axis=(1, 2, 3)).mean()
        factor = 0.25 if ema_decay else 1.25
        np.testing.assert_allclose(loss, factor * error, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_straight_through_and_loss_gradients_match_the_formulas(jit_compile):
    codebook, inputs = codes(7, 3), codes(10, 4, 3, seed=1)
    downstream = codes(10, 4, 3, seed=2)
    quantizer = quantizer_with(codebook, commitment_cost=0.25)

    @tf.function(jit_compile=jit_compile)
    def gradients(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = quantizer(inputs, training=True)
            loss = tf.reduce_sum(downstream * outputs) + quantizer.losses[0]
        found = tape.gradient(loss, [inputs, quantizer.embeddings.value])
        return outputs, *map(tf.convert_to_tensor, found)

    outputs, input_gradient, codebook_gradient = gradients(tf.constant(inputs))
    nearest = nearest_by_hand(codebook, inputs.reshape(-1, 3)).reshape(10, 4)
    quantized = np.float64(codebook)[nearest]
    expected = np.zeros((7, 3))
    for image in range(10):
        for place in range(4):
            difference = quantized[image, place] - inputs[image, place]
            expected[nearest[image, place]] += 2.0 * difference / 10
    np.testing.assert_allclose(outputs, quantized, atol=1e-6)
    np.testing.assert_allclose(codebook_gradient, expected, rtol=1e-4, atol=1e-6)
    commitment = 0.25 * 2.0 * (inputs - quantized) / 10
    np.testing.assert_allclose(input_gradient, downstream + commitment, rtol=1e-4, atol=1e-6)


# ---- moving averages ----


def averages_by_hand(codebook, batches, decay):
    """The recurrence of the paper's appendix A.1 in float64, step by step and code by code."""
    codebook = np.float64(codebook)
    counts, sums = np.ones(len(codebook)), codebook.copy()
    for batch in batches:
        nearest = nearest_by_hand(codebook, batch)
        for code in range(len(codebook)):
            chosen = np.float64(batch[nearest == code])
            counts[code] = decay * counts[code] + (1 - decay) * len(chosen)
            sums[code] = decay * sums[code] + (1 - decay) * chosen.sum(axis=0)
        smoothed = (counts + 1e-5) / (counts.sum() + len(codebook) * 1e-5) * counts.sum()
        used = counts > 0.01  # smoothing would move unused vectors to the origin
        codebook = np.where(used[:, None], sums / smoothed[:, None], codebook)
    return codebook, counts, sums


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_moving_averages_match_the_recurrence(decay, jit_compile):
    codebook = codes(6, 3)
    batches = [codes(40, 3, seed=step, scale=1.5) for step in range(1, 7)]
    quantizer = quantizer_with(codebook, ema_decay=decay)
    assert quantizer.trainable_variables == []
    step = tf.function(lambda batch: quantizer(batch, training=True), jit_compile=jit_compile)
    for batch in batches:
        step(tf.constant(batch))
    expected, counts, sums = averages_by_hand(codebook, batches, decay)
    assert np.abs(expected - codebook).max() > 0.3
    np.testing.assert_allclose(quantizer.ema_counts, counts, rtol=1e-4)
    np.testing.assert_allclose(quantizer.ema_sums, sums, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(quantizer.embeddings, expected, rtol=1e-4, atol=1e-4)


def test_moving_averages_of_the_same_batch_have_a_closed_form():
    centers = np.float32([[-10, 0], [10, 0], [0, 50]])
    batch = np.float32([[-11, 1], [-12, 1], [-13, 1], [12, -4]])
    quantizer = quantizer_with(centers, ema_decay=0.9)
    for _ in range(20):
        quantizer(batch, training=True)
    left = 0.9**20
    counts = left + (1 - left) * np.array([3, 1, 0])
    sums = left * centers + (1 - left) * np.array([[-36, 3], [12, -4], [0, 0]])
    np.testing.assert_allclose(quantizer.ema_counts, counts, rtol=1e-4)
    np.testing.assert_allclose(quantizer.embeddings, sums / counts[:, None], rtol=1e-3)


def test_unused_vector_stays_in_place():
    quantizer = quantizer_with([[0.0, 0.0], [40.0, -30.0]], ema_decay=0.9)
    step = tf.function(lambda batch: quantizer(batch, training=True))
    for number in range(200):
        step(codes(16, 2, seed=number))
    np.testing.assert_allclose(quantizer.embeddings[1], [40.0, -30.0], rtol=1e-3)


def test_outputs_and_losses_use_the_codebook_before_its_update():
    codebook, batch = codes(6, 3), codes(40, 3, seed=1)
    moving, still = quantizer_with(codebook, ema_decay=0.1), quantizer_with(codebook, ema_decay=0.1)
    outputs = moving(batch, training=True)
    np.testing.assert_allclose(outputs, still(batch), atol=1e-6)
    np.testing.assert_allclose(moving.losses, still.losses, rtol=1e-6)
    assert np.abs(np.array(moving.embeddings) - codebook).max() > 0.1


@pytest.mark.parametrize("trainable", [False, True])
def test_state_changes_only_in_training_of_a_trainable_layer(trainable):
    quantizer = quantizer_with(codes(6, 3), ema_decay=0.5, revive_after=1)
    quantizer.trainable = trainable
    before = state_of(quantizer)
    quantizer(codes(40, 3, seed=1), training=not trainable)
    for name, after in state_of(quantizer).items():
        np.testing.assert_array_equal(after, before[name])


# ---- revivals ----


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_unused_vector_is_revived_after_the_given_steps(ema_decay, jit_compile):
    codebook = np.vstack([codes(3, 2), [[500.0, 500.0]], [[-500.0, 500.0]]])
    quantizer = quantizer_with(codebook, ema_decay=ema_decay, revive_after=4, seed=2)
    step = tf.function(lambda batch: quantizer(batch, training=True), jit_compile=jit_compile)
    for number in range(1, 5):
        before = np.array(quantizer.embeddings)
        batch = codes(30, 2, seed=number)
        step(tf.constant(batch))
        after = np.array(quantizer.embeddings)
        if number < 4:
            np.testing.assert_allclose(after[3:], codebook[3:], rtol=1e-3)
            np.testing.assert_array_equal(quantizer.idle_steps[3:], [number, number])
    assert {tuple(vector) for vector in after[3:]} <= {tuple(vector) for vector in batch}
    np.testing.assert_array_equal(quantizer.idle_steps, np.zeros(5))
    if ema_decay is None:
        np.testing.assert_array_equal(after[:3], before[:3])
    else:
        np.testing.assert_array_equal(quantizer.ema_counts[3:], [1.0, 1.0])
        np.testing.assert_array_equal(quantizer.ema_sums[3:], after[3:])
    quantizer(after[3:], training=True)
    np.testing.assert_array_equal(quantizer.idle_steps[3:], [0, 0])
    assert np.abs(after[3:]).max() < 10


def test_used_vector_is_never_replaced():
    quantizer = quantizer_with([[-1.0], [0.0], [1.0]], revive_after=2)
    for step in range(9):  # the third is used every second step
        quantizer(np.float32([[-1.1], [0.1]] + [[1.1]] * (step % 2)), training=True)
    np.testing.assert_array_equal(quantizer.embeddings, [[-1.0], [0.0], [1.0]])


def test_revivals_are_seeded_draws_from_the_whole_batch():
    def revived(seed):
        quantizer = quantizer_with(np.full((400, 1), 1e6), revive_after=1, seed=seed)
        quantizer(np.arange(20, dtype="float32")[:, None], training=True)
        return np.array(quantizer.embeddings)[1:, 0]  # ties go to the first

    np.testing.assert_array_equal(revived(1), revived(1))
    assert np.any(revived(1) != revived(2))
    assert set(revived(1)) == set(range(20))


def test_revived_codebooks_are_used():
    """Four distant clusters and a distant codebook: without revivals only one vector is used."""
    clusters = np.float32([[50, 50], [50, -50], [-50, 50], [-50, -50]])
    batch = np.repeat(clusters, 50, axis=0) + codes(200, 2)
    start = np.full((8, 2), 1000.0) + codes(8, 2, seed=1, scale=0.01)

    def trained(revive_after):
        quantizer = quantizer_with(start, ema_decay=0.5, revive_after=revive_after, seed=3)
        for _ in range(60):
            quantizer(batch, training=True)
        error = np.square(quantizer(batch) - batch).sum(axis=1).mean()
        return len(np.unique(quantizer.indices(batch))), error

    assert trained(None)[1] > 1000
    used, error = trained(3)
    assert used >= 7 and error < 3


# ---- saving, compilation, devices ----


def test_loaded_layer_continues_bit_for_bit(tmp_path):
    inputs = keras.Input((4, 3))
    quantizer = VectorQuantizer(30, ema_decay=0.9, revive_after=3, seed=1)
    model = keras.Model(inputs, quantizer(inputs))
    for step in range(5):
        model(codes(4, 4, 3, seed=step), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for step in range(5, 10):
        batch = codes(4, 4, 3, seed=step)
        np.testing.assert_array_equal(loaded(batch, training=True), model(batch, training=True))
    after = state_of(loaded.layers[-1])
    assert set(after) == {"embeddings", "ema_counts", "ema_sums", "idle_steps"}
    for name, value in state_of(quantizer).items():
        np.testing.assert_array_equal(after[name], value)


def test_state_compiled_by_xla_matches_eager_mode():
    eager, compiled = (VectorQuantizer(40, ema_decay=0.9, revive_after=2, seed=1) for _ in range(2))
    for quantizer in (eager, compiled):
        quantizer.build((None, 5, 3))
    step = tf.function(lambda batch: compiled(batch, training=True), jit_compile=True)
    for number in range(6):
        batch = codes(8, 5, 3, seed=number)
        eager(batch, training=True)
        step(tf.constant(batch))
    for name, value in state_of(eager).items():
        np.testing.assert_allclose(state_of(compiled)[name], value, rtol=1e-4, atol=1e-5)


def test_mixed_precision_computes_in_float32():
    quantizer = quantizer_with(
        codes(40, 4), ema_decay=0.9, revive_after=5, dtype="mixed_float16", commitment_cost=1.0
    )
    inputs = codes(50, 4, seed=1, scale=200.0).astype("float16")  # whose squares overflow float16
    nearest = nearest_by_hand(quantizer.embeddings, np.float64(inputs))
    quantized = np.float64(quantizer.embeddings)[nearest]
    np.testing.assert_array_equal(quantizer.indices(inputs), nearest)
    outputs = quantizer(inputs, training=True)
    assert outputs.dtype == tf.float16
    error = ((inputs - quantized) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(quantizer.losses, [error], rtol=1e-4)
    assert {weight.dtype for weight in quantizer.weights} == {"float32"}


def test_state_is_aggregated_over_replicas():
    quantizer = quantizer_with(codes(4, 2), ema_decay=0.9, revive_after=5)
    assert {weight.aggregation for weight in quantizer.weights} == {"mean"}
    trained = quantizer_with(codes(4, 2), revive_after=5)
    assert {weight.aggregation for weight in trained.weights} == {"mean"}


@pytest.mark.slow
def test_two_replicas_match_one_with_the_whole_batch():
    program = """
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from keras_ae.layers import VectorQuantizer

def batch(step):
    return np.random.default_rng(step).normal(size=(60, 2)).astype("float32")

def after(strategy, arguments):
    with strategy.scope():
        quantizer = VectorQuantizer(6, seed=1, **arguments)
        quantizer.build((None, 2))
        start = np.vstack([batch(99)[:5], [[90.0, 90.0]]])
        quantizer.embeddings.assign(start)
        if "ema_decay" in arguments:
            quantizer.ema_sums.assign(start)
    replicas = strategy.num_replicas_in_sync

    @tf.function
    def run(parts):
        strategy.run(lambda part: quantizer(part, training=True), (parts,))

    for step in range(4):
        parts = np.split(batch(step), replicas)
        run(strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        ) if replicas > 1 else tf.constant(parts[0]))
    return {weight.name: weight.numpy() for weight in quantizer.weights}

mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for arguments in ({"ema_decay": 0.8}, {"revive_after": 4}, {"ema_decay": 0.8, "revive_after": 4}):
    two, one = after(mirrored, arguments), after(tf.distribute.get_strategy(), arguments)
    for name in one:
        same = np.s_[:5] if "revive_after" in arguments else np.s_[:]
        np.testing.assert_allclose(two[name][same], one[name][same], rtol=1e-5, err_msg=name)
    if "revive_after" in arguments:  # from the first replica's half of the last batch
        assert np.any(np.all(two["embeddings"][5] == batch(3)[:30], axis=1))
print("same")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip().endswith("same"), result.stderr[-3000:]


# ---- arguments ----


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_embeddings", 1),
        ("num_embeddings", 2.5),
        ("embedding_dim", 0),
        ("commitment_cost", -0.1),
        ("commitment_cost", float("nan")),
        ("ema_decay", 1.0),
        ("ema_decay", -0.1),
        ("ema_decay", True),
        ("revive_after", 0),
        ("revive_after", "soon"),
    ],
)
def test_bad_arguments_are_refused(name, value):
    with pytest.raises(ValueError) as caught:
        VectorQuantizer(**{name: value})
    message = str(caught.value)
    assert name in message and f"received {value!r}" in message and "\n" not in message


def test_bad_input_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r"embedding_dim must divide.*received embedding_dim 3 .*7\)"
    ):
        VectorQuantizer(4, embedding_dim=3).build((None, 7))
    with pytest.raises(ValueError, match=r"received \(None, None, 3\)"):
        VectorQuantizer(4).build((None, None, 3))
    with pytest.raises(ValueError, match=r"received \(None,\)"):
        VectorQuantizer(4).build((None,))


def test_config_output_shape_and_initial_codebook():
    arguments = {
        "num_embeddings": 5,
        "embedding_dim": 2,
        "commitment_cost": 0.5,
        "ema_decay": 0.9,
        "revive_after": 7,
        "seed": 3,
    }
    quantizer = VectorQuantizer(**arguments)
    assert quantizer(keras.Input((4, 4, 6))).shape == (None, 4, 4, 6)
    assert arguments.items() <= quantizer.get_config().items()
    again = VectorQuantizer.from_config(quantizer.get_config())
    again.build((None, 6))
    np.testing.assert_array_equal(again.embeddings, quantizer.embeddings)  # equal seeds
    np.testing.assert_array_equal(again.ema_sums, again.embeddings)
    np.testing.assert_array_equal(again.ema_counts, np.ones(5))
    assert 0.1 < np.abs(np.array(again.embeddings)).max() <= 0.2
