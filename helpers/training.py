"""Training jobs on SageMaker: launch, find, follow and stop one or many of them, and fetch their results."""

from many_runs.experiment import follow_many, launch_many, stop_many
from training_jobs import TrainingError, fetch, find, follow, interrupt, launch, read_running, stop

__all__ = [
    "TrainingError",
    "fetch",
    "find",
    "follow",
    "follow_many",
    "interrupt",
    "launch",
    "launch_many",
    "read_running",
    "stop",
    "stop_many",
]
