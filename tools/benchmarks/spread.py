"""Medians, ratios and how far they scatter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

DECIDING = 3
"""So many pairs at least say who is ahead: two alike are too often chance."""


@dataclass(frozen=True)
class Contest:
    """Two sides measured in pairs.

    Attributes
    ----------
    ours, other : float
        The median of each.
    ratio, low, high : float or None
        ``ours / other``, of the medians, and the least and the greatest of a single pair; None where a number is not
        above zero, as a reward may be: there is no ratio then.
    runs : int
        How many pairs.
    winner : str
        ``"ours"`` or ``"other"`` if that side was ahead in every pair, else ``"neither"``; ``"too few"`` of less than
        `DECIDING` pairs.
    """

    ours: float
    other: float
    ratio: float | None
    low: float | None
    high: float | None
    runs: int
    winner: str


def contest(pairs: Sequence[tuple[float, float]], more_is_better: bool) -> Contest:
    """Compare pairs (ours, other), each measured one right after the other.

    Raises
    ------
    ValueError
        If there is no pair, or a number that is not finite.
    """
    if not pairs:
        raise ValueError("Expected at least one pair of measurements, found none.")
    for pair in pairs:
        if not all(map(math.isfinite, pair)):
            raise ValueError(f"Expected finite measurements, found {pair}.")
    ours, other = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    ratio = low = high = None
    if all(value > 0 for pair in pairs for value in pair):
        ratios = [ours / other for ours, other in pairs]
        ratio, low, high = ours / other, min(ratios), max(ratios)
    above, below = all(ours > other for ours, other in pairs), all(ours < other for ours, other in pairs)
    winner = "neither"
    if len(pairs) < DECIDING:
        winner = "too few"
    elif above or below:
        winner = "ours" if above == more_is_better else "other"
    return Contest(ours, other, ratio, low, high, len(pairs), winner)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the power of the size that a cost grows with, over the larger half of the sizes: 1 is linear.

    At small sizes what is there once for all hides the growth, so those are left out. It is the slope of a straight
    line through the logarithms.

    Raises
    ------
    ValueError
        If there are fewer than two different sizes to draw a line through.
    """
    points = sorted(zip(sizes, costs, strict=True))
    points = points[-max(2, math.ceil(len(points) / 2)) :]
    logs = [(math.log(size), math.log(cost)) for size, cost in points]
    if len({x for x, _ in logs}) < 2:
        raise ValueError(f"Expected two different sizes or more, found {sorted(set(sizes))}.")
    mean_x, mean_y = (sum(axis) / len(logs) for axis in zip(*logs, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
