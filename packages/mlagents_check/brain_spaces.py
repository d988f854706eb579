"""A brain's observation and action spaces, as a running player or a demonstration describes them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BrainSpaces:
    """A brain's name and its observation and action spaces; the trainer's files are checked against them.

    Parameters
    ----------
    name
        As the trainer config must name it.
    observations
        Size of one vector observation.
    stacked
        Number of stacked vector observations.
    cameras
        Height, width and channels of each visual observation.
    actions
        ``continuous``, ``discrete`` or, from com.unity.ml-agents on, ``hybrid``.
    action_sizes
        Continuous: number of actions; discrete: number of choices of each branch; hybrid: both, one after the other.
    sensors
        Shape of what each sensor sees, in order, which 1.1.0 compares; empty if unknown.
    """

    name: str
    observations: int
    stacked: int
    cameras: tuple[tuple[int, int, int], ...]
    actions: str
    action_sizes: tuple[int, ...]
    sensors: tuple[tuple[int, ...], ...] = field(default=(), kw_only=True)
