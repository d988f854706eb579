"""What the kernel tells of memory: how much there is, who takes how much, and whom it killed when it ran out."""

import os
from typing import Iterable, List, Optional

CONTROL_GROUPS = "/sys/fs/cgroup"
OWN_GROUPS = "/proc/self/cgroup"
MACHINE = "/proc/meminfo"


def kills() -> Optional[int]:
    """Return how many processes of this control group were killed because memory ran out; None where nothing tells."""
    for folder, version in _folders():
        name = "memory.events" if version == 2 else "memory.oom_control"
        for line in _read(os.path.join(folder, name)).splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill" and value.isdigit():
                return int(value)
    return None


def limit() -> Optional[int]:
    """Return the control group's limit in bytes; None where there is none, or nothing tells."""
    for folder, version in _folders():
        value = _read(os.path.join(folder, "memory.max" if version == 2 else "memory.limit_in_bytes")).strip()
        if value.isdigit():
            return int(value) if int(value) < 1 << 60 else None  # version 1 has no word for none, but a huge number
    return None


def total() -> Optional[int]:
    """Return the bytes of memory that there are for this process: of the machine, or the control group's limit."""
    of_machine, limited = _of_machine("MemTotal"), limit()
    return min(of_machine, limited) if of_machine and limited else limited or of_machine


def available() -> Optional[int]:
    """Return the bytes that can still be taken without anything being swapped out or killed; None without /proc."""
    of_machine, limited, used = _of_machine("MemAvailable"), limit(), _used()
    if of_machine is None or limited is None or used is None:
        return of_machine
    return min(of_machine, max(0, limited - used))


def used_by(pids: Iterable[int]) -> int:
    """Return the bytes that these processes take, what they share with others in parts; 0 without /proc."""
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
    """Return what the control group with the limit uses, without files that were read and can be dropped."""
    for folder, version in _folders():
        used = _read(os.path.join(folder, "memory.current" if version == 2 else "memory.usage_in_bytes")).strip()
        if used.isdigit():
            for line in _read(os.path.join(folder, "memory.stat")).splitlines():
                if line.startswith("inactive_file " if version == 2 else "total_inactive_file "):
                    return int(used) - int(line.split()[1])
            return int(used)
    return None


def _folders() -> List:
    """List (folder, version) of the groups that may be this process's, its own before the one at the root.

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
