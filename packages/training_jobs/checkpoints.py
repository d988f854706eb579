"""The checkpoints of runs in S3: ``s3://<bucket>/checkpoints/<name of the run>/``.

SageMaker copies what a job writes to `/opt/ml/checkpoints` there while the job runs, and back before it starts the job
(again). A job whose place holds a run already goes on with that run.
"""

import re
import secrets
import time
from urllib.parse import urlparse

from common.aws_session import Connection

PREFIX = "checkpoints"
STAMP = re.compile(r"\d{8}-\d{6}(?:-[0-9a-f]{4})?")  # the name of a run that was given none


class CheckpointsError(RuntimeError):
    """There are no checkpoints to go on from."""


def make_name() -> str:
    """Make a name for a run that was given none, such as ``"20260131-120000-5f1a"``."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def locate(connection: Connection, run: str) -> str:
    """Return the S3 URI of a run's checkpoints in the connection's bucket."""
    return f"s3://{connection.bucket}/{PREFIX}/{run}/"


def name_earlier_run(connection: Connection, place: str) -> str:
    """Return the name of the run that a job with its checkpoints at `place` belongs to; empty for a new, unnamed run.

    The last folder of `place` is the run's name. It is unnamed if that is a date and a time, and nothing is there yet.
    """
    run = place.rstrip("/").rpartition("/")[2]
    return "" if STAMP.fullmatch(run) and not holds_files(connection, place) else run


def holds_files(connection: Connection, place: str) -> bool:
    """Return whether there is anything below an S3 URI."""
    bucket, folder = _split(place)
    return connection.client("s3").list_objects_v2(Bucket=bucket, Prefix=folder, MaxKeys=1)["KeyCount"] > 0


def copy(connection: Connection, source: str, target: str) -> int:
    """Copy a run's checkpoints to another place within S3, and return the number of files.

    Parameters
    ----------
    connection : Connection
    source, target : str
        S3 URIs of folders.

    Raises
    ------
    CheckpointsError
        If there is no checkpoint at `source`.
    """
    s3 = connection.client("s3")
    bucket, folder = _split(source)
    to_bucket, to_folder = _split(target)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    if not any(key.endswith(".cptk.index") for key in keys):
        raise CheckpointsError(f"Expected checkpoints at {source}, found none.")
    for key in keys:
        s3.copy({"Bucket": bucket, "Key": key}, to_bucket, to_folder + key.removeprefix(folder))
    return len(keys)


def _split(uri: str) -> tuple[str, str]:
    parts = urlparse(uri)
    return parts.netloc, parts.path.strip("/") + "/"
