"""Names of brains in names of files."""

from urllib.parse import unquote


def brain_of(file: str) -> str:
    """Return the brain that a job's file or folder is named after; `container/paths.py` encodes the names."""
    return unquote(file) if file != "%" else ""
