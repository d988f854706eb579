"""Metrics of training jobs in CloudWatch, as SageMaker puts them there.

moto calls each of its metric providers at every request. This one reads the jobs' own files, so metrics outlive the
server.
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
    """The metrics of `jobs`: all values of the jobs named in the thread's `request`, the newest value of all others."""

    jobs: Jobs | None = None
    thread = threading.local()

    @classmethod
    def set_request(cls, body: bytes) -> None:
        """Set the body of the request that this thread is about to pass to moto."""
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
        MetricDatum.instances_tracked.clear()  # moto keeps every datum that was ever created, for its own dashboard
        return found


def _newest_values(job: Record) -> Iterator[tuple[str, float, float]]:
    for name, metric in list(job.metrics.items()):
        yield name, metric["Value"], metric["Timestamp"]


def _all_values(job: Record) -> Iterator[tuple[str, float, float]]:
    try:
        with open_inside(job.folder, job.values.name) as file:
            lines = file.read().splitlines()
    except OSError:  # an old job, of which only the newest were kept, or one whose program has replaced the file
        yield from _newest_values(job)
        return
    for line in lines:
        try:
            yield tuple(json.loads(line))
        except ValueError:  # truncated when the server was killed
            continue


def _datum(job: Record, name: str, value: float, when: float) -> MetricDatum:
    dimensions: list[dict[str, Any]] = [{"Name": "TrainingJobName", "Value": job.name}]
    time = datetime.fromtimestamp(when, timezone.utc).replace(tzinfo=None)  # moto's times are naive UTC
    return MetricDatum(NAMESPACE, name, value, dimensions, time)
