"""SHA-256 of files, remembered by path, size and time of change: in this process, and on disk for the next one.

A file whose state (device, inode, size, modification and inode change time in nanoseconds) is known is not read again.
A file that changed less than two seconds ago is hashed but not remembered, because a second change within the
resolution of the file system's clock would leave the same state. A program can set a file's modification time back, but
not the time of the inode's change.
"""

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STILL = 2 * 10**9
"""Nanoseconds for which a file must not have changed before its hash is remembered."""
KEPT_DAYS = 90
"""Hashes that were not used for this many days are deleted."""
TABLE = "CREATE TABLE IF NOT EXISTS hashes (key TEXT PRIMARY KEY, value BLOB NOT NULL, day INTEGER NOT NULL)"

_known: dict[str, bytes] = {}


def hash_files(paths: Iterable[Path]) -> list[tuple[os.stat_result, bytes]]:
    """Return each file's state and SHA-256, in the order of `paths`.

    Raises
    ------
    OSError
        If a file can't be read.
    """
    found = [(path, path.stat()) for path in paths]
    keys = [
        f"{os.fsencode(path.absolute())!r} {at.st_dev} {at.st_ino} {at.st_size} {at.st_mtime_ns} {at.st_ctime_ns}"
        for path, at in found
    ]
    known = recall(keys)
    unknown = [number for number, key in enumerate(keys) if key not in known]
    still = time.time_ns() - STILL  # before any is read, so that a change from here on shows in the file's times
    with ThreadPoolExecutor() as pool:
        hashed = dict(zip(unknown, pool.map(lambda number: _hash(found[number][0]), unknown), strict=True))
    changed = [max(at.st_mtime_ns, at.st_ctime_ns) for _, at in found]
    remember({keys[number]: value for number, value in hashed.items() if changed[number] < still})
    return [(at, hashed[n] if n in hashed else known[keys[n]]) for n, (_, at) in enumerate(found)]


def _hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def recall(keys: Iterable[str]) -> dict[str, bytes]:
    """Return the remembered values of those keys that have one."""
    keys = list(keys)
    today = int(time.time() // 86400)

    def look_up(rows: sqlite3.Connection) -> None:
        for key in keys:
            if key not in _known and (row := rows.execute("SELECT value FROM hashes WHERE key = ?", (key,)).fetchone()):
                _known[key] = row[0]
        rows.executemany("UPDATE hashes SET day = ? WHERE key = ? AND day < ?", ((today, key, today) for key in keys))

    if not _known.keys() >= set(keys):
        _with_database(look_up)
    return {key: _known[key] for key in keys if key in _known}


def remember(values: Mapping[str, bytes]) -> None:
    """Remember values by their keys. Where the disk refuses, this process alone remembers them."""
    _known.update(values)
    today = int(time.time() // 86400)

    def keep(rows: sqlite3.Connection) -> None:
        rows.execute("DELETE FROM hashes WHERE day < ?", (today - KEPT_DAYS,))
        rows.executemany("REPLACE INTO hashes VALUES (?, ?, ?)", ((key, value, today) for key, value in values.items()))

    if values:
        _with_database(keep)


def _with_database(work: Callable[[sqlite3.Connection], None]) -> None:
    """Do one transaction with the file of remembered hashes. A failure only means that files are read again."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(home, "mlagents-on-sagemaker", "file_hashes.sqlite3")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(place, timeout=2)) as rows, rows:
            rows.execute(TABLE)
            work(rows)
    except (OSError, sqlite3.OperationalError):  # no room, no right, or another process holds it
        pass
    except sqlite3.DatabaseError:  # the file is damaged
        with contextlib.suppress(OSError):
            place.unlink()
