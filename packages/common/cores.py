"""The cores of this machine, as far as its processes may use them."""

import os


def cores_here() -> int:
    """Return the number of cores that a job on this machine may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_here() -> int:
    """Return how many trainings to run at a time.

    Trainer and player mostly wait for each other: a training with one player keeps little more than one core busy. On
    two cores, two trainings take 1.3 times as long as one. Where there are more cores, a training starts more players.
    """
    return min(cores_here(), cores_here() // 2 + 1)
