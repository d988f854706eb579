"""Reward curves: read them from a run's TensorBoard events or its log, join what was resumed, plot them.

A curve is a pandas table with one row a summary; `helpers.rewards.table` documents its columns.
"""

from helpers.rewards.drawing import plot, plot_seeds, plot_training
from helpers.rewards.events import read_events
from helpers.rewards.log import LogReader, read_log
from helpers.rewards.results import read
from helpers.rewards.running import read_running
from helpers.rewards.table import COLUMNS, RewardsError, show_last

__all__ = [
    "COLUMNS",
    "LogReader",
    "RewardsError",
    "plot",
    "plot_seeds",
    "plot_training",
    "read",
    "read_events",
    "read_log",
    "read_running",
    "show_last",
]
