"""The runs of an experiment, found by their tags with SageMaker's Search.

A page of Search has the full descriptions of a hundred jobs, with tags and final metrics. An experiment of two thousand
runs takes twenty calls instead of two thousand.
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

from common.aws_session import Connection, code, explained
from common.findings import printable
from many_runs.experiment import plan
from training_jobs.job import NAME_PREFIX, Job, TrainingError, from_description

PAGE = 100  # Search's maximum
# botocore waits between attempts, with exponential backoff and jitter; "adaptive" also limits the rate of requests.
# https://boto3.amazonaws.com/v1/documentation/api/latest/guide/retries.html
RETRYING = Config(retries={"mode": "adaptive", "total_max_attempts": 12}, max_pool_connections=16)
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
        """Its settings and seed, which are unique in the experiment."""
        return self.settings, self.seed

    def __str__(self) -> str:
        return f"{self.settings}, seed {self.seed}"


@dataclass(frozen=True)
class Experiment:
    """An experiment as SageMaker described it at one moment.

    Attributes
    ----------
    name : str
    runs : tuple of Run
        Sorted by settings, in the order of their launch, then by seed. Of a relaunched run, the last launch.
    launches : mapping of (settings, seed) to tuple of Run
        Every launch of each run, oldest first.
    """

    name: str
    runs: tuple[Run, ...]
    launches: Mapping[tuple[str, int], tuple[Run, ...]]

    def __str__(self) -> str:
        statuses = Counter(run.job.status for run in self.runs)
        counts = ", ".join(f"{count} {status}" for status, count in statuses.most_common()) or "none"
        lines = [f"{self.name}: {len(self.runs)} runs ({counts})"]
        lines += [f"{run} {run.job.status}: {run.job.failure or 'no reason given'}" for run in self.failed]
        return printable("\n".join(lines))

    @property
    def failed(self) -> tuple[Run, ...]:
        """The runs that failed."""
        return tuple(run for run in self.runs if run.job.status == "Failed")

    @property
    def completed(self) -> tuple[Run, ...]:
        """The runs that completed."""
        return tuple(run for run in self.runs if run.job.status == "Completed")

    @property
    def ended(self) -> bool:
        """Whether all of its runs have ended."""
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
        If there is none, or the target does not respond.
    """
    experiment = experiment or find_newest(connection)
    with in_words(connection):
        found = gather(experiment, find_all(connection.client("sagemaker", RETRYING), experiment))
    if not found.runs:
        raise missing(connection, experiment)
    return found


def missing(connection: Connection, experiment: str) -> TrainingError:
    """Return the error for an experiment that does not exist, with the names of those that do."""
    others = ", ".join(list_names(connection)) or "none"
    return TrainingError(
        f"Expected runs of the experiment {experiment!r}, found none on {connection.target}. Experiments there: "
        f"{others}."
    )


def in_words(connection: Connection) -> AbstractContextManager[None]:
    """Convert botocore's errors to `TrainingError`: the target does not respond, or throttles."""
    return explained(connection, TrainingError, "What was launched goes on, and is billed.")


def find_newest(connection: Connection) -> str:
    """Return the name of the newest experiment. Raises `TrainingError` if there is none."""
    names = list_names(connection)
    if not names:
        raise TrainingError(f"Expected an experiment on {connection.target}, found none. Run notebook 08 first.")
    return names[0]


def list_names(connection: Connection) -> list[str]:
    """Return the names of the experiments of the newest hundred jobs, newest first."""
    # Jobs of others may have such a tag, without a right to use them.
    named = {"Name": "TrainingJobName", "Operator": "Contains", "Value": NAME_PREFIX}
    expression = {"Filters": [{"Name": "Tags.experiment", "Operator": "Exists"}, named]}
    with in_words(connection):
        page = search(
            connection.client("sagemaker", RETRYING), expression, SortBy="CreationTime", SortOrder="Descending"
        )
    jobs = [
        result["TrainingJob"]
        for result in page["Results"]
        if result["TrainingJob"]["TrainingJobName"].startswith(NAME_PREFIX)
    ]
    return list(dict.fromkeys(filter(None, (read_labels(job).get("experiment") for job in jobs))))


def gather(name: str, runs: Iterable[Run]) -> Experiment:
    """Return the experiment of some runs: for each label, the newest launch."""
    found = sorted(runs, key=lambda run: run.job.created)
    order = {settings: number for number, settings in enumerate(dict.fromkeys(run.settings for run in found))}
    launches: dict[tuple[str, int], tuple[Run, ...]] = {}
    for run in found:
        launches[run.label] = (*launches.get(run.label, ()), run)
    newest = sorted((each[-1] for each in launches.values()), key=lambda run: (order[run.settings], run.seed))
    return Experiment(name, tuple(newest), launches)


def find_all(sagemaker: Any, experiment: str) -> Iterator[Run]:
    """Yield every launch of every run of an experiment."""
    token = ""
    while True:
        runs, token = read_page(sagemaker, experiment, token)
        yield from runs
        if not token:
            break


def read_page(sagemaker: Any, experiment: str, token: str = "", since: datetime | None = None) -> tuple[list[Run], str]:
    """Read one page of Search.

    Parameters
    ----------
    sagemaker
        The client.
    experiment : str
    token : str
        The next page's token; empty for the first page.
    since : datetime, optional
        Leave out runs that have not changed since then.

    Returns
    -------
    runs : list of Run
        At most a hundred, sorted by their last change.
    token : str
        The next page's token; empty on the last page.
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
    found = (read_run(result["TrainingJob"], experiment) for result in page["Results"])
    return [run for run in found if run], page.get("NextToken", "")


def search(sagemaker: Any, expression: Mapping[str, Any], **order: str) -> dict[str, Any]:
    """Search for training jobs. Raise `TrainingError` if the right to search is missing."""
    try:
        return sagemaker.search(Resource="TrainingJob", SearchExpression=expression, MaxResults=PAGE, **order)
    except ClientError as error:
        if code(error) not in ("AccessDeniedException", "AccessDenied"):
            raise
        raise TrainingError(
            f"You may not search for training jobs, which is how the runs are found: {error} Add sagemaker:Search "
            "to your rights; `python -m account_check.policies user` prints them all."
        ) from error


def read_labels(record: Mapping[str, Any]) -> dict[str, str]:
    """Read experiment, settings and seed from a job's tags."""
    return {tag["Key"]: tag["Value"] for tag in record.get("Tags", ()) if tag["Key"] in LABELS}


def read_run(record: Mapping[str, Any], experiment: str) -> Run | None:
    """Return the run from a record of Search; None if it does not belong to this experiment."""
    labels = read_labels(record)
    if not record["TrainingJobName"].startswith(plan.prefix(experiment)):
        return None
    if labels.get("experiment") != experiment or not labels.get("seed", "").isdigit():
        return None
    return Run(labels.get("settings", ""), int(labels["seed"]), from_description(record), record["LastModifiedTime"])
