"""Remembered hashes: what is read again, and what is not."""

import hashlib
import os
import subprocess
import sys

import pytest

from common import file_hashes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Begin with nothing remembered, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_hashes, "_known", {})
    return tmp_path / "cache/mlagents-on-sagemaker/file_hashes.sqlite3"


@pytest.fixture
def read(monkeypatch):
    """Record the names of files that are read."""
    names, really = [], file_hashes._hash
    monkeypatch.setattr(file_hashes, "_hash", lambda path: names.append(path.name) or really(path))
    return names


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path in paths:
        path.write_text(path.name)
    return paths


def digests(files):
    return [digest for _, digest in file_hashes.hash_files(files)]


def sha256(*contents):
    return [hashlib.sha256(content.encode()).digest() for content in contents]


def forget_process(monkeypatch):
    monkeypatch.setattr(file_hashes, "_known", {})


def test_a_recently_changed_file_is_hashed_again(files, read):
    """A second change within the clock's resolution would not show."""
    assert digests(files) == digests(files) == sha256("a", "b", "c")
    assert sorted(read) == ["a", "a", "b", "b", "c", "c"]


def test_an_unchanged_file_is_hashed_once_for_all_processes(files, read, monkeypatch, cache):
    monkeypatch.setattr(file_hashes, "STILL", -(10**12))
    assert digests(files) == digests(files) == sha256("a", "b", "c")
    assert sorted(read) == ["a", "b", "c"]
    code = (
        "import sys, pathlib; from common import file_hashes; file_hashes._hash = None\n"
        "print(*(digest.hex() for _, digest in file_hashes.hash_files(map(pathlib.Path, sys.argv[1:]))))"
    )
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest.hex() for digest in sha256("a", "b", "c")]
    assert cache.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("process", ["this", "next"])
def test_a_change_with_the_old_time_and_size_is_detected(files, read, monkeypatch, process):
    monkeypatch.setattr(file_hashes, "STILL", -(10**12))
    digests(files)
    before = files[1].stat()
    files[1].write_text("B")
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))  # the inode's own time can't be set back
    if process == "next":
        forget_process(monkeypatch)
    read.clear()
    assert digests(files) == sha256("a", "B", "c")
    assert read == ["b"]


def test_the_hash_of_a_file_that_changes_while_it_is_read_is_not_cached(files, monkeypatch):
    """The state from before is then older than the reading, however long that takes."""
    really = file_hashes._hash
    monkeypatch.setattr(file_hashes, "STILL", 0)

    def change(path):
        digest = really(path)
        path.write_text("changed")
        return digest

    monkeypatch.setattr(file_hashes, "_hash", change)
    digests(files)
    monkeypatch.setattr(file_hashes, "_hash", really)
    assert digests(files) == sha256("changed", "changed", "changed")


@pytest.mark.parametrize("trouble", ["damaged", "no folder", "locked"])
def test_without_a_usable_cache_files_are_hashed_again(files, read, monkeypatch, cache, trouble):
    monkeypatch.setattr(file_hashes, "STILL", -(10**12))
    cache.parent.parent.mkdir()
    if trouble == "no folder":
        cache.parent.write_text("a file")
    else:
        cache.parent.mkdir()
    if trouble == "damaged":
        cache.write_bytes(b"no database" * 1000)
    holder = file_hashes.sqlite3.connect(cache, isolation_level=None) if trouble == "locked" else None
    if holder:
        connect = file_hashes.sqlite3.connect
        monkeypatch.setattr(file_hashes.sqlite3, "connect", lambda place, timeout: connect(place, timeout=0))
        holder.execute("BEGIN EXCLUSIVE")
    assert digests(files) == sha256("a", "b", "c")
    forget_process(monkeypatch)
    assert digests(files) == sha256("a", "b", "c")
    # A damaged file is removed when it is first met, and so serves from the second writing on.
    assert len(read) == (3 if trouble == "damaged" else 6)
    if holder:
        holder.close()


def test_unused_hashes_are_deleted(monkeypatch):
    file_hashes.remember({"old": b"1", "used": b"2"})
    now = file_hashes.time.time()
    for days, key in ((60, "used"), (91, "new")):
        forget_process(monkeypatch)
        monkeypatch.setattr(file_hashes.time, "time", lambda days=days: now + days * 86400)
        assert len(file_hashes.recall(["used"])) == 1
        file_hashes.remember({key: b"2"})
    forget_process(monkeypatch)
    assert file_hashes.recall(["old", "used", "new"]) == {"used": b"2", "new": b"2"}
