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
DEFAULT_RUNTIME = 86_400  # seconds; SageMaker's default
MAX_RUNTIME = 28 * 86_400  # seconds; SageMaker's maximum
POOLED = ("RoleArn", "VpcConfig", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")
POOLED_RESOURCES = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
"""Members that must be equal for a job to take over another job's warm pool.

https://docs.aws.amazon.com/sagemaker/latest/dg/train-warm-pools.html
"""


class Jobs:
    """The jobs under `folder`, one folder each, of all regions. Each is known by its key, `Record.key`.

    `client` returns the boto3 client of a service and region for this same server. At most `at_once` jobs run; others
    wait as Starting, first come first served.
    """

    def __init__(self, folder: Path, client: Callable[..., BaseClient], at_once: int | None = None):
        self.folder, self.client = folder, client
        self.at_once = at_once or int(os.environ.get("EMBEDDED_MAX_JOBS") or jobs_here())
        self.records: dict[str, Record] = {}
        # (sort value, job's key), kept sorted so that a page is as fast with many jobs as with few
        self.orders: dict[str, list[tuple[Any, str]]] = {"Name": [], "CreationTime": []}
        self.threads: dict[str, JobThread] = {}
        self.running: set[str] = set()
        self.waiting: deque[str] = deque()
        self.earlier: set[str] = set()  # jobs of earlier servers
        self.shown: set[str] = set()  # regions whose earlier logs are listed
        self.log_lock = threading.Lock()
        self.closed = False
        self.ended: Callable[[Record], None] = lambda job: None  # called after the end of each job
        self.notify: Callable[[Any], None] = lambda job: None  # called after a job, or a tuning job, has ended
        self.deleted: Callable[[Record], None] = lambda job: None  # called before a job is deleted
        self.lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> None:
        """Read the records of earlier servers.

        If the last server was killed, its running jobs become Failed and its waiting jobs go back into the queue.
        """
        self._sweep()
        for folder in self.folder.iterdir():
            try:
                found = record.load(folder)
            except (OSError, ValueError, TypeError) as error:
                logging.warning("%s holds no job that can be read: %s", folder, error)
                continue
            self._remember(found)
            self.earlier.add(found.key)
        left = [job for job in self.records.values() if job.status not in ENDED]
        for job in sorted(left, key=lambda job: job.created):
            if job.started is None and job.status == "InProgress":
                self.earlier.discard(job.key)
                self._admit(job)
            else:
                self._fail_orphan(job)
        with self.log_lock:
            self.shown.clear()  # requests during loading may have filled it

    def create(self, request: dict[str, Any], region: str, **tuning: Any) -> Record:
        """Create a job from a CreateTrainingJob request that passed `schema.check`, and start or queue it.

        A tuning job passes `tuning`, `objective` and `on_objective` of the `Record`. Raise `AwsError` if the name is
        taken, or the request needs something that the embedded AWS does not support.
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
            limits.check_quota(request["ResourceConfig"]["InstanceType"], len(self.threads))
            on_objective = tuning.pop("on_objective", None)
            job = Record(request, arn, self.folder / key, time.time(), tags=tags, **tuning)
            job.on_objective = on_objective or job.on_objective
            job.folder.mkdir(exist_ok=True)
            job.move("Starting", "Preparing the instances for training")
            self._take_over_pool(job)
            self._admit(job)
        return job

    def _take_over_pool(self, job: Record) -> None:
        """Give a matching warm pool to a new job."""
        if job.tuning or job.request.get("EnableManagedSpotTraining"):
            return
        pool = _describe_pool(job)
        for other in self.records.values():
            if other.kept_until is None or other.region != job.region or _describe_pool(other) != pool:
                continue
            with other.lock:
                if other.warm_pool()["Status"] == "Available":
                    other.reused_by, other.kept_until = job.name, other.now()
                    other.save()
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
            self.threads[job.key].send("stop")

    def delete(self, job: Record) -> None:
        """Delete a job that has ended, its log and its metrics; its objects in S3 stay.

        Raise `AwsError` if it has not ended.
        """
        with self.lock:
            if job.key in self.threads or job.status not in ENDED:
                raise AwsError(
                    "ResourceInUse",
                    f"The request was rejected because the training job is in status {job.status}. Only a training "
                    f"job that is {', '.join(ENDED[:-1])} or {ENDED[-1]} can be deleted.",
                )
            self.deleted(job)
            if self.records.pop(job.key, None) is None:
                raise invalid("Requested resource not found.")  # another request has just deleted it
            for by, value in (("Name", job.name), ("CreationTime", job.created)):
                self.orders[by].remove((value, job.key))
        with self.log_lock:
            cloudwatch_logs.remove(job.streams, job.region)
            self.earlier.discard(job.key)
            (job.folder / "job.json").unlink(missing_ok=True)  # first: a folder without it is no job
            transfer.remove(job.folder)

    def interrupt(self, key: str, seconds: float) -> None:
        """Take the instance away from a running spot job, and give it no other for `seconds`.

        Raise `AwsError` if there is no such job, or it is not a spot job in status Training.
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
            self.threads[key].capacity_after = seconds
            self.threads[key].send("interrupt")

    def close(self) -> int:
        """Stop every job as `stop` does, wait until all have ended, and return their number."""
        with self.lock:
            self.closed = True
            threads = list(self.threads.values())
        for training in threads:
            try:
                self.stop(training.record)
            except AwsError:
                continue  # stopping or ended already
        for training in threads:
            training.join()
        return len(threads)

    def show_streams(self, region: str) -> None:
        """Add the log streams of earlier servers' jobs to CloudWatch Logs."""
        with self.log_lock:
            if region not in self.shown:
                self.shown.add(region)
                for job in map(self.records.get, list(self.earlier)):
                    if job and job.region == region:
                        cloudwatch_logs.show(job)

    def list(self, query: dict[str, Any], region: str = REGION) -> dict[str, Any]:
        """Return the response to a checked ListTrainingJobs request.

        The token names the last job of the previous page, so that jobs created meanwhile do not shift pages.
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
            found = list(islice(matching, size + 1))  # one more shows whether there is another page
        response: dict[str, Any] = {"TrainingJobSummaries": [self.records[key].summary() for _, key in found[:size]]}
        if len(found) > size:
            response["NextToken"] = paging.write_token(query, *found[size - 1])
        return response

    def _remember(self, job: Record) -> None:
        """Add a job to the records and to the sorted orders."""
        if job.key not in self.records:  # a queued job of an earlier server is loaded first, then admitted
            self.records[job.key] = job
            insort(self.orders["Name"], (job.name, job.key))
            insort(self.orders["CreationTime"], (job.created, job.key))

    def _admit(self, job: Record) -> None:
        """Put a job at the end of the queue."""
        with self.lock:
            self._remember(job)
            training = self.threads[job.key] = JobThread(job, self.client, self._done)
            self.waiting.append(job.key)
            training.start()
            self._start_waiting()

    def _start_waiting(self) -> None:
        """Start waiting jobs while there is room."""
        while self.waiting and len(self.running) < self.at_once:
            key = self.waiting.popleft()
            self.running.add(key)
            self.threads[key].send("go")

    def _done(self, key: str) -> None:
        with self.lock:
            self.threads.pop(key, None)
            self.running.discard(key)
            if key in self.waiting:
                self.waiting.remove(key)
            self._start_waiting()
            job = self.records[key]
        with self.log_lock:
            cloudwatch_logs.release(job)
        self.ended(job)
        self.notify(job)

    def _fail_orphan(self, job: Record) -> None:
        """End a job whose server was killed: kill its processes and record the failure."""
        phase = job.secondary
        kill_marked(process_supervisor.MARK, str(job.folder))
        self._save_checkpoints(job)
        log = job.folder / "log.txt"
        seen = max(job.modified, log.stat().st_mtime if log.exists() else 0.0)
        if job.started is not None:
            unrecorded = max(0.0, job.seconds_with_instance(seen) - job.training_seconds)
            spot = job.request.get("EnableManagedSpotTraining")
            job.training_seconds += unrecorded
            job.billable_seconds += unrecorded * (SPOT_SHARE if spot else 1)
        job.failure = (
            f"InternalServerError: the embedded AWS ended without stopping this job (it was killed, or the machine "
            f"went down) while the job was {phase}. The last sign of it was at "
            f"{datetime.fromtimestamp(seen).astimezone().isoformat(timespec='seconds')}. Its files are in {job.folder}."
        )
        job.move("Failed", "Training job failed", "Failed")
        if job.ended is not None:
            job.ended = seen
            job.save()

    def _sweep(self) -> None:
        """Remove containers that a killed server or a lost engine left."""
        if any(self.folder.iterdir()):
            from sagemaker_local import docker_runner  # here, so that a new embedded AWS starts without Docker

            docker_runner.sweep(self.folder, lambda base: base.name in self.threads)

    def _save_checkpoints(self, job: Record) -> None:
        """Upload checkpoints that the killed server had not uploaded yet."""
        config = job.request.get("CheckpointConfig")
        folder = job.folder / PurePosixPath((config or {}).get("LocalPath", CHECKPOINTS)).relative_to(OPT_ML)
        if config and folder.is_dir():
            try:
                transfer.Mirror(self.client("s3"), job.folder, folder, config["S3Uri"]).push()
            except transfer.TRANSFER_ERRORS:
                logging.exception("%s: could not upload its checkpoints", job.name)


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Check what botocore's model does not cover, and return the request with SageMaker's defaults.

    Raise `AwsError` if it is invalid, or needs something that the embedded AWS does not support.
    """
    request = {**request, "StoppingCondition": {**request.get("StoppingCondition", {})}}
    request["StoppingCondition"].setdefault("MaxRuntimeInSeconds", DEFAULT_RUNTIME)
    request.setdefault("AlgorithmSpecification", {"TrainingInputMode": "File"})  # no image: refused below
    limits, algorithm, instances = (
        request["StoppingCondition"],
        request["AlgorithmSpecification"],
        request.get("ResourceConfig", {}),
    )
    for name in ("MaxRuntimeInSeconds", "MaxWaitTimeInSeconds"):
        if limits.get(name, 0) > MAX_RUNTIME:
            raise invalid(
                f"Invalid {name}: {limits[name]}. It must be less than or equal to {MAX_RUNTIME} seconds (28 days)."
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
    """Refuse a request for something that SageMaker supports and the embedded AWS does not."""
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
