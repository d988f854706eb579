"""Early stopping of a training, and completion criteria of a tuning job."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

LEAST_TO_COMPARE = 3
"""Completed trainings that the median rule needs at least; SageMaker does not document its number."""
IMPROVES = 0.01
"""The share by which the best objective must change to count as improved, from SageMaker's documentation."""


def falls_behind(values: Sequence[float], earlier: Sequence[Sequence[float]], maximise: bool) -> bool:
    """Return whether a training is to be stopped early, by SageMaker's median rule.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html: the latest of its
    `values` is worse than the median of the running averages, up to there, of the `earlier` trainings that completed.
    """
    count = len(values)
    averages = [fmean(of_one[:count]) for of_one in earlier if len(of_one) >= count]
    if len(averages) < LEAST_TO_COMPARE:
        return False
    bar = median(averages)
    return values[-1] < bar if maximise else values[-1] > bar


def is_over(objectives: Sequence[float], criteria: dict[str, Any], maximise: bool) -> bool:
    """Return whether a tuning job's completion criteria are met by its `objectives`, oldest first."""
    sign = 1 if maximise else -1
    if objectives and "TargetObjectiveMetricValue" in criteria:
        target = criteria["TargetObjectiveMetricValue"]
        if max(sign * value for value in objectives) >= sign * target:
            return True
    allowed = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
    return allowed is not None and not_improving(objectives, maximise) >= allowed


def not_improving(objectives: Sequence[float], maximise: bool) -> int:
    """Count the trainings since the last that was better than the best before it by one per cent."""
    sign, best, count = 1 if maximise else -1, None, 0
    for value in objectives:
        if best is None or sign * (value - best) > IMPROVES * abs(best):
            best, count = value, 0
        else:
            count += 1
    return count
