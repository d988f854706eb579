"""`unity-volume/` on its way to S3: what belongs to it, its content hash, and the upload.

The hash names the place: ``s3://<bucket>/unity-volume/<content hash>/``. The same files always lie at the same
place, a changed file makes a new one, and nothing is ever overwritten under a job that reads it.

The place also holds the text that the hash is of, as `SHA256SUMS`: one line for each file, as `sha256sum` writes it. A
job is launched with the hash, and compares what it was given with that list before it trains.
"""

import base64
import hashlib
import io
import math
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from s3transfer.subscribers import BaseSubscriber
from tqdm import tqdm

from common.aws_session import Connection, explained
from common.contract import CHANNEL, LIST_OF_HASHES
from common.local_paths import local_path
from mlagents_check.unity_build.listing import is_left_out

TRANSFER = TransferConfig(multipart_threshold=16 * 2**20, multipart_chunksize=16 * 2**20, max_concurrency=16)

STILL = 2 * 10**9  # ns
HASHED: dict[tuple[str, int, int, int, int, int], bytes] = {}  # path and state of a file -> its SHA-256
ETAGS: dict[bytes, str] = {}  # SHA-256 of a content -> its ETag


class VolumeError(RuntimeError):
    """The folder cannot be uploaded as it is, or is not in S3 where it should be."""


@dataclass(frozen=True)
class VolumeFile:
    """One file: where it is, its name below the folder, size in bytes, time of change in ns, and SHA-256.

    `content` is set for one that is made here, and lies in no folder.
    """

    path: Path
    name: str
    size: int
    changed: int
    sha256: bytes
    content: bytes | None = None

    def open(self) -> BinaryIO:
        """Open it for reading."""
        return self.path.open("rb") if self.content is None else io.BytesIO(self.content)


@dataclass(frozen=True)
class Volume:
    """What a folder holds, named by its content.

    Attributes
    ----------
    folder : Path
    files : tuple of VolumeFile
        Sorted by name.
    """

    folder: Path
    files: tuple[VolumeFile, ...]

    @cached_property
    def sums(self) -> VolumeFile:
        """The list of all names and hashes, `SHA256SUMS`."""
        text = "".join(f"{file.sha256.hex()}  {file.name}\n" for file in self.files).encode()
        return VolumeFile(
            self.folder / LIST_OF_HASHES, LIST_OF_HASHES, len(text), 0, hashlib.sha256(text).digest(), text
        )

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 over all names and contents."""
        return self.sums.sha256.hex()[:16]

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files)

    def uri(self, bucket: str) -> str:
        """Return the place in `bucket` that belongs to this content."""
        return f"s3://{bucket}/{CHANNEL}/{self.digest}/"


@dataclass(frozen=True)
class Upload:
    """What an upload did: the place, how many files and bytes were sent or were there already, and what was removed."""

    uri: str
    files: int
    size: int
    sent_files: int
    sent_size: int
    seconds: float
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        kept = self.files - self.sent_files
        removed = f"\nremoved there, for it is not in the folder: {', '.join(self.removed)}" if self.removed else ""
        return (
            f"{self.uri}\n{self.sent_files} files ({self.sent_size / 1e6:.1f} MB) sent, "
            f"{kept} there already, in {self.seconds:.1f} s{removed}"
        )


def read(folder: str | Path) -> Volume:
    """Read the folder and hash its files.

    Parameters
    ----------
    folder : str or Path
        Such as ``"unity-volume"``. READMEs at its top, macOS's and Git's files and Unity's
        ``*_BackUpThisFolder_*`` do not count.

    Raises
    ------
    VolumeError
        If there is no such folder, nothing in it, a link in place of a file, or a name that S3 or a job could not take.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VolumeError(f"Expected the folder {folder}, found none. Check its name and run notebook 01.")
    paths = sorted(list_files(folder), key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise VolumeError(f"Expected a Unity build in {folder}, found no file to upload. Run notebook 01.")
    with ThreadPoolExecutor() as pool:
        return Volume(folder, tuple(pool.map(lambda path: read_file(folder, path), paths)))


def list_files(folder: Path) -> Iterator[Path]:
    """Yield the files that belong to the volume. Raises as `read` does."""
    for place, folders, names in os.walk(folder):
        at_top = Path(place) == folder
        folders[:] = [name for name in folders if not is_left_out(name, at_top)]
        for name in folders + [name for name in names if not is_left_out(name, at_top)]:
            path = Path(place, name)
            if path.is_symlink():
                raise VolumeError(
                    f"Expected files and folders in {folder}, found the symbolic link "
                    f"{path.relative_to(folder)}. S3 keeps no links: put the file or folder itself there."
                )
            try:
                local_path(path.relative_to(folder).as_posix())
            except ValueError as error:
                raise VolumeError(f"Expected names that S3 takes in {folder}, found {str(path)!r}: {error}.") from error
            if name in names:
                yield path


def read_file(folder: Path, path: Path) -> VolumeFile:
    """Hash one file, unless this process did so and it has not changed since."""
    before = path.stat()
    state = (str(path.absolute()), before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns)
    sha256 = HASHED.get(state)
    if sha256 is None:
        with path.open("rb") as file:
            sha256 = hash_stream(file).digest()
        # A change within the clock's resolution would not show: only what has been still for a while is remembered.
        if max(before.st_mtime_ns, before.st_ctime_ns) < time.time_ns() - STILL:
            HASHED[state] = sha256
    return VolumeFile(path, path.relative_to(folder).as_posix(), before.st_size, before.st_mtime_ns, sha256)


def hash_stream(stream: BinaryIO, kind: str = "sha256", size: float = math.inf) -> "hashlib._Hash":
    """Hash a stream to its end, or so many bytes of it."""
    digest = hashlib.new(kind, usedforsecurity=False)
    while size > 0 and (block := stream.read(int(min(2**20, size)))):
        digest.update(block)
        size -= len(block)
    return digest


def upload(connection: Connection, folder: str | Path, *, progress: bool = True) -> Upload:
    """Upload the folder to the place that its content names.

    S3 checks each file, or each 16 MiB part of a larger one, against a SHA-256 made here. What is there already
    with its content is not sent again, so an upload that was cut off goes on where it was. To know what is there takes
    one listing (of 1,000 files a page). What does not belong there is removed.

    Parameters
    ----------
    connection : Connection
    folder : str or Path
    progress : bool
        Show a progress bar in bytes.

    Raises
    ------
    VolumeError
        As `read` does, and if a file changed while it was uploaded.
    botocore.exceptions.ClientError
        If S3 refuses.
    """
    start = time.monotonic()
    volume = read(folder)
    with explained(connection, VolumeError, "What has arrived stays there; the same cell then sends the rest."):
        missing, foreign = compare(connection, volume)
        s3 = connection.client("s3")
        for name in foreign:
            s3.delete_object(Bucket=connection.bucket, Key=f"{CHANNEL}/{volume.digest}/{name}")
        sent = [file for file in missing if file.content is None]
        size = sum(file.size for file in sent)
        with tqdm(
            total=size, unit="B", unit_scale=True, desc="upload", disable=not (progress and sent), file=sys.stdout
        ) as bar:
            send(connection, volume, missing, bar)
    return Upload(
        uri=volume.uri(connection.bucket),
        files=len(volume.files),
        size=volume.size,
        sent_files=len(sent),
        sent_size=size,
        seconds=time.monotonic() - start,
        removed=tuple(foreign),
    )


def locate(connection: Connection, folder: str | Path) -> str:
    """Return the S3 URI of the folder's content, and make sure that this and nothing else is there.

    Raises
    ------
    VolumeError
        If something is missing, differs or does not belong there: the folder was changed, was never uploaded, or
        somebody else has written there.
    """
    volume = read(folder)
    with explained(connection, VolumeError, "Nothing was launched."):
        missing, foreign = compare(connection, volume)
    if missing or foreign:
        found = [f"{len(missing)} of them missing or different ({missing[0].name})"] if missing else []
        found += [f"{len(foreign)} that do not belong there ({foreign[0]})"] if foreign else []
        raise VolumeError(
            f"Expected the {len(volume.files)} files of {folder} and {LIST_OF_HASHES} at "
            f"{volume.uri(connection.bucket)}, found {' and '.join(found)}. Run notebook 02, which uploads the folder "
            "as it is now and removes what does not belong to it."
        )
    return volume.uri(connection.bucket)


def compare(connection: Connection, volume: Volume) -> tuple[list[VolumeFile], list[str]]:
    """Compare what S3 holds with the volume.

    One listing tells size and ETag of all objects. Where S3 encrypts with its own keys, as it does by default, an ETag
    is made of the content's MD5. An object whose ETag is another one (as under a KMS key) is asked for its SHA-256.

    Returns
    -------
    missing : list of VolumeFile
        Those that are not there with their content; `SHA256SUMS` comes last.
    foreign : list of str
        Names of all else below the volume's place.
    """
    s3 = connection.client("s3")
    prefix = f"{CHANNEL}/{volume.digest}/"
    there = {
        found["Key"].removeprefix(prefix): found
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=connection.bucket, Prefix=prefix)
        for found in page.get("Contents", [])
        if found["Size"] or not found["Key"].endswith("/")  # the S3 console's mark of a folder
    }

    def is_there(file: VolumeFile) -> bool:
        found = there.get(file.name)
        if not found or found["Size"] != file.size or "SHA256" not in found.get("ChecksumAlgorithm", []):
            return False
        if found["ETag"].strip('"') == etag(file):
            return True
        head = s3.head_object(Bucket=connection.bucket, Key=found["Key"], ChecksumMode="ENABLED")
        held, _, _ = head.get("ChecksumSHA256", "").partition("-")  # what follows is the number of parts
        return base64.b64decode(held) == hash_parts(file, "sha256")[0]

    wanted = [*volume.files, volume.sums]
    with ThreadPoolExecutor() as pool:
        missing = [file for file, held in zip(wanted, pool.map(is_there, wanted), strict=True) if not held]
    return missing, sorted(there.keys() - {file.name for file in wanted})


def etag(file: VolumeFile) -> str:
    """Return a file's ETag as S3 makes it of content that it does not encrypt with a key of ours."""
    if file.sha256 not in ETAGS:
        digest, parts = hash_parts(file, "md5")
        ETAGS[file.sha256] = digest.hex() + parts
    return ETAGS[file.sha256]


def hash_parts(file: VolumeFile, kind: str) -> tuple[bytes, str]:
    """Hash a file as S3 hashes one that `send` sent: the hash, and ``-<number of parts>`` where it went in parts."""
    with file.open() as stream:
        if file.size < TRANSFER.multipart_threshold:
            return hash_stream(stream, kind).digest(), ""
        size = TRANSFER.multipart_chunksize
        parts = [hash_stream(stream, kind, size).digest() for _ in range(0, file.size, size)]
    return hash_stream(io.BytesIO(b"".join(parts)), kind).digest(), f"-{len(parts)}"


class ShowProgress(BaseSubscriber):
    """Passes the bytes that s3transfer sends on to a progress bar."""

    def __init__(self, bar: tqdm):
        self.bar = bar

    def on_progress(self, future, bytes_transferred, **kwargs):
        """Count the bytes of one block; negative where a block is sent again."""
        self.bar.update(bytes_transferred)


def send(connection: Connection, volume: Volume, files: list[VolumeFile], bar: tqdm) -> None:
    """Send files in parallel. Raises as `upload` does."""
    s3 = connection.client("s3")
    with create_transfer_manager(s3, TRANSFER) as manager:
        futures = [
            manager.upload(
                str(file.path) if file.content is None else file.open(),
                connection.bucket,
                key(volume, file),
                extra_args=checksum(file),
                subscribers=[ShowProgress(bar)] if file.content is None else [],
            )
            for file in files
        ]
        for future in futures:
            future.result()
    for file in files:
        now = file.path.stat() if file.content is None else None
        if now and (now.st_size, now.st_mtime_ns) != (file.size, file.changed):
            # What lies in S3 now may not be what the hash names.
            s3.delete_object(Bucket=connection.bucket, Key=key(volume, file))
            raise VolumeError(f"{file.name} changed while it was uploaded. Run the cell again.")


def key(volume: Volume, file: VolumeFile) -> str:
    """Return a file's S3 key."""
    return f"{CHANNEL}/{volume.digest}/{file.name}"


def checksum(file: VolumeFile) -> dict[str, str]:
    """Return the arguments by which S3 checks a file: the known hash, or one for each part of a large file."""
    arguments = {"ChecksumAlgorithm": "SHA256"}
    if file.size < TRANSFER.multipart_threshold:
        arguments["ChecksumSHA256"] = base64.b64encode(file.sha256).decode()
    return arguments
