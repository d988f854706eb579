"""Fetch the results of a job that has ended.

Its archives are untrusted, because others may be able to write to the job's place in S3: files are written one by one,
with checked names and within limits. `tarfile`'s own filters are not used (CVE-2025-4517).
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

from common.aws_session import Connection, code, explained
from common.local_paths import local_path
from training_jobs.job import Job, TrainingError
from training_jobs.log import Log

MAX_BYTES = 20 * 10**9
"""Largest size of one archive: packed, unpacked, and written."""
MAX_MEMBERS = 100_000
"""Most files and folders in one archive."""
MAX_HEADER_BYTES = 2**16  # of one member's headers, which are kept in memory
CHUNK = 2**18  # bytes
MANY_DIGITS = re.compile(rb"\d{100}")
SHOWN = 3
ARCHIVES = ("model.tar.gz", "output.tar.gz")
LOG = "log.txt"
NOTE = "NOT-FETCHED.txt"
"""Lists the members that were not fetched; exists only if there are any."""
KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


def fetch(connection: Connection, job: Job, folder: str | Path) -> Path:
    """Fetch the results of a job that has ended to ``<folder>/<job name>/``.

    They are the model of each brain (``<Brain>.nn`` or ``.onnx``), `trainer_config.yaml`, `training.json`, the
    TensorBoard `summaries/` and the log, as far as the job got. A job is fetched once; a second call returns the same
    folder. Only plain files and folders are fetched, up to `MAX_BYTES` and `MAX_MEMBERS` of each archive;
    `NOT-FETCHED.txt` lists the others.

    Raises
    ------
    TrainingError
        If it has not ended, has no results, an archive is damaged or too large, or the disk is full. The readable part
        of a damaged archive, the other archive and the log are kept: the next call returns them.
    """
    destination = Path(folder) / _as_folder(job.name)
    if destination.is_dir():
        if (destination / NOTE).is_file():
            print(f"{destination} does not have all files of {job.name}: see {NOTE} there.")
        return destination
    if not job.ended:
        raise TrainingError(
            f"{job.name} is still {job.status}. Follow it to its end in notebook 04, then run this again."
        )
    hint = f"{job.name} has ended and is not billed; fetch it again later."
    log = Log(connection, job.name)
    with explained(connection, TrainingError, hint):
        log.read()
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        # Fetched to a temporary folder and then moved, so that an interrupted fetch leaves nothing incomplete.
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".fetch-") as scratch:
            target = Path(scratch, "results")
            target.mkdir()
            (target / LOG).write_text("\n".join(log.lines) + "\n", encoding="utf-8", errors="replace")
            with explained(connection, TrainingError, hint):
                unpacked = [_fetch_archive(connection, job, archive, Path(scratch)) for archive in ARCHIVES]
            found = [archive for archive in unpacked if archive]
            if not found:
                raise TrainingError(f"{job.name} ({job.status}) left neither model nor output. {job.failure}".strip())
            if notes := [note for archive in found for note in archive.notes]:
                (target / NOTE).write_text("\n".join(notes) + "\n", encoding="utf-8", errors="replace")
            try:
                target.rename(destination)
            except OSError:
                if not destination.is_dir():
                    raise
                return destination  # another process fetched it meanwhile
    except OSError as error:
        raise TrainingError(
            f"The results of {job.name} could not be written to {destination}: {error}. Nothing was kept. Make room "
            "there or name another folder, then run this again."
        ) from error
    _report(job, destination, found)
    return destination


def _as_folder(name: str) -> str:
    """Return a job's name if it is valid as a folder's name."""
    try:
        if len(local_path(name).parts) == 1:
            return name
    except ValueError:
        pass
    raise TrainingError(f"Expected the name of a job, found {name!r}, which cannot be the name of a folder.")


def _report(job: Job, destination: Path, found: list["Archive"]) -> None:
    """Print what was skipped. Raise TrainingError if an archive could not be read completely."""
    skipped = [note for archive in found for note in archive.skipped]
    if skipped:
        more = f" and {len(skipped) - SHOWN} more ({NOTE} lists them)" if len(skipped) > SHOWN else ""
        print(f"Not fetched of {job.name}: {'; '.join(skipped[:SHOWN])}{more}")
    if lost := [archive.lost for archive in found if archive.lost]:
        raise TrainingError(
            f"The results of {job.name} were fetched only in part: {'; '.join(lost)}. What could be read is in "
            f"{destination}, and {NOTE} there lists what is missing. Run this again to continue with it, or remove "
            f"{destination} to fetch it again."
        )


def _fetch_archive(connection: Connection, job: Job, name: str, scratch: Path) -> "Archive | None":
    """Download and unpack an archive; return None if there is none (SageMaker packs no empty folder)."""
    s3 = connection.client("s3")
    parts = urlparse(f"{job.output}/{name}")
    bucket, key = parts.netloc, parts.path.lstrip("/")
    archive = Archive(name, scratch / "results")
    try:
        size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        if size > MAX_BYTES:
            archive.lost = f"{name} has {size:,} bytes, more than the {MAX_BYTES:,} that are fetched"
            return archive
        s3.download_file(bucket, key, str(scratch / name))
    except ClientError as error:
        if code(error) not in ("404", "NoSuchKey"):
            raise
        return None
    archive.unpack(scratch / name)
    (scratch / name).unlink()
    return archive


@dataclass
class Archive:
    """An archive that is unpacked into a private folder.

    Attributes
    ----------
    name : str
    root : Path
    members, size : int
        Files and folders, and bytes in files, written so far.
    skipped : list of str
        Members that were not fetched, each with the reason.
    lost : str
        Why it was not read completely; empty if it was.
    """

    name: str
    root: Path
    members: int = 0
    size: int = 0
    skipped: list[str] = field(default_factory=list)
    lost: str = ""

    @property
    def notes(self) -> list[str]:
        """What was not fetched, and why."""
        return [*self.skipped, *([self.lost] if self.lost else [])]

    def unpack(self, path: Path) -> None:
        """Unpack its files and folders, as far as it can be read.

        Raises
        ------
        OSError
            If they can't be written.
        """
        try:
            with gzip.open(path) as stream:
                reader = Reader(stream)
                with tarfile.open(fileobj=reader, mode="r:") as tar:
                    while member := tar.next():
                        reader.allowed = math.inf
                        self._take(tar, member)
                        tar.members.clear()  # else it keeps all headers in memory
                        reader.allowed = MAX_HEADER_BYTES
                reader.allowed = math.inf
                if reader.last.strip(b"\0"):
                    raise tarfile.ReadError("what follows is not a tar header")
                while reader.read(CHUNK):  # up to the checksum at the end
                    pass
        except WriteError as error:
            raise error.__cause__ from None
        except Exception as error:  # the content is untrusted, and tarfile may raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            self.lost = f"{self.name} cannot be read after {self.members:,} members ({reason[:200]})"

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Unpack one member, or record why not."""
        self._count()
        try:
            path = local_path(member.name)
            if not path.parts:
                return  # the folder itself
            if path.parts[0].casefold() in (LOG.casefold(), NOTE.casefold()):
                raise ValueError("fetching writes a file with this name itself")
            if member.issparse() or not (member.isdir() or member.isreg()):
                kind = "a sparse file" if member.issparse() else KINDS.get(member.type, "of an unknown kind")
                raise ValueError(f"{kind}, not a plain file")
            if not 0 <= member.size <= MAX_BYTES - self.size:
                raise ValueError(f"{member.size:,} bytes, more than the {MAX_BYTES:,} that are fetched in all")
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
        """Write a new file; remove it if it could not be read completely."""
        with _Writing():
            file = os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb")
        try:
            with file:
                while block := source.read(CHUNK):
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
        if self.members > MAX_MEMBERS:
            raise LimitError(f"more than {MAX_MEMBERS:,} files and folders")


class LimitError(Exception):
    """An archive exceeds a limit."""


class WriteError(Exception):
    """A file can't be written; the cause is the OSError."""


class _Writing:
    """Separates errors caused by a member's name, which skip the member, from those that end the fetch."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            raise ValueError("a file or folder of the same name is there") from error
        if isinstance(error, OSError):
            if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
                raise ValueError(f"the file system does not accept the name: {error.strerror}") from error
            raise WriteError from error


class Reader:
    """A stream for `tarfile`: forward only, with a limit on the bytes.

    Attributes
    ----------
    allowed : float
        Bytes that may still be read: few for headers, because the archive itself sets their size.
    last : bytes
        The bytes of the last read.
    """

    def __init__(self, stream: BinaryIO):
        self.stream, self.position, self.allowed, self.last = stream, 0, MAX_HEADER_BYTES, b""

    def read(self, size: int) -> bytes:
        """Read the next bytes."""
        if not 0 <= size <= self.allowed:
            raise tarfile.ReadError(f"headers of more than {MAX_HEADER_BYTES:,} bytes")
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
        if self.position > MAX_BYTES:
            raise LimitError(f"more than {MAX_BYTES:,} bytes unpacked")
        return self.last

    def tell(self) -> int:
        """Return the number of bytes read."""
        return self.position

    def seek(self, position: int) -> None:
        """Skip to a later position, or to the end if there are fewer bytes."""
        if position < self.position:
            raise tarfile.ReadError("a member that begins before the end of the previous one")
        while self.position < position and self._read(min(CHUNK, position - self.position)):
            pass
