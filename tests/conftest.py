"""Shared fixtures, fast compilation, and freeing memory after each test file."""

import contextlib
import gc
import os
import sys
from pathlib import Path

import pytest
from programs import eagerly, forget_custom_gradients, shared, small_images

# Tests run small networks for a moment: compiling them takes longer than what it would gain.
# Read by TensorFlow when it is imported; the programs that tests start inherit it.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    ]
).strip()
# Each core has a test process of its own: more threads would wait for each other.
for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Tracing makes millions of objects, which the collector would search again and again.
gc.set_threshold(100_000, 20, 20)


@pytest.fixture(autouse=True)
def _no_custom_gradients_left():
    yield
    forget_custom_gradients()


@pytest.fixture(autouse=True, scope="module")
def _clean_session():
    """Free the traced functions of a test file: a thousand models would take gigabytes."""
    gc.freeze()  # what is imported by now stays: the programs collect garbage after every run
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()


@pytest.fixture(autouse=True, scope="module")
def _module_compilation(request):
    with _compilation(request.node):
        yield


@pytest.fixture(autouse=True)
def _test_compilation(request):
    with _compilation(request.node):
        yield


@contextlib.contextmanager
def _compilation(node):
    """Without XLA and graph optimization a network compiles in a fraction of the time.

    Tests and files marked `xla` compile networks as users do.
    """
    if "tensorflow" not in sys.modules:
        yield
        return
    import tensorflow as tf

    from keras_ae.training.trainer import EpochTrainer

    as_users = node.get_closest_marker("xla") is not None
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not as_users})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochTrainer, "_xla_on_cpu", as_users)
        yield


@pytest.fixture(scope="session")
def worker(request) -> str:
    """The name of this test process: "master", or that of an xdist worker."""
    return getattr(request.config, "workerinput", {}).get("workerid", "master")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, worker) -> Path:
    """210 images of 8x8 in four classes: 165 for training, 15 for validation, 30 for testing."""
    folder = shared(
        tmp_path_factory, worker, "tiny", lambda folder: small_images(folder / "tiny.npz")
    )
    return folder / "tiny.npz"


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """No network, and an empty cache."""
    from keras_ae import data

    folder = tmp_path_factory.mktemp("surroundings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_AE_CACHE", str(folder / "cache"))
        patch.setenv("TFDS_DATA_DIR", str(folder / "no-data"))
        patch.delenv("QUICKDRAW_DIR", raising=False)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setattr(data.network, "network_problem", lambda url, **_: "no network in tests")
        yield


@pytest.fixture(scope="module")
def eager():
    """Run functions eagerly: without tracing, small networks train in milliseconds."""
    with eagerly():
        yield
