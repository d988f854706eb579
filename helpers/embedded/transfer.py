"""Moves a job's files between its folder and S3, as SageMaker lays them out."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

THREADS = 4


class TransferError(Exception):
    """A transfer failed for a reason that the job's owner can mend; the message is a FailureReason."""


def split(uri: str) -> tuple[str, str]:
    """Split an S3 address into bucket and key."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def require_bucket(s3: BaseClient, uri: str) -> None:
    """Check that results can be written to `uri`, before anything is trained.

    Raises
    ------
    TransferError
        If its bucket does not exist.
    """
    bucket, _ = split(uri)
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        raise TransferError(
            f'ClientError: Results are to go to "{uri}", but there is no bucket "{bucket}". '
            "Create it, or give another output path."
        ) from error


def listing(s3: BaseClient, uri: str) -> Iterator[tuple[str, str]]:
    """List what an S3Prefix means: pairs of a key and its path below the prefix.

    A prefix is one of names, not of folders; as in SageMaker, ``…/data`` takes ``…/data/a`` as ``a``.
    """
    bucket, prefix = split(uri)
    folder = prefix if prefix.endswith("/") or not prefix else prefix + "/"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            key = item["Key"]
            below = key[len(folder) :] if key.startswith(folder) else key[prefix.rfind("/") + 1 :]
            if below and not below.endswith("/"):
                yield key, below


def download(
    s3: BaseClient, uri: str, folder: Path, role: str = "", read_only: bool = False, go_on: Callable[[], bool] = bool
) -> int:
    """Download everything below `uri` into `folder`; S3 keeps no permission bits, so neither do the files.

    Parameters
    ----------
    s3, uri, folder
        Where from, where to.
    role
        For the message when there is nothing.
    read_only
        Whether the files are made read-only (FastFile mode).
    go_on
        Asked before each file; when it says no, the rest is left.

    Returns
    -------
    int
        The number of files.

    Raises
    ------
    TransferError
        If there is nothing, or a name leads out of the folder.
    """
    bucket, _ = split(uri)
    try:
        found = list(listing(s3, uri))
    except ClientError:
        found = []
    if not found:
        raise TransferError(
            f'ClientError: Data download failed: No S3 objects found under S3 URL "{uri}" given in input data '
            f"source. Please ensure that the bucket exists in the selected region, that objects exist under that "
            f'S3 prefix, and that the role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
        )

    def fetch(item: tuple[str, str]) -> None:
        key, below = item
        target = folder / below
        if not target.resolve().is_relative_to(folder.resolve()):
            raise TransferError(f'ClientError: Data download failed: the key "{key}" leads out of its channel.')
        if not go_on():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:
                s3.download_fileobj(bucket, key, file)
        except OSError as error:  # a key and a "folder" of the same name, a name too long
            raise TransferError(f'ClientError: Data download failed: "{key}": {error.strerror}') from error
        target.chmod(0o444 if read_only else 0o644)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, found))
    return len(found)


def upload_archive(s3: BaseClient, folder: Path, uri: str) -> None:
    """Pack `folder` as ``tar.gz`` and put it at `uri`."""
    bucket, key = split(uri)
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, arcname=path.name)
        file.seek(0)
        s3.upload_fileobj(file, bucket, key)


def upload_folder(s3: BaseClient, folder: Path, uri: str) -> None:
    """Put every file of `folder` below `uri`."""
    bucket, prefix = split(uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), bucket, f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}")


class Mirror:
    """Keeps a copy in S3 of a folder that changes, as SageMaker does with checkpoints.

    Nothing is deleted in S3. Files go oldest first, so that one that names others (TensorFlow's ``checkpoint``)
    arrives after them.
    """

    def __init__(self, s3: BaseClient, folder: Path, uri: str):
        self.s3, self.folder, self.uri = s3, folder, uri
        self.bucket, prefix = split(uri)
        self.prefix = prefix.rstrip("/")
        self.sent: dict[str, tuple[int, int]] = {}

    def restore(self) -> int:
        """Download what S3 holds, whole files only; give their number."""
        count = 0
        for key, below in list(listing(self.s3, f"s3://{self.bucket}/{self.prefix}/")):
            target = self.folder / below
            if not target.resolve().is_relative_to(self.folder.resolve()):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(self.bucket, key, str(target))
            self.sent[below] = self._stamp(target)
            count += 1
        return count

    def push(self) -> int:
        """Upload what has changed since it was last sent; give the number of files."""
        changed = []
        for path in self.folder.rglob("*"):
            try:
                stamp = self._stamp(path)
                if path.is_file() and self.sent.get(below := path.relative_to(self.folder).as_posix()) != stamp:
                    changed.append((stamp, below))
            except OSError:
                continue  # deleted meanwhile
        count = 0
        for stamp, below in sorted(changed):
            try:
                data = (self.folder / below).read_bytes()
            except OSError:
                continue
            key = f"{self.prefix}/{below}" if self.prefix else below
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)
            self.sent[below] = stamp
            count += 1
        return count

    @staticmethod
    def _stamp(path: Path) -> tuple[int, int]:
        status = path.stat()
        return status.st_mtime_ns, status.st_size


TRANSFER_ERRORS: tuple[type[Exception], ...] = (BotoCoreError, ClientError, OSError)


def channel_problem(channel: dict[str, Any]) -> str | None:
    """Say what of a channel the embedded AWS can't do, or None."""
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        return "only S3 data sources"
    if source["S3DataType"] != "S3Prefix":
        return "only S3DataType S3Prefix"
    if channel.get("CompressionType", "None") != "None":
        return "only channels without compression"
    return None
