"""Programs as modules, and what TensorFlow keeps of each training that runs in one process."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def imported(program: str):
    """`train` or `evaluate` as a module."""
    spec = importlib.util.spec_from_file_location(program, ROOT / f"{program}.py")
    module = sys.modules[program] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forget_custom_gradients() -> None:
    """TensorFlow's registry keeps the graph of every training step that was ever traced.

    Keras's optimizers sum gradients over replicas by `tf.custom_gradient`, which in a graph
    registers itself for good: 25 MB a model, and a garbage collection that takes ever longer.
    """
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework.ops import gradient_registry

        for name in list(gradient_registry.list()):
            if name.startswith("CustomGradient-"):
                del gradient_registry._registry[name]
