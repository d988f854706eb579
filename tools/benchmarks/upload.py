"""Rows about the upload, compared with `aws s3 sync` to the same endpoint."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uv

import sagemaker_local as embedded
from common import aws_session
from helpers import aws, volume
from tools.benchmarks import HOME, processes
from tools.benchmarks.comparison import AbsentError, Comparison, Measurements, Row

SIZES = {"120 files, 70 MB": (120, 70_000_000), "3,000 files, 600 MB": (3000, 600_000_000)}
OURS, OTHER = "helpers.volume", "aws s3 sync"
CLI_VERSION = "1.46.3"
CLI = HOME / f"aws-cli-{CLI_VERSION}"
ROWS = (
    Row("first", "upload {size}, first", "s", OURS, OTHER, "first"),
    Row("again", "upload {size}, repeated", "s", OURS, OTHER, "again"),
)


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    return [
        Comparison(
            f"upload.{shape[0]}",
            {
                OURS: lambda run, shape=shape: measure(upload, *shape),
                OTHER: lambda run, shape=shape: measure(sync, *shape),
            },
            tuple(Row(row.name, row.title.format(size=size), row.unit, OURS, OTHER, row.measure) for row in ROWS),
            f"To a separate embedded AWS on this machine. The AWS CLI is {CLI_VERSION}. "
            "Ours hashes every file and has S3 verify the hashes; sync compares sizes and times, and has S3 verify "
            "CRCs. The time of the CLI includes the start of its process; ours runs "
            "in a notebook's kernel, which is already running.",
        )
        for size, shape in SIZES.items()
    ]


def measure(send, files: int, size: int) -> Measurements:
    """Time a first and a repeated upload of random files to an empty S3."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, own_embedded(Path(scratch) / "home"):
        folder = Path(scratch) / "unity-volume"
        fill(folder, files, size)
        connection = aws.connect("embedded")
        times = {}
        for name in ("first", "again"):
            times[name] = send(connection, folder)
        return times


def fill(folder: Path, files: int, size: int) -> None:
    """Write files of random bytes with sizes as in a build: most are small, a few make up most of the total."""
    numbers = random.Random(1)  # noqa: S311  the same files each time
    weights = [numbers.paretovariate(1.2) for _ in range(files)]
    for index, weight in enumerate(weights):
        subfolder = folder / f"Data_{index % 20}"
        subfolder.mkdir(parents=True, exist_ok=True)
        (subfolder / f"{index}.assets").write_bytes(numbers.randbytes(max(1, round(size * weight / sum(weights)))))


@contextlib.contextmanager
def own_embedded(home: Path) -> Iterator[None]:
    """Run an embedded AWS with its files in `home`; stop it on exit and restore the environment."""
    before = os.environ.get("EMBEDDED_HOME")
    os.environ["EMBEDDED_HOME"] = str(home)
    try:
        embedded.start()
        yield
    finally:
        embedded.stop()
        os.environ.pop("EMBEDDED_HOME")
        if before is not None:
            os.environ["EMBEDDED_HOME"] = before


def upload(connection: aws_session.Connection, folder: Path) -> float:
    """Upload with this project; return the seconds."""
    start = time.monotonic()
    volume.upload(connection.client("s3"), connection.bucket, folder, progress=False)
    return time.monotonic() - start


def sync(connection: aws_session.Connection, folder: Path) -> float:
    """Upload with the AWS CLI at its defaults; return the seconds, including the start of its process."""
    program = find_cli()
    mark = processes.new_mark()
    start = time.monotonic()
    with processes.none_left(mark):
        process = subprocess.run(
            [program, "s3", "sync", "--only-show-errors", folder, f"s3://{connection.bucket}/synced/"],
            env={**embedded.find(connection.home).environment, **mark},
            capture_output=True,
            text=True,
        )
    if process.returncode:
        raise RuntimeError(f"aws s3 sync failed: {process.stderr.strip()}")
    return time.monotonic() - start


def find_cli() -> Path:
    """Return the AWS CLI, which is installed for the benchmarks on first use so that its version is known.

    Raises
    ------
    AbsentError
        If it cannot be installed.
    """
    program = CLI / "bin" / "aws"
    if not (CLI / "made").is_file():
        shutil.rmtree(CLI, ignore_errors=True)
        package = f"awscli=={CLI_VERSION}"
        for command in (["venv", "--quiet", str(CLI)], ["pip", "install", "--quiet", "--python", str(CLI), package]):
            process = subprocess.run([uv.find_uv_bin(), *command], capture_output=True, text=True)
            if process.returncode:
                raise AbsentError(f"the AWS CLI could not be installed: {process.stderr.strip().splitlines()[-1]}")
        (CLI / "made").touch()
    return program
