"""Lets go of what each file of tests has traced: a thousand models in one process are gigabytes."""

import gc
import sys

import pytest


@pytest.fixture(autouse=True)
def forget_custom_gradients():
    """TensorFlow's registry keeps the graph of every training step that was ever traced.

    Keras's optimizers sum gradients over replicas by `tf.custom_gradient`, which in a graph
    registers itself for good: 25 MB a model, and a garbage collection that takes ever longer.
    """
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework.ops import gradient_registry

        for name in list(gradient_registry.list()):
            if name.startswith("CustomGradient-"):
                del gradient_registry._registry[name]


@pytest.fixture(autouse=True, scope="module")
def clean_session():
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
