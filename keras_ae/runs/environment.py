"""The package versions and the device of a run."""

from __future__ import annotations

import os
import platform

THREADS_OF_TENSORFLOW = "TF_NUM_INTRAOP_THREADS"


def versions() -> dict[str, str]:
    """The version of each package that affects the numbers of a training."""
    import keras
    import numpy
    import tensorflow

    import keras_ae

    return {
        "keras_ae": keras_ae.__version__,
        "keras": keras.__version__,
        "tensorflow": tensorflow.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def num_cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def num_threads() -> int:
    """The number of threads of an operation of TensorFlow, as it was set before the import."""
    try:
        number = int(os.environ.get(THREADS_OF_TENSORFLOW, "0"))
    except ValueError:
        number = 0
    return number if number > 0 else num_cores()


def device_name() -> str:
    """The GPUs that TensorFlow uses, else `CPU (2 cores)`."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU ({os.cpu_count()} cores)"
    details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
    return ", ".join(
        detail.get("device_name", gpu.name) for detail, gpu in zip(details, gpus, strict=True)
    )
