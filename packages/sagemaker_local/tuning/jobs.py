"""All tuning jobs of the embedded AWS, and the thread that runs each of them."""

from __future__ import annotations

import hashlib
import logging
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from sagemaker_local.home import REGION
from sagemaker_local.jobs import ACCOUNT, Jobs
from sagemaker_local.record import ENDED, Record, make_key
from sagemaker_local.schema import AwsError, invalid, read_tags
from sagemaker_local.tuning import record, request, stopping
from sagemaker_local.tuning.record import Tuning

RETRY_SECONDS = 1.0
"""Wait before retrying to create a training that an account limit has refused."""
ALL_FAILED = "All training jobs failed. Please take a look at the training jobs failures to get more details."
NO_OBJECTIVE = (
    "No objective metrics found after running {} training jobs. Please ensure that the custom algorithm is emitting "
    "the objective metric as defined by the regular expression provided."
)


class TuningJobs:
    """The tuning jobs under `folder`, one folder each; their trainings are in `jobs`."""

    def __init__(self, folder: Path, jobs: Jobs):
        self.folder, self.jobs = folder, jobs
        self.records: dict[str, Tuning] = {}
        self.threads: dict[str, TuningThread] = {}  # by ARN
        self.closed = False
        self.lock = threading.RLock()
        jobs.ended, jobs.deleted = self._training_ended, self._training_deleted
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> None:
        """Read the records of earlier servers and continue unfinished tuning jobs; call `Jobs.load` first."""
        for folder in self.folder.iterdir():
            try:
                found = record.load(folder)
            except (OSError, ValueError, TypeError) as error:
                logging.warning("%s holds no tuning job that can be read: %s", folder, error)
                continue
            self.records[found.key] = found
        for tuning in sorted(self.records.values(), key=lambda each: each.created):
            if tuning.status not in ENDED:
                self._start(tuning)

    def create(self, definition: dict[str, Any], region: str) -> Tuning:
        """Create and start a tuning job from a CreateHyperParameterTuningJob request that passed `schema.check`.

        Raise `AwsError` if the name is taken, or the request is invalid or needs something that is not supported.
        """
        definition = request.check(definition)
        name = definition["HyperParameterTuningJobName"]
        arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:hyper-parameter-tuning-job/{name.lower()}"
        tags = read_tags(definition.pop("Tags", ()))
        with self.lock:
            if taken := next((one for one in self.records.values() if one.arn == arn), None):
                raise AwsError(
                    "ResourceInUse",
                    "Hyper parameter tuning job names must be unique within an AWS account and region, and a tuning "
                    f"job with this name already exists ({taken.arn})",
                )
            if self.closed:
                raise AwsError("ServiceUnavailable", "The embedded AWS is being stopped.", 503)
            seed = definition["HyperParameterTuningJobConfig"].get("RandomSeed", random.randrange(2**31))  # noqa: S311
            tuning = Tuning(definition, arn, self.folder / make_key(name, region), time.time(), seed, tags=tags)
            tuning.folder.mkdir(exist_ok=True)
            tuning.move("InProgress")
            self.records[tuning.key] = tuning
            self._start(tuning)
        return tuning

    def get(self, name: str, region: str = REGION) -> Tuning:
        """Return a tuning job's record. Raise `AwsError` as SageMaker, if there is no such tuning job."""
        try:
            return self.records[make_key(name, region)]
        except KeyError:
            raise AwsError(
                "ResourceNotFound", f"Amazon SageMaker can't find a tuning job with the name {name}."
            ) from None

    def trainings(self, tuning: Tuning) -> list[Record]:
        """Return the trainings that a tuning job has launched, oldest first."""
        keys = [make_key(one["name"], tuning.region) for one in tuning.trainings]
        return [self.jobs.records[key] for key in keys if key in self.jobs.records]

    def stop(self, tuning: Tuning) -> None:
        """Stop a tuning job and its running trainings, as StopHyperParameterTuningJob does.

        Raise `AwsError` if it has ended or is stopping already.
        """
        with tuning.lock:
            if tuning.status != "InProgress":
                raise invalid(f"The request was rejected because the tuning job is in status {tuning.status}.")
            tuning.move("Stopping")
        self._wake(tuning.arn)

    def delete(self, tuning: Tuning) -> None:
        """Delete a tuning job that has ended; its training jobs stay. Raise `AwsError` if it has not ended."""
        with self.lock:
            if tuning.arn in self.threads or tuning.status not in ENDED:
                raise invalid(f"The request was rejected because the tuning job is in status {tuning.status}.")
            self.records.pop(tuning.key, None)
            (tuning.folder / "tuning.json").unlink(missing_ok=True)  # first: a folder without it is no tuning job
            shutil.rmtree(tuning.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop every tuning job as `stop` does, and wait until all have ended."""
        with self.lock:
            self.closed = True
            threads = list(self.threads.values())
        for thread in threads:
            try:
                self.stop(thread.tuning)
            except AwsError:
                continue  # stopping or ended already
        for thread in threads:
            thread.join()

    def _start(self, tuning: Tuning) -> None:
        thread = self.threads[tuning.arn] = TuningThread(tuning, self)
        thread.start()

    def _wake(self, arn: str) -> None:
        if thread := self.threads.get(arn):
            thread.wake.set()

    def _training_deleted(self, job: Record) -> None:
        """Keep the outcome of a deleted training, so that the search can use it and does not repeat the training."""
        tuning = next((one for one in list(self.records.values()) if one.arn == job.tuning), None)
        for entry in tuning.trainings if tuning else ():
            if entry["name"] == job.name:
                entry["outcome"] = outcome(job)
                tuning.save()

    def _training_ended(self, job: Record) -> None:
        if job.tuning:
            self._wake(job.tuning)


def outcome(job: Record) -> float | None:
    """Return a training's objective for the search; None while it runs, NaN if it ended without one."""
    if job.status not in ENDED:
        return None
    value = record.objective(job)
    return float("nan") if value is None else value


class TuningThread(threading.Thread):
    """Runs one tuning job; it wakes whenever one of its trainings reports a value or ends."""

    def __init__(self, tuning: Tuning, tunings: TuningJobs):
        super().__init__(name=tuning.name, daemon=True)
        self.tuning, self.tunings, self.jobs = tuning, tunings, tunings.jobs
        self.wake = threading.Event()
        config = tuning.config
        self.limits = config["ResourceLimits"]
        self.early = config["TrainingJobEarlyStoppingType"] == "Auto"
        self.compared: dict[str, int] = {}  # training -> number of values already compared
        self.refused = False  # an account limit is reached: a chosen training has yet to be created
        self.complete = False  # its completion criteria are met: running trainings are stopped

    def run(self) -> None:
        """Run the job until it is Completed, Failed or Stopped."""
        try:
            self._subscribe()
            while not self._advance():
                waits = (self._seconds_left(), RETRY_SECONDS if self.refused else None)
                self.wake.wait(min((seconds for seconds in waits if seconds is not None), default=None))
                self.wake.clear()
        except Exception as error:
            logging.exception("%s failed", self.tuning.name)
            self._stop_trainings()
            self.tuning.move("Failed", f"InternalServerError: {type(error).__name__}: {error}"[:1024])
        finally:
            self.tunings.threads.pop(self.tuning.arn, None)
        self.jobs.notify(self.tuning)

    def _subscribe(self) -> None:
        """Subscribe to the trainings that an earlier server launched."""
        for job in self.tunings.trainings(self.tuning):
            job.on_objective = self.wake.set

    def _advance(self) -> bool:
        """Act on the current state of the trainings, and return whether the tuning job has ended."""
        trainings = self.tunings.trainings(self.tuning)
        living = [job for job in trainings if job.status not in ENDED]
        if self.early and not self.complete:
            self._stop_lagging(trainings, living)
        if self._seconds_left() == 0:
            self._move_to_stopping()
        self.complete = self.complete or self._criteria_met(trainings)
        if self.tuning.status == "Stopping" or self.complete:
            self._stop_trainings()
            if living:
                return False
            self.tuning.move("Completed" if self.complete and self.tuning.status == "InProgress" else "Stopped")
            return True
        self.refused = False
        while self._may_launch(living) and (job := self._launch()):
            living.append(job)
        if living or self.refused:
            return False
        self._finish()
        return True

    def _may_launch(self, living: list[Record]) -> bool:
        return (
            self.tuning.status == "InProgress"
            and len(self.tuning.trainings) - len(self._uncreated()) < self.limits["MaxNumberOfTrainingJobs"]
            and len(living) < self.limits["MaxParallelTrainingJobs"]
        )

    def _launch(self) -> Record | None:
        """Launch the next training; return None if an account limit does not allow it yet."""
        try:
            return self._create(next(iter(self._uncreated()), None) or self._choose())
        except AwsError as error:
            if error.code != "ResourceLimitExceeded":
                raise
            self.refused = True
            return None

    def _uncreated(self) -> list[dict[str, Any]]:
        """Return the trainings that were chosen but not created, because of a kill or a limit."""
        made = {job.name for job in self.tunings.trainings(self.tuning)}
        return [entry for entry in self.tuning.trainings if entry["name"] not in made and "outcome" not in entry]

    def _choose(self) -> dict[str, Any]:
        """Choose hyperparameters and save them, so that after a restart the same training is created."""
        from sagemaker_local.tuning import sampler  # Optuna: here, so that the embedded AWS starts without it

        config, tuning = self.tuning.config, self.tuning
        outcomes = {job.name: outcome(job) for job in self.tunings.trainings(tuning)}
        tried = [
            sampler.Tried(entry["hyperparameters"], outcomes.get(entry["name"], entry.get("outcome")))
            for entry in tuning.trainings
        ]
        ranges = sampler.read_ranges(config["ParameterRanges"])
        tuned = sampler.choose(config["Strategy"], ranges, tried, seed=tuning.seed, maximise=tuning.maximise)
        number = len(tried) + 1
        suffix = hashlib.sha256(f"{tuning.arn} {tuning.created} {number}".encode()).hexdigest()[:8]
        chosen = {"name": f"{tuning.name}-{number:03d}-{suffix}", "hyperparameters": tuned}
        with tuning.lock:
            tuning.trainings.append(chosen)
            tuning.save()
        return chosen

    def _create(self, chosen: dict[str, Any]) -> Record:
        tuning = self.tuning
        training = request.training_request(tuning.request, chosen["name"], chosen["hyperparameters"])
        if tuning.tags:
            training["Tags"] = [{"Key": key, "Value": value} for key, value in tuning.tags.items()]
        return self.jobs.create(
            training, tuning.region, tuning=tuning.arn, objective=tuning.metric, on_objective=self.wake.set
        )

    def _stop_lagging(self, trainings: list[Record], living: list[Record]) -> None:
        """Stop the trainings that lag behind the earlier ones."""
        earlier = [job.objectives for job in trainings if job.status == "Completed" and job.objectives]
        for job in living:
            with job.lock:
                values = list(job.objectives)
            seen, self.compared[job.name] = self.compared.get(job.name, 0), len(values)
            fresh = range(seen + 1, len(values) + 1)
            if any(stopping.is_lagging(values[:count], earlier, self.tuning.maximise) for count in fresh):
                self._stop_training(job)

    def _criteria_met(self, trainings: list[Record]) -> bool:
        criteria = self.tuning.config.get("TuningJobCompletionCriteria", {})
        done = sorted((job for job in trainings if job.status in ENDED), key=lambda job: job.modified)
        values = [value for job in done if (value := record.objective(job)) is not None]
        return stopping.is_over(values, criteria, self.tuning.maximise)

    def _finish(self) -> None:
        """End the tuning job once all trainings have ended."""
        trainings = self.tunings.trainings(self.tuning)
        if record.count_objectives(trainings)["Succeeded"]:
            self.tuning.move("Completed")
        elif all(job.status == "Failed" for job in trainings):
            self.tuning.move("Failed", ALL_FAILED)
        else:
            self.tuning.move("Failed", NO_OBJECTIVE.format(len(trainings)))

    def _seconds_left(self) -> float | None:
        """Return the seconds until MaxRuntimeInSeconds; None without that limit, or when stopping."""
        most = self.limits.get("MaxRuntimeInSeconds")
        if most is None or self.tuning.status != "InProgress":
            return None
        return max(0.0, self.tuning.created + most - time.time())

    def _move_to_stopping(self) -> None:
        with self.tuning.lock:
            if self.tuning.status == "InProgress":
                self.tuning.move("Stopping")

    def _stop_trainings(self) -> None:
        for job in self.tunings.trainings(self.tuning):
            if job.status == "InProgress":
                self._stop_training(job)

    def _stop_training(self, job: Record) -> None:
        try:
            self.jobs.stop(job)
        except AwsError:
            return  # stopping or ended already
