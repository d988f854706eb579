"""Early stopping of trainings, and completion criteria of tuning jobs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

MIN_COMPARED = 3
"""Fewest completed trainings for the median rule; SageMaker does not document its number."""
IMPROVEMENT = 0.01
"""Fraction by which the best objective must change to count as improved, from SageMaker's documentation."""


def is_lagging(values: Sequence[float], earlier: Sequence[Sequence[float]], maximise: bool) -> bool:
    """Return whether a training should be stopped early, by SageMaker's median rule.

    It should if the latest of its `values` is worse than the median of the running averages of the `earlier`, completed
    trainings up to the same point:
    https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html
    """
    count = len(values)
    averages = [fmean(other[:count]) for other in earlier if len(other) >= count]
    if len(averages) < MIN_COMPARED:
        return False
    threshold = median(averages)
    return values[-1] < threshold if maximise else values[-1] > threshold


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
        if best is None or sign * (value - best) > IMPROVEMENT * abs(best):
            best, count = value, 0
        else:
            count += 1
    return count
