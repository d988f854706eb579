"""The state of an experiment, kept up to date with few calls, however many runs it has.

A look makes one call of Search, for the runs whose status changed, and up to three of FilterLogEvents, for the newest
summaries of all of them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from botocore.exceptions import ClientError

from common.aws_session import Connection
from common.contract import SUMMARY_FILTER
from many_runs.experiment.runs import PATIENT, Experiment, Run, find_all, gather, in_words, read_page
from reward_curves.log import read_summary
from training_jobs.log import LOG_GROUP

LOG_CALLS = 3
# Search and CloudWatch may show something later than it happened; what is read twice changes nothing.
OVERLAP = timedelta(seconds=60)
# All runs are looked at again after so many rounds, in case one was shown later still.
SWEEP = 20
# How far back the first look reads the logs.
HISTORY = timedelta(minutes=15)


@dataclass(frozen=True)
class Progress:
    """A run's last summary: its step, and the mean reward there."""

    step: int
    mean_reward: float


class Watch:
    """An experiment and its runs as they were last seen.

    Attributes
    ----------
    runs : dict of str to Run
        By the names of their jobs.
    progress : dict of str to Progress
        Of those that have written a summary.

    Raises
    ------
    TrainingError
        If the target does not answer when it is first asked.
    """

    def __init__(self, connection: Connection, experiment: str):
        self.name = experiment
        self.sagemaker = connection.client("sagemaker", PATIENT)
        self._logs = connection.client("logs", PATIENT)
        with in_words(connection):
            self.runs = {run.name: run for run in find_all(self.sagemaker, experiment)}
        self.progress: dict[str, Progress] = {}
        self._since = max((run.modified for run in self.runs.values()), default=None)
        self._token, self._rounds = "", 0
        self._read_from = datetime.now(timezone.utc) - HISTORY
        self._newest, self._log_token = 0, ""  # milliseconds since 1970

    @property
    def experiment(self) -> Experiment:
        """What is known of it now."""
        return gather(self.name, self.runs.values())

    @property
    def running(self) -> list[Run]:
        """The runs that have not ended."""
        return [run for run in self.runs.values() if not run.job.ended]

    def add(self, run: Run) -> None:
        """Add a run that was just launched, which Search may not show yet."""
        self.runs.setdefault(run.name, run)

    def look(self) -> None:
        """Update with what has changed."""
        self._look_for_changes()
        if self.running:
            self._read_logs()

    def _look_for_changes(self) -> None:
        """Make one call; a round that takes more goes on with the next look."""
        since = self._since - OVERLAP if self._since and self._rounds % SWEEP else None
        runs, self._token = read_page(self.sagemaker, self.name, self._token, since)
        for run in runs:
            self.runs[run.name] = run
        if not self._token:
            self._rounds += 1
            self._since = max((run.modified for run in self.runs.values()), default=None)

    def _read_logs(self) -> None:
        """Make a few calls; what is left is read with the next look."""
        for _ in range(LOG_CALLS):
            more = {"nextToken": self._log_token} if self._log_token else {}
            try:
                page = self._logs.filter_log_events(
                    logGroupName=LOG_GROUP,
                    startTime=int(self._read_from.timestamp() * 1000),
                    # With more than a hundred streams it refuses their names: it is asked for the lines of all jobs.
                    filterPattern=SUMMARY_FILTER,
                    **more,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                return  # no job has written anything yet
            for event in page["events"]:
                self._take(event["logStreamName"].partition("/")[0], event["timestamp"], event["message"])
            self._log_token = page.get("nextToken") or ""
            if not self._log_token:
                # A clock there may be fast: what is written from now on must not lie before what is read.
                newest = min(datetime.now(timezone.utc), datetime.fromtimestamp(self._newest / 1000, timezone.utc))
                self._read_from = max(self._read_from, newest - OVERLAP)
                return

    def _take(self, name: str, timestamp: int, line: str) -> None:
        if name not in self.runs:
            return
        self._newest = max(self._newest, timestamp)
        found = read_summary(line)
        if found and found.mean == found.mean and (name not in self.progress or found.step >= self.progress[name].step):
            self.progress[name] = Progress(found.step, found.mean)
