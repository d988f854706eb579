"""The files of a folder, listed once for all checks."""

from __future__ import annotations

import fnmatch
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

# Files and folders that operating systems, editors and Unity create for their own use.
LEFT_OUT = (
    "*_BackUpThisFolder_*",
    "*_BurstDebugInformation_DoNotShip",
    ".DS_Store",
    "._*",
    ".git",
    ".ipynb_checkpoints",
    "Thumbs.db",
    "__MACOSX",
    "desktop.ini",
)
LEFT_OUT_AT_TOP = ("README*", ".gitignore", ".gitkeep", "SHA256SUMS")  # the last one: see helpers/volume.py

Kind = Literal["file", "link", "special", "unreadable"]


@dataclass(frozen=True)
class Entry:
    """One file of the folder.

    Parameters
    ----------
    path
        Relative to the folder, with forward slashes.
    kind
        ``special`` is a socket, pipe or device; ``unreadable`` a file or folder without read permission.
    size
        Bytes; 0 for anything but a file.
    changed
        Time of the last change, nanoseconds since 1970.
    target
        The target of a link, as stored in it.
    """

    path: str
    kind: Kind
    size: int = 0
    changed: int = 0
    target: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Listing:
    """All files of a folder that are uploaded.

    Parameters
    ----------
    root
        The folder.
    entries
        Sorted by path.
    folders
        Paths of all folders in it, relative.
    left_out
        Paths of files and folders that an upload leaves out; the content of such a folder is not listed.
    """

    root: Path
    entries: tuple[Entry, ...]
    folders: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @cached_property
    def files(self) -> dict[str, Entry]:
        """The plain files by path."""
        return {entry.path: entry for entry in self.entries if entry.kind == "file"}

    def read(self, path: str, length: int = -1) -> bytes:
        """Read the first `length` bytes of a file (by default all); return empty bytes if it can't be read."""
        try:
            with (self.root / path).open("rb") as stream:
                return stream.read(length)
        except OSError:
            return b""


def is_left_out(name: str, at_top: bool) -> bool:
    """Return whether an upload of the folder leaves out a file or folder with this name."""
    patterns = LEFT_OUT + (LEFT_OUT_AT_TOP if at_top else ())
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def walk(root: Path) -> Listing:
    """List a folder without following links, which may lead out of it or form a cycle."""
    entries: list[Entry] = []
    folders: list[str] = []
    left_out: list[str] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(root / prefix) as found:
                items = list(found)
        except OSError:
            entries.append(Entry(prefix.rstrip("/"), "unreadable"))
            continue
        for item in items:
            path = prefix + item.name
            if is_left_out(item.name, at_top=not prefix):
                left_out.append(path)
                continue
            try:
                status = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path)
                    pending.append(path + "/")
                elif stat.S_ISLNK(status.st_mode):
                    entries.append(Entry(path, "link", 0, status.st_mtime_ns, str(Path(item.path).readlink())))
                elif stat.S_ISREG(status.st_mode):
                    kind: Kind = "file" if os.access(item.path, os.R_OK) else "unreadable"
                    entries.append(Entry(path, kind, status.st_size, status.st_mtime_ns))
                else:
                    entries.append(Entry(path, "special", 0, status.st_mtime_ns))
            except OSError:
                entries.append(Entry(path, "unreadable"))
    entries.sort(key=lambda entry: entry.path)
    return Listing(root, tuple(entries), tuple(sorted(folders)), tuple(sorted(left_out)))
