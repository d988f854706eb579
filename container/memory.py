"""What the kernel tells of memory that ran out: the control group's count of processes that it killed for it."""

import os
from typing import List, Optional

CONTROL_GROUPS = "/sys/fs/cgroup"
OWN_GROUPS = "/proc/self/cgroup"


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
