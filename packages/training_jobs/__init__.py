"""A training job on SageMaker: launch, find, follow and stop it, and fetch its results."""

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
    "interrupt",
    "launch",
    "list_newest",
    "read_running",
    "stop",
]
