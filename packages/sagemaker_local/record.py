"""The record of one training job, in memory and on disk."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from sagemaker_local.home import REGION
from sagemaker_local.transfer import open_inside, open_own, remove

ENDED = ("Completed", "Failed", "Stopped")
WITH_INSTANCE = ("Downloading", "Training", "Stopping", "Uploading")
"""Secondary statuses in which a job has an instance."""
ECHOED = (
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "DebugHookConfig",
    "ExperimentConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
    "CheckpointConfig",
    "Environment",
    "RetryStrategy",
    "RemoteDebugConfig",
    "InfraCheckConfig",
    "MlflowConfig",
)
"""Members of the request that DescribeTrainingJob returns unchanged."""


def make_key(name: str, region: str) -> str:
    """Return a key that is unique across regions; a name contains no dot."""
    return name if region == REGION else f"{region}.{name}"


@dataclass
class Record:
    """One training job: its request and its state.

    Times are seconds since the epoch; `lock` guards every change.
    """

    request: dict[str, Any]
    arn: str
    folder: Path
    created: float
    modified: float = 0.0
    started: float | None = None
    ended: float | None = None
    status: str = "InProgress"
    secondary: str = "Starting"
    transitions: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None
    training_seconds: float = 0.0
    billable_seconds: float = 0.0
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    streams: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # for its owner, in the last status message
    kept_until: float | None = None  # when its warm pool ends, or was taken over
    reused_by: str = ""  # name of the job that took the pool over
    tuning: str = ""  # ARN of the tuning job that launched it
    objective: str = ""  # the objective metric of this tuning job
    objectives: list[float] = field(default_factory=list)  # the objective's values so far
    on_objective: ClassVar[Callable[[], None]] = staticmethod(lambda: None)  # called on each new value; set per job

    def __post_init__(self) -> None:
        self.lock = threading.RLock()

    @property
    def name(self) -> str:
        """The job's name."""
        return self.request["TrainingJobName"]

    @property
    def region(self) -> str:
        """The job's region."""
        return self.arn.split(":")[3]

    @property
    def key(self) -> str:
        """Its key, which is unique across regions and the name of its folder."""
        return make_key(self.name, self.region)

    @property
    def values(self) -> Path:
        """The file with all values of all metrics, one JSON line with name, value and time for each."""
        return self.folder / "metrics.jsonl"

    @property
    def output(self) -> str:
        """The S3 address of the job's results: ``<S3OutputPath>/<job>/output``."""
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    @property
    def model(self) -> str:
        """The S3 address of the model: an archive, or a prefix if compression is off."""
        compressed = self.request["OutputDataConfig"].get("CompressionType") != "NONE"
        return f"{self.output}/{'model.tar.gz' if compressed else 'model/'}"

    @property
    def keep_alive(self) -> int:
        """Seconds for which the job's machine is kept in a warm pool; 0 for none."""
        return self.request.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds", 0)

    def warm_pool(self) -> dict[str, Any] | None:
        """Return the WarmPoolStatus of a job; None if it keeps no machine."""
        if self.kept_until is None:
            status = "Terminated" if self.status in ENDED else "InUse"
            return {"Status": status} if self.keep_alive else None
        now = self.now()
        retained = {"ResourceRetainedBillableTimeInSeconds": round(min(now, self.kept_until) - self.ended)}
        if self.reused_by:
            return retained | {"Status": "Reused", "ReusedByJob": self.reused_by}
        return retained | {"Status": "Available" if now < self.kept_until else "Terminated"}

    def seconds_with_instance(self, seen: float) -> float:
        """Return the seconds during which the job had an instance, until `seen`."""
        spans = [(one["Status"], one["StartTime"], one.get("EndTime", seen)) for one in self.transitions]
        return sum(max(0.0, end - start) for status, start, end in spans if status in WITH_INSTANCE)

    def now(self) -> float:
        """Return the current time, but never before the job's last change (the clock may be set back)."""
        return max(time.time(), self.modified)

    def measure(self, metric: str, value: float, when: float) -> None:
        """Record a value of a metric."""
        with self.lock:
            self.metrics[metric] = {"MetricName": metric, "Value": value, "Timestamp": when}
            if metric == self.objective:
                self.objectives.append(value)
        if metric == self.objective:
            self.on_objective()
        if math.isfinite(value):  # CloudWatch accepts no others
            with open(self.values, "a", opener=open_own) as file:
                file.write(json.dumps([metric, value, when]) + "\n")

    def note(self, sentence: str) -> None:
        """Add a sentence to the message of the job's final status."""
        with self.lock:
            self.notes.append(sentence)

    def move(self, secondary: str, message: str, status: str | None = None) -> None:
        """Enter a secondary status (and a status, if given) and save the record."""
        with self.lock:
            now = self.now()
            if self.transitions:
                self.transitions[-1].setdefault("EndTime", now)
            self.status = status or self.status
            if self.status in ENDED:
                message = ". ".join([message, *self.notes])
            self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
            self.secondary = secondary
            self.modified = now
            if self.status in ENDED:
                self.transitions[-1]["EndTime"] = now
                if self.started is not None:
                    self.ended = now
                if self.status == "Completed" and self.keep_alive:
                    self.kept_until = now + self.keep_alive
            self.save()

    def describe(self) -> dict[str, Any]:
        """Return the response of DescribeTrainingJob."""
        with self.lock:
            response = {
                "TrainingJobName": self.name,
                "TrainingJobArn": self.arn,
                "ModelArtifacts": {"S3ModelArtifacts": self.model},
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.secondary,
                "CreationTime": self.created,
                "LastModifiedTime": self.modified,
                "SecondaryStatusTransitions": [dict(transition) for transition in self.transitions],
                "EnableNetworkIsolation": False,
                "EnableInterContainerTrafficEncryption": False,
                "EnableManagedSpotTraining": False,
            }
            flags = [key for key in self.request if key.startswith("Enable")]
            response |= {key: self.request[key] for key in (*ECHOED, *flags) if key in self.request}
            response["OutputDataConfig"] = {"KmsKeyId": "", **self.request["OutputDataConfig"]}
            optional = {
                "TrainingStartTime": self.started,
                "TrainingEndTime": self.ended,
                "FailureReason": self.failure,
                "TuningJobArn": self.tuning or None,
                "WarmPoolStatus": self.warm_pool(),
            }
            if self.ended is not None:  # SageMaker's model requires whole seconds, at least 1
                optional["TrainingTimeInSeconds"] = max(1, round(self.training_seconds))
                optional["BillableTimeInSeconds"] = max(1, round(self.billable_seconds))
            if self.metrics:
                optional["FinalMetricDataList"] = list(self.metrics.values())
            return response | {key: value for key, value in optional.items() if value is not None}

    def summary(self) -> dict[str, Any]:
        """Return the job's entry in ListTrainingJobs."""
        with self.lock:
            entry = {
                "TrainingJobName": self.name,
                "TrainingJobArn": self.arn,
                "CreationTime": self.created,
                "LastModifiedTime": self.modified,
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.secondary,
            }
            optional = {"TrainingEndTime": self.ended, "WarmPoolStatus": self.warm_pool()}
            return entry | {key: value for key, value in optional.items() if value is not None}

    def save(self) -> None:
        """Write ``job.json`` atomically."""
        with self.lock:
            state = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "folder"}
            new, file = self.folder / "job.json.new", self.folder / "job.json"
            for path in (new, file):  # the program may have put anything there
                if path.is_symlink() or (path.exists() and not path.is_file()):
                    remove(path)
            with open(new, "w", opener=open_own) as stream:
                stream.write(json.dumps(state))
            new.replace(file)


def load(folder: Path) -> Record:
    """Read the record of the job in `folder`.

    Raise `OSError`, `ValueError` or `TypeError` if there is none or it can't be read.
    """
    with open_inside(folder, "job.json") as file:
        return Record(folder=folder, **json.load(file))
