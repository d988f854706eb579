"""A tuning job as SageMaker describes it, and its trainings."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

import pandas as pd
from botocore.exceptions import ClientError

from common.aws_session import Connection, code, explained
from common.findings import printable
from many_runs.tuning.ranges import Range
from training_jobs import JOB_PREFIX, cost

ENDED = ("Completed", "Failed", "Stopped")
PREFIX = f"{JOB_PREFIX}-tune"
OURS = f"{PREFIX}-"  # what the names of all tuning jobs of this project begin with


class TuningError(RuntimeError):
    """A tuning job that is not there, has nothing to show, or cannot be launched as asked."""


@dataclass(frozen=True)
class Training:
    """One training of a tuning job.

    Attributes
    ----------
    name : str
        Its job's name, for `training_jobs.find`.
    parameters : mapping of str to str
        What was tried.
    objective : float or None
        The last value of the metric; None if it reported none (yet).
    status : str
        As of a training job.
    failure : str
        Why it failed, else empty.
    counts : bool or None
        Whether the tuning job could use its objective; None until it has ended.
    started, ended : datetime or None
        When the instance was there, and when it was given back.
    """

    name: str
    parameters: Mapping[str, str]
    objective: float | None
    status: str
    failure: str
    counts: bool | None
    started: datetime | None
    ended: datetime | None

    @property
    def seconds(self) -> float:
        """Training time (so far), in seconds, as it is billed on demand."""
        if self.started is None:
            return 0.0
        return max(0.0, ((self.ended or datetime.now(timezone.utc)) - self.started).total_seconds())

    @property
    def note(self) -> str:
        """What is to be said of it beside its status; empty if nothing."""
        if self.failure:
            return self.failure
        return "reported no value of the metric" if self.counts is False else ""


@dataclass(frozen=True)
class Tuning:
    """A tuning job as SageMaker described it at one moment.

    Attributes
    ----------
    name : str
    status : str
        ``"InProgress"``, ``"Completed"``, ``"Failed"``, ``"Stopping"`` or ``"Stopped"``.
    failure : str
        Why it failed, else empty.
    strategy : str
    metric : str
    maximise : bool
        Whether a greater value of the metric is better.
    ranges : tuple of Range
    most_trainings, parallel : int
        How many trainings there may be, and how many at once.
    counts : mapping of str to int
        Trainings by status: ``Completed``, ``InProgress``, ``RetryableError``, ``NonRetryableError``, ``Stopped``.
    best : str
        Name of the best of the trainings that completed; empty while there is none.
    best_objective : float or None
    best_parameters : mapping of str to str
    instance_type : str
    created : datetime
    """

    name: str
    status: str
    failure: str
    strategy: str
    metric: str
    maximise: bool
    ranges: tuple[Range, ...]
    most_trainings: int
    parallel: int
    counts: Mapping[str, int]
    best: str
    best_objective: float | None
    best_parameters: Mapping[str, str]
    instance_type: str
    created: datetime

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ENDED

    @property
    def done(self) -> int:
        """How many trainings have ended, however."""
        return sum(self.counts.values()) - self.counts.get("InProgress", 0)

    @property
    def failed(self) -> int:
        """How many trainings failed."""
        return self.counts.get("RetryableError", 0) + self.counts.get("NonRetryableError", 0)

    def __str__(self) -> str:
        told = f"{self.name}: {self.status}, {self.done} of {self.most_trainings} trainings ended"
        parts = {
            "completed": self.counts.get("Completed", 0),
            "stopped": self.counts.get("Stopped", 0),
            "failed": self.failed,
            "running": self.counts.get("InProgress", 0),
        }
        told += "".join(f", {count} {what}" for what, count in parts.items() if count)
        if self.best:
            values = ", ".join(f"{name} {value}" for name, value in self.best_parameters.items())
            told += f"\nBest {self.metric}: {self.best_objective:.3f} with {values} ({self.best})"
        return printable(f"{told}\n{self.failure}" if self.failure else told)


def find(connection: Connection, name: str = "") -> Tuning:
    """Describe a tuning job.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest one that `launch` made.

    Raises
    ------
    TuningError
        If there is no such tuning job; it names the newest ones. Also if AWS does not answer.
    """
    with explained(connection, TuningError, f"{name or 'A tuning job'} goes on while it runs, and is billed."):
        return describe(connection, name)


def describe(connection: Connection, name: str = "") -> Tuning:
    """Do what `find` does, and raise botocore's errors where AWS does not answer."""
    sagemaker = connection.client("sagemaker")
    if not name:
        newest = list_newest(connection, 1)
        if not newest:
            raise TuningError(f"Expected a tuning job on {connection.target}, found none. Launch one first.")
        name = newest[0]
    try:
        told = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    except ClientError as error:
        if code(error) not in ("ValidationException", "ResourceNotFound"):
            raise
        newest = ", ".join(list_newest(connection, 3)) or "none"
        raise TuningError(
            f"Expected a tuning job named {name}, found none on {connection.target}. The newest there: {newest}."
        ) from error
    config, best = told["HyperParameterTuningJobConfig"], told.get("BestTrainingJob", {})
    objective = config["HyperParameterTuningJobObjective"]
    return Tuning(
        name=name,
        status=told["HyperParameterTuningJobStatus"],
        failure=told.get("FailureReason", ""),
        strategy=config["Strategy"],
        metric=objective["MetricName"],
        maximise=objective["Type"] == "Maximize",
        ranges=tuple(_read_ranges(config.get("ParameterRanges", {}))),
        most_trainings=config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 0),
        parallel=config["ResourceLimits"]["MaxParallelTrainingJobs"],
        counts=told["TrainingJobStatusCounters"],
        best=best.get("TrainingJobName", ""),
        best_objective=_objective(best),
        best_parameters=best.get("TunedHyperParameters", {}),
        instance_type=told["TrainingJobDefinition"].get("ResourceConfig", {}).get("InstanceType", ""),
        created=told["CreationTime"],
    )


def _read_ranges(given: Mapping[str, list[dict]]) -> Iterable[Range]:
    for kind in ("Continuous", "Integer"):
        for one in given.get(f"{kind}ParameterRanges", ()):
            yield Range(
                one["Name"], kind, float(one["MinValue"]), float(one["MaxValue"]), one.get("ScalingType", "Auto")
            )
    for one in given.get("CategoricalParameterRanges", ()):
        yield Range(one["Name"], "Categorical", values=tuple(one["Values"]))


def _objective(training: Mapping) -> float | None:
    return training.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")


def list_newest(connection: Connection, count: int) -> list[str]:
    """Return the names of the newest tuning jobs that `launch` made, newest first."""
    pages = connection.client("sagemaker").get_paginator("list_hyper_parameter_tuning_jobs")
    page_size = {"PageSize": 100}
    found = pages.paginate(
        NameContains=OURS, SortBy="CreationTime", SortOrder="Descending", PaginationConfig=page_size
    ).search("HyperParameterTuningJobSummaries[].HyperParameterTuningJobName")
    return list(itertools.islice((name for name in found if name.startswith(OURS)), count))


def find_trainings(connection: Connection, name: str) -> list[Training]:
    """Return all trainings of a tuning job, in the order in which they were launched."""
    pages = connection.client("sagemaker").get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    found = pages.paginate(HyperParameterTuningJobName=name, SortBy="CreationTime", PaginationConfig={"PageSize": 100})
    counts = {"Succeeded": True, "Failed": False}
    return [
        Training(
            name=summary["TrainingJobName"],
            parameters=summary["TunedHyperParameters"],
            objective=_objective(summary),
            status=summary["TrainingJobStatus"],
            failure=summary.get("FailureReason", ""),
            counts=counts.get(summary.get("ObjectiveStatus", "")),
            started=summary.get("TrainingStartTime"),
            ended=summary.get("TrainingEndTime"),
        )
        for page in found
        for summary in page["TrainingJobSummaries"]
    ]


def table(connection: Connection, name: str = "") -> pd.DataFrame:
    """Return all trainings of a tuning job as a table, the best first, those without a value of the metric last.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest tuning job.

    Returns
    -------
    pandas.DataFrame
        A row for each training: `job`, a column for each key that was tuned, the metric, `status`, `seconds` of
        training as they are billed, `usd` for them on demand (missing where no price is known), and a `note` where
        there is something to say, such as why it failed.

    Raises
    ------
    TuningError
        If there is no such tuning job.
    """
    tuning = find(connection, name)
    price, _ = cost.find_price(connection, tuning.instance_type)
    with explained(connection, TuningError, f"{tuning.name} is not touched by that."):
        trainings = find_trainings(connection, tuning.name)
    return make_table(tuning, trainings, price.usd_per_hour if price else None)


def make_table(tuning: Tuning, trainings: Iterable[Training], usd_per_hour: float | None) -> pd.DataFrame:
    """Return the table that `table` returns, of trainings that were found already."""
    names = [one.name for one in tuning.ranges]
    rows = [
        {
            "job": training.name,
            **{name: training.parameters.get(name) for name in names},
            tuning.metric: training.objective,
            "status": training.status,
            "seconds": round(training.seconds),
            "usd": None if usd_per_hour is None else training.seconds / 3600 * usd_per_hour,
            "note": training.note,
        }
        for training in trainings
    ]
    made = pd.DataFrame(rows, columns=["job", *names, tuning.metric, "status", "seconds", "usd", "note"])
    numeric = [one.name for one in tuning.ranges if one.kind != "Categorical"]
    for column in (*numeric, tuning.metric, "usd"):
        made[column] = pd.to_numeric(made[column])
    made = made.astype({tuning.metric: float, "usd": float})
    return made.sort_values(tuning.metric, ascending=not tuning.maximise, na_position="last", ignore_index=True)


def stop(connection: Connection, name: str) -> None:
    """Ask SageMaker to stop a tuning job. The trainings that run save their models; those that ended stay as they are.

    Raises
    ------
    TuningError
        If there is no such tuning job. One that has ended already is left as it is.
    """
    if not name:
        raise TuningError(
            "Expected the name of the tuning job to stop, found none. Name it, so that no other is stopped."
        )
    with explained(connection, TuningError, f"{name} was not stopped. It goes on, and is billed until it ends."):
        tuning = describe(connection, name)
        if tuning.status == "InProgress":
            try:
                connection.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ValidationException":
                    raise
                tuning = describe(connection, name)
                if tuning.status == "InProgress":  # refused for another reason
                    raise
            else:
                print(
                    f"Stopping {name} and its {tuning.counts.get('InProgress', 0)} running trainings. They save their "
                    f"models first; this can take two minutes. The {tuning.done} that have ended are kept."
                )
                return
    print(f"{name} is {tuning.status} already.")
