"""The embedded AWS's folder, which only its owner can open, and the keys in it."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import secrets
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from common import ROOT

REGION = "us-east-1"
CONFIG = "aws-config"
"""The file with the keys, the region and the address, in the format of ``AWS_CONFIG_FILE``."""

CONTENT = ("s3", "registry")
"""Folders of a home whose large files are never changed: new content goes to a new file."""
LARGE = 1 << 20
"""Size in bytes from which such a file is linked rather than copied."""
SERVER_FILES = ("alive.lock", "start.lock", "server.json", "server.log", "port", "*.new")
"""Files that belong to the server that runs in a home."""


class HomeError(Exception):
    """The folder can't be used; the message says why and what to do."""


@dataclass(frozen=True)
class Keys:
    """An access key and its secret."""

    access: str
    secret: str = field(repr=False)


def home_folder() -> Path:
    """Return the embedded AWS's folder: ``EMBEDDED_HOME``, or ``.embedded`` in the repository."""
    return Path(os.environ.get("EMBEDDED_HOME") or ROOT / ".embedded").absolute()


def make_private(home: Path) -> None:
    """Create the folder if it is missing, and restrict access to its owner.

    Raise `HomeError` if it can't be created or written to, is a symbolic link, or belongs to another user.
    """
    instead = "Set EMBEDDED_HOME to another folder"
    instead += "." if home == ROOT / ".embedded" else f", or unset it to take {ROOT / '.embedded'}."
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if home.is_symlink():
            raise HomeError(f"Expected {home} to be a folder of your own, found a symbolic link. {instead}")
        folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            status = os.fstat(folder)
            if status.st_uid != os.geteuid():
                raise HomeError(
                    f"Expected {home} to belong to you (user {os.geteuid()}), found that it belongs to user "
                    f"{status.st_uid}, who could read your keys and change your files. {instead}"
                )
            if stat.S_IMODE(status.st_mode) != 0o700:
                os.fchmod(folder, 0o700)
        finally:
            os.close(folder)
        open_private(home / "start.lock").close()
    except OSError as error:
        raise HomeError(
            f"Expected {home} to be a folder for the embedded AWS's files, but it can't be created or written to "
            f"({error.strerror}). {instead}"
        ) from error


def copy_home(home: Path, copy: Path) -> None:
    """Copy a home, so that another server can run in the copy; an existing `copy` is replaced.

    The copy shares only large files of objects and images with the original, never logs and journals, which servers
    append to.
    """

    def copy_file(source: str, target: str) -> None:
        at = Path(source)
        with contextlib.suppress(FileNotFoundError):  # deleted by the running server meanwhile
            if at.relative_to(home).parts[0] in CONTENT and at.stat().st_size >= LARGE:
                os.link(source, target)
            else:
                shutil.copy2(source, target)

    shutil.rmtree(copy, ignore_errors=True)
    left_out = shutil.ignore_patterns(*SERVER_FILES, copy.name)
    shutil.copytree(home, copy, symlinks=True, ignore=left_out, copy_function=copy_file)
    copy.chmod(0o700)


def open_private(file: Path) -> IO[str]:
    """Open a file for appending, readable only by its owner."""
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a")


def new_keys() -> Keys:
    """Return random keys in AWS's form."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return Keys("AKEM" + "".join(secrets.choice(letters) for _ in range(16)), secrets.token_urlsafe(30))


def read_keys(home: Path) -> Keys | None:
    """Return the keys of a home; None if it has none, or if others can read them."""
    file = configparser.RawConfigParser()
    try:
        if stat.S_IMODE((home / CONFIG).stat().st_mode) != 0o600:
            return None
        file.read_string((home / CONFIG).read_text())
        keys = Keys(file["default"]["aws_access_key_id"], file["default"]["aws_secret_access_key"])
    except (OSError, ValueError, KeyError, configparser.Error):
        return None
    return keys if re.fullmatch("[A-Z0-9]{16,128}", keys.access) and len(keys.secret) >= 32 else None


def write_whole(file: Path, text: str) -> None:
    """Write a file of the server's own, and make its folder; a reader finds the old content or the new."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.replace(file)


def write_config(home: Path, keys: Keys, url: str) -> None:
    """Write the keys, the region and the server's address to `CONFIG`, as the AWS CLI and SDKs read them."""
    lines = {
        "region": REGION,
        "endpoint_url": url,
        "aws_access_key_id": keys.access,
        "aws_secret_access_key": keys.secret,
    }
    new = home / f"{CONFIG}.new"
    new.unlink(missing_ok=True)
    with open_private(new) as file:
        file.write("[default]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
    new.replace(home / CONFIG)
