"""Look at everything that a training job needs, before anyone pays."""

from account_check import preflight
from account_check.preflight import PreflightError, PreflightReport
from common.aws_session import Connection
from helpers import aws

__all__ = ["PreflightError", "PreflightReport", "check"]


def check(target: str | Connection = "embedded", *, bucket: str = "", **options: object) -> PreflightReport:
    """Look at a target, or at the place that a connection leads to.

    Parameters
    ----------
    target : str or Connection
        ``"embedded"``, which is started if need be, or ``"aws"``.
    bucket : str
    **options
        As for `account_check.preflight`.
    """
    if target == "embedded":
        target = aws.connect("embedded", bucket=bucket)
    return preflight.check(target, bucket=bucket, **options)
