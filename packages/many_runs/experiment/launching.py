"""Launch an experiment: each run once, and no more at a time than there is room for."""

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

AT_ONCE = 10  # on AWS, whose quotas for new accounts are lower, and which says so
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 120.0  # seconds without a launch after AWS had no room
LOST = ("Failed", "Stopped")  # statuses of runs that are in no mean
NOT_LAUNCHED = " {} are not launched yet: run this cell again to go on with them."


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
    """Launch a run for each of several settings and seeds, and return the experiment that they make.

    A run that was launched before is not launched again, whether it runs, ended or failed: after a restart of the
    notebook the same call goes on where it was. This returns when the last run was launched; see `follow_many`.

    Interrupting (Ctrl-C, or the stop button) ends the launching: what runs goes on. So does stopping a run from
    elsewhere, as `stop_many` does with all of them: no more are launched after it.

    Parameters
    ----------
    connection : Connection
    trainer : sagemaker.train.ModelTrainer
        What all runs have in common. Each keeps its checkpoints in a folder of its own, below that of its
        ``checkpoint_config`` if it has one.
    channels, folder
        As for `training_jobs.launch`; each setting is checked.
    settings : mapping of str to mapping
        The name of each setting, to the hyperparameters that it differs in.
    seeds : sequence of int
        Each setting is trained with each of them.
    experiment : str
        Its name. Tags of each job say it, its settings and its seed. Empty: a name worked out from build, image,
        settings and hyperparameters, so that the same again, or with more seeds, is the same experiment.
    at_once : int
        The most runs in progress at a time. 0 is as many as this machine's cores bear on the embedded target, else 10.
        Where SageMaker says that the account's quota is reached, this waits, whatever the number.
    again : bool
        Launch those runs again that failed or were stopped, also with other hyperparameters, for they are in no mean.
    poll_seconds : float
        Time between two looks, in seconds.

    Raises
    ------
    TrainingError
        If something is wrong with a run, an earlier run of this experiment was launched with something else, or
        SageMaker refuses a run for another reason than that there is no room.
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
    left = _choose(watch, planned, again)
    launcher = Launcher(connection, template, at_once or choose_at_once(connection))
    launcher.launch(watch, left, len(planned), poll_seconds)
    return watch.experiment


def choose_at_once(connection: Connection) -> int:
    """Return how many runs are in progress at a time where nobody said."""
    return jobs_here() if connection.endpoint else AT_ONCE


@dataclass
class Launcher:
    """Launches runs as there is room for them.

    Attributes
    ----------
    connection : Connection
    template : dict
        The request of a job, for all that the runs have in common.
    at_once : int
    """

    connection: Connection
    template: dict[str, Any]
    at_once: int
    _pause: float = 0.0
    _not_before: float = 0.0
    _note: str = ""

    def launch(self, watch: Watch, left: list[Planned], total: int, poll_seconds: float) -> None:
        """Launch what is left, showing a bar."""
        if not left:
            return
        view = View(self.connection, watch, poll_seconds)
        before = find_stopped(watch)

        def look() -> bool:
            view.follower.more = NOT_LAUNCHED.format(len(left))
            watch.look()
            elsewhere = {name: how for name, how in find_stopped(watch).items() if name not in before}
            if first := next((name for name, how in elsewhere.items() if how == "Stopped"), ""):
                view.follower.leave(f"{first} was stopped from elsewhere: no longer launching.")
                return True
            if "Stopping" in elsewhere.values():
                # Once it has ended it tells whether someone stopped it, or its time was up.
                view.note = " · a run is being stopped: none is launched meanwhile"
            else:
                self._fill(watch, left, view, total)
            view.show(total)
            return not left

        try:
            view.follower.until(look, "No longer launching.")
        finally:
            view.close()

    def _fill(self, watch: Watch, left: list[Planned], view: View, total: int) -> None:
        """Launch as many runs as there is room for."""
        while left and len(watch.running) < self.at_once and time.monotonic() >= self._not_before:
            self._note = view.note = " · no answer: trying again"
            try:
                self._note = self._try(watch, left)
            except (BotoCoreError, ClientError):
                view.show(total)
                raise
            view.note = self._note
            view.follower.more = NOT_LAUNCHED.format(len(left)) if left else ""
            view.show(total)
            if self._note:
                break
        view.note = self._note

    def _try(self, watch: Watch, left: list[Planned]) -> str:
        """Launch the next run, or take note that there is no room; return what to show."""
        run = left[0]
        request = self._make_request(run)
        try:
            watch.sagemaker.create_training_job(**request)
        except ClientError as error:
            if is_throttled(error):
                return self._wait(code(error))
            if explain_silence(self.connection, error):
                raise  # handled as a lost response is: tried again
            instance_type = self.template["ResourceConfig"]["InstanceType"]
            if code(error) == "ResourceLimitExceeded" and " is 0 Instances" in str(error):
                raise TrainingError(
                    f"SageMaker refused {run.name}: your account may not run a {instance_type} at all. "
                    f"Notebook 2 says how to ask for it. {error}"
                ) from error
            if code(error) == "ResourceLimitExceeded":
                return self._wait(code(error))
            # In use: it was launched meanwhile, or before and Search does not show it yet.
            if code(error) != "ResourceInUse":
                told = job_request.explain_refusal(
                    self.connection, self.template["ResourceConfig"]["InstanceType"], error
                )
                raise TrainingError(
                    f"SageMaker refused {run.name}: {told}\n{len(watch.running)} runs of {watch.name} are in progress, "
                    f'and {len(left)} are not launched. training.stop_many(connection, "{watch.name}") stops them.'
                ) from error
        left.pop(0)
        self._pause = 0.0
        now = datetime.now(timezone.utc)
        told = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Starting", "CreationTime": now}
        watch.add(Run(run.settings, run.seed, from_description({**request, **told}), now))
        return ""

    def _wait(self, code: str) -> str:
        """Launch nothing for a while, longer each time, and by chance, so that many who wait do not come at once."""
        self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
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
    """Return the runs that were stopped, by their jobs' names, and how far that is.

    ``"Stopping"`` until they have ended, then ``"Stopped"``, or what SageMaker says where their time was up.
    """
    jobs = [run.job for run in watch.runs.values() if run.job.status in ("Stopping", "Stopped")]
    return {job.name: job.phase if job.status == "Stopped" else "Stopping" for job in jobs}


def _choose(watch: Watch, planned: list[Planned], again: bool) -> list[Planned]:
    """Return the runs that are to be launched, each as the attempt that it is."""
    found = watch.experiment
    newest = {run.label: run for run in found.runs}
    left = []
    for run in planned:
        there = newest.get(run.label)
        if there is None:
            left.append(run)
        elif again and there.job.status in LOST:
            left.append(replace(run, attempt=len(found.launches[run.label]) + 1))
    return left


def _refuse_mixture(watch: Watch, planned: list[Planned], volume: str, image: str, again: bool) -> None:
    """Refuse to add runs to an experiment whose earlier runs were something else under the same names.

    Those that failed or were stopped are in no mean: with `again` they may be something else.
    """
    wanted = {run.label: run for run in planned}
    problems, lost = [], True
    for run in watch.experiment.runs:
        job, count = run.job, len(problems)
        if again and job.status in LOST:
            continue
        if job.volume and job.volume.rstrip("/") != volume.rstrip("/"):
            problems.append(f"another build ({job.volume}, now {volume})")
        if job.image != image:
            problems.append(f"another image ({job.image}, now {image})")
        if run.label in wanted:
            before, now = dict(job.hyperparameters), dict(wanted[run.label].hyperparameters)
            changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
            told = ", ".join(f"{key} {before.get(key, 'not set')}, now {now.get(key, 'not set')}" for key in changed)
            if changed:
                problems.append(f"other hyperparameters for {run} ({told})")
        lost = lost and (len(problems) == count or job.status in LOST)
    if problems:
        todo = "take another name"
        if lost:
            todo = "again=True launches them anew, for none of them completed"
        raise TrainingError(
            f"Expected to go on with the experiment {watch.name!r}, found that its runs were launched with "
            f"{'; '.join(list(dict.fromkeys(problems))[:3])}. Such runs cannot be compared: {todo}."
        )
