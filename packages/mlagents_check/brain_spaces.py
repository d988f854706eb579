"""A brain's observation and action spaces, as a running player or a demonstration describes them."""

from __future__ import annotations

from dataclasses import dataclass


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
        ``continuous`` or ``discrete``.
    action_sizes
        Continuous: number of actions; discrete: number of choices of each branch.
    """

    name: str
    observations: int
    stacked: int
    cameras: tuple[tuple[int, int, int], ...]
    actions: str
    action_sizes: tuple[int, ...]
