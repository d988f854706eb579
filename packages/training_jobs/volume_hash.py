"""The content hash of a job's volume, which is part of its S3 prefix and of the job's environment."""

import re

from common.contract import CHANNEL, VOLUME_HASH


def job_environment(uri: str) -> dict[str, str]:
    """Return the environment variable with a volume's content hash; empty if its S3 URI has none."""
    match = re.fullmatch(rf"s3://[^/]+/{CHANNEL}/([0-9a-f]{{16}})/?", uri)
    return {VOLUME_HASH: match[1]} if match else {}
