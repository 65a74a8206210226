"""What the fault tests use of `keras_ae.evaluation`."""

from keras_ae.evaluation import load_data
from keras_ae.report import write_report
from keras_ae.results import configurations

__all__ = ["configurations", "load_data", "write_report"]
