"""The thread that runs one training job, from its place in the queue to its last upload."""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from botocore.client import BaseClient

from sagemaker_local import runner, runner_choice, transfer
from sagemaker_local.cloudwatch_logs import EVENTS, STREAMS
from sagemaker_local.job_log import JobLog, failure_reason
from sagemaker_local.record import Record

OPT_ML = "/opt/ml"
CHECKPOINTS = f"{OPT_ML}/checkpoints"
SYNC_SECONDS = float(os.environ.get("EMBEDDED_SYNC_SECONDS", "5"))
GRACE_SECONDS = float(os.environ.get("EMBEDDED_GRACE_SECONDS", "120"))
"""Between SIGTERM and SIGKILL, as in SageMaker."""
KEPT = ("job.json", "metrics.jsonl", "log.txt", EVENTS, STREAMS)
"""Files in a job's folder that its next attempt keeps."""
SPOT_SHARE = 0.3
"""Billable seconds of a spot job as a share of its training seconds. AWS's share depends on the current price."""

FINAL = {  # why the job ended -> status, secondary status, message
    "stop": ("Stopped", "Stopped", "Training job stopped"),
    "runtime": ("Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided"),
    "wait": ("Stopped", "MaxWaitTimeExceeded", "Training job exceeded MaxWaitTimeInSeconds provided"),
}


class JobThread(threading.Thread):
    """Runs one job. It receives commands through `send`: ``go``, ``stop``, ``interrupt``, ``exited``.

    `client` returns the boto3 client of a service and region; `done` is called with the job's key when it has ended,
    however it did.
    """

    def __init__(self, record: Record, client: Callable[..., BaseClient], done: Callable[[str], None]):
        super().__init__(name=record.name, daemon=True)
        self.record, self.client, self.done = record, client, done
        self.base = record.folder
        self.commands: queue.Queue[str] = queue.Queue()
        self.spot = bool(record.request.get("EnableManagedSpotTraining"))
        self.limits = record.request["StoppingCondition"]
        self.created = time.monotonic()
        self.capacity_after = 0.0
        self.begun: float | None = None
        self.code = 0
        self.log: JobLog | None = None  # of the current attempt
        self.left_out: set[str] = set()
        self.checkpoint_failure = ""  # why the last checkpoints could not be uploaded

    def send(self, command: str) -> None:
        """Queue a command; the job reads it when it next waits."""
        self.commands.put(command)

    def run(self) -> None:
        """Run the job until it is Completed, Failed or Stopped."""
        try:
            self._run_job()
        except transfer.TransferError as error:
            self._fail(str(error))
        except runner.RunnerError as error:
            self._fail(f"ClientError: {error}")
        except Exception as error:
            logging.exception("%s failed", self.record.name)
            self._fail(f"InternalServerError: {type(error).__name__}: {error}")
        finally:
            self.done(self.record.key)

    def _run_job(self) -> None:
        ended_by = self._next_command(self._wait_left())
        if ended_by != "go":  # never started: nothing to upload, nothing to bill
            self._end(ended_by or "wait")
            return
        with self.record.lock:
            self.record.started = self.record.now()
        while (ended_by := self._attempt()) == "interrupt":
            if ended_by := self._wait_for_capacity():  # there is no instance any more, so nothing is uploaded
                self._end(ended_by)
                return
            self.record.move("Restarting", "Spot capacity is back: starting again from the checkpoints")
        self._finish(ended_by)

    def _wait_left(self) -> float | None:
        """Return the seconds until MaxWaitTimeInSeconds of a spot job, or None for other jobs."""
        if not self.spot:
            return None
        return max(0.0, self.created + self.limits["MaxWaitTimeInSeconds"] - time.monotonic())

    def _next_command(self, seconds: float | None) -> str | None:
        try:
            return self.commands.get(timeout=seconds)
        except queue.Empty:
            return None

    def _attempt(self) -> str:
        """Download, train, and return why it ended (``exited``: the program ended by itself)."""
        self.begun, self.checkpoint_failure = time.monotonic(), ""
        self._prepare()
        s3 = self.client("s3")
        self.record.move("Downloading", "Downloading input data")
        transfer.require_bucket(s3, self.record.output)
        for channel in self.record.request.get("InputDataConfig", ()):
            transfer.download(
                s3,
                channel["DataSource"]["S3DataSource"]["S3Uri"],
                self.base / "input" / "data" / channel["ChannelName"],
                role=self.record.request["RoleArn"],
                read_only=self._mode(channel) == "FastFile",
                keep_going=self.commands.empty,
            )
        mirrors = self._mirrors(s3)
        if not self.commands.empty():
            return self.commands.get()
        job_runner = runner_choice.choose(self.record.request["AlgorithmSpecification"]["TrainingImage"], self.client)
        ended_by = self._train(job_runner, mirrors)
        for mirror in mirrors:
            try:
                mirror.push()
            except transfer.TRANSFER_ERRORS as error:  # the model is still uploaded
                self.checkpoint_failure = (
                    f"ClientError: {mirror.folder.name} could not be written to {mirror.uri}: {error}"
                )
        self._bill()
        return ended_by

    def _train(self, job_runner: runner.Runner, mirrors: list[transfer.Mirror]) -> str:
        """Run the program to its end and return why it ended."""
        run = job_runner.start(self.record.name, self.base, self._environment())
        try:
            return self._watch(run, job_runner.description, mirrors)
        except BaseException:
            run.kill()
            raise

    def _watch(self, run: runner.Run, description: str, mirrors: list[transfer.Mirror]) -> str:
        self.log = JobLog(self.record, run.output, self.client("logs", self.record.region))
        log = threading.Thread(target=self.log.follow, daemon=True)
        log.start()
        threading.Thread(target=lambda: self._wait(run), daemon=True).start()
        with self.record.lock:
            if self.record.status == "InProgress":  # else a stop has just arrived
                self.record.move("Training", f"Training in progress, {description}")
        used = self.record.training_seconds + time.monotonic() - self.begun
        runtime_over = time.monotonic() + self.limits["MaxRuntimeInSeconds"] - used
        ended_by, kill_at = None, math.inf
        while True:
            wait_left = self._wait_left()
            ends = [SYNC_SECONDS, (runtime_over if ended_by is None else kill_at) - time.monotonic()]
            command = self._next_command(max(0.0, min(ends if wait_left is None or ended_by else [*ends, wait_left])))
            if command == "exited":
                break
            if command is None and ended_by is None:
                command = "wait" if self._wait_left() == 0 else None
                command = "runtime" if time.monotonic() >= runtime_over else command
                if command:
                    self._stopping(FINAL[command][2])
            if command and ended_by is None:
                run.terminate()
                kill_at = time.monotonic() + GRACE_SECONDS
            if command:
                ended_by = ended_by or command
            if time.monotonic() >= kill_at:
                run.kill()
                kill_at = math.inf
            if command is None:
                for mirror in mirrors:
                    self._push(mirror)
        self.log.end()
        log.join()
        return ended_by or "exited"

    def _wait(self, run: runner.Run) -> None:
        self.code = 255
        try:
            self.code = run.wait()
        finally:
            self.commands.put("exited")

    def _wait_for_capacity(self) -> str | None:
        """Wait until there is spot capacity again; return why the job ended instead, if it did."""
        if self.record.status == "Stopping":  # the stop arrived while the instance was being taken away
            return "stop"
        command = self._next_command(min(self.capacity_after, self._wait_left()))
        return command or ("wait" if self._wait_left() == 0 else None)

    def _finish(self, ended_by: str) -> None:
        """Upload the results and end the job for the reason `ended_by`."""
        self._bill()
        self.begun = time.monotonic()
        with self.record.lock:
            if ended_by == "exited" and self.record.status == "Stopping":
                ended_by = "stop"  # a stop arrived while the program was ending anyway
            self.record.move("Uploading", "Uploading generated training model")
        failure = failure_reason(self.base, self.code) if ended_by == "exited" and self.code else None
        self._upload(always=ended_by == "exited" and failure is None)
        self._bill()
        with self.record.lock:
            if failure or self.checkpoint_failure:
                self._fail(failure or self.checkpoint_failure)
            elif ended_by == "exited" and self.record.status == "InProgress":
                self.record.move("Completed", "Training job completed", "Completed")
            else:
                self._end("stop" if ended_by == "exited" else ended_by)

    def _end(self, ended_by: str) -> None:
        status, secondary, message = FINAL[ended_by]
        self.record.move(secondary, message, status)

    def _fail(self, reason: str) -> None:
        with self.record.lock:
            self.record.failure = reason[:1024]
            if self.begun is not None:
                self._bill()
            self.record.move("Failed", "Training job failed", "Failed")

    def _stopping(self, message: str) -> None:
        with self.record.lock:
            if self.record.status == "InProgress":
                self.record.move("Stopping", message, "Stopping")

    def _bill(self) -> None:
        """Add the seconds since `begun` to the job's training and billable seconds."""
        if self.begun is not None:
            with self.record.lock:
                seconds, self.begun = time.monotonic() - self.begun, None
                self.record.training_seconds += seconds
                self.record.billable_seconds += seconds * (SPOT_SHARE if self.spot else 1)

    def _push(self, mirror: transfer.Mirror) -> None:
        try:
            mirror.push()
        except transfer.TRANSFER_ERRORS:  # retried at the next sync, and once more at the end
            logging.exception("%s: could not upload checkpoints", self.record.name)

    def _upload(self, always: bool) -> None:
        s3, output = self.client("s3"), self.record.output
        model, data = self.base / "model", self.base / "output" / "data"
        has_files = {
            folder: any(True for _ in transfer.walk(self.base, folder, lambda path: None)) for folder in (model, data)
        }
        one_by_one = self.record.model.endswith("/")
        upload = transfer.upload_folder if one_by_one else transfer.upload_archive
        if always or has_files[model]:
            upload(s3, self.base, model, self.record.model, self._leave_out)
        if has_files[data]:
            place = f"{output}/output/" if one_by_one else f"{output}/output.tar.gz"
            upload(s3, self.base, data, place, self._leave_out)

    def _leave_out(self, path: str) -> None:
        """Report a path that is not uploaded, once, in the job's log."""
        if path not in self.left_out and self.log:
            self.left_out.add(path)
            self.log.say(f"Not uploaded: {path}; only regular files and folders are")

    def _mirrors(self, s3: BaseClient) -> list[transfer.Mirror]:
        """Return the mirrors of checkpoints (restored here) and TensorBoard output."""
        mirrors = []
        if config := self.record.request.get("CheckpointConfig"):
            transfer.require_bucket(s3, config["S3Uri"])
            folder = self._local_folder(config.get("LocalPath", CHECKPOINTS))
            mirrors.append(transfer.Mirror(s3, self.base, folder, config["S3Uri"], self._leave_out))
            mirrors[0].restore()
        if config := self.record.request.get("TensorBoardOutputConfig"):
            folder = self._local_folder(config.get("LocalPath", f"{OPT_ML}/output/tensorboard"))
            uri = f"{config['S3OutputPath'].rstrip('/')}/{self.record.name}/tensorboard-output"
            mirrors.append(transfer.Mirror(s3, self.base, folder, uri, self._leave_out))
        return mirrors

    def _local_folder(self, path: str) -> Path:
        folder = self.base / Path(path).relative_to(OPT_ML)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _mode(self, channel: dict) -> str:
        return channel.get("InputMode") or self.record.request["AlgorithmSpecification"]["TrainingInputMode"]

    def _prepare(self) -> None:
        """Lay out ``/opt/ml`` as on a new instance; of earlier attempts, only the log and metrics stay."""
        request = self.record.request
        transfer.remove(*(path for path in self.base.iterdir() if path.name not in KEPT))
        for name in ("input/config", "input/data", "model", "output/data"):
            (self.base / name).mkdir(parents=True)
        channels = {
            channel["ChannelName"]: {
                "TrainingInputMode": self._mode(channel),
                "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                    "S3DataDistributionType", "FullyReplicated"
                ),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            for channel in request.get("InputDataConfig", ())
        }
        instance = request["ResourceConfig"]["InstanceType"]
        group = {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": ["algo-1"]}
        files = {
            "hyperparameters": request.get("HyperParameters", {}),
            "inputdataconfig": channels,
            "resourceconfig": {
                "current_host": "algo-1",
                "current_instance_type": instance,
                "current_group_name": "homogeneousCluster",
                "hosts": ["algo-1"],
                "instance_groups": [group],
                "network_interface_name": "lo",
            },
        }
        if config := request.get("CheckpointConfig"):
            files["checkpointconfig"] = {"LocalPath": CHECKPOINTS, **config}
        for name, content in files.items():
            file = self.base / "input" / "config" / f"{name}.json"
            file.write_text(json.dumps(content, indent=1))
            file.chmod(0o644)  # as on SageMaker

    def _environment(self) -> dict[str, str]:
        return {
            **self.record.request.get("Environment", {}),
            "TRAINING_JOB_NAME": self.record.name,
            "TRAINING_JOB_ARN": self.record.arn,
            "AWS_REGION": self.record.arn.split(":")[3],
        }
