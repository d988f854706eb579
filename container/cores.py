"""How many processor cores this job was given."""

import math
import os


def given() -> int:
    """Return the cores that this process may use: of the machine, of its affinity and of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS has none
    return max(1, min(cores, _quota()))


def _quota() -> int:
    """Return the control group's limit in whole cores; as good as none where there is none."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # version 2
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", encoding="ascii") as file:  # version 1
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us", encoding="ascii") as file:
                period = file.read().strip()
        except OSError:
            return 1 << 30
    if quota in ("max", "-1"):
        return 1 << 30
    return math.ceil(int(quota) / int(period))
