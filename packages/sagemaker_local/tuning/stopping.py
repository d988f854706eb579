"""When a training is not worth going on, and when a search is over."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

LEAST_TO_COMPARE = 3
"""Trainings that must have completed before another is measured by them; SageMaker does not say its number."""
IMPROVES = 0.01
"""The share by which the best objective must change to count as improved, as SageMaker says."""


def falls_behind(values: Sequence[float], earlier: Sequence[Sequence[float]], maximise: bool) -> bool:
    """Say whether a training is to be stopped early, by SageMaker's median rule.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-early-stopping.html: at its latest value,
    it is worse than the median of the earlier trainings' running averages up to there.

    Parameters
    ----------
    values
        Its objective so far, at least one value.
    earlier
        Those of the trainings that completed.
    maximise
        Whether greater is better.
    """
    count = len(values)
    averages = [fmean(of_one[:count]) for of_one in earlier if len(of_one) >= count]
    if len(averages) < LEAST_TO_COMPARE:
        return False
    bar = median(averages)
    return values[-1] < bar if maximise else values[-1] > bar


def is_over(objectives: Sequence[float], criteria: dict[str, Any], maximise: bool) -> bool:
    """Say whether a tuning job's completion criteria are met.

    Parameters
    ----------
    objectives
        Of the trainings that have one, in the order in which they ended.
    criteria
        The request's TuningJobCompletionCriteria.
    maximise
        Whether greater is better.
    """
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
