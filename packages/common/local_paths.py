"""Names that others gave, as paths below a folder of ours."""

import re
import unicodedata
from pathlib import PurePosixPath

MOST_OF_NAME, MOST_OF_PART = 900, 255  # bytes: what S3 takes below a prefix, and file systems between two slashes


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
