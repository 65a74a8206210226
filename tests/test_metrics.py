"""Codebook usage against the entropy of known choices."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_ae.metrics import CodebookUsage


def slow_usage(indices, num_embeddings):
    counts = [np.bincount(column, minlength=num_embeddings) for column in indices.T]
    perplexity = np.mean([np.exp(stats.entropy(count)) for count in counts])
    return perplexity, np.mean([(count > 0).mean() for count in counts])


def result_of(metric):
    result = metric.result()
    assert set(result) == {"perplexity", "codebook_usage"}
    return float(result["perplexity"]), float(result["codebook_usage"])


def test_uniform_choices_have_the_perplexity_of_the_codebook_size():
    metric = CodebookUsage(num_dims=3, num_embeddings=16)
    metric.update_state(np.tile(np.arange(16, dtype="int32")[:, None], (2, 3)))
    assert result_of(metric) == pytest.approx((16.0, 1.0), rel=1e-5)


def test_constant_choice_has_perplexity_one():
    metric = CodebookUsage(num_dims=3, num_embeddings=16)
    metric.update_state(np.full((40, 3), 15, "int32"))
    assert result_of(metric) == pytest.approx((1.0, 1 / 16))


def test_dimensions_are_averaged_not_pooled():
    metric = CodebookUsage(num_dims=2, num_embeddings=4)
    metric.update_state(np.array([[0, 3], [1, 3], [2, 3], [3, 3]], "int32"))
    assert result_of(metric) == pytest.approx(((4.0 + 1.0) / 2, (1.0 + 0.25) / 2))


def test_batches_accumulate():
    indices = np.random.default_rng(0).binomial(8, 0.2, (300, 5)).astype("int32")
    metric = CodebookUsage(num_dims=5, num_embeddings=9)
    for batch in np.split(indices, [100, 107]):
        metric.update_state(batch)
    assert result_of(metric) == pytest.approx(slow_usage(indices, 9), rel=1e-5)
    np.testing.assert_array_equal(metric.counts[2], np.bincount(indices[:, 2], minlength=9))


def test_reset_clears_the_counts():
    metric = CodebookUsage(num_dims=2, num_embeddings=4)
    metric.update_state(np.array([[0, 1], [1, 2], [2, 3]], "int32"))
    metric.reset_state()
    metric.update_state(np.array([[0, 0], [0, 0], [1, 1], [1, 1]], "int32"))
    assert result_of(metric) == pytest.approx((2.0, 0.5), rel=1e-5)


def test_result_without_data_is_finite():
    assert result_of(CodebookUsage(num_dims=2, num_embeddings=4)) == pytest.approx((1.0, 0.0))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_counting_works_in_a_compiled_function(jit_compile):
    indices = np.random.default_rng(1).integers(0, 7, (64, 3)).astype("int32")
    metric = CodebookUsage(num_dims=3, num_embeddings=7)
    tf.function(metric.update_state, jit_compile=jit_compile)(tf.constant(indices))
    assert result_of(metric) == pytest.approx(slow_usage(indices, 7), rel=1e-5)
