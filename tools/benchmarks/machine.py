"""The machine that measures, described: numbers from two machines are never set side by side."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from common import trainer_env


def describe() -> dict[str, object]:
    """Return what a reader needs to know of this machine, and what makes it another one."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "trainer": trainer(),
    }


def sentence(machine: dict[str, object]) -> str:
    """Say it in one line."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; {machine['system']}; "
        f"Python {machine['python']}; trainer {machine['trainer']}"
    )


def load() -> float:
    """Return how many processes wanted a core over the last minute: above 0.5 before it starts, others disturb."""
    return os.getloadavg()[0]


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware"))]
    return names[0] if names else platform.machine()


def trainer() -> str:
    """Return the trainer environment, or say that there is none."""
    try:
        return str(trainer_env.find())
    except trainer_env.TrainerEnvError:
        return "none"
