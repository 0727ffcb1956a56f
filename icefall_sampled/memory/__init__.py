"""Memory of a training step, predicted and measured.

python -m icefall_sampled.memory RECIPE VARIANT --gpu-mib 24576
python -m icefall_sampled.memory measure --exp-dir exp/example_ctc
"""

from icefall_sampled.memory.allocations import MIB, peak_allocated_mib
from icefall_sampled.memory.measure import measure_run, training_step_mib, whole_step_mib
from icefall_sampled.memory.predict import Prediction, largest_batch, predict
from icefall_sampled.memory.stages import Utterance

__all__ = [
    "MIB",
    "Prediction",
    "Utterance",
    "largest_batch",
    "measure_run",
    "peak_allocated_mib",
    "predict",
    "training_step_mib",
    "whole_step_mib",
]
