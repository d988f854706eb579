"""Untrusted names as paths below a folder."""

import re
import unicodedata
from pathlib import PurePosixPath

MAX_NAME_BYTES, MAX_PART_BYTES = 900, 255  # limits of S3 below a prefix, and of file systems for a file name


def local_path(name: str) -> PurePosixPath:
    """Return the relative path that an archive's member or an S3 key names.

    Raises
    ------
    ValueError
        If `name` is unsafe or not portable; the text says why.
    """
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise ValueError("an absolute name")
    if "\\" in name:
        raise ValueError("a name with a backslash")
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise ValueError("a name with unprintable characters")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("a name that leads out of its folder")
    if len(name.encode()) > MAX_NAME_BYTES or any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        raise ValueError("a name that is too long")
    return PurePosixPath(*parts)
