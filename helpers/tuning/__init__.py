"""Automatic model tuning: launch a tuning job, follow it, stop it, and see which settings earned what."""

from helpers.tuning.drawing import plot
from helpers.tuning.following import follow
from helpers.tuning.job import Training, Tuning, TuningError, find, find_trainings, stop, table
from helpers.tuning.launching import launch
from helpers.tuning.ranges import Range

__all__ = [
    "Range",
    "Training",
    "Tuning",
    "TuningError",
    "find",
    "find_trainings",
    "follow",
    "launch",
    "plot",
    "stop",
    "table",
]
