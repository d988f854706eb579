"""The number of processor cores that this job may use."""

import math
import os

CGROUP = "/sys/fs/cgroup"
UNLIMITED = 1 << 30


def available() -> int:
    """Return the cores that this process may use, limited by machine, affinity and control group."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )  # missing on macOS
    return max(1, min(cores, _quota()))


def _quota() -> int:
    """Return the control group's limit in whole cores; `UNLIMITED` if there is none, or it can't be read."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # versions 2 and 1
        try:
            quota, period = " ".join(_read(file) for file in files).split()
            return UNLIMITED if quota in ("max", "-1") else math.ceil(int(quota) / int(period))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return UNLIMITED


def _read(file: str) -> str:
    with open(os.path.join(CGROUP, file), encoding="ascii") as opened:
        return opened.read()
