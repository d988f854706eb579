"""Fetch what an ended job left.

Whoever may write to the job's place in S3 decides what its archives hold, so nothing of them is trusted: files are
written one by one, by names that were checked, and counted while they are written. `tarfile`'s own filters are not
relied on (CVE-2025-4517).
"""

import errno
import gzip
import math
import os
import re
import tarfile
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlparse

from botocore.exceptions import ClientError

from common.aws_session import Connection, explained
from common.local_paths import local_path
from training_jobs.job import Job, TrainingError
from training_jobs.log import Log

MOST_BYTES = 20 * 10**9
"""Of one archive: packed, unpacked, and written."""
MOST_MEMBERS = 100_000
"""Files and folders of one archive."""
MOST_IN_HEADERS = 2**16  # bytes that come before a member's own; what they say is kept in memory
AT_ONCE = 2**18  # bytes
MANY_DIGITS = re.compile(rb"\d{100}")
SHOWN = 3
ARCHIVES = ("model.tar.gz", "output.tar.gz")
LOG = "log.txt"
NOTE = "NOT-FETCHED.txt"
"""Lists what an archive held and was not brought; there only if there is something to list."""
KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


def fetch(connection: Connection, job: Job, folder: str | Path) -> Path:
    """Fetch what an ended job left to ``<folder>/<job name>/``.

    There lie then the model of each brain (``<Brain>.nn``), `trainer_config.yaml`, `training.json`, the TensorBoard
    `summaries/` and the log, as far as the job got. A job is fetched once; a second call finds it there. Only plain
    files and folders are brought, up to `MOST_BYTES` and `MOST_MEMBERS` of each archive. `NOT-FETCHED.txt` names the
    others.

    Raises
    ------
    TrainingError
        If it has not ended, left nothing, an archive is damaged or too large, or there is no room here. What could be
        read of a damaged archive, the other archive and the log are kept: the next call returns them.
    """
    place = Path(folder) / _as_folder(job.name)
    if place.is_dir():
        if (place / NOTE).is_file():
            print(f"{place} is not all that {job.name} left: see {NOTE} there.")
        return place
    if not job.ended:
        raise TrainingError(
            f"{job.name} is still {job.status}. Follow it to its end in notebook 04, then run this again."
        )
    later = f"{job.name} has ended and is not billed; fetch it again later."
    log = Log(connection, job.name)
    with explained(connection, TrainingError, later):
        log.read()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Fetched beside its place and moved there whole, so that a fetch cut off leaves nothing half done.
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as scratch:
            target = Path(scratch, "results")
            target.mkdir()
            (target / LOG).write_text("\n".join(log.lines) + "\n", encoding="utf-8", errors="replace")
            with explained(connection, TrainingError, later):
                unpacked = [_fetch_archive(connection, job, archive, Path(scratch)) for archive in ARCHIVES]
            found = [archive for archive in unpacked if archive]
            if not found:
                raise TrainingError(f"{job.name} ({job.status}) left neither model nor output. {job.failure}".strip())
            if notes := [note for archive in found for note in archive.notes]:
                (target / NOTE).write_text("\n".join(notes) + "\n", encoding="utf-8", errors="replace")
            try:
                target.rename(place)
            except OSError:
                if not place.is_dir():
                    raise
                return place  # somebody else fetched it meanwhile
    except OSError as error:
        raise TrainingError(
            f"What {job.name} left could not be written to {place}: {error}. Nothing was kept. Make room there or name "
            "another folder, then run this again."
        ) from error
    _report(job, place, found)
    return place


def _as_folder(name: str) -> str:
    """Return a job's name if it can be a folder's."""
    try:
        if len(local_path(name).parts) == 1:
            return name
    except ValueError:
        pass
    raise TrainingError(f"Expected the name of a job, found {name!r}, which cannot be the name of a folder.")


def _report(job: Job, place: Path, found: list["Archive"]) -> None:
    """Print what was skipped. Raises TrainingError if something was lost."""
    skipped = [note for archive in found for note in archive.skipped]
    if skipped:
        more = f" and {len(skipped) - SHOWN} more ({NOTE} lists them)" if len(skipped) > SHOWN else ""
        print(f"Not fetched of {job.name}: {'; '.join(skipped[:SHOWN])}{more}")
    if lost := [archive.lost for archive in found if archive.lost]:
        raise TrainingError(
            f"What {job.name} left was fetched in part: {'; '.join(lost)}. What could be had is in {place}, and {NOTE} "
            f"there says what is missing. Run this again to go on with it, or remove {place} to fetch it anew."
        )


def _fetch_archive(connection: Connection, job: Job, name: str, scratch: Path) -> "Archive | None":
    """Download an archive and unpack it; None if the job left none (SageMaker makes none of an empty folder)."""
    s3 = connection.client("s3")
    parts = urlparse(f"{job.output}/{name}")
    bucket, key = parts.netloc, parts.path.lstrip("/")
    archive = Archive(name, scratch / "results")
    try:
        size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        if size > MOST_BYTES:
            archive.lost = f"{name} has {size:,} bytes, more than the {MOST_BYTES:,} that are fetched"
            return archive
        s3.download_file(bucket, key, str(scratch / name))
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
            raise
        return None
    archive.unpack(scratch / name)
    (scratch / name).unlink()
    return archive


@dataclass
class Archive:
    """An archive on its way into a folder that nobody else writes to.

    Attributes
    ----------
    name : str
    root : Path
    members, size : int
        How many files and folders, and bytes in files, it has made.
    skipped : list of str
        Members that were not brought, each with the reason.
    lost : str
        Why it was not read to its end, or not trusted; empty if all is well.
    """

    name: str
    root: Path
    members: int = 0
    size: int = 0
    skipped: list[str] = field(default_factory=list)
    lost: str = ""

    @property
    def notes(self) -> list[str]:
        """What was not brought, and why."""
        return [*self.skipped, *([self.lost] if self.lost else [])]

    def unpack(self, path: Path) -> None:
        """Bring its files and folders, as far as it can be read.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        try:
            with gzip.open(path) as stream:
                reader = Reader(stream)
                with tarfile.open(fileobj=reader, mode="r:") as tar:
                    while member := tar.next():
                        reader.allowed = math.inf
                        self._take(tar, member)
                        tar.members.clear()  # which would otherwise hold all headers
                        reader.allowed = MOST_IN_HEADERS
                reader.allowed = math.inf
                if reader.last.strip(b"\0"):
                    raise tarfile.ReadError("what follows is no tar header")
                while reader.read(AT_ONCE):  # to the checksum at the end
                    pass
        except WriteError as error:
            raise error.__cause__ from None
        except Exception as error:  # a parser of what anybody may have written
            told = " ".join(str(error).split()) or type(error).__name__
            self.lost = f"{self.name} cannot be read on after {self.members:,} members ({told[:200]})"

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Bring one member, or note why not."""
        self._count()
        try:
            path = local_path(member.name)
            if not path.parts:
                return  # the folder itself
            if path.parts[0].casefold() in (LOG.casefold(), NOTE.casefold()):
                raise ValueError("fetching writes a file of this name itself")
            if member.issparse() or not (member.isdir() or member.isreg()):
                kind = "a sparse file" if member.issparse() else KINDS.get(member.type, "of an unknown kind")
                raise ValueError(f"{kind}, no plain file")
            if not 0 <= member.size <= MOST_BYTES - self.size:
                raise ValueError(f"{member.size:,} bytes, more than the {MOST_BYTES:,} of all that are fetched")
            target = self.root.joinpath(*path.parts)
            self._make_folders(target.parent)
            if member.isreg():
                self._write(tar.extractfile(member), target)
            elif not target.is_dir():
                with _Writing():
                    target.mkdir()
        except (ValueError, tarfile.ReadError) as error:
            self.skipped.append(f"{self.name}: {member.name[:200]!r} ({error})")

    def _make_folders(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if path.is_relative_to(self.root) and not path.is_dir()]
        for path in reversed(missing):
            self._count()
            with _Writing():
                path.mkdir()

    def _write(self, source: BinaryIO, target: Path) -> None:
        """Write a file that is not there yet, and remove it again if not all of it came."""
        with _Writing():
            file = os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb")
        try:
            with file:
                while block := source.read(AT_ONCE):
                    self.size += len(block)
                    with _Writing():
                        file.write(block)
                with _Writing():
                    file.flush()
        except BaseException:
            target.unlink()
            raise

    def _count(self) -> None:
        self.members += 1
        if self.members > MOST_MEMBERS:
            raise LimitError(f"more than {MOST_MEMBERS:,} files and folders")


class LimitError(Exception):
    """An archive holds more than is fetched."""


class WriteError(Exception):
    """What an archive holds cannot be written here; the cause is the OSError."""


class _Writing:
    """Tells errors of a member's name, for which it is skipped, from those that end the fetch."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            raise ValueError("a file or folder of the same name is there") from error
        if isinstance(error, OSError):
            if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
                raise ValueError(f"the file system does not take the name: {error.strerror}") from error
            raise WriteError from error


class Reader:
    """What `tarfile` reads an archive through: forward only, and a bounded number of bytes.

    Attributes
    ----------
    allowed : float
        Bytes that may be read on: few while headers are read, for their sizes are what an archive says they are.
    last : bytes
        What was read last.
    """

    def __init__(self, stream: BinaryIO):
        self.stream, self.position, self.allowed, self.last = stream, 0, MOST_IN_HEADERS, b""

    def read(self, size: int) -> bytes:
        """Read on."""
        if not 0 <= size <= self.allowed:
            raise tarfile.ReadError(f"headers of more than {MOST_IN_HEADERS:,} bytes")
        self.allowed -= size
        data = self._read(size)
        if self.allowed < math.inf and MANY_DIGITS.search(data):  # CVE-2024-6232: these take tarfile hours
            raise tarfile.ReadError("a header with a number of a hundred digits")
        return data

    def _read(self, size: int) -> bytes:
        try:
            self.last = self.stream.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise tarfile.ReadError(str(error)) from error
        self.position += len(self.last)
        if self.position > MOST_BYTES:
            raise LimitError(f"more than {MOST_BYTES:,} bytes unpacked")
        return self.last

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self.position

    def seek(self, position: int) -> None:
        """Skip to a later position, or to the end if there are fewer bytes."""
        if position < self.position:
            raise tarfile.ReadError("a member that begins before the end of the one before it")
        while self.position < position and self._read(min(AT_ONCE, position - self.position)):
            pass
