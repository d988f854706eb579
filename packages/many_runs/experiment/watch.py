"""The state of an experiment, updated with few calls, however many runs it has.

An update makes one call of Search, for the runs that changed, and up to three of FilterLogEvents, for the newest
summaries of all runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from botocore.exceptions import ClientError

from common.aws_session import Connection, code
from common.contract import SUMMARY_FILTER
from many_runs.experiment.runs import RETRYING, Experiment, Run, find_all, gather, in_words, read_page
from reward_curves.log import read_summary
from training_jobs.log import LOG_GROUP

LOG_CALLS = 3
# Search and CloudWatch are eventually consistent; reading something twice is harmless.
OVERLAP = timedelta(seconds=60)
# Rounds after which all runs are read again, in case a change appeared even later.
SWEEP = 20
# How far back the first update reads the logs.
HISTORY = timedelta(minutes=15)


@dataclass(frozen=True)
class Progress:
    """A run's last summary: its step, and the mean reward there."""

    step: int
    mean_reward: float


class Watch:
    """An experiment and its runs as of the last update.

    Attributes
    ----------
    runs : dict of str to Run
        Runs by the names of their jobs.
    progress : dict of str to Progress
        Progress of the runs that have written a summary.

    Raises
    ------
    TrainingError
        If the first request fails.
    """

    def __init__(self, connection: Connection, experiment: str):
        self.name = experiment
        self.sagemaker = connection.client("sagemaker", RETRYING)
        self._logs = connection.client("logs", RETRYING)
        with in_words(connection):
            self.runs = {run.name: run for run in find_all(self.sagemaker, experiment)}
        self.progress: dict[str, Progress] = {}
        self._since = max((run.modified for run in self.runs.values()), default=None)
        self._token, self._rounds = "", 0
        self._read_from = datetime.now(timezone.utc) - HISTORY
        self._newest, self._log_token = 0, ""  # milliseconds since 1970

    @property
    def experiment(self) -> Experiment:
        """The current state of the experiment."""
        return gather(self.name, self.runs.values())

    @property
    def running(self) -> list[Run]:
        """The runs that have not ended."""
        return [run for run in self.runs.values() if not run.job.ended]

    def add(self, run: Run) -> None:
        """Add a run that was just launched, which Search may not find yet."""
        self.runs.setdefault(run.name, run)

    def look(self) -> None:
        """Read the changes."""
        self._look_for_changes()
        if self.running:
            self._read_logs()

    def _look_for_changes(self) -> None:
        """Read one page; a round with more pages continues in the next update."""
        since = self._since - OVERLAP if self._since and self._rounds % SWEEP else None
        runs, self._token = read_page(self.sagemaker, self.name, self._token, since)
        for run in runs:
            self.runs[run.name] = run
        if not self._token:
            self._rounds += 1
            self._since = max((run.modified for run in self.runs.values()), default=None)

    def _read_logs(self) -> None:
        """Read a few pages; the rest is read in the next update."""
        for _ in range(LOG_CALLS):
            more = {"nextToken": self._log_token} if self._log_token else {}
            try:
                page = self._logs.filter_log_events(
                    logGroupName=LOG_GROUP,
                    startTime=int(self._read_from.timestamp() * 1000),
                    # It accepts at most a hundred stream names, so the lines of all jobs are read.
                    filterPattern=SUMMARY_FILTER,
                    **more,
                )
            except ClientError as error:
                if code(error) != "ResourceNotFoundException":
                    raise
                return  # no job has written anything yet
            for event in page["events"]:
                self._take(event["logStreamName"].partition("/")[0], event["timestamp"], event["message"])
            self._log_token = page.get("nextToken") or ""
            if not self._log_token:
                # The jobs' clocks may be fast: later events must not be before the start of the next read.
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
