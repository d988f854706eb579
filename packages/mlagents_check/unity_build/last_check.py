"""Checks that remember the folder's files on disk, so that the next check reports what has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import astuple
from pathlib import Path

from common import ROOT
from mlagents_check.unity_build.check import check
from mlagents_check.unity_build.listing import Entry, Listing
from mlagents_check.unity_build.report import BuildReport

LISTINGS = ROOT / "build" / "checks"
_MAX_LISTINGS = 50


def check_since_last(folder: str | Path) -> BuildReport:
    """Check a folder as `check` does, and report what has changed since the last call.

    Names, sizes and times of the folder's files are kept in ``build/checks/``, never in the folder itself. Nothing
    depends on them: without them no change is reported.
    """
    folder = Path(folder)
    place = LISTINGS / (hashlib.sha256(os.fsencode(folder.absolute().resolve())).hexdigest()[:16] + ".json")
    report = check(folder, since=_read(place, folder))
    if folder.is_dir():
        with contextlib.suppress(OSError):
            _write(place, report.listing)
    return report


def _read(place: Path, folder: Path) -> Listing | None:
    try:
        entries = tuple(Entry(*entry) for entry in json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return Listing(folder, entries, ())


def _write(place: Path, listing: Listing) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps([astuple(entry) for entry in listing.entries]), encoding="utf-8")
    part.replace(place)
    with contextlib.suppress(FileNotFoundError):  # another check may delete it first
        for old in sorted(place.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_MAX_LISTINGS]:
            old.unlink()
