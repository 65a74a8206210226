"""Binary codes and nearest-neighbor search, against statistics and a slow double loop."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import special, stats

import keras_ae
from keras_ae import hamming_neighbors, hashing
from keras_ae.layers import BinaryBottleneck


def packed(num, num_bits, seed=0):
    return np.packbits(np.random.default_rng(seed).random((num, num_bits)) < 0.5, axis=1)


def prototypes(num=120, seed=0):
    """Noisy copies of five images, and the index of the original of each."""
    random = np.random.default_rng(seed)
    originals = (np.random.default_rng(9).random((5, 6, 5)) < 0.5).astype("float32")
    kinds = random.integers(0, 5, num)
    flipped = random.random((num, 6, 5)) < 0.1
    return np.where(flipped, 1 - originals[kinds], originals[kinds]).astype("float32"), kinds


def trained(noise_stddev=4.0, epochs=30, latent_dim=10):
    keras.utils.set_random_seed(3)
    model = keras_ae.Binary(
        (6, 5), latent_dim, hidden_units=(16,), noise_stddev=noise_stddev, seed=3
    )
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    model.fit(prototypes()[0], batch_size=24, epochs=epochs, verbose=0)
    return model


# ---- the layer ----


def test_code_is_the_sign_of_the_input_outside_training():
    inputs = np.array([[-3.0, -1e-3, 0.0, 1e-3, 40.0]], "float32")
    np.testing.assert_array_equal(BinaryBottleneck()(inputs), [[0, 0, 0, 1, 1]])


@pytest.mark.parametrize("stddev", [0.5, 2.0])
def test_code_is_a_sigmoid_of_the_noisy_input_in_training(stddev):
    inputs = np.full((5000, 2), [1.0, -0.5], "float32")
    codes = BinaryBottleneck(stddev, seed=1)(inputs, training=True).numpy().astype("float64")
    noise = special.logit(codes) - inputs
    for column in noise.T:
        assert stats.kstest(column, stats.norm(0, stddev).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.05


def test_code_is_a_sigmoid_without_noise():
    inputs = np.linspace(-4, 4, 12, dtype="float32").reshape(3, 4)
    codes = BinaryBottleneck(0.0)(inputs, training=True)
    np.testing.assert_allclose(codes, special.expit(inputs), rtol=1e-5)


def test_noise_differs_between_calls():
    layer, inputs = BinaryBottleneck(seed=1), np.zeros((4, 3), "float32")
    assert np.all(layer(inputs, training=True) != layer(inputs, training=True))


def test_negative_stddev_is_refused():
    with pytest.raises(ValueError, match="stddev must be a number >= 0; received -1"):
        BinaryBottleneck(-1)


# ---- the variant ----


def test_noise_pushes_the_code_towards_0_and_1():
    images, _ = prototypes()
    size = {
        stddev: np.abs(np.asarray(trained(stddev).encoder(images))).mean() for stddev in (0.0, 4.0)
    }
    assert size[4.0] > 2 * size[0.0]


def test_evaluate_reports_the_loss_of_the_rounded_code():
    (images, _), model = prototypes(), trained(epochs=3)
    codes = model.encode(images)
    assert set(np.unique(codes)) == {0.0, 1.0}
    rebuilt = model.decode(codes).astype("float64")
    bce = -(images * np.log(rebuilt) + (1 - images) * np.log(1 - rebuilt)).sum(axis=(1, 2)).mean()
    losses = model.evaluate(images, verbose=0, return_dict=True)
    assert losses["loss"] == pytest.approx(bce, rel=1e-4)
    assert losses["latent_loss"] == 0


def test_hash_codes_are_the_packed_bits_of_the_code():
    (images, _), model = prototypes(), trained(epochs=1)
    codes = model.hash_codes(images)
    assert codes.dtype == np.uint8 and codes.shape == (120, 2)  # ten bits
    unpacked = np.unpackbits(codes, axis=1, count=10)
    np.testing.assert_array_equal(unpacked, model.encode(images))
    assert 0.1 < unpacked.mean() < 0.9


def test_neighbors_share_the_prototype():
    model = trained()
    (images, kinds), (others, other_kinds) = prototypes(seed=0), prototypes(40, seed=1)
    indices, distances = model.neighbors(others, images, num_neighbors=5)
    assert np.mean(kinds[indices] == other_kinds[:, None]) > 0.9  # chance is 0.2
    codes, references = model.encode(others), model.encode(images)
    expected = np.abs(codes[:, None] - references[indices]).sum(axis=2)
    np.testing.assert_array_equal(distances, expected)


# ---- the search ----


def slow_neighbors(codes, references, num_neighbors):
    indices, distances = [], []
    for code in codes:
        found = [
            (sum(bin(a ^ b).count("1") for a, b in zip(code, other, strict=True)), place)
            for place, other in enumerate(references.tolist())
        ]
        nearest = sorted(found)[:num_neighbors]
        distances.append([distance for distance, _ in nearest])
        indices.append([place for _, place in nearest])
    return indices, distances


@pytest.mark.parametrize(("num_bits", "num_neighbors"), [(4, 7), (12, 1), (64, 50), (150, 50)])
def test_neighbors_match_a_double_loop(num_bits, num_neighbors, monkeypatch):
    monkeypatch.setattr(hashing, "DISTANCES_PER_STEP", 300)  # batches of six codes
    codes, references = packed(20, num_bits), packed(50, num_bits, seed=1)
    expected = slow_neighbors(codes.tolist(), references, num_neighbors)
    answer = hamming_neighbors(codes, references, num_neighbors)
    np.testing.assert_array_equal(answer[0], expected[0])
    np.testing.assert_array_equal(answer[1], expected[1])


@pytest.mark.parametrize(
    ("codes", "references", "num_neighbors", "words"),
    [
        (packed(3, 8), packed(4, 16), 1, "bytes; received 1 and 2"),
        (packed(3, 8), packed(4, 8), 5, "at most the 4 references; received 5"),
        (packed(3, 8), packed(4, 8), 0, "num_neighbors must be .* received 0"),
        (packed(3, 8).astype(float), packed(4, 8), 1, "codes must be .* received float64"),
        (packed(3, 8), packed(4, 8)[0], 1, "references must be .* shape .1,."),
    ],
)
def test_unusable_codes_are_refused(codes, references, num_neighbors, words):
    with pytest.raises(ValueError, match=words) as error:
        hamming_neighbors(codes, references, num_neighbors)
    assert "\n" not in str(error.value)
