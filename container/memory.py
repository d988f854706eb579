"""Memory information from the kernel: sizes, usage, and processes killed because it ran out."""

import os
from typing import Iterable, List, Optional

CONTROL_GROUPS = "/sys/fs/cgroup"
OWN_GROUPS = "/proc/self/cgroup"
MACHINE = "/proc/meminfo"


def kills() -> Optional[int]:
    """Return how many processes of this control group were killed because memory ran out; None if unknown."""
    for folder, version in _folders():
        name = "memory.events" if version == 2 else "memory.oom_control"
        for line in _read(os.path.join(folder, name)).splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill" and value.isdigit():
                return int(value)
    return None


def limit() -> Optional[int]:
    """Return the control group's limit in bytes; None if there is none, or it is unknown."""
    for folder, version in _folders():
        value = _read(os.path.join(folder, "memory.max" if version == 2 else "memory.limit_in_bytes")).strip()
        if value.isdigit():
            return int(value) if int(value) < 1 << 60 else None  # version 1 uses a huge number for no limit
    return None


def total() -> Optional[int]:
    """Return the bytes of memory for this process: the machine's, or the control group's limit."""
    of_machine, limited = _of_machine("MemTotal"), limit()
    return min(of_machine, limited) if of_machine and limited else limited or of_machine


def available() -> Optional[int]:
    """Return the bytes that can still be used without swapping or killing; None without /proc."""
    of_machine, limited, used = _of_machine("MemAvailable"), limit(), _used()
    if of_machine is None or limited is None or used is None:
        return of_machine
    return min(of_machine, max(0, limited - used))


def used_by(pids: Iterable[int]) -> int:
    """Return the bytes that these processes use, with shared memory counted proportionally; 0 without /proc."""
    used = 0
    for pid in pids:
        for line in _read("/proc/%d/smaps_rollup" % pid).splitlines():
            if line.startswith("Pss:"):
                used += 1024 * int(line.split()[1])
    return used


def _of_machine(key: str) -> Optional[int]:
    for line in _read(MACHINE).splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    return None


def _used() -> Optional[int]:
    """Return the bytes that the control group with the limit uses, without droppable file cache."""
    for folder, version in _folders():
        used = _read(os.path.join(folder, "memory.current" if version == 2 else "memory.usage_in_bytes")).strip()
        if used.isdigit():
            for line in _read(os.path.join(folder, "memory.stat")).splitlines():
                if line.startswith("inactive_file " if version == 2 else "total_inactive_file "):
                    return int(used) - int(line.split()[1])
            return int(used)
    return None


def _folders() -> List:
    """List (folder, version) of the groups that may be this process's, its own before the root's.

    In a container the root shows the container's own group, and the path that /proc names may be the host's.
    """
    own = []
    for line in _read(OWN_GROUPS).splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            own.append((CONTROL_GROUPS + path, 2))
        elif "memory" in controllers.split(","):
            own.append((os.path.join(CONTROL_GROUPS, "memory") + path, 1))
    return [*own, (CONTROL_GROUPS, 2), (os.path.join(CONTROL_GROUPS, "memory"), 1)]


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError):
        return ""
