"""The content hash of what a job trains on: part of its S3 prefix, and of the environment of the job."""

import re

from common.contract import CHANNEL, VOLUME_HASH


def job_environment(uri: str) -> dict[str, str]:
    """Return what a job's environment holds of a volume: its content hash; nothing where its place is no such one."""
    named = re.fullmatch(rf"s3://[^/]+/{CHANNEL}/([0-9a-f]{{16}})/?", uri)
    return {VOLUME_HASH: named[1]} if named else {}
