"""Bring what an ended job left."""

import shutil
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import urlparse

from botocore.exceptions import ClientError

from helpers.aws import Connection
from helpers.training.job import Job, TrainingError
from helpers.training.log import Log


def fetch(connection: Connection, job: Job, folder: str | Path) -> Path:
    """Bring what an ended job left to ``<folder>/<job name>/``.

    There lie then the model of each brain (``<Brain>.nn``), `trainer_config.yaml`, `training.json`, the TensorBoard
    `summaries/` and the log, as far as the job got. A job is fetched once; a second call finds it there.

    Raises
    ------
    TrainingError
        If it has not ended, or left nothing.
    """
    place = Path(folder) / job.name
    if place.is_dir():
        return place
    if not job.ended:
        raise TrainingError(
            f"{job.name} is still {job.status}. Follow it to its end in notebook 04, then run this again."
        )
    log = Log(connection, job.name)
    log.read()
    place.parent.mkdir(parents=True, exist_ok=True)
    # Fetched beside its place and moved there whole, so that a fetch cut off leaves nothing half done.
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as scratch:
        target = Path(scratch, job.name)
        target.mkdir()
        found = [
            download(connection, f"{job.output}/{archive}", Path(scratch, archive))
            for archive in ("model.tar.gz", "output.tar.gz")
        ]
        if not any(found):
            raise TrainingError(f"{job.name} ({job.status}) left neither model nor output. {job.failure}".strip())
        for archive in filter(None, found):
            with tarfile.open(archive) as tar:
                tar.extractall(target, filter="data")
        (target / "log.txt").write_text("\n".join(log.lines) + "\n")
        shutil.move(target, place)
    return place


def download(connection: Connection, uri: str, path: Path) -> Path | None:
    """Download an archive and return its path; None if the job left none (SageMaker makes none of an empty folder)."""
    parts = urlparse(uri)
    try:
        connection.client("s3").download_file(parts.netloc, parts.path.lstrip("/"), str(path))
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
            raise
        return None
    return path
