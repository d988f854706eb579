"""Processes identified by a mark: an environment variable that they inherit, whatever their parent is now."""

from __future__ import annotations

import logging
import time

import psutil

KILL_SECONDS = 10.0


def find_marked(name: str, value: str) -> list[psutil.Process]:
    """Find the living processes that have this environment variable."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value and is_alive(process):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # it has ended meanwhile, or is another user's
    return found


def kill_marked(name: str, value: str, family: psutil.Process | None = None) -> int:
    """Kill all processes with a mark and wait until they are gone, for at most `KILL_SECONDS`.

    What can't be killed, because it is another user's or hangs in the kernel, is named in the log and left.

    Parameters
    ----------
    name, value : str
        The environment variable.
    family : psutil.Process, optional
        A process whose descendants are killed too, whatever their environment says.

    Returns
    -------
    int
        Number of processes.
    """
    killed: set[int] = set()
    give_up = time.monotonic() + KILL_SECONDS
    while left := find_marked(name, value) + _descendants(family):  # again, for one may fork while it is killed
        for process in left:
            killed.add(process.pid)
            try:
                process.kill()
            except (psutil.Error, OSError):
                continue  # it has ended meanwhile, or can't be killed
        if time.monotonic() >= give_up:
            names = ", ".join(str(process.pid) for process in left)
            logging.error(
                "Expected the processes with %s=%s to end when killed, but %s live. End them.", name, value, names
            )
            break
        time.sleep(0.01)  # to wait for a child here would take its exit code away from its parent's code
    return len(killed)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that has ended and only waits to be collected does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _descendants(process: psutil.Process | None) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if is_alive(child)] if process else []
