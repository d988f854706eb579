"""A tuning job as SageMaker describes it, and its trainings."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pandas as pd
from botocore.exceptions import ClientError

from common.aws_session import Connection, code, explained
from common.findings import printable
from many_runs.tuning import ranges
from many_runs.tuning.ranges import Range
from training_jobs import JOB_PREFIX, TrainingError, cost
from training_jobs.job import ENDED, stop_once

PREFIX = f"{JOB_PREFIX}-tune"
LACKING = {"Failed": "reported no value of the metric"}
NAME_PREFIX = f"{PREFIX}-"  # of all tuning jobs of this project


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
        Maximum numbers of trainings in total and in parallel.
    counts : mapping of str to int
        Trainings by status: ``Completed``, ``InProgress``, ``RetryableError``, ``NonRetryableError``, ``Stopped``.
    best : str
        Name of the best completed training; empty while there is none.
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
        """Whether it has ended."""
        return self.status in ENDED

    @property
    def done(self) -> int:
        """The number of trainings that have ended, in any way."""
        return sum(self.counts.values()) - self.counts.get("InProgress", 0)

    @property
    def failed(self) -> int:
        """The number of trainings that failed."""
        return self.counts.get("RetryableError", 0) + self.counts.get("NonRetryableError", 0)

    def __str__(self) -> str:
        text = f"{self.name}: {self.status}, {self.done} of {self.most_trainings} trainings ended"
        parts = {
            "completed": self.counts.get("Completed", 0),
            "stopped": self.counts.get("Stopped", 0),
            "failed": self.failed,
            "running": self.counts.get("InProgress", 0),
        }
        text += "".join(f", {count} {label}" for label, count in parts.items() if count)
        if self.best:
            values = ", ".join(f"{name} {value}" for name, value in self.best_parameters.items())
            text += f"\nBest {self.metric}: {self.best_objective:.3f} with {values} ({self.best})"
        return printable(f"{text}\n{self.failure}" if self.failure else text)


def find(connection: Connection, name: str = "") -> Tuning:
    """Describe a tuning job.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest one that `launch` made.

    Raises
    ------
    TrainingError
        If there is no such tuning job, with the names of the newest ones; or if AWS does not respond.
    """
    with explained(connection, TrainingError, f"{name or 'A tuning job'} goes on while it runs, and is billed."):
        return describe(connection, name)


def describe(connection: Connection, name: str = "") -> Tuning:
    """Describe a tuning job as `find` does, but raise botocore's errors if AWS does not respond."""
    sagemaker = connection.client("sagemaker")
    if not name:
        newest = list_newest(connection, 1)
        if not newest:
            raise TrainingError(f"Expected a tuning job on {connection.target}, found none. Launch one first.")
        name = newest[0]
    try:
        description = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    except ClientError as error:
        if code(error) not in ("ValidationException", "ResourceNotFound"):
            raise
        newest = ", ".join(list_newest(connection, 3)) or "none"
        raise TrainingError(
            f"Expected a tuning job named {name}, found none on {connection.target}. The newest there: {newest}."
        ) from error
    config, best = description["HyperParameterTuningJobConfig"], description.get("BestTrainingJob", {})
    objective = config["HyperParameterTuningJobObjective"]
    return Tuning(
        name=name,
        status=description["HyperParameterTuningJobStatus"],
        failure=description.get("FailureReason", ""),
        strategy=config["Strategy"],
        metric=objective["MetricName"],
        maximise=objective["Type"] == "Maximize",
        ranges=tuple(ranges.read(config.get("ParameterRanges", {}))),
        most_trainings=config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 0),
        parallel=config["ResourceLimits"]["MaxParallelTrainingJobs"],
        counts=description["TrainingJobStatusCounters"],
        best=best.get("TrainingJobName", ""),
        best_objective=_objective(best),
        best_parameters=best.get("TunedHyperParameters", {}),
        instance_type=description["TrainingJobDefinition"].get("ResourceConfig", {}).get("InstanceType", ""),
        created=description["CreationTime"],
    )


def _objective(training: Mapping) -> float | None:
    return training.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")


def list_newest(connection: Connection, count: int) -> list[str]:
    """Return the names of the newest tuning jobs that `launch` made, newest first."""
    pages = connection.client("sagemaker").get_paginator("list_hyper_parameter_tuning_jobs")
    page_size = {"PageSize": 100}
    found = pages.paginate(
        NameContains=NAME_PREFIX, SortBy="CreationTime", SortOrder="Descending", PaginationConfig=page_size
    ).search("HyperParameterTuningJobSummaries[].HyperParameterTuningJobName")
    return list(itertools.islice((name for name in found if name.startswith(NAME_PREFIX)), count))


def list_trainings(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return SageMaker's summaries of all trainings of a tuning job, in the order of their launch."""
    pages = connection.client("sagemaker").get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    found = pages.paginate(HyperParameterTuningJobName=name, SortBy="CreationTime", PaginationConfig={"PageSize": 100})
    return [summary for page in found for summary in page["TrainingJobSummaries"]]


def count_seconds(training: Mapping[str, Any]) -> float:
    """Return a training's time so far, in seconds, as billed on demand, from its summary."""
    if not (start := training.get("TrainingStartTime")):
        return 0.0
    return max(0.0, ((training.get("TrainingEndTime") or datetime.now(timezone.utc)) - start).total_seconds())


def table(connection: Connection, name: str = "") -> pd.DataFrame:
    """Return all trainings of a tuning job as a table, best first, those without a value of the metric last.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest tuning job.

    Returns
    -------
    pandas.DataFrame
        A row for each training: `job`, a column for each tuned key, the metric, `status`, billed `seconds`, their cost
        `usd` on demand (missing if no price is known), and a `note`, such as why it failed.

    Raises
    ------
    TrainingError
        If there is no such tuning job.
    """
    tuning = find(connection, name)
    price, _ = cost.find_price(connection, tuning.instance_type)
    with explained(connection, TrainingError, f"{tuning.name} is not touched by that."):
        trainings = list_trainings(connection, tuning.name)
    return make_table(tuning, trainings, price.usd_per_hour if price else None)


def make_table(tuning: Tuning, trainings: Iterable[Mapping[str, Any]], usd_per_hour: float | None) -> pd.DataFrame:
    """Return the table for `table`, from summaries as `list_trainings` returns them."""
    names = [each.name for each in tuning.ranges]
    rows = [
        {
            "job": training["TrainingJobName"],
            **{name: training["TunedHyperParameters"].get(name) for name in names},
            tuning.metric: _objective(training),
            "status": training["TrainingJobStatus"],
            "seconds": round(seconds := count_seconds(training)),
            "usd": None if usd_per_hour is None else seconds / 3600 * usd_per_hour,
            "note": training.get("FailureReason") or LACKING.get(training.get("ObjectiveStatus"), ""),
        }
        for training in trainings
    ]
    frame = pd.DataFrame(rows, columns=["job", *names, tuning.metric, "status", "seconds", "usd", "note"])
    numeric = [each.name for each in tuning.ranges if each.kind != "Categorical"]
    for column in (*numeric, tuning.metric, "usd"):
        frame[column] = pd.to_numeric(frame[column])
    frame = frame.astype({tuning.metric: float, "usd": float})
    return frame.sort_values(tuning.metric, ascending=not tuning.maximise, na_position="last", ignore_index=True)


def stop(connection: Connection, name: str) -> None:
    """Stop a tuning job. Running trainings save their models; those that have ended are not changed.

    Raises
    ------
    TrainingError
        If there is no such tuning job. One that has ended already is not changed.
    """
    stop_once(
        connection,
        name,
        lambda: describe(connection, name),
        lambda: connection.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
        lambda tuning: (
            f"Stopping {name} and its {tuning.counts.get('InProgress', 0)} running trainings. They save their models "
            f"first; this can take two minutes. The {tuning.done} that have ended are kept."
        ),
    )
