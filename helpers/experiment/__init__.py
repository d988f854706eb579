"""Many runs of one training: several seeds of several settings, launched, followed, stopped and compared as one.

An experiment lives in SageMaker alone: its runs are training jobs whose tags name it. Whoever knows its name finds it.
"""

from helpers.experiment.comparison import Comparison, compare
from helpers.experiment.curves import Curves, read_curves
from helpers.experiment.following import follow_many
from helpers.experiment.launching import launch_many
from helpers.experiment.runs import Experiment, Run, find, list_names
from helpers.experiment.stopping import stop_many
from helpers.experiment.table import tabulate

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
