"""What the fault tests use of keras_ae below its public names."""

from keras_ae.evaluation import load_data
from keras_ae.report import write_report
from keras_ae.results import configurations
from keras_ae.training import EpochTrainer

STEPS_PER_CALL = "steps_per_call"  # attribute of EpochTrainer: the steps of one compiled call

__all__ = ["STEPS_PER_CALL", "EpochTrainer", "configurations", "load_data", "write_report"]
