"""Many runs of one training: several seeds of several settings, launched, followed, stopped and compared as one.

An experiment exists only in SageMaker: its runs are training jobs with its name as a tag, by which they are found.
"""

from many_runs.experiment.comparison import Comparison, compare
from many_runs.experiment.curves import Curves, read_curves
from many_runs.experiment.following import follow_many
from many_runs.experiment.launching import launch_many
from many_runs.experiment.runs import Experiment, Run, find, list_names
from many_runs.experiment.stopping import stop_many
from many_runs.experiment.table import tabulate

__all__ = [
    "Comparison",
    "Curves",
    "Experiment",
    "Run",
    "compare",
    "find",
    "follow_many",
    "launch_many",
    "list_names",
    "read_curves",
    "stop_many",
    "tabulate",
]
