"""Transfers of a job's files between its folder and S3, in SageMaker's layout."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

THREADS = 4
DEEPEST = 200
"""How deep folders may be nested in an upload; `os.fwalk` is recursive."""
KINDS = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
KINDS |= dict.fromkeys((stat.S_IFCHR, stat.S_IFBLK), "a device")


class TransferError(Exception):
    """A transfer failed for a reason that the job's owner can fix; the message becomes the FailureReason."""


def split(uri: str) -> tuple[str, str]:
    """Split an S3 address into bucket and key."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def require_bucket(s3: BaseClient, uri: str) -> None:
    """Raise `TransferError` if the bucket of `uri` does not exist."""
    bucket, _ = split(uri)
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        raise TransferError(
            f'ClientError: Results should be written to "{uri}", but there is no bucket "{bucket}". '
            "Create it, or set another output path."
        ) from error


def listing(s3: BaseClient, uri: str) -> Iterator[tuple[str, str]]:
    """List the objects of an S3Prefix: pairs of a key and its path below the prefix.

    A prefix need not end at a folder. As in SageMaker, the key ``…/data/a`` becomes ``a`` for ``…/data``.
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
    s3: BaseClient,
    uri: str,
    folder: Path,
    role: str = "",
    read_only: bool = False,
    keep_going: Callable[[], bool] = bool,
) -> int:
    """Download everything below `uri` into `folder`, and return the number of files.

    Files are read-only with `read_only`, as in FastFile mode. When `keep_going` returns False, the rest is skipped.
    Raise `TransferError` if there is nothing, naming `role`, or if a key leads out of the folder.
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
        if not keep_going():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:
                s3.download_fileobj(bucket, key, file)
        except OSError as error:  # such as a key and a "folder" of the same name, or a name too long
            raise TransferError(f'ClientError: Data download failed: "{key}": {error.strerror}') from error
        target.chmod(0o444 if read_only else 0o644)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fetch, found))
    return len(found)


def open_inside(base: Path, below: str) -> BinaryIO:
    """Open a regular file that a job's program has written below `base`.

    No link on the path is followed and no FIFO waited for, even if the program changes the path meanwhile.

    Raise `OSError` if there is no regular file.
    """
    *folders, name = PurePosixPath(below).parts
    directory = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = inner
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{below} is no regular file")
    return os.fdopen(file, "rb")


def open_own(path: str, flags: int) -> int:
    """Open one of the server's own files; refuse a link or FIFO that the program has put in its place."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def remove(*paths: Path) -> None:
    """Remove files and folders of a job's program, as far as possible.

    `shutil.rmtree` is recursive, and fails on folders nested a thousand deep.
    """
    subprocess.run(["/bin/rm", "-rf", "--", *paths], stderr=subprocess.DEVNULL, check=False)


def walk(base: Path, folder: Path, leave_out: Callable[[str], None]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each file and folder below `folder` as its path and status; no link is followed.

    `leave_out` is called with the path below `base`, the job's folder, and the kind of everything else, such as a
    link.
    """
    top = base
    for part in folder.relative_to(base).parts:
        top /= part
        if top.is_symlink():
            leave_out(f"{top.relative_to(base)} (a link)")
            return
    for place, folders, files, handle in os.fwalk(folder, follow_symlinks=False):
        if len(Path(place).relative_to(folder).parts) >= DEEPEST and folders:
            leave_out(f"{Path(place).relative_to(base)}/* (folders more than {DEEPEST} deep)")
            folders.clear()
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            try:
                found = os.stat(name, dir_fd=handle, follow_symlinks=False)
            except OSError:
                continue  # deleted meanwhile
            if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
                yield path.relative_to(folder).as_posix(), found
            else:
                leave_out(f"{path.relative_to(base)} ({KINDS.get(stat.S_IFMT(found.st_mode), 'no regular file')})")


def upload_archive(s3: BaseClient, base: Path, folder: Path, uri: str, leave_out: Callable[[str], None]) -> None:
    """Pack `folder`, in the job's folder `base`, as ``tar.gz`` and upload it to `uri`."""
    bucket, key = split(uri)
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w:gz", dereference=True) as archive:
            for below, found in sorted(walk(base, folder, leave_out)):
                if stat.S_ISDIR(found.st_mode):
                    about = tarfile.TarInfo(below)
                    about.type, about.mode, about.mtime = tarfile.DIRTYPE, found.st_mode & 0o777, int(found.st_mtime)
                    archive.addfile(about)
                    continue
                with contextlib.suppress(FileNotFoundError), _open(base, folder, below, leave_out) as content:
                    archive.addfile(archive.gettarinfo(arcname=below, fileobj=content), content)
        file.seek(0)
        s3.upload_fileobj(file, bucket, key)


def upload_folder(s3: BaseClient, base: Path, folder: Path, uri: str, leave_out: Callable[[str], None]) -> None:
    """Upload every file of `folder`, in the job's folder `base`, below `uri`."""
    bucket, prefix = split(uri)
    for below, found in walk(base, folder, leave_out):
        if stat.S_ISREG(found.st_mode):
            with contextlib.suppress(FileNotFoundError), _open(base, folder, below, leave_out) as content:
                s3.upload_fileobj(content, bucket, f"{prefix.rstrip('/')}/{below}")


def _open(base: Path, folder: Path, below: str, leave_out: Callable[[str], None]) -> BinaryIO:
    """Open a file that `walk` has found; raise FileNotFoundError if it can no longer be read."""
    path = (folder / below).relative_to(base).as_posix()
    try:
        return open_inside(base, path)
    except OSError as error:
        leave_out(f"{path} ({error.strerror or error})")
        raise FileNotFoundError(path) from error


class Mirror:
    """Keeps a copy in S3 of a folder that changes, as SageMaker does with checkpoints.

    Nothing is deleted in S3. Files are uploaded oldest first, so that one that names others (TensorFlow's
    ``checkpoint``) arrives after them.
    """

    def __init__(
        self, s3: BaseClient, base: Path, folder: Path, uri: str, leave_out: Callable[[str], None] = lambda path: None
    ):
        self.s3, self.base, self.folder, self.uri, self.leave_out = s3, base, folder, uri, leave_out
        self.bucket, prefix = split(uri)
        self.prefix = prefix.rstrip("/")
        self.sent: dict[str, tuple[int, int]] = {}

    def restore(self) -> int:
        """Download the files in S3; return their number."""
        count = 0
        for key, below in list(listing(self.s3, f"s3://{self.bucket}/{self.prefix}/")):
            target = self.folder / below
            if not target.resolve().is_relative_to(self.folder.resolve()):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(self.bucket, key, str(target))
            self.sent[below] = _stamp(target.stat())
            count += 1
        return count

    def push(self) -> int:
        """Upload the files that have changed since they were last sent; return their number."""
        changed = []
        for below, found in walk(self.base, self.folder, self.leave_out):
            if stat.S_ISREG(found.st_mode) and self.sent.get(below) != _stamp(found):
                changed.append((_stamp(found), below))
        count = 0
        for stamp, below in sorted(changed):
            try:
                with _open(self.base, self.folder, below, self.leave_out) as file:
                    data = file.read()
            except OSError:
                continue
            key = f"{self.prefix}/{below}" if self.prefix else below
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)
            self.sent[below] = stamp
            count += 1
        return count


def _stamp(found: os.stat_result) -> tuple[int, int]:
    return found.st_mtime_ns, found.st_size


TRANSFER_ERRORS: tuple[type[Exception], ...] = (BotoCoreError, ClientError, OSError)


def channel_problem(channel: dict[str, Any]) -> str | None:
    """Return why the embedded AWS does not support a channel, or None."""
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        return "only S3 data sources"
    if source["S3DataType"] != "S3Prefix":
        return "only S3DataType S3Prefix"
    if channel.get("CompressionType", "None") != "None":
        return "only channels without compression"
    return None
