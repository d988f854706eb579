"""Launch a training job described with the SageMaker SDK, unless the same one is already running."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from common.aws_session import PROJECT_TAG, Connection, code, explain_silence
from common.contract import DEFAULT_TRAINER
from training_jobs import checkpoints as places
from training_jobs import job_request, sdk_request
from training_jobs.job import (
    GOES_ON_FROM,
    JOB_PREFIX,
    Job,
    TrainingError,
    describe,
    list_with_status,
    trainer_in,
    volume_of,
)
from training_jobs.polling import POLL_SECONDS, Poller
from training_jobs.volume_hash import job_environment

if TYPE_CHECKING:
    from sagemaker.core.training.configs import InputData
    from sagemaker.train import ModelTrainer

LOCAL_STORAGE = re.compile(r"ml\.(?:g[5-9]|p[5-9]|trn|[a-z]+\d+[a-z]*d)")  # as in ml.g5, ml.r5d, ml.g4dn

MAX_FINISHED = 10
"""The number of completed jobs that are compared with a new one, each with a call."""


def launch(
    connection: Connection,
    trainer: ModelTrainer,
    channels: Sequence[InputData],
    *,
    folder: str | Path | None,
    start_from: str | Job = "",
) -> Job:
    """Check a training job, launch it once, and return it.

    The job is the one that ``trainer.train(channels, wait=False)`` would launch, but its name begins with ``mlagents-``
    and its environment has the content hash of the channel `unity-volume`. If the same job (same volume, image,
    hyperparameters and start) is already running, it is returned, and no second one is launched. If one of the newest
    jobs has the same inputs and is Completed, this prints its name, and launches.

    Without a ``checkpoint_config`` the job keeps its checkpoints at ``s3://<bucket>/checkpoints/<date>-<time>-<4
    letters>/``. A folder with another name is a named run: a later job with the same folder and a higher ``max_steps``
    continues it.

    Parameters
    ----------
    connection : Connection
    trainer : sagemaker.train.ModelTrainer
        Its hyperparameters are options of `mlagents-learn` (with dashes) and keys of the trainer config (with
        underscores).
    channels : sequence of sagemaker.core.training.configs.InputData
        One is `unity-volume`, with the S3 URI from `helpers.volume.locate`.
    folder : path or None
        The folder that was uploaded. Names, types and values of the hyperparameters are checked against the trainer
        config there, as the container would read it. None skips this check.
    start_from : str or Job
        An earlier job, to start a new run from a copy of its checkpoints. ``max_steps`` includes its steps.

    Raises
    ------
    TrainingError
        If the job is invalid, SageMaker refuses it, there is nothing to start from, or another job writes to the same
        checkpoints. In these cases nothing was created.
    """
    start_from = start_from.name if isinstance(start_from, Job) else start_from
    if not isinstance(start_from, str):
        raise TrainingError(f"Expected start_from to be a job or its name, or empty, found {start_from!r}.")
    request = make_request(connection, trainer, channels, folder)
    name, checkpoints = request["TrainingJobName"], request["CheckpointConfig"]["S3Uri"]
    version = job_request.choose_trainer(folder, request)
    call = functools.partial(Poller(connection, POLL_SECONDS).call, lost=nothing_launched)
    with launch_lock():
        if start_from:
            goes_on_from = f"job {start_from}"
        else:
            run = call(lambda: places.name_earlier_run(connection, checkpoints))
            goes_on_from = f"run {run}" if run else ""
            if run:
                call(lambda: _refuse_other_version(connection, checkpoints, version))
        if running := call(lambda: find_running(connection, request, goes_on_from)):
            print(
                f"{running.name} is running with the same volume, image and hyperparameters. No second job is launched."
            )
            return running
        if finished := call(lambda: find_finished(connection, request, goes_on_from)):
            print(
                f"{finished.name} is Completed, with the same volume, image and hyperparameters. This launches another "
                f'job; to look at the results of that one, set job_name = "{finished.name}".'
            )
        call(lambda: _refuse_second_writer(connection, checkpoints))
        if start_from:
            call(lambda: _copy_checkpoints(connection, describe(connection, start_from), checkpoints, version))
        if goes_on_from:
            request["Environment"][GOES_ON_FROM] = goes_on_from
        try:
            call(lambda: _create(connection, request), lost=lambda why: _perhaps_launched(name, why))
        except ClientError as error:
            reason = job_request.explain_refusal(connection, request["ResourceConfig"]["InstanceType"], error)
            raise TrainingError(f"SageMaker refused the job, nothing was started: {reason}") from error
    return call(lambda: describe(connection, name), lost=lambda why: _perhaps_launched(name, why))


def make_request(
    connection: Connection,
    trainer: ModelTrainer,
    channels: Sequence[InputData],
    folder: str | Path | None,
    settings: Mapping[str, Mapping[str, object]] | None = None,
) -> dict[str, Any]:
    """Check a training job and return the request for it.

    Parameters
    ----------
    connection, trainer, channels, folder
        As for `launch`.
    settings : mapping of str to mapping, optional
        Hyperparameters that override the trainer's, by the name of a setting; each setting is checked.

    Raises
    ------
    TrainingError
        With a message for each problem.
    """
    common = trainer.hyperparameters or {}
    all_hyperparameters = [{**common, **own} for own in (settings or {"": {}}).values()]
    refuse(
        problem
        for hyperparameters in all_hyperparameters
        for problem in job_request.find_problems_of_hyperparameters(hyperparameters)
    )
    request = sdk_request.read_training(connection, trainer, channels, job_request.encode(common))
    name = places.make_name()
    request["TrainingJobName"] = f"{JOB_PREFIX}-{name}"
    complete(request)
    tag(request)
    place = request.setdefault("CheckpointConfig", {}).get("S3Uri") or places.locate(connection, name)
    request["CheckpointConfig"]["S3Uri"] = f"{place.rstrip('/')}/"
    refuse(job_request.find_problems(connection, "CreateTrainingJob", request))
    if folder is not None:
        version = job_request.choose_trainer(folder, request)
        refuse(job_request.find_misfit(folder, version))
        if not trainer_in(request["AlgorithmSpecification"].get("TrainingImage", "")) and version != DEFAULT_TRAINER:
            request["HyperParameters"] |= job_request.encode({"trainer-version": version})  # `Job.trainer` reads it
        found: dict[str, list[str]] = {}
        for setting, hyperparameters in zip(settings or {"": {}}, all_hyperparameters, strict=True):
            for problem in job_request.find_conflicts(folder, hyperparameters, trainer=version):
                found.setdefault(problem, []).append(setting)
        refuse(f"With {', '.join(names)}: {problem}" if settings else problem for problem, names in found.items())
    return request


def refuse(problems: Iterator[str]) -> None:
    """Raise a `TrainingError` with all problems, each once, if there are any."""
    if messages := list(dict.fromkeys(problems)):
        raise TrainingError("\n".join(messages))


def tag(request: dict[str, Any]) -> None:
    """Add the project's tag to a request. A user's own `project` tag stays, which protects the job from deletion."""
    tags = request.setdefault("Tags", [])
    if all(each["Key"] != PROJECT_TAG["Key"] for each in tags):
        tags.append(dict(PROJECT_TAG))


def complete(job: dict[str, Any]) -> None:
    """Complete a training job's request, or a tuning job's definition of its trainings.

    The volume's content hash is added to the environment, so that the container can verify the content. The key is
    removed for an instance with local storage, which is always encrypted: SageMaker refuses a key for it
    (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html).
    """
    job["Environment"] = {**job.get("Environment", {}), **job_environment(volume_of(job))}
    machine = job.get("ResourceConfig", {})
    if LOCAL_STORAGE.match(machine.get("InstanceType", "")):
        machine.pop("VolumeKmsKeyId", None)


def nothing_launched(why: str) -> TrainingError:
    """Return the error that nothing was launched for this reason."""
    return TrainingError(f"{why} Nothing was launched.")


def _perhaps_launched(name: str, why: str) -> TrainingError:
    return TrainingError(
        f'{why} It is unknown whether {name} was launched. Before you launch again, set job_name = "{name}" and check.'
    )


@contextlib.contextmanager
def launch_lock() -> Iterator[None]:
    """Hold a lock while searching for the same job and launching it, so that two notebooks do not launch it twice."""
    # In the user's own folder, because anyone who can open the lock's file could block it.
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlagents-on-sagemaker"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "launch.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise TrainingError(
            f"Expected to keep a lock in {folder}, found that it can't be made there ({error.strerror}). Set "
            "XDG_CACHE_HOME to a folder of your own."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _create(connection: Connection, request: Mapping[str, Any]) -> None:
    """Create a job. SageMaker accepts a name only once, so repeating the request never creates a second job."""
    try:
        connection.client("sagemaker").create_training_job(**request)
    except ClientError as error:
        if code(error) != "ResourceInUse":
            raise
        existing = describe(connection, request["TrainingJobName"])
        expected = (request.get("HyperParameters", {}), request["CheckpointConfig"]["S3Uri"])
        if (existing.hyperparameters, existing.checkpoints) != expected:
            raise
        # An earlier attempt created it, and its response was lost.


def _refuse_second_writer(connection: Connection, place: str) -> None:
    """Refuse to train if another job writes to the same checkpoints, which would corrupt both."""
    for status in ("InProgress", "Stopping"):
        for job in list_with_status(connection, status):
            if job.checkpoints.rstrip("/") == place.rstrip("/"):
                raise TrainingError(
                    f"{job.name} is {job.status} and keeps its checkpoints at {place}. Wait for its end, stop it with "
                    f'training.stop(connection, "{job.name}"), or build the trainer with another folder for the '
                    "checkpoints."
                )


def _refuse_other_version(connection: Connection, place: str, version: str) -> None:
    try:
        places.refuse_other_version(connection, place, version)
    except places.CheckpointsError as error:
        raise TrainingError(f"{error} Build the trainer with another folder in its CheckpointConfig.") from error


def _copy_checkpoints(connection: Connection, job: Job, place: str, version: str) -> None:
    """Copy an earlier job's checkpoints to a new run's place."""
    if not job.ended:
        raise TrainingError(f"{job.name} is still {job.status}. Wait for its end, or stop it, to start from it.")
    if not job.checkpoints:
        raise TrainingError(
            f"{job.name} kept no checkpoints, so nothing can start from it. It was not launched by training.launch."
        )
    if places.holds_files(connection, place):
        raise TrainingError(
            f"Expected nothing at {place} yet, to copy the checkpoints of {job.name} there, found files. Build the "
            "trainer with another folder in its CheckpointConfig, or leave start_from empty to go on with these."
        )
    try:
        count = places.copy(connection, job.checkpoints, place, version)
    except places.CheckpointsError as error:
        raise TrainingError(f"{job.name} ({job.status}) saved nothing to start from. {error}") from error
    except ClientError as error:
        if explain_silence(connection, error):
            raise
        raise TrainingError(f"The checkpoints of {job.name} could not be copied to {place}: {error}") from error
    print(f"Starting from {job.name}: {count} files copied to {place}")


def find_running(connection: Connection, request: Mapping[str, Any], goes_on_from: str) -> Job | None:
    """Return the running job with a request's inputs and the same start (`Job.goes_on_from`), or None."""
    place = request["CheckpointConfig"]["S3Uri"]
    for job in list_with_status(connection, "InProgress"):
        if _has_inputs(job, request) and (job.goes_on_from == goes_on_from or job.checkpoints == place):
            return job
    return None


def find_finished(connection: Connection, request: Mapping[str, Any], goes_on_from: str) -> Job | None:
    """Return one of the newest completed jobs with the same inputs and start, or None.

    A named run with checkpoints is left out: each of its jobs starts where the one before ended.
    """
    if goes_on_from.startswith("run "):
        return None
    newest = itertools.islice(list_with_status(connection, "Completed"), MAX_FINISHED)
    return next((job for job in newest if _has_inputs(job, request) and job.goes_on_from == goes_on_from), None)


def _has_inputs(job: Job, request: Mapping[str, Any]) -> bool:
    """Return whether a job has the volume, image and hyperparameters of a request."""
    image = request["AlgorithmSpecification"]["TrainingImage"]
    inputs = (volume_of(request), image, request.get("HyperParameters", {}))
    return (job.volume, job.image, job.hyperparameters) == inputs
