"""A training job on SageMaker: launch it, find it, follow it, stop it, fetch what it left."""

import contextlib
import fcntl
import logging
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlparse

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from tqdm import tqdm

from helpers import checkpoints as places
from helpers import cost, job_request, live, rewards
from helpers.aws import Connection
from helpers.image import Image

CHANNEL = "unity-volume"
JOB_PREFIX = "mlagents"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
ENDED = ("Completed", "Failed", "Stopped")
# Environment variable of a job: what it was launched to go on from. The container does without it.
GOES_ON_FROM = "GOES_ON_FROM"
# Each reads the learner's log line. The sign belongs to the number: without it -0.95 would be read as 0.95.
METRICS = {
    "mean_reward": r"Mean Reward: (-?[0-9]+\.[0-9]+)",
    "std_reward": r"Std of Reward: ([0-9]+\.[0-9]+)",
    "step": r"Step: ([0-9]+(?:\.[0-9]+)?)\.",
}
# While one is followed: how often AWS is asked, and how many askings in a row may fail.
POLL_SECONDS = 3.0
PATIENCE = 20
# What AWS says when it is asked too often, and the longest time between two askings that this leads to, in seconds.
THROTTLED = ("Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded")
LONGEST_PAUSE = 60.0


class TrainingError(RuntimeError):
    """A job that is not there, has left nothing, or cannot be launched as asked."""


@dataclass(frozen=True)
class Phase:
    """A stretch of a job's life: SageMaker's secondary status, when it began and, once it is over, when it ended."""

    name: str
    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class Job:
    """A training job as SageMaker described it at one moment.

    Attributes
    ----------
    name : str
    status : str
        ``"InProgress"``, ``"Completed"``, ``"Failed"``, ``"Stopping"`` or ``"Stopped"``.
    phase : str
        SageMaker's secondary status, such as ``"Downloading"``.
    message : str
        What SageMaker says of this phase.
    failure : str
        Why it failed, else empty.
    hyperparameters : mapping of str to str
    volume : str
        S3 URI of the channel `unity-volume`.
    image : str
    output : str
        S3 URI of the folder that holds `model.tar.gz` and `output.tar.gz` at the end.
    created : datetime
    training_seconds, billable_seconds : int
        0 until it has ended.
    metrics : mapping of str to float
        The last value of each metric.
    instance_type : str
    started : datetime or None
        When the instance was there; billing begins then. None before.
    spot : bool
        Whether it runs on spare capacity.
    checkpoints : str
        S3 URI of the folder that its checkpoints are kept in; empty if they are not.
    goes_on_from : str
        ``"job <name>"`` or ``"run <name>"`` where it was launched to go on from that, else empty.
    phases : tuple of Phase
        What it went through, in order.
    tensorboard : str
        S3 URI of the summaries, copied there while it runs; empty if they are not.
    """

    name: str
    status: str
    phase: str
    message: str
    failure: str
    hyperparameters: Mapping[str, str]
    volume: str
    image: str
    output: str
    created: datetime
    training_seconds: int
    billable_seconds: int
    metrics: Mapping[str, float]
    instance_type: str = ""
    started: datetime | None = None
    spot: bool = False
    checkpoints: str = ""
    goes_on_from: str = ""
    phases: tuple[Phase, ...] = ()
    tensorboard: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ENDED

    def seconds(self) -> float:
        """Return the training time so far, in seconds."""
        if self.ended or self.started is None:
            return float(self.training_seconds)
        return max(0.0, (datetime.now(timezone.utc) - self.started).total_seconds())

    @property
    def interruptions(self) -> int:
        """How often its instance was taken away."""
        return sum(phase.name == "Interrupted" for phase in self.phases)

    @property
    def saved_seconds(self) -> int:
        """Seconds of training that were not billed; 0 until it has ended."""
        return self.training_seconds - self.billable_seconds

    @property
    def saved_percent(self) -> float:
        """The same as a share of its training, as SageMaker's console shows it."""
        return 100 * self.saved_seconds / self.training_seconds if self.training_seconds else 0.0

    def __str__(self) -> str:
        told = f"{self.name}: {self.status}"
        if self.status == "InProgress":
            told += f", {self.phase}"
        if self.ended:
            told += f" after {self.training_seconds} s of training, {self.billable_seconds} s billed"
            if self.spot:
                times = {0: "never interrupted", 1: "interrupted once"}
                told += f" (spot saved {self.saved_percent:.0f} %), "
                told += times.get(self.interruptions, f"interrupted {self.interruptions} times")
        return f"{told}\n{self.failure}" if self.failure else told


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
    limits = _limits(max_minutes, max_wait_minutes, spot)
    try:
        place = places.locate(connection, checkpoints or places.make_name())
    except places.CheckpointsError as error:
        raise TrainingError(str(error)) from error
    goes_on_from = f"run {checkpoints}" if checkpoints else f"job {start_from}" if start_from else ""
    with _alone():
        if running := find_running(connection, volume, image, values, goes_on_from):
            print(f"{running} is running with the same volume, image and hyperparameters. No second job is launched.")
            return running
        _refuse_second_writer(connection, place)
        if start_from:
            _copy_checkpoints(connection, find(connection, start_from), place)
        compute = {"instance_type": instance_type, "enable_managed_spot_training": spot}
        return _create(connection, volume, image, values, compute, limits, place, goes_on_from)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one launch at a time look for running jobs and add one, so that two notebooks at once do not double it."""
    with Path(tempfile.gettempdir(), f"mlagents-launch-{os.getuid()}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create(
    connection: Connection,
    volume: str,
    image: Image,
    values: dict[str, str],
    compute: dict[str, object],
    limits: dict[str, int],
    place: str,
    goes_on_from: str,
) -> str:
    """Create the job through the SDK and return its name."""
    # The SDK would refuse a role that lacks rights to make network interfaces, which only jobs in a VPC use.
    # helpers.preflight looks at the rights that these jobs need.
    os.environ.setdefault("SAGEMAKER_VALIDATE_ROLE", "false")
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
    trainer = ModelTrainer(
        sagemaker_session=session,
        training_image=image.uri,
        role=connection.role,
        base_job_name=JOB_PREFIX,
        hyperparameters=values,
        environment={GOES_ON_FROM: goes_on_from} if goes_on_from else {},
        compute=Compute(instance_count=1, volume_size_in_gb=30, **compute),
        stopping_condition=StoppingCondition(**limits),
        networking=Networking(enable_network_isolation=True),
        checkpoint_config=CheckpointConfig(s3_uri=place),
        output_data_config=OutputDataConfig(s3_output_path=output),
        tags=[Tag(key="project", value="mlagents"), Tag(key="image", value=image.tag)],
    )
    trainer = trainer.with_metric_definitions(metrics).with_tensorboard_output_config(
        TensorBoardOutputConfig(s3_output_path=output)
    )
    source = S3DataSource(s3_data_type="S3Prefix", s3_uri=volume, s3_data_distribution_type="FullyReplicated")
    try:
        trainer.train(input_data_config=[InputData(channel_name=CHANNEL, data_source=source)], wait=False, logs=False)
    except ClientError as error:
        told = job_request.explain_refusal(connection, compute["instance_type"], error)
        raise TrainingError(f"SageMaker refused the job, nothing was started: {told}") from error
    return trainer._latest_training_job.training_job_name


def _limits(max_minutes: float, max_wait_minutes: float, spot: bool) -> dict[str, int]:
    """Return how long a job may take, in seconds."""
    limits = {"max_runtime_in_seconds": round(60 * max_minutes)}
    if spot:
        wait = max_wait_minutes or min(2 * max_minutes, job_request.MOST_MINUTES)
        limits["max_wait_time_in_seconds"] = round(60 * wait)
    return limits


def _refuse_second_writer(connection: Connection, place: str) -> None:
    """Refuse to train where another job writes its checkpoints: each would spoil the other's."""
    for status in ("InProgress", "Stopping"):
        for job in _list(connection, status):
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
        raise TrainingError(f"The checkpoints of {job.name} could not be copied to {place}: {error}") from error
    print(f"Starting from {job.name}: {count} files copied to {place}")


def find_running(
    connection: Connection, volume: str, image: Image, hyperparameters: Mapping[str, str], goes_on_from: str = ""
) -> str | None:
    """Return the name of a running job with these inputs and this beginning (`Job.goes_on_from`), or None."""
    wanted = (volume, image.uri, hyperparameters, goes_on_from)
    for job in _list(connection, "InProgress"):
        if (job.volume, job.image, job.hyperparameters, job.goes_on_from) == wanted:
            return job.name
    return None


def _list(connection: Connection, status: str) -> Iterator[Job]:
    """Yield the jobs that `launch` made and that have this status."""
    pages = connection.client("sagemaker").get_paginator("list_training_jobs")
    for page in pages.paginate(NameContains=JOB_PREFIX, StatusEquals=status):
        for summary in page["TrainingJobSummaries"]:
            yield find(connection, summary["TrainingJobName"])


def find(connection: Connection, name: str = "") -> Job:
    """Describe a job.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest job that `launch` made.

    Raises
    ------
    TrainingError
        If there is no such job; it names the newest ones.
    """
    sagemaker = connection.client("sagemaker")
    if not name:
        newest = list_newest(sagemaker, 1)
        if not newest:
            raise TrainingError(f"Expected a training job on {connection.target}, found none. Run notebook 04 first.")
        name = newest[0]
    try:
        told = sagemaker.describe_training_job(TrainingJobName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
            raise
        newest = ", ".join(list_newest(sagemaker, 3)) or "none"
        raise TrainingError(
            f"Expected a training job named {name}, found none on {connection.target}. The newest there: {newest}."
        ) from error
    channel = next((c for c in told.get("InputDataConfig", []) if c["ChannelName"] == CHANNEL), None)
    board = told.get("TensorBoardOutputConfig", {}).get("S3OutputPath", "")
    return Job(
        name=name,
        status=told["TrainingJobStatus"],
        phase=told["SecondaryStatus"],
        message=(told.get("SecondaryStatusTransitions") or [{}])[-1].get("StatusMessage", ""),
        failure=told.get("FailureReason", ""),
        hyperparameters=told.get("HyperParameters", {}),
        volume=channel["DataSource"]["S3DataSource"]["S3Uri"] if channel else "",
        image=told["AlgorithmSpecification"].get("TrainingImage", ""),
        output=f"{told['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output",
        created=told["CreationTime"],
        training_seconds=told.get("TrainingTimeInSeconds", 0),
        billable_seconds=told.get("BillableTimeInSeconds", 0),
        metrics={metric["MetricName"]: metric["Value"] for metric in told.get("FinalMetricDataList", [])},
        instance_type=told["ResourceConfig"].get("InstanceType", ""),
        started=told.get("TrainingStartTime"),
        spot=told.get("EnableManagedSpotTraining", False),
        checkpoints=told.get("CheckpointConfig", {}).get("S3Uri", ""),
        goes_on_from=told.get("Environment", {}).get(GOES_ON_FROM, ""),
        phases=tuple(
            Phase(phase["Status"], phase["StartTime"], phase.get("EndTime"))
            for phase in told.get("SecondaryStatusTransitions", [])
        ),
        tensorboard=f"{board.rstrip('/')}/{name}/tensorboard-output" if board else "",
    )


def list_newest(sagemaker, count: int) -> list[str]:
    """Return the names of the newest jobs that `launch` made, newest first."""
    told = sagemaker.list_training_jobs(
        NameContains=JOB_PREFIX, SortBy="CreationTime", SortOrder="Descending", MaxResults=count
    )
    return [summary["TrainingJobName"] for summary in told["TrainingJobSummaries"]]


class Log:
    """A job's log in CloudWatch, read as it grows.

    A job that was interrupted and restarted has a stream for each attempt; they are read one after another.

    Attributes
    ----------
    lines : list of str
        What was read so far.
    """

    def __init__(self, connection: Connection, name: str):
        self.lines: list[str] = []
        self._logs = connection.client("logs")
        self._name = name
        self._tokens: dict[str, str] = {}  # stream -> where to read on

    def read(self) -> None:
        """Read on to the log's present end. A log that does not exist yet is empty."""
        for stream in self._list_streams():
            while True:
                token = self._tokens.get(stream)
                position = {"nextToken": token} if token else {"startFromHead": True}
                page = self._logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, **position)
                self.lines += [event["message"] for event in page["events"]]
                self._tokens[stream] = page["nextForwardToken"]
                if self._tokens[stream] == token:
                    break

    def _list_streams(self) -> list[str]:
        try:
            found = self._logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self._name}/")
        except self._logs.exceptions.ResourceNotFoundException:
            return []
        return [stream["logStreamName"] for stream in found["logStreams"]]  # by name, which ends in its start


def follow(connection: Connection, name: str = "", *, poll_seconds: float = POLL_SECONDS) -> Job:
    """Show a job while it runs, and return it when it has ended.

    Interrupting (Ctrl-C, or the stop button) ends the showing alone: the job goes on, and this says how to follow or
    stop it.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest job.
    poll_seconds : float
        Time between two looks, in seconds.

    Raises
    ------
    TrainingError
        If there is no such job, or its target stops answering.
    """
    job = find(connection, name)
    log, reader = Log(connection, job.name), rewards.LogReader()
    price, _ = cost.find_price(connection, job.instance_type)
    view = live.view(price.usd_per_hour if price else None, "USD on AWS" if connection.endpoint else "USD")
    failures, pause = 0, poll_seconds
    try:
        while True:
            seen = len(log.lines)
            try:
                job = find(connection, job.name)
                log.read()
                failures, pause = 0, poll_seconds
            except (ConnectionError, HTTPClientError) as error:
                failures += 1
                if connection.endpoint or failures > PATIENCE:
                    raise TrainingError(lost(connection, job)) from error
            except ClientError as error:
                if error.response["Error"]["Code"] not in THROTTLED:
                    raise
                pause = min(2 * pause, LONGEST_PAUSE)  # others ask AWS, too
            reader.feed(log.lines[seen:])
            view.update(job, log.lines[seen:], reader.table())
            if job.ended:
                break
            time.sleep(pause)
    except KeyboardInterrupt:
        billed = "" if connection.endpoint else ", and is billed"
        print(
            f"\nNo longer following. {job.name} goes on running{billed}. To follow it again, set\n"
            f'    job_name = "{job.name}"\nTo stop it and keep its model:\n'
            f'    training.stop(connection, "{job.name}")'
        )
    finally:
        view.close()
    return job


def lost(connection: Connection, job: Job) -> str:
    """Say what to do when the target no longer answers."""
    if connection.endpoint:
        return (
            f"The embedded AWS at {connection.endpoint} no longer answers: it was stopped, and {job.name} with it. "
            "Run the notebook again from its first cell: that starts a new one, which knows the jobs that had ended."
        )
    return f'AWS cannot be reached. {job.name} is not touched by that; follow it later with job_name = "{job.name}".'


def stop(connection: Connection, name: str) -> None:
    """Ask SageMaker to stop a job. It saves its model within 120 seconds, and that model is kept.

    Raises
    ------
    TrainingError
        If there is no such job. One that has ended already is left as it is.
    """
    if not name:
        raise TrainingError("Expected the name of the job to stop, found none. Name it, so that no other is stopped.")
    job = find(connection, name)
    if job.ended:
        print(f"{job.name} has ended already: {job.status}.")
        return
    connection.client("sagemaker").stop_training_job(TrainingJobName=name)
    print(f"Stopping {name}. It saves its model first; this can take two minutes.")


def interrupt(
    connection: Connection, name: str, *, after_step: int = 0, seconds: float = 5.0, poll_seconds: float = 0.5
) -> None:
    """Practise what AWS does to a spot job at any time: take its instance away.

    On the embedded target this waits until the job has done so many steps, and then takes the instance away. On AWS
    nobody can ask for that; this says so and changes nothing.

    Parameters
    ----------
    connection : Connection
    name : str
        A running job that was launched with ``spot=True``.
    after_step : int
        The first summary at or after this step is waited for.
    seconds : float
        How long there is no capacity afterwards.
    poll_seconds : float
        Time between two looks, in seconds.

    Raises
    ------
    TrainingError
        If the job ends before, or is none that can be interrupted.
    """
    if not isinstance(after_step, int) or after_step < 0:
        raise TrainingError(f"Expected after_step to be a whole number of steps, 0 or more, found {after_step!r}.")
    if not connection.endpoint:
        print("AWS takes spot instances away by itself, when it needs them. It cannot be asked to.")
        return
    from helpers import embedded

    log, step = Log(connection, name), 0
    with tqdm(total=after_step, unit="step", desc="until the interruption") as bar:
        while True:
            job = find(connection, name)
            log.read()
            curve = rewards.read_log(log.lines)
            step = int(curve["step"].max()) if len(curve) else 0
            bar.update(min(step, after_step) - bar.n)
            if job.ended:
                raise TrainingError(f"{job}\nIt ended before it could be interrupted after step {after_step}.")
            if job.phase == "Training" and step >= after_step:
                break
            time.sleep(poll_seconds)
    try:
        embedded.interrupt(name, seconds)
    except embedded.EmbeddedError as error:
        raise TrainingError(str(error)) from error
    print(f"{name}: the instance was taken away after step {step:,}. There is no other for {seconds:g} s.")


def fetch(connection: Connection, job: Job, folder: str | Path) -> Path:
    """Bring what an ended job left to ``<folder>/<job name>/``.

    There lie then the model of each brain (``<Brain>.nn``), `trainer_config.yaml`, `training.json`, the TensorBoard
    `summaries/` and the log, as far as the job got. A job is fetched once; a second call finds it there.

    Raises
    ------
    TrainingError
        If it has not ended, or left nothing.
    """
    place = Path(folder) / job.name
    if place.is_dir():
        return place
    if not job.ended:
        raise TrainingError(
            f"{job.name} is still {job.status}. Follow it to its end in notebook 04, then run this again."
        )
    log = Log(connection, job.name)
    log.read()
    place.parent.mkdir(parents=True, exist_ok=True)
    # Fetched beside its place and moved there whole, so that a fetch cut off leaves nothing half done.
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as scratch:
        target = Path(scratch, job.name)
        target.mkdir()
        found = [
            download(connection, f"{job.output}/{archive}", Path(scratch, archive))
            for archive in ("model.tar.gz", "output.tar.gz")
        ]
        if not any(found):
            raise TrainingError(f"{job.name} ({job.status}) left neither model nor output. {job.failure}".strip())
        for archive in filter(None, found):
            with tarfile.open(archive) as tar:
                tar.extractall(target, filter="data")
        (target / "log.txt").write_text("\n".join(log.lines) + "\n")
        shutil.move(target, place)
    return place


def download(connection: Connection, uri: str, path: Path) -> Path | None:
    """Download an archive and return its path; None if the job left none (SageMaker makes none of an empty folder)."""
    parts = urlparse(uri)
    try:
        connection.client("s3").download_file(parts.netloc, parts.path.lstrip("/"), str(path))
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
            raise
        return None
    return path
