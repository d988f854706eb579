"""The training image: `container/` on its way to a registry. The content of the folder names the image."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from helpers import ROOT
from helpers.aws import Connection

REPOSITORY = "mlagents-0.11.0"
LEFT_OUT = ("__pycache__",)


class ImageError(RuntimeError):
    """The image cannot be named, built or pushed."""


@dataclass(frozen=True)
class Image:
    """An image by its name.

    Attributes
    ----------
    registry : str
        ECR's address in this account and region.
    tag : str
        First 16 hexadecimal digits of the SHA-256 over the folder's names, modes and contents.
    """

    registry: str
    tag: str
    repository: str = REPOSITORY

    @property
    def uri(self) -> str:
        """What a training job is given: registry, repository and tag."""
        return f"{self.registry}/{self.repository}:{self.tag}"


def read(connection: Connection, folder: str | Path = ROOT / "container") -> Image:
    """Name the image that belongs to a folder's content.

    Parameters
    ----------
    connection : Connection
    folder : str or Path
        With a `Dockerfile` in it, or what will go beside one.

    Raises
    ------
    ImageError
        If there is no such folder.
    """
    folder = Path(folder)
    if not (folder / "train").is_file():
        raise ImageError(f"Expected the training program {folder / 'train'}, found none. Restore it from Git.")
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part in LEFT_OUT for part in path.relative_to(folder).parts):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    suffix = "com.cn" if connection.region.startswith("cn-") else "com"
    registry = f"{connection.account}.dkr.ecr.{connection.region}.amazonaws.{suffix}"
    return Image(registry, digest.hexdigest()[:16])
