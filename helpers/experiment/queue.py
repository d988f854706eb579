"""AWS Batch's training queues, through the SDK: jobs wait there instead of here.

https://docs.aws.amazon.com/batch/latest/userguide/getting-started-sagemaker.html
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from helpers.aws import Connection
from helpers.experiment import plan
from helpers.training.job import TrainingError
from helpers.training.launching import Order, make_trainer

if TYPE_CHECKING:
    from sagemaker.train.aws_batch.training_queue import TrainingQueue

WAITING = ("SUBMITTED", "PENDING", "RUNNABLE")
LIVING = (*WAITING, "SCHEDULED", "STARTING", "RUNNING")
GRACE_SECONDS = 600  # beyond a job's own limit, within which SageMaker stops it and keeps its model


@dataclass(frozen=True)
class Queued:
    """A job that the queue knows: its name, its ARN, and Batch's status of it."""

    name: str
    arn: str
    status: str


class Queue:
    """A training queue.

    Raises
    ------
    TrainingError
        On the embedded target, which has none.
    """

    def __init__(self, connection: Connection, name: str):
        if connection.endpoint:
            raise TrainingError(
                f"Expected queue to be empty on the embedded target, found {name!r}: it has no AWS Batch. Leave it "
                "out, and the runs wait here until there is room."
            )
        self.connection, self.name = connection, name

    @contextlib.contextmanager
    def _sdk(self) -> Iterator[TrainingQueue]:
        """Give the SDK's queue, which takes its client from boto3's default session, and the account from there."""
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        from sagemaker.train.aws_batch.training_queue import TrainingQueue

        # Importing it makes every library's log appear in the notebook.
        root.handlers[:] = handlers
        root.setLevel(level)
        before, boto3.DEFAULT_SESSION = boto3.DEFAULT_SESSION, self.connection.session
        try:
            yield TrainingQueue(self.name)
        finally:
            boto3.DEFAULT_SESSION = before

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Any]:
        """Give the client, and say in words what Batch refuses."""
        try:
            yield self.connection.client("batch")
        except ClientError as error:
            raise TrainingError(f"AWS Batch refused what was asked of the queue {self.name}: {error}") from error

    def submit(self, name: str, order: Order) -> None:
        """Submit a job under a name of its own."""
        trainer, inputs = make_trainer(self.connection, order)
        trainer.base_job_name = name  # the training job's name begins so
        limit = order.limits.get("max_wait_time_in_seconds", order.limits["max_runtime_in_seconds"])
        with self._asking(), self._sdk() as queue:
            queue.submit(trainer, inputs, job_name=name, timeout={"attemptDurationSeconds": limit + GRACE_SECONDS})

    def list_jobs(self, experiment: str) -> list[Queued]:
        """Return an experiment's jobs that the queue knows, those that ended not long ago included."""
        # The SDK lists jobs without their status. By name, Batch lists those of every status.
        ours = [{"name": "JOB_NAME", "values": [f"{plan.prefix(experiment)}*"]}]
        with self._asking() as batch:
            pages = batch.get_paginator("list_service_jobs").paginate(jobQueue=self.name, filters=ours)
            return [
                Queued(job["jobName"], job["jobArn"], job["status"]) for page in pages for job in page["jobSummaryList"]
            ]

    def count_waiting(self, experiment: str) -> int:
        """Return how many of an experiment's jobs wait for a machine, of which SageMaker knows nothing yet."""
        return sum(job.status in WAITING for job in self.list_jobs(experiment))

    def terminate(self, experiment: str) -> int:
        """End all jobs of an experiment, waiting and running, and return their number."""
        living = [job for job in self.list_jobs(experiment) if job.status in LIVING]
        with self._asking() as batch:
            for job in living:
                batch.terminate_service_job(jobId=job.arn, reason="stopped with training.stop_many")
        return len(living)
