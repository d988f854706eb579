"""A training job on SageMaker: launch it, find it, follow it, stop it, fetch what it left.

`launch_many`, `follow_many` and `stop_many` do so with many jobs at once; they are those of `many_runs.experiment`.
"""

from common.contract import CHANNEL, METRICS
from training_jobs.fetching import fetch
from training_jobs.following import follow
from training_jobs.interruption import interrupt
from training_jobs.job import JOB_PREFIX, Job, Phase, TrainingError, find, list_newest, stop
from training_jobs.launching import launch
from training_jobs.log import LOG_GROUP, Log
from training_jobs.running_rewards import read_running

__all__ = [
    "CHANNEL",
    "JOB_PREFIX",
    "LOG_GROUP",
    "METRICS",
    "Job",
    "Log",
    "Phase",
    "TrainingError",
    "fetch",
    "find",
    "follow",
    "follow_many",  # noqa: F822  see __getattr__
    "interrupt",
    "launch",
    "launch_many",  # noqa: F822  see __getattr__
    "list_newest",
    "read_running",
    "stop",
    "stop_many",  # noqa: F822  see __getattr__
]


def __getattr__(name: str) -> object:
    """Give what works on many jobs, which is made of what is here."""
    if name not in ("launch_many", "follow_many", "stop_many"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from many_runs import experiment

    return getattr(experiment, name)
