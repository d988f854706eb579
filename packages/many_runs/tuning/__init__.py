"""Automatic model tuning: launch, follow and stop a tuning job, and show its results."""

from many_runs.tuning.drawing import plot
from many_runs.tuning.following import follow
from many_runs.tuning.job import Tuning, find, stop, table
from many_runs.tuning.launching import launch

__all__ = ["Tuning", "find", "follow", "launch", "plot", "stop", "table"]
