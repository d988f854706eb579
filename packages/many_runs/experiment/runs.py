"""The runs of an experiment as SageMaker knows them: found by their tags, with SageMaker's Search.

A page of Search describes a hundred jobs whole, tags and final metrics included. An experiment of two thousand runs
takes twenty calls, where describing each would take two thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from common.aws_session import Connection, explained
from common.findings import printable
from many_runs.experiment import plan
from training_jobs.job import NAME_PREFIX, Job, TrainingError, from_description

PAGE = 100  # Search's largest
# botocore waits between its attempts, longer each time and by chance; "adaptive" also slows down what it sends.
# https://boto3.amazonaws.com/v1/documentation/api/latest/guide/retries.html
PATIENT = Config(retries={"mode": "adaptive", "total_max_attempts": 12}, max_pool_connections=16)
LABELS = ("experiment", "settings", "seed")  # tags of a run's job


@dataclass(frozen=True)
class Run:
    """A run of an experiment: its settings, its seed and its job."""

    settings: str
    seed: int
    job: Job
    modified: datetime

    @property
    def name(self) -> str:
        """Its job's name."""
        return self.job.name

    @property
    def label(self) -> tuple[str, int]:
        """What tells it from the experiment's other runs."""
        return self.settings, self.seed

    def __str__(self) -> str:
        return f"{self.settings}, seed {self.seed}"


@dataclass(frozen=True)
class Experiment:
    """An experiment as SageMaker knew it at one moment.

    Attributes
    ----------
    name : str
    runs : tuple of Run
        By settings in the order in which they were launched, then by seed. Of a run that was launched again, the last.
    launches : mapping of (settings, seed) to tuple of Run
        Every launch of each run, oldest first.
    """

    name: str
    runs: tuple[Run, ...]
    launches: Mapping[tuple[str, int], tuple[Run, ...]]

    def __str__(self) -> str:
        statuses = Counter(run.job.status for run in self.runs)
        told = ", ".join(f"{count} {status}" for status, count in statuses.most_common()) or "none"
        lines = [f"{self.name}: {len(self.runs)} runs ({told})"]
        lines += [f"{run} {run.job.status}: {run.job.failure or 'no reason given'}" for run in self.failed]
        return printable("\n".join(lines))

    @property
    def failed(self) -> tuple[Run, ...]:
        """The runs that failed."""
        return tuple(run for run in self.runs if run.job.status == "Failed")

    @property
    def completed(self) -> tuple[Run, ...]:
        """The runs that did what they were to do."""
        return tuple(run for run in self.runs if run.job.status == "Completed")

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to any of its runs."""
        return all(run.job.ended for run in self.runs)


def find(connection: Connection, experiment: str = "") -> Experiment:
    """Find an experiment's runs by their tags.

    Parameters
    ----------
    connection : Connection
    experiment : str
        Its name; empty for the newest.

    Raises
    ------
    TrainingError
        If there is none, or the target does not answer.
    """
    experiment = experiment or find_newest(connection)
    with in_words(connection):
        found = gather(experiment, find_all(connection.client("sagemaker", PATIENT), experiment))
    if not found.runs:
        raise missing(connection, experiment)
    return found


def missing(connection: Connection, experiment: str) -> TrainingError:
    """Return the error for an experiment that does not exist; it names those that do."""
    others = ", ".join(list_names(connection)) or "none"
    return TrainingError(
        f"Expected runs of the experiment {experiment!r}, found none on {connection.target}. Experiments there: "
        f"{others}."
    )


def in_words(connection: Connection) -> AbstractContextManager[None]:
    """Turn botocore's last error into a sentence: the target does not answer, or throttles.

    Raises
    ------
    TrainingError
        In the place of botocore's errors.
    """
    return explained(connection, TrainingError, "What was launched goes on, and is billed.")


def find_newest(connection: Connection) -> str:
    """Return the name of the newest experiment. Raises `TrainingError` if there is none."""
    names = list_names(connection)
    if not names:
        raise TrainingError(f"Expected an experiment on {connection.target}, found none. Run notebook 08 first.")
    return names[0]


def list_names(connection: Connection) -> list[str]:
    """Return the names of the experiments of the newest hundred jobs, newest first."""
    # Others may have jobs with such a tag; rights to work with those may be missing.
    ours = {"Name": "TrainingJobName", "Operator": "Contains", "Value": NAME_PREFIX}
    expression = {"Filters": [{"Name": "Tags.experiment", "Operator": "Exists"}, ours]}
    with in_words(connection):
        page = search(
            connection.client("sagemaker", PATIENT), expression, SortBy="CreationTime", SortOrder="Descending"
        )
    jobs = [
        told["TrainingJob"]
        for told in page["Results"]
        if told["TrainingJob"]["TrainingJobName"].startswith(NAME_PREFIX)
    ]
    return list(dict.fromkeys(filter(None, (read_labels(job).get("experiment") for job in jobs))))


def gather(name: str, runs: Iterable[Run]) -> Experiment:
    """Return the experiment that runs make: of each label the newest."""
    found = sorted(runs, key=lambda run: run.job.created)
    order = {settings: number for number, settings in enumerate(dict.fromkeys(run.settings for run in found))}
    launches: dict[tuple[str, int], tuple[Run, ...]] = {}
    for run in found:
        launches[run.label] = (*launches.get(run.label, ()), run)
    newest = sorted((each[-1] for each in launches.values()), key=lambda run: (order[run.settings], run.seed))
    return Experiment(name, tuple(newest), launches)


def find_all(sagemaker: Any, experiment: str) -> Iterator[Run]:
    """Yield every run of an experiment, those that were launched again included."""
    token = ""
    while True:
        runs, token = read_page(sagemaker, experiment, token)
        yield from runs
        if not token:
            break


def read_page(sagemaker: Any, experiment: str, token: str = "", since: datetime | None = None) -> tuple[list[Run], str]:
    """Make one call of Search.

    Parameters
    ----------
    sagemaker
        The client.
    experiment : str
    token : str
        Where to go on; empty to begin.
    since : datetime, optional
        Leave out what has not changed since then.

    Returns
    -------
    runs : list of Run
        A hundred at most, those that changed last at the end.
    token : str
        Empty if there are no more.
    """
    filters = [
        {"Name": "Tags.experiment", "Operator": "Equals", "Value": experiment},
        {"Name": "TrainingJobName", "Operator": "Contains", "Value": plan.prefix(experiment)},
    ]
    if since:
        value = since.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        filters.append({"Name": "LastModifiedTime", "Operator": "GreaterThanOrEqualTo", "Value": value})
    more = {"NextToken": token} if token else {}
    page = search(sagemaker, {"Filters": filters}, SortBy="LastModifiedTime", SortOrder="Ascending", **more)
    found = (read_run(told["TrainingJob"], experiment) for told in page["Results"])
    return [run for run in found if run], page.get("NextToken", "")


def search(sagemaker: Any, expression: Mapping[str, Any], **order: str) -> dict[str, Any]:
    """Search for training jobs. Raises `TrainingError` where one may not."""
    try:
        return sagemaker.search(Resource="TrainingJob", SearchExpression=expression, MaxResults=PAGE, **order)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDeniedException", "AccessDenied"):
            raise
        raise TrainingError(
            f"AWS does not let you search for training jobs, by which the runs are found: {error} Add sagemaker:Search "
            "to your rights; `python -m account_check.policies user` prints them all."
        ) from error


def read_labels(told: Mapping[str, Any]) -> dict[str, str]:
    """Read experiment, settings and seed from a job's tags."""
    return {tag["Key"]: tag["Value"] for tag in told.get("Tags", ()) if tag["Key"] in LABELS}


def read_run(told: Mapping[str, Any], experiment: str) -> Run | None:
    """Return the run that a record of Search describes; None if it is not one of this experiment."""
    labels = read_labels(told)
    if not told["TrainingJobName"].startswith(plan.prefix(experiment)):
        return None
    if labels.get("experiment") != experiment or not labels.get("seed", "").isdigit():
        return None
    return Run(labels.get("settings", ""), int(labels["seed"]), from_description(told), told["LastModifiedTime"])
