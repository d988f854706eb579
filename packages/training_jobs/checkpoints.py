"""The checkpoints of runs in S3: ``s3://<bucket>/checkpoints/<name of the run>/``.

SageMaker copies a job's `/opt/ml/checkpoints` there while the job runs, and back before it starts the job (again). If
the place has the checkpoints of a run already, the job continues that run.
"""

import re
import secrets
import time
from urllib.parse import urlparse

from common.aws_session import Connection
from common.contract import TRAINERS

PREFIX = "checkpoints"
STAMP = re.compile(r"\d{8}-\d{6}(?:-[0-9a-f]{4})?")  # the generated name of an unnamed run


class CheckpointsError(RuntimeError):
    """There are no checkpoints to continue from."""


def make_name() -> str:
    """Return a name for an unnamed run, such as ``"20260131-120000-5f1a"``."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def locate(connection: Connection, run: str) -> str:
    """Return the S3 URI of a run's checkpoints in the connection's bucket."""
    return f"s3://{connection.bucket}/{PREFIX}/{run}/"


def name_earlier_run(connection: Connection, place: str) -> str:
    """Return the name of the run with its checkpoints at `place`; empty for a new, unnamed run.

    The last folder of `place` is the run's name. A run is unnamed if that is a date and time, without any files.
    """
    run = place.rstrip("/").rpartition("/")[2]
    return "" if STAMP.fullmatch(run) and not holds_files(connection, place) else run


def holds_files(connection: Connection, place: str) -> bool:
    """Return whether there are objects below an S3 URI."""
    bucket, folder = _split(place)
    return connection.client("s3").list_objects_v2(Bucket=bucket, Prefix=folder, MaxKeys=1)["KeyCount"] > 0


def refuse_other_version(connection: Connection, place: str, trainer: str) -> None:
    """Raise a `CheckpointsError` if a place has checkpoints of another version of ML-Agents than `trainer`."""
    for version, row in TRAINERS.items():
        if version != trainer and holds_files(connection, f"{place.rstrip('/')}/{row['runs']}"):
            raise CheckpointsError(
                f"Expected checkpoints of ML-Agents {trainer} at {place}, found those of {version}, which it can't "
                "read."
            )


def copy(connection: Connection, source: str, target: str, trainer: str) -> int:
    """Copy a run's checkpoints to another place within S3, and return the number of files.

    Parameters
    ----------
    connection : Connection
    source, target : str
        S3 URIs of folders.
    trainer : str
        The version of ML-Agents that is to continue from them.

    Raises
    ------
    CheckpointsError
        If there is no checkpoint at `source`, or those of another version.
    """
    s3 = connection.client("s3")
    bucket, folder = _split(source)
    to_bucket, to_folder = _split(target)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    refuse_other_version(connection, source, trainer)
    if not any(key.endswith(TRAINERS[trainer]["checkpoint_suffix"]) for key in keys):
        raise CheckpointsError(f"Expected checkpoints at {source}, found none.")
    for key in keys:
        s3.copy({"Bucket": bucket, "Key": key}, to_bucket, to_folder + key.removeprefix(folder))
    return len(keys)


def _split(uri: str) -> tuple[str, str]:
    parts = urlparse(uri)
    return parts.netloc, parts.path.strip("/") + "/"
