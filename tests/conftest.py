"""Lets go of what each file of tests has traced: a thousand models in one process are gigabytes."""

import gc
import sys

import pytest
from in_process import forget_custom_gradients


@pytest.fixture(autouse=True)
def no_custom_gradients_left():
    yield
    forget_custom_gradients()


@pytest.fixture(autouse=True, scope="module")
def clean_session():
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
