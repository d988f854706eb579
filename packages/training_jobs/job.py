"""A training job as SageMaker describes it: find, list and stop jobs."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from common.aws_session import Connection, code, explained
from common.contract import CHANNEL, DEFAULT_TRAINER, TRAINERS
from common.findings import printable

JOB_PREFIX = "mlagents"
NAME_PREFIX = f"{JOB_PREFIX}-"  # of all jobs of this project
ENDED = ("Completed", "Failed", "Stopped")
# Environment variable of a job: what it was launched to continue from. The container does not use it.
GOES_ON_FROM = "GOES_ON_FROM"


class TrainingError(RuntimeError):
    """A job does not exist, has no results, or can't be launched."""


@dataclass(frozen=True)
class Phase:
    """A phase of a job: SageMaker's secondary status, its start, and its end (None while it lasts)."""

    name: str
    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class Job:
    """A training job as SageMaker described it at one moment.

    Attributes
    ----------
    name : str
    status : str
        ``"InProgress"``, ``"Completed"``, ``"Failed"``, ``"Stopping"`` or ``"Stopped"``.
    phase : str
        SageMaker's secondary status, such as ``"Downloading"``.
    message : str
        SageMaker's message for this phase.
    failure : str
        Why it failed, else empty.
    hyperparameters : mapping of str to str
    volume : str
        S3 URI of the channel `unity-volume`.
    image : str
    output : str
        S3 URI of the folder that holds `model.tar.gz` and `output.tar.gz` at the end.
    created : datetime
    training_seconds, billable_seconds : int
        0 until it has ended.
    metrics : mapping of str to float
        The last value of each metric.
    instance_type : str
    started : datetime or None
        When the instance was ready and billing began; None before.
    spot : bool
        Whether it runs on a spot instance.
    checkpoints : str
        S3 URI of the folder of its checkpoints; empty if it keeps none.
    goes_on_from : str
        ``"job <name>"`` or ``"run <name>"`` if it was launched to continue from that, else empty.
    phases : tuple of Phase
        Its phases, in order.
    tensorboard : str
        S3 URI to which the summaries are copied while it runs; empty if they are not.
    max_seconds, max_wait_seconds : int
        Maximum training time and, with `spot`, maximum time including waiting; 0 if unknown.
    reason : str
        How a training that did not fail ended, and what kept it from learning: from the last line of its log, if it was
        followed to its end. SageMaker itself keeps only reasons of failures.
    """

    name: str
    status: str
    phase: str
    message: str
    failure: str
    hyperparameters: Mapping[str, str]
    volume: str
    image: str
    output: str
    created: datetime
    training_seconds: int
    billable_seconds: int
    metrics: Mapping[str, float]
    instance_type: str = ""
    started: datetime | None = None
    spot: bool = False
    checkpoints: str = ""
    goes_on_from: str = ""
    phases: tuple[Phase, ...] = ()
    tensorboard: str = ""
    max_seconds: int = 0
    max_wait_seconds: int = 0
    reason: str = field(default="", compare=False)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED

    def seconds(self) -> float:
        """Return the training time so far, in seconds."""
        if self.ended or self.started is None:
            return float(self.training_seconds)
        return max(0.0, (datetime.now(timezone.utc) - self.started).total_seconds())

    @property
    def interruptions(self) -> int:
        """The number of times that its instance was taken away."""
        return sum(phase.name == "Interrupted" for phase in self.phases)

    @property
    def saved_seconds(self) -> int:
        """Seconds of training that were not billed; 0 until it has ended."""
        return self.training_seconds - self.billable_seconds

    @property
    def saved_percent(self) -> float:
        """`saved_seconds` in per cent of the training time, as in SageMaker's console."""
        return 100 * self.saved_seconds / self.training_seconds if self.training_seconds else 0.0

    @property
    def trainer(self) -> str:
        """The version of ML-Agents that trains."""
        return trainer_in(self.image) or self.hyperparameters.get("trainer-version") or DEFAULT_TRAINER

    @property
    def model_suffix(self) -> str:
        """How the names of its models end: ``".nn"`` or ``".onnx"``."""
        return TRAINERS[self.trainer]["model_suffix"]

    def __str__(self) -> str:
        line = f"{self.name}: {self.status}"
        if self.status == "InProgress":
            line += f", {self.phase}"
        if self.ended:
            line += f" after {self.training_seconds} s of training, {self.billable_seconds} s billed"
            if self.spot:
                times = {0: "never interrupted", 1: "interrupted once"}
                line += f" (spot saved {self.saved_percent:.0f} %), "
                line += times.get(self.interruptions, f"interrupted {self.interruptions} times")
        return printable("\n".join(filter(None, [line, self.failure or self.reason])))


def find(connection: Connection, name: str = "") -> Job:
    """Describe a job.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest job that `launch` made.

    Raises
    ------
    TrainingError
        If there is no such job, with the names of the newest ones; or if AWS does not respond.
    """
    with explained(connection, TrainingError, f"{name or 'A job'} goes on while it runs, and is billed."):
        return describe(connection, name)


def describe(connection: Connection, name: str = "") -> Job:
    """Describe a job as `find` does, but raise botocore's errors if AWS does not respond."""
    sagemaker = connection.client("sagemaker")
    if not name:
        newest = list_newest(sagemaker, 1)
        if not newest:
            raise TrainingError(f"Expected a training job on {connection.target}, found none. Run notebook 04 first.")
        name = newest[0]
    try:
        description = sagemaker.describe_training_job(TrainingJobName=name)
    except ClientError as error:
        if code(error) == "AccessDeniedException" and not name.startswith(NAME_PREFIX):
            raise TrainingError(
                f"Expected a job of this project, whose names begin with {NAME_PREFIX}, found {name}, which you may "
                f"not describe: {error}"
            ) from error
        if code(error) not in ("ValidationException", "ResourceNotFound"):
            raise
        newest = ", ".join(list_newest(sagemaker, 3)) or "none"
        raise TrainingError(
            f"Expected a training job named {name}, found none on {connection.target}. The newest there: {newest}."
        ) from error
    return from_description(description)


def from_description(description: Mapping[str, Any]) -> Job:
    """Return the job from a response of DescribeTrainingJob or a record of Search."""
    name = description["TrainingJobName"]
    board = description.get("TensorBoardOutputConfig", {}).get("S3OutputPath", "")
    limits = description.get("StoppingCondition", {})
    return Job(
        name=name,
        status=description["TrainingJobStatus"],
        phase=description["SecondaryStatus"],
        message=(description.get("SecondaryStatusTransitions") or [{}])[-1].get("StatusMessage", ""),
        failure=description.get("FailureReason", ""),
        hyperparameters=description.get("HyperParameters", {}),
        volume=volume_of(description),
        image=description["AlgorithmSpecification"].get("TrainingImage", ""),
        output=f"{description['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output",
        created=description["CreationTime"],
        training_seconds=description.get("TrainingTimeInSeconds", 0),
        billable_seconds=description.get("BillableTimeInSeconds", 0),
        metrics={metric["MetricName"]: metric["Value"] for metric in description.get("FinalMetricDataList", [])},
        instance_type=description["ResourceConfig"].get("InstanceType", ""),
        started=description.get("TrainingStartTime"),
        spot=description.get("EnableManagedSpotTraining", False),
        checkpoints=description.get("CheckpointConfig", {}).get("S3Uri", ""),
        goes_on_from=description.get("Environment", {}).get(GOES_ON_FROM, ""),
        phases=tuple(
            Phase(phase["Status"], phase["StartTime"], phase.get("EndTime"))
            for phase in description.get("SecondaryStatusTransitions", [])
        ),
        tensorboard=f"{board.rstrip('/')}/{name}/tensorboard-output" if board else "",
        max_seconds=limits.get("MaxRuntimeInSeconds", 0),
        max_wait_seconds=limits.get("MaxWaitTimeInSeconds", 0),
    )


def trainer_in(image: str) -> str | None:
    """Return the version of ML-Agents in an image, from the name of its repository; None where that does not say."""
    repository = re.split("[@:]", image.rpartition("/")[2])[0]
    return next((trainer for trainer in TRAINERS if repository.endswith(f"-{trainer}")), None)


def volume_of(job: Mapping[str, Any]) -> str:
    """Return the S3 URI of the channel `unity-volume` in a job's request or description; empty if it has none."""
    channels = job.get("InputDataConfig", ())
    sources = (c["DataSource"].get("S3DataSource", {}) for c in channels if c["ChannelName"] == CHANNEL)
    return next(sources, {}).get("S3Uri", "")


def list_names(sagemaker, **filters: str) -> Iterator[str]:
    """Yield the names of the jobs that `launch` made. Rights to describe other jobs may be missing."""
    pages = sagemaker.get_paginator("list_training_jobs")
    for page in pages.paginate(NameContains=NAME_PREFIX, PaginationConfig={"PageSize": 100}, **filters):
        for summary in page["TrainingJobSummaries"]:
            if summary["TrainingJobName"].startswith(NAME_PREFIX):
                yield summary["TrainingJobName"]


def list_newest(sagemaker, count: int) -> list[str]:
    """Return the names of the newest jobs that `launch` made, newest first."""
    return list(itertools.islice(list_names(sagemaker, SortBy="CreationTime", SortOrder="Descending"), count))


def list_with_status(connection: Connection, status: str) -> Iterator[Job]:
    """Yield the jobs that `launch` made and that have this status, newest first."""
    newest_first = {"SortBy": "CreationTime", "SortOrder": "Descending"}
    for name in list_names(connection.client("sagemaker"), StatusEquals=status, **newest_first):
        yield describe(connection, name)


def stop(connection: Connection, name: str) -> None:
    """Stop a job. It has 120 seconds to save its model, which is kept.

    Raises
    ------
    TrainingError
        If there is no such job. A job that is stopping or has ended already is not changed.
    """
    stop_once(
        connection,
        name,
        lambda: describe(connection, name),
        lambda: connection.client("sagemaker").stop_training_job(TrainingJobName=name),
        lambda _: f"Stopping {name}. It saves its model first; this can take two minutes.",
    )


class Stoppable(Protocol):
    """A training job or a tuning job."""

    status: str
    ended: bool


Found = TypeVar("Found", bound=Stoppable)


def stop_once(
    connection: Connection,
    name: str,
    describe: Callable[[], Found],
    request: Callable[[], object],
    confirm: Callable[[Found], str],
) -> None:
    """Stop a training or tuning job and print a message; if it is not running any more, print that.

    Parameters
    ----------
    connection : Connection
    name : str
    describe, request, confirm : callable
        Describe it, send the request that stops it, and return the message to print then.

    Raises
    ------
    TrainingError
        If it has no name, does not exist, or AWS does not respond.
    """
    if not name:
        raise TrainingError(
            "Expected the name of the job to stop, found none. Name it, so that no other job is stopped."
        )
    with explained(connection, TrainingError, f"{name} was not stopped. It goes on, and is billed until it ends."):
        found = describe()
        if found.status == "InProgress":
            try:
                request()
            except ClientError as error:
                if code(error) != "ValidationException":
                    raise
                found = describe()
                if found.status == "InProgress":  # refused for another reason
                    raise
            else:
                print(confirm(found))
                return
    print(f"{name} has ended already: {found.status}." if found.ended else f"{name} is stopping already.")
