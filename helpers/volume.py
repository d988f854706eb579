"""Upload `unity-volume/` to S3: its files, its content hash, and the transfer.

The hash is part of the URI: ``s3://<bucket>/unity-volume/<content hash>/``. The same files always have the same URI, a
changed file makes a new one, and nothing is overwritten while a job reads it.

The hashed text is stored there as `SHA256SUMS`: one line for each file, as `sha256sum` writes it. A job is launched
with the hash, and compares its files with that list before it trains.
"""

import base64
import hashlib
import io
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError
from s3transfer.subscribers import BaseSubscriber
from tqdm import tqdm

from common import bar, file_hashes
from common.aws_session import Connection, code, explained
from common.contract import CHANNEL, LIST_OF_HASHES
from common.local_paths import local_path
from mlagents_check.unity_build.listing import walk

TRANSFER = TransferConfig(multipart_threshold=16 * 2**20, multipart_chunksize=16 * 2**20, max_concurrency=16)


class VolumeError(RuntimeError):
    """The folder cannot be uploaded as it is, or is not in S3 where it should be."""


@dataclass(frozen=True)
class VolumeFile:
    """One file: its path, name below the folder, size in bytes, time of change in ns, and SHA-256.

    `content` is set for `SHA256SUMS`, which exists only in memory.
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
    """The content of a folder, identified by its hash.

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
        name, sha256 = LIST_OF_HASHES, hashlib.sha256(text).digest()
        return VolumeFile(self.folder / name, name, len(text), 0, sha256, text)

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 over all names and contents."""
        return self.sums.sha256.hex()[:16]

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files)

    @property
    def prefix(self) -> str:
        """The prefix of the S3 keys of this content."""
        return f"{CHANNEL}/{self.digest}/"

    def uri(self, bucket: str) -> str:
        """Return the URI of this content in a bucket."""
        return f"s3://{bucket}/{self.prefix}"


@dataclass(frozen=True)
class Upload:
    """The result of an upload.

    Attributes
    ----------
    uri : str
        Such as ``"s3://bucket/unity-volume/0123456789abcdef/"``.
    files, size : int
        The number of files in the folder, and their bytes.
    sent_files, sent_size : int
        Those that were not in S3 before.
    seconds : float
    removed : tuple of str
        Names of deleted objects, which are not in the folder.
    """

    uri: str
    files: int
    size: int
    sent_files: int
    sent_size: int
    seconds: float
    removed: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """The prefix of the keys of all its objects."""
        return self.uri.split("/", 3)[3]

    def __str__(self) -> str:
        files = "1 file" if self.sent_files == 1 else f"{self.sent_files} files"
        removed = f"\nremoved from S3, because not in the folder: {', '.join(self.removed)}" if self.removed else ""
        return (
            f"{self.uri}\n{files} ({self.sent_size / 1e6:.1f} MB) sent, "
            f"{self.files - self.sent_files} there already, in {self.seconds:.1f} s{removed}"
        )


def read(folder: str | Path) -> Volume:
    """List the folder and hash its files; hashes of unchanged files are cached.

    Parameters
    ----------
    folder : str or Path
        Such as ``"unity-volume"``. READMEs at its top, files of macOS and Git, and Unity's ``*_BackUpThisFolder_*`` do
        not count.

    Raises
    ------
    VolumeError
        If the folder does not exist, is empty, or contains a link, an unreadable file, or a name that S3 or a job
        cannot take.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VolumeError(f"Expected the folder {folder}, found none. Check its name and run notebook 1.")
    listing = walk(folder)
    for entry in listing.entries:
        if entry.kind == "link":
            raise VolumeError(
                f"Expected files and folders in {folder}, found the symbolic link {entry.path}. S3 keeps no links: put "
                "the file or folder itself there."
            )
        if entry.kind != "file":
            raise VolumeError(
                f"Expected files that can be read in {folder}, found that {entry.path} is {entry.kind}. Remove it, or "
                "change its permissions."
            )
    for name in (*listing.folders, *listing.files):
        try:
            local_path(name)
        except ValueError as error:
            raise VolumeError(f"Expected names that S3 takes in {folder}, found {name!r}: {error}.") from error
    if not listing.files:
        raise VolumeError(f"Expected a Unity build in {folder}, found no file to upload. Run notebook 1.")
    hashed = file_hashes.hash_files(folder / name for name in listing.files)
    return Volume(
        folder,
        tuple(
            VolumeFile(folder / name, name, state.st_size, state.st_mtime_ns, sha256)
            for name, (state, sha256) in zip(listing.files, hashed, strict=True)
        ),
    )


def upload(s3: Any, bucket: str, folder: str | Path, *, progress: bool = True) -> Upload:
    """Upload the folder to the URI of its content.

    S3 verifies the SHA-256 of each file, or of each 16 MiB part of a larger one. A file that is already there with the
    same content is not sent again, so an interrupted upload continues where it was. Comparing takes one listing (of
    1,000 files a page). Objects that do not belong there are deleted.

    Parameters
    ----------
    s3 : boto3 client of S3
    bucket : str
    folder : str or Path
    progress : bool
        Show a progress bar in bytes.

    Raises
    ------
    VolumeError
        As `read` does, and if a file changed during the upload.
    botocore.exceptions.ClientError
        If S3 refuses.
    """
    start = time.monotonic()
    volume = read(folder)
    with explained(s3, VolumeError, "What has arrived stays there; the same cell then sends the rest."):
        missing, foreign = compare(s3, bucket, volume)
        for name in foreign:
            s3.delete_object(Bucket=bucket, Key=volume.prefix + name)
        sent = [file for file in missing if file.content is None]
        size = sum(file.size for file in sent)
        shown = bar.make(total=size, unit="B", unit_scale=True, desc="upload") if progress and sent else None
        try:
            send(s3, bucket, volume, missing, shown)
        finally:
            if shown is not None:
                shown.close()
    return Upload(
        uri=volume.uri(bucket),
        files=len(volume.files),
        size=volume.size,
        sent_files=len(sent),
        sent_size=size,
        seconds=time.monotonic() - start,
        removed=tuple(foreign),
    )


def locate(connection: Connection, folder: str | Path) -> str:
    """Return the S3 URI of the folder's content, after checking that exactly its objects are there.

    Raises
    ------
    VolumeError
        If an object is missing, differs or does not belong there: the folder was changed, was never uploaded, or
        somebody else has written there.
    """
    volume = read(folder)
    with explained(connection, VolumeError, "Nothing was launched."):
        missing, foreign = compare(connection.client("s3"), connection.bucket, volume)
    if missing or foreign:
        found = [f"{len(missing)} of them missing or different ({missing[0].name})"] if missing else []
        found += [f"{len(foreign)} that do not belong there ({foreign[0]})"] if foreign else []
        raise VolumeError(
            f"Expected the {len(volume.files)} files of {folder} and {LIST_OF_HASHES} at "
            f"{volume.uri(connection.bucket)}, found {' and '.join(found)}. Run notebook 2, which uploads the folder "
            "as it is now and removes what does not belong to it."
        )
    return volume.uri(connection.bucket)


def compare(s3: Any, bucket: str, volume: Volume) -> tuple[list[VolumeFile], list[str]]:
    """Compare the objects in S3 with the volume.

    One listing returns size and ETag of all objects. If S3 encrypts with its own keys, as it does by default, an ETag
    is derived from the content's MD5. If the ETag differs (as with a KMS key), the object's SHA-256 is requested.

    Returns
    -------
    missing : list of VolumeFile
        Files whose content is not in S3; `SHA256SUMS` comes last.
    foreign : list of str
        Names of all other objects with the volume's prefix.
    """
    objects = {
        found["Key"].removeprefix(volume.prefix): found
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=volume.prefix)
        for found in page.get("Contents", [])
        if found["Size"] or not found["Key"].endswith("/")  # the S3 console's mark of a folder
    }

    def is_there(file: VolumeFile) -> bool:
        found = objects.get(file.name)
        if not found or found["Size"] != file.size or "SHA256" not in found.get("ChecksumAlgorithm", []):
            return False
        if found["ETag"].strip('"') == etag(file):
            return True
        head = s3.head_object(Bucket=bucket, Key=found["Key"], ChecksumMode="ENABLED")
        checksum, _, _ = head.get("ChecksumSHA256", "").partition("-")  # the number of parts follows
        return base64.b64decode(checksum) == hash_parts(file, "sha256")[0]

    expected = [*volume.files, volume.sums]
    with ThreadPoolExecutor() as pool:
        missing = [file for file, present in zip(expected, pool.map(is_there, expected), strict=True) if not present]
    return missing, sorted(objects.keys() - {file.name for file in expected})


def etag(file: VolumeFile) -> str:
    """Return a file's ETag as S3 computes it with its own encryption keys; cached by content."""
    key = f"etag {file.sha256.hex()} {TRANSFER.multipart_threshold} {TRANSFER.multipart_chunksize}"
    if not (known := file_hashes.recall([key])):
        digest, parts = hash_parts(file, "md5")
        known = {key: (digest.hex() + parts).encode()}
        file_hashes.remember(known)
    return known[key].decode()


def hash_parts(file: VolumeFile, kind: str) -> tuple[bytes, str]:
    """Hash a file as S3 does after `send`; return the hash, and ``-<number of parts>`` of a multipart upload."""
    with file.open() as stream:
        if file.size < TRANSFER.multipart_threshold:
            return hash_stream(stream, kind), ""
        size = TRANSFER.multipart_chunksize
        parts = [hash_stream(stream, kind, size) for _ in range(0, file.size, size)]
    return hash_stream(io.BytesIO(b"".join(parts)), kind), f"-{len(parts)}"


def hash_stream(stream: BinaryIO, kind: str, size: float = math.inf) -> bytes:
    """Hash a stream to its end, or at most `size` bytes of it."""
    digest = hashlib.new(kind, usedforsecurity=False)
    while size > 0 and (block := stream.read(int(min(2**20, size)))):
        digest.update(block)
        size -= len(block)
    return digest.digest()


class ShowProgress(BaseSubscriber):
    """Reports the bytes that s3transfer sends to a progress bar."""

    def __init__(self, shown: tqdm):
        self.shown = shown

    def on_progress(self, future, bytes_transferred, **kwargs):
        """Count the bytes of one block; negative if a block is sent again."""
        self.shown.update(bytes_transferred)


def send(s3: Any, bucket: str, volume: Volume, files: list[VolumeFile], shown: tqdm | None) -> None:
    """Send files in parallel. Raises as `upload` does."""
    with create_transfer_manager(s3, TRANSFER) as manager:
        futures = [
            manager.upload(
                str(file.path) if file.content is None else file.open(),
                bucket,
                volume.prefix + file.name,
                extra_args=checksum(file),
                subscribers=[ShowProgress(shown)] if shown is not None and file.content is None else [],
            )
            for file in files
        ]
        for file, future in zip(files, futures, strict=True):
            try:
                future.result()
            except ClientError as error:
                if code(error) != "BadDigest":
                    raise
                # S3 stored nothing: the bytes are not those of the hash.
                raise VolumeError(f"{file.name} changed while it was uploaded. Run the cell again.") from error
    for file in files:
        now = file.path.stat() if file.content is None else None
        if now and (now.st_size, now.st_mtime_ns) != (file.size, file.changed):
            # The object in S3 may not match the hash.
            s3.delete_object(Bucket=bucket, Key=volume.prefix + file.name)
            raise VolumeError(f"{file.name} changed while it was uploaded. Run the cell again.")


def checksum(file: VolumeFile) -> dict[str, str]:
    """Return the arguments that make S3 verify a file: its known hash, or one for each part of a large file."""
    arguments = {"ChecksumAlgorithm": "SHA256"}
    if file.size < TRANSFER.multipart_threshold:
        arguments["ChecksumSHA256"] = base64.b64encode(file.sha256).decode()
    return arguments
