"""The curve of a running job, with all scalars, from the event files that SageMaker copies to S3."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pandas as pd

from common.aws_session import explained
from common.local_paths import local_path
from reward_curves.events import read_events
from reward_curves.table import RewardsError

if TYPE_CHECKING:
    from common.aws_session import Connection
    from training_jobs import Job

MAX_FILES, MAX_BYTES = 10_000, 2 * 10**9


def read_running(connection: Connection, job: Job) -> pd.DataFrame:
    """Read the curve of a job, which may still be running, from its event files in S3.

    Parameters
    ----------
    connection : Connection
    job : Job
        A job with checkpoints or a TensorBoard output.

    Returns
    -------
    pandas.DataFrame
        As from `read_events`, up to the newest copy in S3.

    Raises
    ------
    RewardsError
        As `read_events` does, or if the job copies no event files to S3.
    """
    places = [f"{job.checkpoints.rstrip('/')}/summaries"] if job.checkpoints else []
    places += [job.tensorboard] if job.tensorboard else []
    if not places:
        raise RewardsError(
            f"Expected event files of {job.name} in S3. It has no checkpoints and no TensorBoard output."
        )
    with tempfile.TemporaryDirectory(prefix="events-") as scratch:
        with explained(connection, RewardsError, f"{job.name} goes on while it runs, and is billed."):
            for place in places:  # checkpoints first: they include earlier jobs of the run
                if _download(connection, place, Path(scratch)):
                    break
        try:
            return read_events(scratch, job.hyperparameters.get("run-id", "run"), job.trainer)
        except RewardsError as error:
            raise RewardsError(str(error).replace(scratch, place)) from None


def _download(connection: Connection, place: str, folder: Path) -> int:
    """Download the event files below a place in S3, and return their number."""
    parts = urlparse(place)
    prefix = parts.path.strip("/") + "/"
    s3 = connection.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=parts.netloc, Prefix=prefix)
    found = {
        item["Key"]: item["Size"]
        for page in pages
        for item in page.get("Contents", [])
        if ".tfevents." in item["Key"] and not item["Key"].endswith("/")
    }
    if len(found) > MAX_FILES or sum(found.values()) > MAX_BYTES:
        raise RewardsError(
            f"Expected at most {MAX_FILES:,} event files and {MAX_BYTES:,} bytes at {place}, found {len(found):,} "
            f"and {sum(found.values()):,}. Remove there what does not belong to the run."
        )
    for key in found:
        try:
            target = folder / local_path(key.removeprefix(prefix))
            target.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(parts.netloc, key, str(target))
        except (ValueError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise RewardsError(f"Expected event files at {place}, found {key!r} ({error}). Remove it there.") from error
    return len(found)
