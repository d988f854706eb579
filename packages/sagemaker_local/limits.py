"""AWS's limits on request: calls a second, and jobs at a time.

``EMBEDDED_CALLS_A_SECOND`` refuses calls of SageMaker and CloudWatch Logs beyond so many with a ThrottlingException,
``EMBEDDED_JOBS_QUOTA`` more jobs in progress than that with a ResourceLimitExceeded. Both are for practice and tests.
"""

from __future__ import annotations

import os
import threading
import time

from sagemaker_local.schema import AwsError

THROTTLED = ("sagemaker", "logs")


class Throttle:
    """A bucket of tokens for each service that holds as many as a second gives; None for no limit."""

    def __init__(self, a_second: float | None = None):
        self.a_second = a_second
        self.lock = threading.Lock()
        self.left: dict[str, tuple[float, float]] = {}  # service -> tokens, and when they were counted

    def take(self, service: str) -> None:
        """Take a token for a call, or raise `AwsError` (ThrottlingException)."""
        if self.a_second is None or service not in THROTTLED:
            return
        with self.lock:
            now = time.monotonic()
            tokens, counted = self.left.get(service, (self.a_second, now))
            tokens = min(self.a_second, tokens + (now - counted) * self.a_second)
            self.left[service] = (tokens - (tokens >= 1), now)
        if tokens < 1:
            raise AwsError("ThrottlingException", "Rate exceeded")


def read_throttle() -> Throttle:
    """Return the throttle that the environment asks for."""
    asked = os.environ.get("EMBEDDED_CALLS_A_SECOND")
    return Throttle(float(asked) if asked else None)


def check_quota(instance_type: str, in_progress: int) -> None:
    """Raise `AwsError` (ResourceLimitExceeded) if the quota of jobs is reached."""
    quota = os.environ.get("EMBEDDED_JOBS_QUOTA")
    if quota and in_progress >= int(quota):
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{instance_type} for training job usage' is {int(quota)} Instances, with "
            f"current utilization of {in_progress} Instances and a request delta of 1 Instances. Please use AWS "
            "Service Quotas to request an increase for this quota.",
        )
