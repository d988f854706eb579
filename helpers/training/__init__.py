"""A training job on SageMaker: launch it, find it, follow it, stop it, fetch what it left.

`launch_many`, `follow_many` and `stop_many` do so with many jobs at once; they are those of `helpers.experiment`.
"""

from helpers.training.fetching import fetch
from helpers.training.following import follow
from helpers.training.interruption import interrupt
from helpers.training.job import CHANNEL, JOB_PREFIX, Job, Phase, TrainingError, find, list_newest, stop
from helpers.training.launching import METRICS, launch
from helpers.training.log import LOG_GROUP, Log

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
    "follow_many",
    "interrupt",
    "launch",
    "launch_many",
    "list_newest",
    "stop",
    "stop_many",
]


def __getattr__(name: str) -> object:
    """Give what works on many jobs, which is made of what is here."""
    if name not in ("launch_many", "follow_many", "stop_many"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from helpers import experiment

    return getattr(experiment, name)
