"""The cores of this machine, as far as its processes may use them, and those of SageMaker's instances."""

import os
import re


def cores_here() -> int:
    """Return the number of cores that a job on this machine may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_here() -> int:
    """Return how many trainings to run at a time.

    Trainer and player mostly wait for each other: a training with one player keeps little more than one core busy. On
    two cores, two trainings take 1.3 times as long as one. Where there are more cores, a training starts more players.
    """
    return min(cores_here(), cores_here() // 2 + 1)


def cores_of(instance_type: str) -> int | None:
    """Return the vCPUs of an instance type such as ``"ml.c5.2xlarge"``, or None where its name does not tell.

    From large on the size alone tells, in all families (https://aws.amazon.com/sagemaker/pricing/).
    """
    named = re.fullmatch(r"ml\.[a-z][a-z0-9]*\.(?:(\d+)xlarge|(medium|large|xlarge))", instance_type)
    if not named:
        return None
    return 4 * int(named[1]) if named[1] else {"medium": 1, "large": 2, "xlarge": 4}[named[2]]
