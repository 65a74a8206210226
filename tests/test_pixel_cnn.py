"""The PixelCNN prior against sums over all maps, sample counts and known sources."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from keras_ae.priors.pixel_cnn import PixelCNN, gated, sample_categorical, uniform


def random_prior(map_shape=(3, 4), num_embeddings=5, seed=1, **arguments):
    """An untrained prior with random weights, whose logits are far from uniform."""
    prior = PixelCNN(map_shape, num_embeddings, **{"filters": 6, "num_blocks": 2, **arguments})
    prior.build()
    random = np.random.default_rng(seed)
    prior.set_weights([random.normal(0, 0.7, w.shape) for w in prior.get_weights()])
    return prior


def all_maps(map_shape, num_embeddings):
    places = int(np.prod(map_shape))
    maps = list(itertools.product(range(num_embeddings), repeat=places))
    return np.array(maps, "int32").reshape(-1, *map_shape)


# ---- receptive field ----


@pytest.mark.parametrize("map_shape", [(4, 4), (3, 5), (1, 4), (4, 1)])
def test_logits_depend_on_exactly_the_earlier_indices(map_shape):
    num_places = int(np.prod(map_shape))
    prior = random_prior(map_shape, num_blocks=3)
    maps = np.random.default_rng(0).integers(0, 5, (1, num_places)).astype("int32")
    changed = np.repeat(maps, num_places, axis=0)
    changed[np.arange(num_places), np.arange(num_places)] += 1
    changed %= 5
    before = prior(maps.reshape(1, *map_shape)).numpy().reshape(1, num_places, 5)
    after = prior(changed.reshape(-1, *map_shape)).numpy().reshape(num_places, num_places, 5)
    depends = np.abs(after - before).max(axis=2) > 1e-5  # [changed position, logits' position]
    np.testing.assert_array_equal(depends, np.triu(np.ones((num_places, num_places), bool), k=1))


def test_each_block_extends_the_receptive_field_by_one():
    def reach(num_blocks):
        prior = random_prior((6, 6), num_blocks=num_blocks)
        maps = np.full((1, 6, 6), 2, "int32")
        before = prior(maps).numpy()[0]
        maps[0, 0, 0] = 3
        depends = np.abs(prior(maps).numpy()[0] - before).max(axis=2) > 1e-6
        return depends[:, 0].nonzero()[0].max(), depends[0].nonzero()[0].max()

    assert reach(1) == (3, 3)
    assert reach(2) == (4, 4)


# ---- likelihood and samples ----


def test_probabilities_of_all_maps_sum_to_one():
    prior = random_prior((2, 3), num_embeddings=3)
    likelihood = np.exp(-np.float64(prior.nats(all_maps((2, 3), 3))))
    assert likelihood.sum() == pytest.approx(1.0, rel=1e-5)
    assert likelihood.max() > 5 / len(likelihood)


def test_nats_are_summed_over_the_map():
    prior = random_prior()
    maps = np.random.default_rng(0).integers(0, 5, (7, 3, 4)).astype("int32")
    log_probabilities = special.log_softmax(np.float64(prior(maps)), axis=-1)
    expected = -np.take_along_axis(log_probabilities, maps[..., None], axis=-1).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(prior.nats(maps), expected, rtol=1e-5)


@pytest.mark.parametrize("map_shape", [(2, 2), (1, 3), (3, 1)])
def test_sample_frequencies_match_the_likelihood(map_shape):
    prior = random_prior(map_shape, num_embeddings=3)
    maps = all_maps(map_shape, 3)
    drawn = prior.draw(20_000, [3, 4])
    assert drawn.dtype == tf.int32 and drawn.shape == (20_000, *map_shape)
    places = 3 ** np.arange(int(np.prod(map_shape)))[::-1]
    counts = np.bincount(drawn.numpy().reshape(20_000, -1) @ places, minlength=len(maps))
    expected = 20_000 * np.exp(-np.float64(prior.nats(maps)))
    often = expected > 5
    counts = np.append(counts[often], counts[~often].sum())
    expected = np.append(expected[often], 20_000 - expected[often].sum())
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_samples_depend_only_on_the_seed():
    prior = random_prior()
    again = prior.draw(50, [1, 0])
    np.testing.assert_array_equal(prior.draw(50, [1, 0]), again)
    assert np.any(prior.draw(50, [2, 0]) != again)
    assert np.any(prior.draw(50, [1, 1]) != again)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_mode_samples_match_eager_mode(jit_compile):
    prior = random_prior((2, 2), num_blocks=1)
    spec = None if jit_compile else [tf.TensorSpec((), tf.int32), tf.TensorSpec((2,), tf.int32)]
    count = 20 if jit_compile else tf.constant(20)
    draw = tf.function(prior.draw, input_signature=spec, jit_compile=jit_compile)
    np.testing.assert_array_equal(draw(count, tf.constant([5, 6])), prior.draw(20, [5, 6]))


def test_sampled_index_inverts_the_cumulative_distribution():
    logits = np.random.default_rng(0).normal(0, 3, (500, 9)).astype("float32")
    chances = np.random.default_rng(1).random(500).astype("float32")
    cumulated = special.softmax(np.float64(logits), axis=1).cumsum(axis=1)
    expected = [
        np.searchsorted(row, chance) for row, chance in zip(cumulated, chances, strict=True)
    ]
    np.testing.assert_array_equal(sample_categorical(logits, chances), expected)
    never = np.log(np.float32([[1e-30, 0.5, 0.5, 1e-30]] * 2))
    np.testing.assert_array_equal(sample_categorical(never, np.float32([1e-7, 1 - 6e-8])), [1, 2])


def test_uniform_numbers_are_uniform():
    numbers = uniform((300, 200), [1, 2]).numpy().ravel()
    assert numbers.min() >= 0.0 and numbers.max() < 1.0
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 4.5 / np.sqrt(len(numbers))


def test_gates_are_sigmoids_of_the_second_half():
    features = np.random.default_rng(0).normal(size=(2, 3, 3, 8)).astype("float32")
    expected = np.tanh(features[..., :4]) * special.expit(features[..., 4:])
    np.testing.assert_allclose(gated(features), expected, rtol=1e-5)


# ---- training ----


def test_prior_is_uniform_before_fitting():
    prior = PixelCNN((3, 4), 5, filters=6, num_blocks=1, seed=1)
    prior.build()
    maps = np.random.default_rng(0).integers(0, 5, (40, 3, 4))
    np.testing.assert_allclose(prior.nats(maps), 12 * np.log(5), rtol=1e-6)
    assert not prior.is_fitted
    counts = np.bincount(prior.draw(2000, [1, 2]).numpy().ravel(), minlength=5)
    assert stats.chisquare(counts).pvalue > 1e-3
    history = prior.fit(maps, epochs=1)
    assert history == [pytest.approx(12 * np.log(5))]  # the only batch, before its update
    assert prior.is_fitted


def copies(num, seed=0):
    """Maps whose rows are constant: the first is random, each next one is 1 larger, modulo 4."""
    first = np.random.default_rng(seed).integers(0, 4, (num, 1, 1))
    return ((first + np.arange(3)[:, None]) % 4 * np.ones((1, 1, 4), int)).astype("int32")


def test_prior_learns_the_entropy_and_rule_of_a_known_source():
    prior = PixelCNN((3, 4), 4, filters=16, num_blocks=1, seed=1)
    history = prior.fit(copies(512), epochs=25, batch_size=32, learning_rate=5e-3)
    assert history[0] > history[-1] and len(history) == 25
    assert prior.nats(copies(200, seed=1)).numpy().mean() == pytest.approx(np.log(4), abs=0.1)
    drawn = prior.draw(200, [1, 2]).numpy()
    rule = (drawn[:, :1, :1] + np.arange(3)[:, None]) % 4
    assert np.mean((drawn == rule).all(axis=(1, 2))) > 0.95
    assert stats.chisquare(np.bincount(drawn[:, 0, 0], minlength=4)).pvalue > 1e-3


def test_fit_depends_only_on_the_seed():
    def fitted(seed):
        prior = PixelCNN((3, 4), 4, filters=4, num_blocks=1, seed=seed)
        history = prior.fit(copies(100), epochs=2, batch_size=30)
        return history, prior.get_weights()

    keras.utils.set_random_seed(1)
    history, weights = fitted(7)
    keras.utils.set_random_seed(2)
    same_history, same_weights = fitted(7)
    assert history == same_history
    for ours, theirs in zip(weights, same_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert fitted(8)[0] != history


def test_kernels_of_the_same_shape_start_differently():
    prior = PixelCNN((3, 4), 4, filters=4, num_blocks=3, seed=7)
    prior.build()
    kernels = [w for w in prior.get_weights() if w.ndim == 4 and w.any()]
    for one, other in itertools.combinations(kernels, 2):
        assert one.shape != other.shape or np.any(one != other)


def test_verbose_fit_prints_each_epoch(capsys):
    prior = PixelCNN((3, 4), 4, filters=4, num_blocks=1, seed=7)
    prior.fit(copies(20), epochs=2)
    assert capsys.readouterr().out == ""
    prior.fit(copies(20), epochs=2, verbose=1)
    assert "prior, epoch 2 of 2:" in capsys.readouterr().out
    lines = []
    prior.fit(copies(20), epochs=2, verbose=lines.append)
    assert [line.partition(":")[0] for line in lines] == [
        "prior, epoch 1 of 2", "prior, epoch 2 of 2"
    ]  # fmt: skip
    assert capsys.readouterr().out == ""


# ---- as a Keras layer ----


def test_loaded_prior_matches_the_saved_one(tmp_path):
    maps = keras.Input((3, 4), dtype="int32")
    prior = PixelCNN((3, 4), 4, filters=4, num_blocks=2, seed=7)
    prior.fit(copies(20), epochs=1)
    model = keras.Model(maps, prior(maps))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert loaded.get_config() == prior.get_config()
    np.testing.assert_array_equal(loaded(copies(20)), prior(copies(20)))
    np.testing.assert_array_equal(loaded.draw(9, [1, 2]), prior.draw(9, [1, 2]))


def test_logits_are_float32_in_mixed_precision():
    prior = random_prior(dtype="mixed_float16")
    assert prior.left[0].compute_dtype == "float16"
    logits = prior(np.zeros((2, 3, 4), "int32"))
    assert logits.dtype == tf.float32 and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("map_shape", 7),
        ("map_shape", (7,)),
        ("map_shape", (7, 0)),
        ("num_embeddings", 1),
        ("filters", 0),
        ("num_blocks", 0),
    ],
)
def test_bad_arguments_are_refused(name, value):
    with pytest.raises(ValueError) as caught:
        PixelCNN(**{name: value})
    message = str(caught.value)
    assert name in message and f"received {value!r}" in message and "\n" not in message


def test_invalid_maps_are_refused():
    prior = PixelCNN((3, 4), 5, filters=4, num_blocks=1)
    good = np.zeros((6, 3, 4), int)
    for bad, message in [
        (good[:, :2], r"shape \(N, 3, 4\); received \(6, 2, 4\)"),
        (good[:0], r"received \(0, 3, 4\)"),
        (good + 5, "from 0 to 4; received int64 from 5 to 5"),
        (good - 1, "from -1 to -1"),
        (good + 0.5, "received float64"),
    ]:
        with pytest.raises(ValueError, match=message):
            prior.fit(bad)
    with pytest.raises(ValueError, match="batch_size .*received 0"):
        prior.fit(good, batch_size=0)
    with pytest.raises(ValueError, match="epochs.*received 0"):
        prior.fit(good, epochs=0)
