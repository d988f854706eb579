"""Reward curves: read them from a run's TensorBoard events or its log, join resumed attempts, and plot them.

A curve is a pandas table with one row a summary; `reward_curves.table` documents its columns.
"""

from reward_curves.drawing import plot, plot_seeds, plot_training
from reward_curves.events import read_events
from reward_curves.log import LogReader, read_log
from reward_curves.results import read
from reward_curves.table import COLUMNS, RewardsError, in_agent_steps, show_last

__all__ = [
    "COLUMNS",
    "LogReader",
    "RewardsError",
    "in_agent_steps",
    "plot",
    "plot_seeds",
    "plot_training",
    "read",
    "read_events",
    "read_log",
    "show_last",
]
