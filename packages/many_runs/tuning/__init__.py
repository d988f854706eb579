"""Automatic model tuning: launch a tuning job, follow it, stop it, and see which settings earned what."""

from many_runs.tuning.drawing import plot
from many_runs.tuning.following import follow
from many_runs.tuning.job import Training, Tuning, TuningError, find, find_trainings, stop, table
from many_runs.tuning.launching import launch
from many_runs.tuning.ranges import Range

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
