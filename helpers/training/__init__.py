"""A training job on SageMaker: launch it, find it, follow it, stop it, fetch what it left."""

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
    "interrupt",
    "launch",
    "list_newest",
    "stop",
]
