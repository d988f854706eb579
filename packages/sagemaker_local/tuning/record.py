"""The record of one tuning job, in memory and on disk."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sagemaker_local import record
from sagemaker_local.home import write_whole
from sagemaker_local.record import ENDED
from sagemaker_local.tuning.request import describe_definition

RETRYABLE = "InternalServerError"
"""The prefix of a failure reason that is not the training's fault."""


@dataclass
class Tuning:
    """One tuning job: its request and its state.

    `trainings` lists its trainings, oldest first: name and hyperparameters, saved before the training is created.
    Times are seconds since the epoch; `lock` guards every change.
    """

    request: dict[str, Any]
    arn: str
    folder: Path
    created: float
    seed: int
    modified: float = 0.0
    ended: float | None = None
    status: str = "InProgress"
    failure: str | None = None
    trainings: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()

    @property
    def name(self) -> str:
        """The tuning job's name."""
        return self.request["HyperParameterTuningJobName"]

    @property
    def region(self) -> str:
        """The tuning job's region."""
        return self.arn.split(":")[3]

    @property
    def key(self) -> str:
        """Its key, which is unique across regions and the name of its folder."""
        return record.make_key(self.name, self.region)

    @property
    def config(self) -> dict[str, Any]:
        """The request's HyperParameterTuningJobConfig."""
        return self.request["HyperParameterTuningJobConfig"]

    @property
    def metric(self) -> str:
        """The name of the objective metric."""
        return self.config["HyperParameterTuningJobObjective"]["MetricName"]

    @property
    def maximise(self) -> bool:
        """Whether a greater value of the objective is better."""
        return self.config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"

    def move(self, status: str, failure: str | None = None) -> None:
        """Enter a status and save the record."""
        with self.lock:
            self.status, self.failure = status, failure
            self.modified = max(time.time(), self.modified)
            if status in ENDED:
                self.ended = self.modified
            self.save()

    def describe(self, jobs: Sequence[record.Record]) -> dict[str, Any]:
        """Return the response of DescribeHyperParameterTuningJob; `jobs` are its trainings."""
        with self.lock:
            response = {
                **self.summary(jobs),
                "HyperParameterTuningJobConfig": self.config,
                "TrainingJobDefinition": describe_definition(self.request),
                "ConsumedResources": {"RuntimeInSeconds": round((self.ended or time.time()) - self.created)},
            }
            del response["Strategy"], response["ResourceLimits"]
            if best := best_of(jobs, self.maximise):
                response["BestTrainingJob"] = self.summarise(best)
            if self.failure:
                response["FailureReason"] = self.failure
            return response

    def summary(self, jobs: Sequence[record.Record]) -> dict[str, Any]:
        """Return its entry in ListHyperParameterTuningJobs."""
        with self.lock:
            entry = {
                "HyperParameterTuningJobName": self.name,
                "HyperParameterTuningJobArn": self.arn,
                "HyperParameterTuningJobStatus": self.status,
                "Strategy": self.config["Strategy"],
                "CreationTime": self.created,
                "LastModifiedTime": max([self.modified, *(job.modified for job in jobs)]),
                "TrainingJobStatusCounters": count_statuses(jobs),
                "ObjectiveStatusCounters": count_objectives(jobs),
                "ResourceLimits": self.config["ResourceLimits"],
            }
            return entry if self.ended is None else {**entry, "HyperParameterTuningEndTime": self.ended}

    def summarise(self, job: record.Record) -> dict[str, Any]:
        """Return the entry of one of its trainings."""
        with job.lock:
            tuned = next(one["hyperparameters"] for one in self.trainings if one["name"] == job.name)
            entry = {
                "TrainingJobName": job.name,
                "TrainingJobArn": job.arn,
                "TuningJobName": self.name,
                "CreationTime": job.created,
                "TrainingJobStatus": job.status,
                "TunedHyperParameters": tuned,
                "ObjectiveStatus": objective_status(job),
            }
            optional = {
                "TrainingStartTime": job.started,
                "TrainingEndTime": job.ended,
                "FailureReason": job.failure,
            }
            if (value := objective(job)) is not None:
                kind = self.config["HyperParameterTuningJobObjective"]["Type"]
                metric = {"Type": kind, "MetricName": self.metric, "Value": value}
                optional["FinalHyperParameterTuningJobObjectiveMetric"] = metric
            return entry | {key: value for key, value in optional.items() if value is not None}

    def save(self) -> None:
        """Write ``tuning.json`` atomically."""
        with self.lock:
            state = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "folder"}
            write_whole(self.folder / "tuning.json", json.dumps(state))


def load(folder: Path) -> Tuning:
    """Read the record of the tuning job in `folder`.

    Raise `OSError`, `ValueError` or `TypeError` if there is none or it can't be read.
    """
    return Tuning(folder=folder, **json.loads((folder / "tuning.json").read_text()))


def objective(job: record.Record) -> float | None:
    """Return a training's objective, its last reported value; None if it has none yet, or failed."""
    value = job.metrics.get(job.objective, {}).get("Value")
    return value if value is not None and math.isfinite(value) and job.status != "Failed" else None


def objective_status(job: record.Record) -> str:
    """Return the status of a training's objective: ``Succeeded``, ``Pending`` or ``Failed``."""
    if job.status not in ENDED:
        return "Pending"
    return "Failed" if objective(job) is None else "Succeeded"


def best_of(jobs: Sequence[record.Record], maximise: bool) -> record.Record | None:
    """Return the best completed training; None if none has an objective."""
    usable = [job for job in jobs if job.status == "Completed" and objective(job) is not None]
    return (max if maximise else min)(usable, key=objective, default=None)


def count_statuses(jobs: Sequence[record.Record]) -> dict[str, int]:
    """Count trainings by status, as TrainingJobStatusCounters does."""
    failed = [job.failure or "" for job in jobs if job.status == "Failed"]
    retryable = sum(reason.startswith(RETRYABLE) for reason in failed)
    return {
        "Completed": sum(job.status == "Completed" for job in jobs),
        "InProgress": sum(job.status not in ENDED for job in jobs),
        "RetryableError": retryable,
        "NonRetryableError": len(failed) - retryable,
        "Stopped": sum(job.status == "Stopped" for job in jobs),
    }


def count_objectives(jobs: Sequence[record.Record]) -> dict[str, int]:
    """Count trainings by the status of their objective, as ObjectiveStatusCounters does."""
    found = [objective_status(job) for job in jobs]
    return {status: found.count(status) for status in ("Succeeded", "Pending", "Failed")}
