"""Medians, ratios and their spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

DECIDING = 3
"""The minimum number of pairs to decide who is ahead: two that agree are too often chance."""


@dataclass(frozen=True)
class Contest:
    """The comparison of two sides that were measured in pairs.

    Attributes
    ----------
    ours, other : float
        The median of each.
    ratio, low, high : float or None
        ``ours / other`` of the medians, and the lowest and highest of a single pair; None if a number is not above
        zero, as a reward may be.
    runs : int
        The number of pairs.
    winner : str
        ``"ours"`` or ``"other"`` if that side was ahead in every pair, else ``"neither"``; ``"too few"`` for less than
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
    """Compare pairs (ours, other), each measured directly after one another.

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
    """Return the power of the size with which a cost grows, over the larger half of the sizes: 1 is linear.

    Small sizes are left out, because fixed costs hide the growth there. It is the slope of a straight line through the
    logarithms.

    Raises
    ------
    ValueError
        If there are fewer than two different sizes.
    """
    points = sorted(zip(sizes, costs, strict=True))
    points = points[-max(2, math.ceil(len(points) / 2)) :]
    logs = [(math.log(size), math.log(cost)) for size, cost in points]
    if len({x for x, _ in logs}) < 2:
        raise ValueError(f"Expected two different sizes or more, found {sorted(set(sizes))}.")
    mean_x, mean_y = (sum(axis) / len(logs) for axis in zip(*logs, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
