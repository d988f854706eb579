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
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class CheckpointsError(RuntimeError):
    """A run has no checkpoints to go on from, or its name cannot be one."""


def make_name() -> str:
    """Make a name for a run that was given none, such as ``"20260131-120000-5f1a"``."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def locate(connection: Connection, run: str) -> str:
    """Return the S3 URI of a run's checkpoints.

    Raises
    ------
    CheckpointsError
        If `run` cannot be part of it.
    """
    if not NAME.fullmatch(run):
        raise CheckpointsError(
            f"Expected a name of up to 63 letters, digits, dots, dashes and underscores for the checkpoints, found "
            f"{run!r}."
        )
    return f"s3://{connection.bucket}/{PREFIX}/{run}/"


def copy(connection: Connection, source: str, target: str) -> int:
    """Copy a run's checkpoints to another place, within S3.

    Parameters
    ----------
    connection : Connection
    source, target : str
        S3 URIs of folders.

    Returns
    -------
    int
        The number of files.

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
