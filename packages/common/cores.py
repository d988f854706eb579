"""The cores of this machine, as far as its processes may use them."""

import os


def cores_here() -> int:
    """Give the cores that a job on this machine may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_here() -> int:
    """Give how many trainings they bear at a time: each keeps two cores busy."""
    return max(1, cores_here() // 2)
