"""The image's name: registry, repository, and a tag that is the content hash of `container/`."""

import fnmatch
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from common import ROOT
from common.aws_session import Connection, code, explained
from common.contract import DEFAULT_TRAINER, TRAINERS
from common.errors import ImageError

REPOSITORIES = {trainer: f"mlagents-{trainer}" for trainer in TRAINERS}
"""The repository for each version of ML-Agents."""
REPOSITORY = REPOSITORIES[DEFAULT_TRAINER]
CONTAINER = ROOT / "container"
PROJECT = "mlagents-image"
"""The CodeBuild project that builds the image, in the stack of `account_setup`."""
SOURCES = "image-source/"
"""Where the folders that it builds lie zipped in the bucket."""
BASE_VARIABLE = "TRAINING_BASE_IMAGE"
"""Environment variable that replaces the Dockerfile's base image."""
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
"""The kind of manifest that SageMaker is known to accept."""
KEPT = "Layers that were pushed stay in the registry."
NOT_THERE = ("RepositoryNotFoundException", "ImageNotFoundException")


@dataclass(frozen=True)
class Image:
    """An image by its name.

    Attributes
    ----------
    registry : str
        The registry's address, such as ECR's in this account and region.
    tag : str
        First 16 hexadecimal digits of the SHA-256 over everything that the image is built from.
    repository : str
    digest : str
        ``"sha256:…"`` of its manifest if it is in the registry; else empty.
    size : int
        Its bytes in the registry, where layers are compressed; 0 if it is not there.
    kind : str
        Media type of its manifest if it is in the registry.
    optional : bool
        Whether jobs run without it, as on the embedded target.
    trainer : str
        The version of ML-Agents in it.
    """

    registry: str
    tag: str
    repository: str = REPOSITORY
    digest: str = ""
    size: int = 0
    kind: str = MANIFEST
    optional: bool = False
    trainer: str = DEFAULT_TRAINER

    @property
    def uri(self) -> str:
        """The name for a training job: by digest where it is known, because a digest never means another image."""
        name = f"{self.registry}/{self.repository}"
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag}"

    @property
    def local(self) -> str:
        """Its name in the Docker engine that builds it."""
        return f"{self.repository}:{self.tag}"


def read(
    connection: Connection,
    folder: str | Path = CONTAINER,
    *,
    graphics: bool = False,
    trainer: str = DEFAULT_TRAINER,
    gpu: bool = False,
) -> Image:
    """Return the image of a folder's content, with its digest if it is in the registry.

    Parameters
    ----------
    connection : Connection
    folder : str or Path
        With `Dockerfile` and `train` in it.
    graphics : bool
        The variant for players with visual observations.
    trainer : str
        The version of ML-Agents: ``"0.11.0"`` or ``"1.1.0"``.
    gpu : bool
        The variant of 1.1.0 for instances with an NVIDIA card.

    Raises
    ------
    ImageError
        If the folder does not exist, there is no such trainer or variant, or ECR does not respond.
    """
    tag = content_hash(read_files(Path(folder), trainer), graphics, gpu)
    repository = REPOSITORIES[trainer]
    optional = connection.target == "embedded"
    named = Image(registry_address(connection, repository), tag, repository, optional=optional, trainer=trainer)
    return look_up(connection, named)


def locate(connection: Connection, folder: str | Path = CONTAINER, **variant: Any) -> Image:
    """Return the image for a training job. Takes and raises what `read` does.

    Raises
    ------
    ImageError
        Also if it is not in AWS's registry (the embedded AWS trains without one, as a process), or has a manifest that
        SageMaker may refuse.
    """
    image = read(connection, folder, **variant)
    if image.kind != MANIFEST:
        raise ImageError(
            f"Expected {image.uri} to have the manifest of a single Docker image, found {image.kind}, which SageMaker "
            "may refuse. Run notebook 3, which writes it as that."
        )
    if connection.target == "aws" and not image.digest:
        raise ImageError(
            f"Expected the image {image.uri} in ECR, found none. Run notebook 3, which builds and pushes it. "
            f"If you did, one of what the tag is the hash of has changed since: {folder}, the choice of graphics, "
            f"{BASE_VARIABLE}."
        )
    return image


def content_hash(files: Mapping[str, bytes], graphics: bool = False, gpu: bool = False) -> str:
    """Hash what the image is built from: names and contents of the files, the variant, another base image.

    Raises
    ------
    ImageError
        If the version of the trainer has no variant for cards.
    """
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    if graphics:
        digest.update(b"graphics\n")
    if gpu:
        if not any(name.endswith("/gpu-1.txt") for name in files):
            raise ImageError("Expected a trainer that can use a card (gpu), found none. Only 1.1.0 can: leave gpu out.")
        digest.update(b"gpu\n")
    if base := os.environ.get(BASE_VARIABLE):
        digest.update(f"base {base}\n".encode())
    return digest.hexdigest()[:16]


def read_files(folder: Path, trainer: str = DEFAULT_TRAINER) -> dict[str, bytes]:
    """Read the files that the image is built from, by name in the folder. Raises as `list_files` does."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in list_files(folder, trainer)}


def list_files(folder: Path, trainer: str = DEFAULT_TRAINER) -> Iterator[Path]:
    """Yield the files that the image of a version of the trainer is built from.

    These are the files at the top of the folder that `.dockerignore` does not exclude, all of its packages, and the
    locks of this version.

    Raises
    ------
    ImageError
        If Dockerfile or `train` is missing, or there is no such trainer.
    """
    if trainer not in TRAINERS:
        raise ImageError(f"Expected a trainer out of {', '.join(TRAINERS)}, found {trainer!r}. Choose one of them.")
    for name in ("Dockerfile", "train"):
        if not (folder / name).is_file():
            raise ImageError(f"Expected {folder / name}, found none. Restore it from Git, or name another folder.")
    ignored = folder / ".dockerignore"
    patterns = [
        line.strip()
        for line in (ignored.read_text().splitlines() if ignored.is_file() else [])
        if line.strip() and not line.startswith("#")
    ]
    for path in sorted(folder.iterdir()):
        if path.is_file() and not any(fnmatch.fnmatchcase(path.name, pattern) for pattern in patterns):
            yield path
    for package in sorted(folder.glob("*/__init__.py")):
        inside = sorted(path for path in package.parent.rglob("*") if path.is_file())
        yield from (path for path in inside if path.suffix != ".pyc")
    yield from sorted(path for path in (folder / f"locks-{trainer}").glob("*") if path.suffix != ".in")


def build_inputs(image: Image, folder: Path, given: Mapping[str, str]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files of an image, and the Dockerfile's arguments for it, with the given ones among them.

    Raises
    ------
    ImageError
        If the folder is not the one that the image was named after, or the Dockerfile names no base image.
    """
    files = read_files(folder, image.trainer)  # once, because the tag must be the hash of what is built
    if content_hash(files, given.get("GRAPHICS") == "1", given.get("GPU") == "1") != image.tag:
        raise ImageError(
            f"Expected {folder} to be as it was when {image.local} was named, found it changed. Name it again."
        )
    trainer = {} if image.trainer == DEFAULT_TRAINER else {"TRAINER": image.trainer}
    return files, {"BASE_IMAGE": base_image(files, image.trainer), "GRAPHICS": "0", **trainer, **given}


def base_image(files: Mapping[str, bytes], trainer: str = DEFAULT_TRAINER) -> str:
    """Return the base image: of `TRAINING_BASE_IMAGE`, else the Dockerfile's for the Python of this trainer."""
    named = re.search(r"^ARG BASE_IMAGE=(\S+)", files["Dockerfile"].decode(), re.MULTILINE)
    if not named:
        raise ImageError("Expected a line ARG BASE_IMAGE=… in the Dockerfile, found none. Restore it.")
    return os.environ.get(BASE_VARIABLE) or named[1].replace("${PYTHON}", TRAINERS[trainer]["python"])


def registry_address(connection: Connection, repository: str = REPOSITORY) -> str:
    """Return the address of the account's registry, or of the embedded AWS's registry if it has one."""
    if connection.target == "embedded":
        try:
            found = connection.client("ecr").describe_repositories(repositoryNames=[repository])
            return found["repositories"][0]["repositoryUri"].rpartition("/")[0]
        except ClientError as error:
            if code(error) not in NOT_THERE:
                raise
    suffix = "com.cn" if connection.region.startswith("cn-") else "com"
    return f"{connection.account}.dkr.ecr.{connection.region}.amazonaws.{suffix}"


def look_up(connection: Connection, image: Image) -> Image:
    """Return the image with digest and size if its tag is in the registry, else unchanged. Raises as `read` does."""
    ecr = connection.client("ecr")
    try:
        with explained(connection, ImageError, KEPT):
            response = ecr.describe_images(repositoryName=image.repository, imageIds=[{"imageTag": image.tag}])
    except ClientError as error:
        if code(error) in NOT_THERE:
            return image
        raise ImageError(
            f"Expected ECR to say whether it holds {image.uri}, found: {error} Check that your credentials "
            "are valid and allow ecr:DescribeImages."
        ) from error
    found = response["imageDetails"][0]
    kind = found.get("imageManifestMediaType", MANIFEST)
    return replace(image, digest=found["imageDigest"], size=found.get("imageSizeInBytes", 0), kind=kind)
