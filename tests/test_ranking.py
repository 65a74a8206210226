"""Spreads and rankings against NumPy and Welch's formula."""

import math

import numpy as np
import pytest
from scipy import stats

from keras_ae.evaluation.summary import indistinguishable, mean_and_std, rank, significance


def welch_p(first, second):
    """P-value of Welch's t-test (1947), from the formula."""
    a, b = (np.var(values, ddof=1) / len(values) for values in (first, second))
    t = (np.mean(first) - np.mean(second)) / np.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    return 2 * stats.t.sf(abs(t), freedom)


def test_spread_is_the_sample_standard_deviation():
    values = [3.0, 4.5, 9.0]
    assert mean_and_std(values) == {
        "mean": pytest.approx(np.mean(values)),
        "std": pytest.approx(np.std(values, ddof=1)),
        "num": 3,
    }
    assert mean_and_std([2.0]) == {"mean": 2.0, "std": None, "num": 1}
    assert mean_and_std([]) == {"mean": None, "std": None, "num": 0}
    assert mean_and_std([2.0, math.nan, math.inf, None]) == {"mean": 2.0, "std": None, "num": 1}


@pytest.mark.parametrize("seed", range(20))
def test_samples_differ_where_welchs_test_is_significant(seed):
    random = np.random.default_rng(seed)
    first = random.normal(0.0, 1.0, 3).tolist()
    second = random.normal(2.5, 0.3, 5).tolist()
    p = welch_p(first, second)
    assert indistinguishable(first, second, level=p * 0.99)
    assert not indistinguishable(first, second, level=min(p * 1.01, 1.0))


def test_samples_without_variance_are_compared():
    assert indistinguishable([1.0, 1.0], [1.0, 1.0], 0.05)
    assert not indistinguishable([1.0, 1.0], [1.1, 1.1], 0.05)


def test_groups_hold_variants_that_do_not_differ_significantly():
    values = {
        "worst": [90.0, 90.2, 89.9],
        "good": [64.6, 64.4, 64.5],
        "tied": [64.5, 64.7, 64.6],
        "middle": [70.0, 70.1, 69.9],
    }
    assert rank(values, "lower") == [["good", "tied"], ["middle"], ["worst"]]
    assert rank(values, "higher") == [["worst"], ["middle"], ["tied", "good"]]


def test_single_seed_ranking_has_no_ties_and_says_so():
    values = {"a": [1.0], "b": [1.0000001]}
    assert rank(values, "lower") == [["a"], ["b"]]
    assert "One seed each" in significance(values)
    assert "2 seeds each" in significance({"a": [1.0, 2.0], "b": [1.0, 3.0]})
    mixed = significance({"a": [1.0, 2.0, 3.0], "b": [1.0]})
    assert "1 to 3 seeds" in mixed and "not tested" in mixed
