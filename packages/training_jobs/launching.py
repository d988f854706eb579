"""Launch a training job, unless the same one is running already."""

import contextlib
import fcntl
import functools
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from common.aws_session import Connection, code, explain_silence
from common.contract import CHANNEL, METRICS
from training_image import Image
from training_jobs import checkpoints as places
from training_jobs import job_request
from training_jobs.job import GOES_ON_FROM, JOB_PREFIX, Job, TrainingError, describe, list_with_status
from training_jobs.patience import POLL_SECONDS, Patience
from training_jobs.volume_hash import job_environment

LOCAL_STORAGE = re.compile(r"ml\.(?:g[5-9]|p[5-9]|trn|[a-z]+\d+[a-z]*d)")  # as in ml.g5, ml.r5d, ml.g4dn

if TYPE_CHECKING:
    from sagemaker.core.training.configs import InputData
    from sagemaker.train import ModelTrainer


def launch(
    connection: Connection,
    *,
    volume: str,
    image: Image,
    hyperparameters: Mapping[str, object],
    instance_type: str = "ml.c5.xlarge",
    max_minutes: float = 60,
    spot: bool = False,
    max_wait_minutes: float = 0,
    checkpoints: str = "",
    start_from: str | Job = "",
) -> str:
    """Launch a training job and return its name.

    If the same job (same volume, image, hyperparameters and beginning) is running already, that one's name is returned,
    and no second one is paid for.

    Every job keeps its checkpoints in S3, so that an interrupted one goes on and a finished one can be trained further.

    Parameters
    ----------
    connection : Connection
    volume : str
        S3 URI that `helpers.volume.upload` returned.
    image : Image
    hyperparameters : mapping
        Options of `mlagents-learn` (with dashes) and keys of the trainer config (with underscores).
    instance_type : str
        See https://aws.amazon.com/sagemaker/pricing/.
    max_minutes : float
        SageMaker ends the job after this time, whatever it does. It is the most that you can pay for.
    spot : bool
        Run on spare capacity, which is cheaper and may be taken away: the job then waits until there is some again and
        goes on from its checkpoints.
    max_wait_minutes : float
        With `spot`: SageMaker ends the job after this time, waiting included. 0 is twice `max_minutes`.
    checkpoints : str
        Name of a run, to go on with its checkpoints and keep the new ones with them. The first job with a name begins
        the run; the same name again, with a higher ``max_steps``, trains further. Empty: a new run.
    start_from : str or Job
        An earlier job, to begin a new run with a copy of its checkpoints. ``max_steps`` counts its steps, too.

    Raises
    ------
    TrainingError
        If an argument cannot be meant, SageMaker refuses the job, there is nothing to go on from, or another job is
        writing there.
    """
    start_from = start_from.name if isinstance(start_from, Job) else start_from
    problems = job_request.find_problems(
        volume=volume,
        image=image,
        hyperparameters=hyperparameters,
        instance_type=instance_type,
        max_minutes=max_minutes,
        spot=spot,
        max_wait_minutes=max_wait_minutes,
        checkpoints=checkpoints,
        start_from=start_from,
    )
    if problems:
        raise TrainingError("\n".join(problems))
    values = job_request.encode(hyperparameters)
    limits = make_limits(max_minutes, max_wait_minutes, spot)
    stamp = places.make_name()
    name = f"{JOB_PREFIX}-{stamp}"
    try:
        place = places.locate(connection, checkpoints or stamp)
    except places.CheckpointsError as error:
        raise TrainingError(str(error)) from error
    goes_on_from = f"run {checkpoints}" if checkpoints else f"job {start_from}" if start_from else ""
    environment = {GOES_ON_FROM: goes_on_from} if goes_on_from else {}
    order = Order(volume, image, values, instance_type, spot, limits, place, environment)
    ask = functools.partial(Patience(connection, POLL_SECONDS).ask, lost=nothing_launched)
    with alone():
        if running := ask(lambda: find_running(connection, volume, image, values, goes_on_from)):
            print(f"{running} is running with the same volume, image and hyperparameters. No second job is launched.")
            return running
        ask(lambda: _refuse_second_writer(connection, place))
        if start_from:
            ask(lambda: _copy_checkpoints(connection, describe(connection, start_from), place))
        request = ask(lambda: make_request(connection, order, name))
        try:
            ask(lambda: _create(connection, request), lost=lambda why: _perhaps_launched(name, why))
        except ClientError as error:
            told = job_request.explain_refusal(connection, instance_type, error)
            raise TrainingError(f"SageMaker refused the job, nothing was started: {told}") from error
    return name


def nothing_launched(why: str) -> TrainingError:
    """Return the error that nothing was launched for this reason."""
    return TrainingError(f"{why} Nothing was launched.")


def _perhaps_launched(name: str, why: str) -> TrainingError:
    return TrainingError(
        f'{why} Whether {name} was launched is not known: before you launch again, set job_name = "{name}" and see.'
    )


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let one launch at a time look for running jobs and add one, so that two notebooks at once do not double it."""
    # In a place of the reader's own: whoever may open a lock's file could hold it for ever.
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


@dataclass(frozen=True)
class Order:
    """A job that can be meant and is not made yet.

    Attributes
    ----------
    volume : str
    image : Image
    values : mapping of str to str
        The hyperparameters as SageMaker takes them.
    instance_type : str
    spot : bool
    limits : mapping of str to int
        How long it may take, in seconds, under SageMaker's names.
    place : str
        S3 URI of its checkpoints; empty for none.
    environment, tags : mapping of str to str
        Beside the project's own tags.
    """

    volume: str
    image: Image
    values: Mapping[str, str]
    instance_type: str
    spot: bool
    limits: Mapping[str, int]
    place: str
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def make_trainer(connection: Connection, order: Order) -> tuple["ModelTrainer", list["InputData"]]:
    """Return the SDK's trainer of a job, and its channels; for use inside ``with connection.sdk()``."""
    # The SDK takes some 8 seconds to import. Only who launches a job waits for it.
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.shapes import (
        MetricDefinition,
        S3DataSource,
        StoppingCondition,
        Tag,
        TensorBoardOutputConfig,
    )
    from sagemaker.core.training.configs import CheckpointConfig, Compute, InputData, Networking, OutputDataConfig
    from sagemaker.train import ModelTrainer

    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    session = Session(boto_session=connection.session, default_bucket=connection.bucket)
    metrics = [MetricDefinition(name=name, regex=regex) for name, regex in METRICS.items()]
    output = f"s3://{connection.bucket}/training"
    tags = {"project": "mlagents", "image": order.image.tag, **order.tags}
    trainer = ModelTrainer(
        sagemaker_session=session,
        training_image=order.image.uri,
        role=connection.role,
        base_job_name=JOB_PREFIX,
        hyperparameters=dict(order.values),
        environment={**order.environment, **job_environment(order.volume)},
        compute=Compute(
            instance_type=order.instance_type,
            instance_count=1,
            volume_size_in_gb=30,
            volume_kms_key_id=choose_volume_key(connection, order.instance_type),
            enable_managed_spot_training=order.spot,
        ),
        stopping_condition=StoppingCondition(**order.limits),
        networking=Networking(
            enable_network_isolation=True,
            subnets=list(connection.subnets) or None,
            security_group_ids=list(connection.security_groups) or None,
        ),
        checkpoint_config=CheckpointConfig(s3_uri=order.place) if order.place else None,
        output_data_config=OutputDataConfig(s3_output_path=output, kms_key_id=connection.kms_key or None),
        tags=[Tag(key=key, value=value) for key, value in tags.items()],
    )
    trainer = trainer.with_metric_definitions(metrics).with_tensorboard_output_config(
        TensorBoardOutputConfig(s3_output_path=output)
    )
    source = S3DataSource(s3_data_type="S3Prefix", s3_uri=order.volume, s3_data_distribution_type="FullyReplicated")
    return trainer, [InputData(channel_name=CHANNEL, data_source=source)]


def choose_volume_key(connection: Connection, instance_type: str) -> str | None:
    """Return the key for the disk of a job's instance; None for a local disk, which has a key of its own.

    SageMaker refuses one for instances with local storage
    (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ResourceConfig.html).
    """
    return None if LOCAL_STORAGE.match(instance_type) else connection.kms_key or None


def make_request(connection: Connection, order: Order, name: str) -> dict[str, Any]:
    """Return the SDK's request for a job of this name."""
    with connection.sdk():
        trainer, inputs = make_trainer(connection, order)
        request = trainer._create_training_job_args(input_data_config=inputs, boto3=True)
    return {**request, "TrainingJobName": name}


def _create(connection: Connection, request: Mapping[str, Any]) -> None:
    """Create a job. SageMaker takes a name once, so that to ask again never makes a second one."""
    try:
        connection.client("sagemaker").create_training_job(**request)
    except ClientError as error:
        if code(error) != "ResourceInUse":
            raise
        there = describe(connection, request["TrainingJobName"])
        made = (request["HyperParameters"], request["CheckpointConfig"]["S3Uri"])
        if (there.hyperparameters, there.checkpoints) != made:
            raise
        # An earlier attempt made it, whose answer did not arrive.


def make_limits(max_minutes: float, max_wait_minutes: float, spot: bool) -> dict[str, int]:
    """Return how long a job may take, in seconds."""
    limits = {"max_runtime_in_seconds": round(60 * max_minutes)}
    if spot:
        wait = max_wait_minutes or min(2 * max_minutes, job_request.MOST_MINUTES)
        limits["max_wait_time_in_seconds"] = round(60 * wait)
    return limits


def _refuse_second_writer(connection: Connection, place: str) -> None:
    """Refuse to train where another job writes its checkpoints: each would spoil the other's."""
    for status in ("InProgress", "Stopping"):
        for job in list_with_status(connection, status):
            if job.checkpoints == place:
                raise TrainingError(
                    f"{job.name} is {job.status} and keeps its checkpoints at {place}. Wait for its end, stop it with "
                    f'training.stop(connection, "{job.name}"), or take another name for the checkpoints.'
                )


def _copy_checkpoints(connection: Connection, job: Job, place: str) -> None:
    """Copy what an earlier job learned to a new run's place."""
    if not job.ended:
        raise TrainingError(f"{job.name} is still {job.status}. Wait for its end, or stop it, to start from it.")
    if not job.checkpoints:
        raise TrainingError(
            f"{job.name} kept no checkpoints, so nothing can start from it. It was not launched by training.launch."
        )
    try:
        count = places.copy(connection, job.checkpoints, place)
    except places.CheckpointsError as error:
        raise TrainingError(f"{job.name} ({job.status}) saved nothing to start from. {error}") from error
    except ClientError as error:
        if explain_silence(connection, error):
            raise
        raise TrainingError(f"The checkpoints of {job.name} could not be copied to {place}: {error}") from error
    print(f"Starting from {job.name}: {count} files copied to {place}")


def find_running(
    connection: Connection, volume: str, image: Image, hyperparameters: Mapping[str, str], goes_on_from: str = ""
) -> str | None:
    """Return the name of a running job with these inputs and this beginning (`Job.goes_on_from`), or None."""
    wanted = (volume, image.uri, hyperparameters, goes_on_from)
    for job in list_with_status(connection, "InProgress"):
        if (job.volume, job.image, job.hyperparameters, job.goes_on_from) == wanted:
            return job.name
    return None
