"""Metrics of training jobs in CloudWatch, as SageMaker puts them there.

moto asks each of its metric providers at every request. What this one answers comes from the jobs' own files, so that
it outlives the server.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from moto.cloudwatch.models import MetricDatum
from moto.core.common_models import CloudWatchMetricProvider

from sagemaker_local.record import Record
from sagemaker_local.transfer import open_inside

if TYPE_CHECKING:
    from sagemaker_local.jobs import Jobs

NAMESPACE = "/aws/sagemaker/TrainingJobs"


class JobMetrics(CloudWatchMetricProvider):
    """The metrics of `jobs`: all values of the jobs that the thread's `request` names, the newest of all others."""

    jobs: Jobs | None = None
    thread = threading.local()

    @classmethod
    def ask_for(cls, body: bytes) -> None:
        """Say which request this thread is about to pass to moto."""
        cls.thread.request = body

    @classmethod
    def get_cloudwatch_metrics(cls, account_id: str, region: str) -> list[MetricDatum]:
        """Return the metrics of all jobs in a region; called by moto."""
        request = getattr(cls.thread, "request", b"")
        records = list(cls.jobs.records.values()) if cls.jobs else []
        found = [
            _datum(job, *value)
            for job in records
            if job.metrics and job.region == region
            for value in (_all_values(job) if job.name.encode() in request else _newest_values(job))
        ]
        MetricDatum.instances_tracked.clear()  # of which moto notes all that ever were, for its own dashboard
        return found


def _newest_values(job: Record) -> Iterator[tuple[str, float, float]]:
    for name, metric in list(job.metrics.items()):
        yield name, metric["Value"], metric["Timestamp"]


def _all_values(job: Record) -> Iterator[tuple[str, float, float]]:
    try:
        with open_inside(job.folder, job.values.name) as file:
            lines = file.read().splitlines()
    except OSError:  # a job of a time when only the newest were kept, or whose program has replaced the file
        yield from _newest_values(job)
        return
    for line in lines:
        try:
            yield tuple(json.loads(line))
        except ValueError:  # cut short when the server was killed
            continue


def _datum(job: Record, name: str, value: float, when: float) -> MetricDatum:
    dimensions: list[dict[str, Any]] = [{"Name": "TrainingJobName", "Value": job.name}]
    time = datetime.fromtimestamp(when, timezone.utc).replace(tzinfo=None)  # as moto's own
    return MetricDatum(NAMESPACE, name, value, dimensions, time)
