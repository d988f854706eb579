"""AWS's limits, enforced only on request: calls per second, and jobs at a time.

Beyond ``EMBEDDED_CALLS_A_SECOND``, calls of SageMaker and CloudWatch Logs get a ThrottlingException; beyond
``EMBEDDED_JOBS_QUOTA`` jobs in progress, another gets a ResourceLimitExceeded. Both are for practice and tests.
"""

from __future__ import annotations

import os
import threading
import time

from sagemaker_local.schema import AwsError

THROTTLED = ("sagemaker", "logs")


class Throttle:
    """A token bucket for each service, which holds the tokens of one second; None for no limit."""

    def __init__(self, a_second: float | None = None):
        self.a_second = a_second
        self.lock = threading.Lock()
        self.left: dict[str, tuple[float, float]] = {}  # service -> tokens left, and when they were counted

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
    """Return the throttle that the environment sets."""
    rate = os.environ.get("EMBEDDED_CALLS_A_SECOND")
    return Throttle(float(rate) if rate else None)


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
