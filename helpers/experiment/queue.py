"""AWS Batch's training queues, through the SDK: jobs wait there instead of here.

https://docs.aws.amazon.com/batch/latest/userguide/getting-started-sagemaker.html
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from helpers.aws import Connection
from helpers.experiment import plan
from helpers.training.job import TrainingError
from helpers.training.launching import Order, make_trainer

if TYPE_CHECKING:
    from sagemaker.train.aws_batch.training_queue import TrainingQueue
    from sagemaker.train.aws_batch.training_queued_job import TrainingQueuedJob

WAITING = ("SUBMITTED", "PENDING", "RUNNABLE")
LIVING = (*WAITING, "SCHEDULED", "STARTING", "RUNNING")
GRACE_SECONDS = 600  # beyond a job's own limit, within which SageMaker stops it and keeps its model


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
        except ClientError as error:
            raise TrainingError(f"AWS Batch refused what was asked of the queue {self.name}: {error}") from error
        finally:
            boto3.DEFAULT_SESSION = before

    def submit(self, name: str, order: Order) -> None:
        """Submit a job under a name of its own."""
        trainer, inputs = make_trainer(self.connection, order)
        trainer.base_job_name = name  # the training job's name begins so
        limit = order.limits.get("max_wait_time_in_seconds", order.limits["max_runtime_in_seconds"])
        with self._sdk() as queue:
            queue.submit(trainer, inputs, job_name=name, timeout={"attemptDurationSeconds": limit + GRACE_SECONDS})

    def list_names(self, experiment: str) -> set[str]:
        """Return the names of an experiment's jobs that the queue knows, those that ended not long ago included."""
        with self._sdk() as queue:
            return {job.job_name for job in queue.list_jobs(job_name=f"{plan.prefix(experiment)}*")}

    def count_waiting(self, experiment: str) -> int:
        """Return how many of an experiment's jobs wait for a machine, of which SageMaker knows nothing yet."""
        return len(self._list(experiment, WAITING))

    def terminate(self, experiment: str) -> int:
        """End all jobs of an experiment, waiting and running, and return their number."""
        jobs = self._list(experiment, LIVING)
        with self._sdk():
            for job in jobs:
                job.terminate("stopped with training.stop_many")
        return len(jobs)

    def _list(self, experiment: str, statuses: tuple[str, ...]) -> list[TrainingQueuedJob]:
        ours = plan.prefix(experiment)
        with self._sdk() as queue:
            found: list[Any] = [job for status in statuses for job in queue.list_jobs(status=status)]
        return list({job.job_arn: job for job in found if job.job_name.startswith(ours)}.values())
