"""Check everything that a training job needs, before it costs anything."""

from account_check import preflight
from account_check.preflight import PreflightError, PreflightReport
from common.aws_session import Connection
from helpers import aws, settings

__all__ = ["PreflightError", "PreflightReport", "check"]


def check(
    target: str | Connection = "", *, role: str = "", bucket: str = "", region: str = "", **options: object
) -> PreflightReport:
    """Check a target, or that of a connection, and print which one it is.

    Parameters
    ----------
    target : str or Connection
        ``"embedded"``, which is started if it is not running, or ``"aws"``.
    role, bucket, region : str
        As for `helpers.aws.connect`, which describes the defaults.
    **options
        As for `account_check.preflight`.
    """
    if isinstance(target, Connection):
        return preflight.check(target, bucket=bucket, **options)
    chosen = settings.read(target, role, bucket, region)
    if chosen.target == "embedded":
        return preflight.check(aws.connect(target, role=role, bucket=bucket, region=region), **options)
    print(chosen)
    return preflight.check("aws", role=chosen.role, bucket=chosen.bucket, region=chosen.region, **options)
