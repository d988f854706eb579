"""All training jobs of the embedded AWS: running, waiting and ended."""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import regex
from botocore.client import BaseClient

from common.cores import jobs_here
from common.processes import kill_marked
from sagemaker_local import cloudwatch_logs, limits, paging, process_supervisor, record, transfer
from sagemaker_local.home import REGION
from sagemaker_local.job_thread import CHECKPOINTS, OPT_ML, SPOT_SHARE, JobThread
from sagemaker_local.record import ENDED, Record, make_key
from sagemaker_local.schema import AwsError, invalid, read_tags

ACCOUNT = "123456789012"
MAX_RUNTIME = 86_400  # seconds; SageMaker's default
MOST_RUNTIME = 28 * 86_400  # seconds; the most that SageMaker takes
POOLED = ("RoleArn", "VpcConfig", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")
POOLED_RESOURCES = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
"""What two jobs must have in common for one to take over the other's warm pool.

https://docs.aws.amazon.com/sagemaker/latest/dg/train-warm-pools.html
"""


class Jobs:
    """The jobs under `folder`, one folder each, of all regions. Each is known by its key, `Record.key`.

    `client` returns the boto3 client of a service and region of this very server. At most `at_once` jobs run; more wait
    as Starting, first come first served.
    """

    def __init__(self, folder: Path, client: Callable[..., BaseClient], at_once: int | None = None):
        self.folder, self.client = folder, client
        self.at_once = at_once or int(os.environ.get("EMBEDDED_MAX_JOBS") or jobs_here())
        self.records: dict[str, Record] = {}
        # Sorted as they come, so that a page costs no more with many jobs: (what it is sorted by, key of the job).
        self.orders: dict[str, list[tuple[Any, str]]] = {"Name": [], "CreationTime": []}
        self.living: dict[str, JobThread] = {}
        self.running: set[str] = set()
        self.waiting: deque[str] = deque()
        self.earlier: set[str] = set()  # jobs of earlier servers
        self.shown: set[str] = set()  # regions whose earlier logs are listed
        self.log_lock = threading.Lock()
        self.closed = False
        self.ended: Callable[[Record], None] = lambda job: None  # called after the end of each job
        self.notify: Callable[[Record], None] = lambda job: None  # called then, too
        self.deleted: Callable[[Record], None] = lambda job: None  # called before a job is forgotten
        self.lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> None:
        """Read the records of earlier servers.

        Of a server that was killed, jobs that ran are ended and Failed, jobs that waited for their turn still do.
        """
        self._sweep()
        for place in self.folder.iterdir():
            try:
                found = record.load(place)
            except (OSError, ValueError, TypeError) as error:
                logging.warning("%s holds no job that can be read: %s", place, error)
                continue
            self._remember(found)
            self.earlier.add(found.key)
        left = [job for job in self.records.values() if job.status not in ENDED]
        for job in sorted(left, key=lambda job: job.created):
            if job.started is None and job.status == "InProgress":
                self.earlier.discard(job.key)
                self._admit(job)
            else:
                self._bury(job)
        with self.log_lock:
            self.shown.clear()  # by requests that came meanwhile

    def create(self, request: dict[str, Any], region: str, **tuning: Any) -> Record:
        """Take a CreateTrainingJob request that `schema.check` let pass, and start the job or let it wait.

        A tuning job that launches it passes `tuning`, `objective` and `told` of the `Record`. Raise `AwsError` if the
        name is taken or the request asks for what can't be done here.
        """
        request = check(request)
        name = request["TrainingJobName"]
        key = make_key(name, region)
        arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:training-job/{name}"
        tags = read_tags(request.pop("Tags", ()))
        with self.lock:
            if key in self.records:
                raise AwsError(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, and a training job with "
                    f"this name already exists ({arn})",
                )
            if self.closed:
                raise AwsError("ServiceUnavailable", "The embedded AWS is being stopped.", 503)
            limits.check_quota(request["ResourceConfig"]["InstanceType"], len(self.living))
            told = tuning.pop("told", None)
            job = Record(request, arn, self.folder / key, time.time(), tags=tags, **tuning)
            job.told = told or job.told
            job.folder.mkdir(exist_ok=True)
            job.move("Starting", "Preparing the instances for training")
            self._take_over_pool(job)
            self._admit(job)
        return job

    def _take_over_pool(self, job: Record) -> None:
        """Hand a warm pool that suits a new job over to it."""
        if job.tuning or job.request.get("EnableManagedSpotTraining"):
            return
        wanted = _describe_pool(job)
        for kept in self.records.values():
            if kept.kept_until is None or kept.region != job.region or _describe_pool(kept) != wanted:
                continue
            with kept.lock:
                if kept.warm_pool()["Status"] == "Available":
                    kept.reused_by, kept.kept_until = job.name, kept.now()
                    kept.save()
                    return

    def get(self, name: str, region: str = REGION) -> Record:
        """Return a job's record. Raise `AwsError` as SageMaker, if there is no such job."""
        try:
            return self.records[make_key(name, region)]
        except KeyError:
            raise invalid("Requested resource not found.") from None

    def stop(self, job: Record) -> None:
        """Stop a job as StopTrainingJob does. Raise `AwsError` if it has ended or is stopping already."""
        with job.lock:
            require_in_progress(job)
            job.move("Stopping", "Stopping the training job", "Stopping")
            self.living[job.key].tell("stop")

    def delete(self, job: Record) -> None:
        """Delete a job that has ended, its log and its metrics; its objects in S3 stay.

        Raise `AwsError` if it has not ended.
        """
        with self.lock:
            if job.key in self.living or job.status not in ENDED:
                raise AwsError(
                    "ResourceInUse",
                    f"The request was rejected because the training job is in status {job.status}. Only a training "
                    f"job that is {', '.join(ENDED[:-1])} or {ENDED[-1]} can be deleted.",
                )
            self.deleted(job)
            if self.records.pop(job.key, None) is None:
                raise invalid("Requested resource not found.")  # deleted just now
            for by, value in (("Name", job.name), ("CreationTime", job.created)):
                self.orders[by].remove((value, job.key))
        with self.log_lock:
            cloudwatch_logs.remove(job.streams, job.region)
            self.earlier.discard(job.key)
            (job.folder / "job.json").unlink(missing_ok=True)  # first: what is left without it is no job
            transfer.remove(job.folder)

    def interrupt(self, key: str, seconds: float) -> None:
        """Take the instance away from a running spot job, as AWS does, and give it none for so many seconds.

        Raise `AwsError` if there is no such job, or it is no spot job that trains.
        """
        job = self.records.get(key)
        if job is None:
            raise invalid("Requested resource not found.")
        with job.lock:
            if not job.request.get("EnableManagedSpotTraining"):
                raise invalid(
                    f"Training job {key} can't be interrupted: it was not created with EnableManagedSpotTraining."
                )
            if job.secondary != "Training":
                raise invalid(
                    f"Training job {key} can't be interrupted: only one that is Training can, it is {job.secondary}."
                )
            job.move("Interrupted", "The spot instance was taken away")
            self.living[key].capacity_after = seconds
            self.living[key].tell("interrupt")

    def close(self) -> int:
        """Stop every job as `stop` does and wait for their ends; return their number."""
        with self.lock:
            self.closed = True
            living = list(self.living.values())
        for training in living:
            try:
                self.stop(training.record)
            except AwsError:
                continue  # stopping or ended already
        for training in living:
            training.join()
        return len(living)

    def show_streams(self, region: str) -> None:
        """Let CloudWatch Logs list and read the log streams of earlier servers' jobs."""
        with self.log_lock:
            if region not in self.shown:
                self.shown.add(region)
                for job in map(self.records.get, list(self.earlier)):
                    if job and job.region == region:
                        cloudwatch_logs.show(job)

    def list(self, query: dict[str, Any], region: str = REGION) -> dict[str, Any]:
        """Answer a checked ListTrainingJobs request.

        The token names the last job of the page before, so that jobs created meanwhile shift nothing.
        """
        by = query.get("SortBy", "CreationTime")
        last, size = paging.read_token(query), query.get("MaxResults", paging.SIZE)
        with self.lock:
            order = self.orders.get(by) or sorted((job.status, job.key) for job in self.records.values())
            if query.get("SortOrder", "Ascending") == "Descending":
                places = range(len(order) if last is None else bisect_left(order, last))[::-1]
            else:
                places = range(0 if last is None else bisect_right(order, last), len(order))
            matching = (order[place] for place in places if _matches(self.records[order[place][1]], query, region))
            found = list(islice(matching, size + 1))  # one more says whether there is another page
        answer: dict[str, Any] = {"TrainingJobSummaries": [self.records[key].summary() for _, key in found[:size]]}
        if len(found) > size:
            answer["NextToken"] = paging.write_token(query, *found[size - 1])
        return answer

    def _remember(self, job: Record) -> None:
        """Add a job to the records, and to the orders in which they are listed."""
        if job.key not in self.records:  # one that waited when the server ended is loaded, then admitted
            self.records[job.key] = job
            insort(self.orders["Name"], (job.name, job.key))
            insort(self.orders["CreationTime"], (job.created, job.key))

    def _admit(self, job: Record) -> None:
        """Put a job at the end of the queue."""
        with self.lock:
            self._remember(job)
            training = self.living[job.key] = JobThread(job, self.client, self._done)
            self.waiting.append(job.key)
            training.start()
            self._let_go()

    def _let_go(self) -> None:
        """Start waiting jobs while there is room."""
        while self.waiting and len(self.running) < self.at_once:
            key = self.waiting.popleft()
            self.running.add(key)
            self.living[key].tell("go")

    def _done(self, key: str) -> None:
        with self.lock:
            self.living.pop(key, None)
            self.running.discard(key)
            if key in self.waiting:
                self.waiting.remove(key)
            self._let_go()
            job = self.records[key]
        with self.log_lock:
            cloudwatch_logs.release(job)
        self.ended(job)
        self.notify(job)

    def _bury(self, job: Record) -> None:
        """End a job whose server was killed: kill its processes and record what happened."""
        was = job.secondary
        kill_marked(process_supervisor.MARK, str(job.folder))
        self._save_checkpoints(job)
        log = job.folder / "log.txt"
        seen = max(job.modified, log.stat().st_mtime if log.exists() else 0.0)
        if job.started is not None:
            more = max(0.0, job.seconds_at_work(seen) - job.training_seconds)
            spot = job.request.get("EnableManagedSpotTraining")
            job.training_seconds += more
            job.billable_seconds += more * (SPOT_SHARE if spot else 1)
        job.failure = (
            f"InternalServerError: the embedded AWS ended without stopping this job (it was killed, or the machine "
            f"went down) while the job was {was}. The last sign of it was at "
            f"{datetime.fromtimestamp(seen).astimezone().isoformat(timespec='seconds')}. Its files are in {job.folder}."
        )
        job.move("Failed", "Training job failed", "Failed")
        if job.ended is not None:
            job.ended = seen
            job.save()

    def _sweep(self) -> None:
        """Remove the containers that a killed server or a lost engine left."""
        if any(self.folder.iterdir()):
            from sagemaker_local import docker_runner  # here, so that a new embedded AWS starts without Docker

            docker_runner.sweep(self.folder, lambda base: base.name in self.living)

    def _save_checkpoints(self, job: Record) -> None:
        """Upload the checkpoints that the killed server had not uploaded yet."""
        config = job.request.get("CheckpointConfig")
        folder = job.folder / PurePosixPath((config or {}).get("LocalPath", CHECKPOINTS)).relative_to(OPT_ML)
        if config and folder.is_dir():
            try:
                transfer.Mirror(self.client("s3"), job.folder, folder, config["S3Uri"]).push()
            except transfer.TRANSFER_ERRORS:
                logging.exception("%s: could not upload its checkpoints", job.name)


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Check what botocore's model does not say, and return the request with SageMaker's defaults.

    Raise `AwsError` if it is invalid, or asks for what can't be done here.
    """
    request = {**request, "StoppingCondition": {**request.get("StoppingCondition", {})}}
    request["StoppingCondition"].setdefault("MaxRuntimeInSeconds", MAX_RUNTIME)
    request.setdefault("AlgorithmSpecification", {"TrainingInputMode": "File"})  # no image: refused below
    limits, algorithm, instances = (
        request["StoppingCondition"],
        request["AlgorithmSpecification"],
        request.get("ResourceConfig", {}),
    )
    for name in ("MaxRuntimeInSeconds", "MaxWaitTimeInSeconds"):
        if limits.get(name, 0) > MOST_RUNTIME:
            raise invalid(
                f"Invalid {name}: {limits[name]}. It must be less than or equal to {MOST_RUNTIME} seconds (28 days)."
            )
    wait = limits.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining"):
        if wait is None or wait < limits["MaxRuntimeInSeconds"]:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
            )
        if instances.get("KeepAlivePeriodInSeconds"):
            raise invalid(
                "Invalid KeepAlivePeriodInSeconds. It is not supported when EnableManagedSpotTraining is true"
            )
    elif wait is not None:
        raise invalid("Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is true")
    for definition in algorithm.get("MetricDefinitions", ()):
        try:
            regex.compile(definition["Regex"])
        except regex.error as error:
            raise invalid(
                f"Invalid regex of metric definition {definition['Name']}: {definition['Regex']} ({error})"
            ) from None
    channels = request.get("InputDataConfig", ())
    names = [channel["ChannelName"] for channel in channels]
    if len(set(names)) < len(names):
        raise invalid(f"Channel names must be unique, they are {', '.join(names)}")
    _check_possible(request, algorithm, instances)
    return request


def _check_possible(request: dict[str, Any], algorithm: dict[str, Any], instances: dict[str, Any]) -> None:
    """Refuse what SageMaker can do and the embedded AWS can't."""
    problems = []
    if not algorithm.get("TrainingImage"):
        problems.append("AlgorithmSpecification.TrainingImage must be given")
    if algorithm.get("ContainerEntrypoint") or algorithm.get("ContainerArguments"):
        problems.append("ContainerEntrypoint and ContainerArguments can't be set: `train` is what runs")
    if not instances.get("InstanceType") or instances.get("InstanceCount") != 1:
        problems.append("ResourceConfig must name one InstanceType and InstanceCount 1")
    for channel in request.get("InputDataConfig", ()):
        if problem := transfer.channel_problem(channel):
            problems.append(f"channel {channel['ChannelName']}: {problem}")
    modes = {algorithm["TrainingInputMode"]}
    modes |= {channel["InputMode"] for channel in request.get("InputDataConfig", ()) if "InputMode" in channel}
    if "Pipe" in modes:
        problems.append("input mode Pipe: only File and FastFile")
    for key in ("CheckpointConfig", "TensorBoardOutputConfig"):
        path = PurePosixPath(request.get(key, {}).get("LocalPath", CHECKPOINTS))
        if not path.is_relative_to(OPT_ML) or ".." in path.parts or path == PurePosixPath(OPT_ML):
            problems.append(f"{key}.LocalPath must be below {OPT_ML}, it is {path}")
    if problems:
        raise invalid(f"The embedded AWS can't run this job: {'; '.join(problems)}.")


def _describe_pool(job: Record) -> list[Any]:
    """Return what a job must share with one whose warm pool it takes over."""
    request, resources = job.request, job.request["ResourceConfig"]
    return [*(request.get(key) or None for key in POOLED), *(resources.get(key) or None for key in POOLED_RESOURCES)]


def require_in_progress(job: Record) -> None:
    """Raise SageMaker's ValidationException unless a job is in progress."""
    if job.status != "InProgress":
        raise invalid(f"The request was rejected because the training job is in status {job.status}.")


def _matches(job: Record, query: dict[str, Any], region: str) -> bool:
    return (
        job.region == region
        and query.get("NameContains", "").lower() in job.name.lower()
        and query.get("StatusEquals", job.status) == job.status
        and query.get("WarmPoolStatusEquals") in (None, (job.warm_pool() or {}).get("Status"))
        and "TrainingPlanArnEquals" not in query
        and job.created > query.get("CreationTimeAfter", 0)
        and job.created < query.get("CreationTimeBefore", float("inf"))
        and job.modified > query.get("LastModifiedTimeAfter", 0)
        and job.modified < query.get("LastModifiedTimeBefore", float("inf"))
    )
