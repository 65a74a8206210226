"""How long to train where nothing is said."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from keras_ae.runs.budget import Budget, bake_off_budget, default_budget


def test_bake_off_has_its_published_protocol():
    assert bake_off_budget(55_000) == Budget(60, 256, None)
    assert bake_off_budget(100).batch_size == 100


@pytest.mark.parametrize(
    ("num_train", "batch_size"),
    [(720, 16), (1412, 16), (1700, 16), (3199, 16), (3200, 32), (12_800, 128), (10**6, 256)],
)
def test_batch_is_a_power_of_two_of_about_a_hundredth(num_train, batch_size):
    assert default_budget(num_train).batch_size == batch_size


@given(some.integers(1, 10**6))
def test_default_makes_at_least_4000_updates_and_stops_early(num_train):
    budget = default_budget(num_train)
    steps = math.ceil(num_train / budget.batch_size)
    assert budget.epochs == max(20, math.ceil(4000 / steps))
    assert budget.patience is not None and budget.patience >= 10
    assert budget.patience * steps >= 500


def test_epochs_that_were_asked_for_are_exact():
    assert default_budget(1412, epochs=7) == Budget(7, 16, None)
    assert default_budget(1412, batch_size=706) == Budget(2000, 706, 250)
