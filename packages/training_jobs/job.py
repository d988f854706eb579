"""A training job as SageMaker describes it: find it, list those of a status, stop it."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from common.aws_session import Connection, code, explained
from common.contract import CHANNEL
from common.findings import printable

JOB_PREFIX = "mlagents"
OURS = f"{JOB_PREFIX}-"  # what the names of all jobs of this project begin with
ENDED = ("Completed", "Failed", "Stopped")
# Environment variable of a job: what it was launched to go on from. The container does without it.
GOES_ON_FROM = "GOES_ON_FROM"


class TrainingError(RuntimeError):
    """A job does not exist, left nothing, or cannot be launched as asked."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a job's life: SageMaker's secondary status, when it began and, once it is over, when it ended."""

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
        SageMaker's message about this phase.
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
        When the instance was there; billing begins then. None before.
    spot : bool
        Whether it runs on spare capacity.
    checkpoints : str
        S3 URI of the folder that its checkpoints are kept in; empty if they are not.
    goes_on_from : str
        ``"job <name>"`` or ``"run <name>"`` where it was launched to go on from that, else empty.
    phases : tuple of Phase
        Its phases, in order.
    tensorboard : str
        S3 URI of the summaries, copied there while it runs; empty if they are not.
    max_seconds, max_wait_seconds : int
        How long it may train, and with `spot` how long that may take with all waiting; 0 where SageMaker does not say.
    reason : str
        How a training that did not fail ended, and what kept it from learning: the last line of its log, where that
        was followed to its end. SageMaker keeps a reason of failures alone.
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
        """Whether nothing more will happen to it."""
        return self.status in ENDED

    def seconds(self) -> float:
        """Return the training time so far, in seconds."""
        if self.ended or self.started is None:
            return float(self.training_seconds)
        return max(0.0, (datetime.now(timezone.utc) - self.started).total_seconds())

    @property
    def interruptions(self) -> int:
        """How often its instance was taken away."""
        return sum(phase.name == "Interrupted" for phase in self.phases)

    @property
    def saved_seconds(self) -> int:
        """Seconds of training that were not billed; 0 until it has ended."""
        return self.training_seconds - self.billable_seconds

    @property
    def saved_percent(self) -> float:
        """The same as a share of its training, as SageMaker's console shows it."""
        return 100 * self.saved_seconds / self.training_seconds if self.training_seconds else 0.0

    def __str__(self) -> str:
        told = f"{self.name}: {self.status}"
        if self.status == "InProgress":
            told += f", {self.phase}"
        if self.ended:
            told += f" after {self.training_seconds} s of training, {self.billable_seconds} s billed"
            if self.spot:
                times = {0: "never interrupted", 1: "interrupted once"}
                told += f" (spot saved {self.saved_percent:.0f} %), "
                told += times.get(self.interruptions, f"interrupted {self.interruptions} times")
        return printable("\n".join(filter(None, [told, self.failure or self.reason])))


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
        If there is no such job; it names the newest ones. Also if AWS does not answer.
    """
    with explained(connection, TrainingError, f"{name or 'A job'} goes on while it runs, and is billed."):
        return describe(connection, name)


def describe(connection: Connection, name: str = "") -> Job:
    """Do what `find` does, and raise botocore's errors where AWS does not answer."""
    sagemaker = connection.client("sagemaker")
    if not name:
        newest = list_newest(sagemaker, 1)
        if not newest:
            raise TrainingError(f"Expected a training job on {connection.target}, found none. Run notebook 04 first.")
        name = newest[0]
    try:
        told = sagemaker.describe_training_job(TrainingJobName=name)
    except ClientError as error:
        if code(error) == "AccessDeniedException" and not name.startswith(OURS):
            raise TrainingError(
                f"Expected a job of this project, whose names begin with {OURS}, found {name}, which you may not look "
                f"at: {error}"
            ) from error
        if code(error) not in ("ValidationException", "ResourceNotFound"):
            raise
        newest = ", ".join(list_newest(sagemaker, 3)) or "none"
        raise TrainingError(
            f"Expected a training job named {name}, found none on {connection.target}. The newest there: {newest}."
        ) from error
    return from_description(told)


def from_description(told: Mapping[str, Any]) -> Job:
    """Return the job that SageMaker described: an answer of DescribeTrainingJob, or a record of Search."""
    name = told["TrainingJobName"]
    board = told.get("TensorBoardOutputConfig", {}).get("S3OutputPath", "")
    limits = told.get("StoppingCondition", {})
    return Job(
        name=name,
        status=told["TrainingJobStatus"],
        phase=told["SecondaryStatus"],
        message=(told.get("SecondaryStatusTransitions") or [{}])[-1].get("StatusMessage", ""),
        failure=told.get("FailureReason", ""),
        hyperparameters=told.get("HyperParameters", {}),
        volume=volume_of(told),
        image=told["AlgorithmSpecification"].get("TrainingImage", ""),
        output=f"{told['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output",
        created=told["CreationTime"],
        training_seconds=told.get("TrainingTimeInSeconds", 0),
        billable_seconds=told.get("BillableTimeInSeconds", 0),
        metrics={metric["MetricName"]: metric["Value"] for metric in told.get("FinalMetricDataList", [])},
        instance_type=told["ResourceConfig"].get("InstanceType", ""),
        started=told.get("TrainingStartTime"),
        spot=told.get("EnableManagedSpotTraining", False),
        checkpoints=told.get("CheckpointConfig", {}).get("S3Uri", ""),
        goes_on_from=told.get("Environment", {}).get(GOES_ON_FROM, ""),
        phases=tuple(
            Phase(phase["Status"], phase["StartTime"], phase.get("EndTime"))
            for phase in told.get("SecondaryStatusTransitions", [])
        ),
        tensorboard=f"{board.rstrip('/')}/{name}/tensorboard-output" if board else "",
        max_seconds=limits.get("MaxRuntimeInSeconds", 0),
        max_wait_seconds=limits.get("MaxWaitTimeInSeconds", 0),
    )


def volume_of(job: Mapping[str, Any]) -> str:
    """Return the S3 URI of a job's channel `unity-volume`, of its request or its description; empty if it has none."""
    channels = job.get("InputDataConfig", ())
    sources = (c["DataSource"].get("S3DataSource", {}) for c in channels if c["ChannelName"] == CHANNEL)
    return next(sources, {}).get("S3Uri", "")


def list_names(sagemaker, **filters: str) -> Iterator[str]:
    """Yield the names of the jobs that `launch` made, and of no other: rights to look at others' may be missing."""
    pages = sagemaker.get_paginator("list_training_jobs")
    for page in pages.paginate(NameContains=OURS, PaginationConfig={"PageSize": 100}, **filters):
        for summary in page["TrainingJobSummaries"]:
            if summary["TrainingJobName"].startswith(OURS):
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
    """Ask SageMaker to stop a job. It saves its model within 120 seconds, and that model is kept.

    Raises
    ------
    TrainingError
        If there is no such job. One that is stopping or has ended already is left as it is.
    """
    stop_once(
        connection,
        name,
        lambda: describe(connection, name),
        lambda: connection.client("sagemaker").stop_training_job(TrainingJobName=name),
        lambda _: f"Stopping {name}. It saves its model first; this can take two minutes.",
    )


class Stoppable(Protocol):
    """A job, of training or of tuning."""

    status: str
    ended: bool


Found = TypeVar("Found", bound=Stoppable)


def stop_once(
    connection: Connection,
    name: str,
    look: Callable[[], Found],
    request: Callable[[], object],
    tell: Callable[[Found], str],
) -> None:
    """Stop something that runs, and print what that does; of what does not run any more, print that.

    Parameters
    ----------
    connection : Connection
    name : str
    look, request, tell : callable
        Describe it, ask SageMaker to stop it, and say what that does.

    Raises
    ------
    TrainingError
        If it has no name, does not exist, or AWS does not answer.
    """
    if not name:
        raise TrainingError("Expected the name of the job to stop, found none. Name it, so that no other is stopped.")
    with explained(connection, TrainingError, f"{name} was not stopped. It goes on, and is billed until it ends."):
        found = look()
        if found.status == "InProgress":
            try:
                request()
            except ClientError as error:
                if code(error) != "ValidationException":
                    raise
                found = look()
                if found.status == "InProgress":  # refused for another reason
                    raise
            else:
                print(tell(found))
                return
    print(f"{name} has ended already: {found.status}." if found.ended else f"{name} is stopping already.")
