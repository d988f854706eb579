"""A description of the machine that measures: numbers of different machines cannot be compared."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

import psutil

from common import trainer_env
from common.contract import TRAINERS


def describe() -> dict[str, object]:
    """Return the properties of this machine that affect measurements."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "trainer": trainer(),
    }


def sentence(machine: dict[str, object]) -> str:
    """Return the description in one line."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; {machine['system']}; "
        f"Python {machine['python']}; trainer {machine['trainer']}"
    )


def load() -> float:
    """Return the load average of the last minute; above 0.5, other processes disturb the measurements."""
    return os.getloadavg()[0]


def processor() -> str:
    """Return the processor's name, if the system provides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware"))]
    return names[0] if names else platform.machine()


def trainer() -> str:
    """Return a description of the trainer environments, or ``"none"``."""
    found = []
    for version in TRAINERS:
        with contextlib.suppress(trainer_env.TrainerEnvError):
            found.append(str(trainer_env.find(version)))
    return "; ".join(found) or "none"
