"""Launch an experiment: each run once, and only as many at a time as allowed."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from common.aws_session import Connection, code, explain_silence, is_throttled
from common.cores import jobs_here
from many_runs.experiment import plan
from many_runs.experiment.following import View
from many_runs.experiment.plan import Planned
from many_runs.experiment.runs import Experiment, Run
from many_runs.experiment.watch import Watch
from training_jobs import job_request
from training_jobs.job import TrainingError, from_description, volume_of
from training_jobs.launching import make_request, refuse
from training_jobs.polling import POLL_SECONDS

if TYPE_CHECKING:
    from sagemaker.core.training.configs import InputData
    from sagemaker.train import ModelTrainer

MAX_RUNNING = 10  # on AWS; if an account's quota is lower, AWS refuses further runs
FIRST_PAUSE, MAX_PAUSE = 5.0, 120.0  # seconds without a launch after a refusal because of a limit
LOST = ("Failed", "Stopped")  # statuses of runs without a result
NOT_LAUNCHED = " {} are not launched yet: run this cell again to continue with them."


def launch_many(
    connection: Connection,
    trainer: ModelTrainer,
    channels: Sequence[InputData],
    *,
    settings: Mapping[str, Mapping[str, object]],
    seeds: Sequence[int],
    folder: str | Path | None,
    experiment: str = "",
    at_once: int = 0,
    again: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> Experiment:
    """Launch a run for each combination of settings and seeds, and return the experiment.

    A run that was launched before is not launched again, whether it runs, has ended or failed: after a restart of the
    notebook, the same call continues. It returns when the last run has been launched; see `follow_many`.

    Interrupting (Ctrl-C, or the stop button) ends the launching, and so does stopping a run elsewhere, as `stop_many`
    does with all of them. Runs in progress go on.

    Parameters
    ----------
    connection : Connection
    trainer : sagemaker.train.ModelTrainer
        The template of all runs. Each keeps its checkpoints in a separate folder, below that of its
        ``checkpoint_config`` if it has one.
    channels, folder
        As for `training_jobs.launch`; each setting is checked.
    settings : mapping of str to mapping
        The hyperparameters in which each setting differs, by its name.
    seeds : sequence of int
        Each setting is trained with each seed.
    experiment : str
        Its name. Each job has it, its settings and its seed as tags. Empty: a name derived from build, image, settings
        and hyperparameters, so that the same call, or one with more seeds, is the same experiment.
    at_once : int
        The maximum number of runs in progress. 0 means as many as this machine's cores allow on the embedded target,
        else 10. If the account's quota is reached, this always waits.
    again : bool
        Launch runs that failed or were stopped again, possibly with other hyperparameters.
    poll_seconds : float
        Time between two observations, in seconds.

    Raises
    ------
    TrainingError
        If a run is invalid, an earlier run of this experiment differs, or SageMaker refuses a run for another reason
        than a limit.
    """
    hyperparameters = trainer.hyperparameters or {}
    problems = [*plan.find_problems(experiment, settings, seeds, hyperparameters)]
    if not plan.is_whole(at_once) or at_once < 0:
        problems.append(f"Expected at_once to be a number of runs, or 0, found {at_once!r}.")
    if not isinstance(again, bool):
        problems.append(f"Expected again to be True or False, found {again!r}.")
    refuse(problems)
    checkpoints = trainer.checkpoint_config and trainer.checkpoint_config.s3_uri
    template = make_request(connection, trainer, channels, folder, settings)
    template["CheckpointConfig"]["S3Uri"] = checkpoints or f"s3://{connection.bucket}/checkpoints/"
    volume, image = volume_of(template), template["AlgorithmSpecification"]["TrainingImage"]
    experiment = experiment or plan.make_name(volume, image, settings, hyperparameters)
    planned = plan.make(experiment, settings, seeds, hyperparameters)
    watch = Watch(connection, experiment)
    _refuse_mixture(watch, planned, volume, image, again)
    remaining = _choose(watch, planned, again)
    launcher = Launcher(connection, template, at_once or choose_at_once(connection))
    launcher.launch(watch, remaining, len(planned), poll_seconds)
    return watch.experiment


def choose_at_once(connection: Connection) -> int:
    """Return the default number of runs in progress."""
    return jobs_here() if connection.endpoint else MAX_RUNNING


@dataclass
class Launcher:
    """Launches runs as limits allow.

    Attributes
    ----------
    connection : Connection
    template : dict
        The request of a job, which all runs share.
    at_once : int
    """

    connection: Connection
    template: dict[str, Any]
    at_once: int
    _pause: float = 0.0
    _not_before: float = 0.0
    _note: str = ""

    def launch(self, watch: Watch, remaining: list[Planned], total: int, poll_seconds: float) -> None:
        """Launch the remaining runs, with a bar."""
        if not remaining:
            return
        view = View(self.connection, watch, poll_seconds)
        stopped_before = find_stopped(watch)

        def look() -> bool:
            view.follower.more = NOT_LAUNCHED.format(len(remaining))
            watch.look()
            stopped = {name: how for name, how in find_stopped(watch).items() if name not in stopped_before}
            if first := next((name for name, how in stopped.items() if how == "Stopped"), ""):
                view.follower.leave(f"{first} was stopped elsewhere: no longer launching.")
                return True
            if "Stopping" in stopped.values():
                # Its final status shows whether someone stopped it, or its maximum runtime was reached.
                view.note = " · a run is being stopped: waiting"
            else:
                self._fill(watch, remaining, view, total)
            view.show(total)
            return not remaining

        try:
            view.follower.until(look, "No longer launching.")
        finally:
            view.close()

    def _fill(self, watch: Watch, remaining: list[Planned], view: View, total: int) -> None:
        """Launch as many runs as allowed."""
        while remaining and len(watch.running) < self.at_once and time.monotonic() >= self._not_before:
            self._note = view.note = " · no response: retrying"
            try:
                self._note = self._try(watch, remaining)
            except (BotoCoreError, ClientError):
                view.show(total)
                raise
            view.note = self._note
            view.follower.more = NOT_LAUNCHED.format(len(remaining)) if remaining else ""
            view.show(total)
            if self._note:
                break
        view.note = self._note

    def _try(self, watch: Watch, remaining: list[Planned]) -> str:
        """Launch the next run, or note that a limit is reached; return the note to show."""
        run = remaining[0]
        request = self._make_request(run)
        try:
            watch.sagemaker.create_training_job(**request)
        except ClientError as error:
            if is_throttled(error):
                return self._wait(code(error))
            if explain_silence(self.connection, error):
                raise  # retried, like a lost response
            instance_type = self.template["ResourceConfig"]["InstanceType"]
            if code(error) == "ResourceLimitExceeded" and " is 0 Instances" in str(error):
                raise TrainingError(
                    f"SageMaker refused {run.name}: your account may not run a {instance_type} at all. "
                    f"Notebook 2 shows how to request it. {error}"
                ) from error
            if code(error) == "ResourceLimitExceeded":
                return self._wait(code(error))
            # In use: it was launched meanwhile, or earlier, and Search does not find it yet.
            if code(error) != "ResourceInUse":
                text = job_request.explain_refusal(
                    self.connection, self.template["ResourceConfig"]["InstanceType"], error
                )
                raise TrainingError(
                    f"SageMaker refused {run.name}: {text}\n{len(watch.running)} runs of {watch.name} are in progress, "
                    f'and {len(remaining)} are not launched. training.stop_many(connection, "{watch.name}") stops them.'
                ) from error
        remaining.pop(0)
        self._pause = 0.0
        now = datetime.now(timezone.utc)
        status = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Starting", "CreationTime": now}
        watch.add(Run(run.settings, run.seed, from_description({**request, **status}), now))
        return ""

    def _wait(self, code: str) -> str:
        """Pause launching, longer each time and with random jitter."""
        self._pause = min(2 * self._pause or FIRST_PAUSE, MAX_PAUSE)
        pause = self._pause * random.uniform(0.5, 1)  # noqa: S311  no secret
        self._not_before = time.monotonic() + pause
        return f" · {code}: next try in {pause:.0f} s"

    def _make_request(self, run: Planned) -> dict[str, Any]:
        """Return the request for a run's job."""
        tags = {tag["Key"]: tag["Value"] for tag in self.template.get("Tags", ())} | run.labels
        checkpoints = self.template["CheckpointConfig"]
        return {
            **self.template,
            "TrainingJobName": run.name,
            "HyperParameters": dict(run.hyperparameters),
            "CheckpointConfig": {**checkpoints, "S3Uri": f"{checkpoints['S3Uri'].rstrip('/')}/{run.name}/"},
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }


def find_stopped(watch: Watch) -> dict[str, str]:
    """Return the runs that were stopped, with their state, by their jobs' names.

    The state is ``"Stopping"`` until they end, then ``"Stopped"``, or SageMaker's secondary status for a time limit.
    """
    jobs = [run.job for run in watch.runs.values() if run.job.status in ("Stopping", "Stopped")]
    return {job.name: job.phase if job.status == "Stopped" else "Stopping" for job in jobs}


def _choose(watch: Watch, planned: list[Planned], again: bool) -> list[Planned]:
    """Return the runs to launch, each with its attempt number."""
    found = watch.experiment
    newest = {run.label: run for run in found.runs}
    remaining = []
    for run in planned:
        existing = newest.get(run.label)
        if existing is None:
            remaining.append(run)
        elif again and existing.job.status in LOST:
            remaining.append(replace(run, attempt=len(found.launches[run.label]) + 1))
    return remaining


def _refuse_mixture(watch: Watch, planned: list[Planned], volume: str, image: str, again: bool) -> None:
    """Refuse to add runs to an experiment whose earlier runs differ from the planned ones.

    With `again`, runs that failed or were stopped may differ.
    """
    planned_by_label = {run.label: run for run in planned}
    problems, all_lost = [], True
    for run in watch.experiment.runs:
        job, count = run.job, len(problems)
        if again and job.status in LOST:
            continue
        if job.volume and job.volume.rstrip("/") != volume.rstrip("/"):
            problems.append(f"another build ({job.volume}, now {volume})")
        if job.image != image:
            problems.append(f"another image ({job.image}, now {image})")
        if run.label in planned_by_label:
            before, now = dict(job.hyperparameters), dict(planned_by_label[run.label].hyperparameters)
            changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
            changes = ", ".join(f"{key} {before.get(key, 'not set')}, now {now.get(key, 'not set')}" for key in changed)
            if changed:
                problems.append(f"other hyperparameters for {run} ({changes})")
        all_lost = all_lost and (len(problems) == count or job.status in LOST)
    if problems:
        todo = "use another name"
        if all_lost:
            todo = "again=True launches them again, because none of them completed"
        raise TrainingError(
            f"Expected to continue the experiment {watch.name!r}, found that its runs were launched with "
            f"{'; '.join(list(dict.fromkeys(problems))[:3])}. Such runs cannot be compared: {todo}."
        )
