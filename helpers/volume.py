"""`unity-volume/` on its way to S3: what belongs to it, its content hash, and the upload.

The hash names the place: ``s3://<bucket>/unity-volume/<content hash>/``. The same files always lie at the same
place, a changed file makes a new one, and nothing is ever overwritten under a job that reads it.
"""

import base64
import hashlib
import os
import re
import sys
import time
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from s3transfer.subscribers import BaseSubscriber
from tqdm import tqdm

from helpers.aws import Connection, explained
from helpers.unity_build.listing import is_left_out

PREFIX = "unity-volume"
MOST_OF_NAME, MOST_OF_PART = 900, 255  # bytes: what S3 takes below a prefix, and file systems between two slashes
TRANSFER = TransferConfig(multipart_threshold=16 * 2**20, multipart_chunksize=16 * 2**20, max_concurrency=16)


class VolumeError(RuntimeError):
    """The folder cannot be uploaded as it is, or is not in S3 where it should be."""


@dataclass(frozen=True)
class VolumeFile:
    """One file: where it is, its name below the folder, size in bytes, time of change in ns, and SHA-256."""

    path: Path
    name: str
    size: int
    changed: int
    sha256: bytes


@dataclass(frozen=True)
class Volume:
    """What a folder holds, named by its content.

    Attributes
    ----------
    folder : Path
    files : tuple of VolumeFile
        Sorted by name.
    digest : str
        First 16 hexadecimal digits of the SHA-256 over all names and contents.
    """

    folder: Path
    files: tuple[VolumeFile, ...]
    digest: str

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files)

    def uri(self, bucket: str) -> str:
        """Return the place in `bucket` that belongs to this content."""
        return f"s3://{bucket}/{PREFIX}/{self.digest}/"


@dataclass(frozen=True)
class Upload:
    """What an upload did: the place, and how many files and bytes were sent or were there already."""

    uri: str
    files: int
    size: int
    sent_files: int
    sent_size: int
    seconds: float

    def __str__(self) -> str:
        kept = self.files - self.sent_files
        return (
            f"{self.uri}\n{self.sent_files} files ({self.sent_size / 1e6:.1f} MB) sent, "
            f"{kept} there already, in {self.seconds:.1f} s"
        )


def local_path(name: str) -> PurePosixPath:
    """Return the path below a folder that an archive's member or an S3 key names.

    Raises
    ------
    ValueError
        Saying why `name` cannot be that on every system that this project runs on.
    """
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise ValueError("an absolute name")
    if "\\" in name:
        raise ValueError("a name with a backslash")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise ValueError("a name with characters that cannot be printed")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("a name that leads out of its folder")
    if len(name.encode()) > MOST_OF_NAME or any(len(part.encode()) > MOST_OF_PART for part in parts):
        raise ValueError("a name that is too long")
    return PurePosixPath(*parts)


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
        If there is no such folder, nothing in it, or a link in place of a file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VolumeError(f"Expected the folder {folder}, found none. Check its name and run notebook 01.")
    paths = sorted(list_files(folder), key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise VolumeError(f"Expected a Unity build in {folder}, found no file to upload. Run notebook 01.")
    with ThreadPoolExecutor() as pool:
        files = tuple(pool.map(lambda path: read_file(folder, path), paths))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.sha256.hex()}  {file.name}\n".encode())
    return Volume(folder, files, digest.hexdigest()[:16])


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
            if name in names:
                yield path


def read_file(folder: Path, path: Path) -> VolumeFile:
    """Hash one file."""
    sha256 = hashlib.sha256()
    before = path.stat()
    with path.open("rb") as file:
        while block := file.read(2**20):
            sha256.update(block)
    name = path.relative_to(folder).as_posix()
    return VolumeFile(path, name, before.st_size, before.st_mtime_ns, sha256.digest())


def upload(connection: Connection, folder: str | Path, *, progress: bool = True) -> Upload:
    """Upload the folder to the place that its content names.

    S3 checks each file, or each 16 MiB part of a larger one, against a SHA-256 made here. What is there already
    with its size and such a checksum is not sent again, so an upload that was cut off goes on where it was. To know
    what is there takes one listing (of 1,000 files a page).

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
        missing = list_missing(connection, volume)
        size = sum(file.size for file in missing)
        with tqdm(
            total=size, unit="B", unit_scale=True, desc="upload", disable=not (progress and missing), file=sys.stdout
        ) as bar:
            send(connection, volume, missing, bar)
    return Upload(
        uri=volume.uri(connection.bucket),
        files=len(volume.files),
        size=volume.size,
        sent_files=len(missing),
        sent_size=size,
        seconds=time.monotonic() - start,
    )


def locate(connection: Connection, folder: str | Path) -> str:
    """Return the S3 URI of the folder's content, and make sure that all of it is there.

    Raises
    ------
    VolumeError
        If something is missing: the folder was changed, or never uploaded.
    """
    volume = read(folder)
    with explained(connection, VolumeError, "Nothing was launched."):
        missing = list_missing(connection, volume)
    if missing:
        raise VolumeError(
            f"Expected {len(volume.files)} files of {folder} at {volume.uri(connection.bucket)}, "
            f"{len(missing)} are missing there ({missing[0].name}). Run notebook 02 to upload the folder as it is now."
        )
    return volume.uri(connection.bucket)


def list_missing(connection: Connection, volume: Volume) -> list[VolumeFile]:
    """List the volume's files that S3 does not hold with their size and a SHA-256 that it checked."""
    prefix = f"{PREFIX}/{volume.digest}/"
    pages = connection.client("s3").get_paginator("list_objects_v2")
    there = {
        found["Key"].removeprefix(prefix): found["Size"]
        for page in pages.paginate(Bucket=connection.bucket, Prefix=prefix)
        for found in page.get("Contents", [])
        if "SHA256" in found.get("ChecksumAlgorithm", [])
    }
    return [file for file in volume.files if there.get(file.name) != file.size]


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
                str(file.path),
                connection.bucket,
                key(volume, file),
                extra_args=checksum(file),
                subscribers=[ShowProgress(bar)],
            )
            for file in files
        ]
        for future in futures:
            future.result()
    for file in files:
        now = file.path.stat()
        if (now.st_size, now.st_mtime_ns) != (file.size, file.changed):
            # What lies in S3 now may not be what the hash names.
            s3.delete_object(Bucket=connection.bucket, Key=key(volume, file))
            raise VolumeError(f"{file.name} changed while it was uploaded. Run the cell again.")


def key(volume: Volume, file: VolumeFile) -> str:
    """Return a file's S3 key."""
    return f"{PREFIX}/{volume.digest}/{file.name}"


def checksum(file: VolumeFile) -> dict[str, str]:
    """Return the arguments by which S3 checks a file: the known hash, or one for each part of a large file."""
    arguments = {"ChecksumAlgorithm": "SHA256"}
    if file.size < TRANSFER.multipart_threshold:
        arguments["ChecksumSHA256"] = base64.b64encode(file.sha256).decode()
    return arguments
