"""What a brain observes and does, as a running player or a demonstration says."""

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
        Numbers in one vector observation.
    stacked
        Vector observations that are stacked.
    cameras
        Height, width and channels of each visual observation.
    actions
        ``continuous`` or ``discrete``.
    action_sizes
        Continuous: how many numbers; discrete: choices of each branch.
    """

    name: str
    observations: int
    stacked: int
    cameras: tuple[tuple[int, int, int], ...]
    actions: str
    action_sizes: tuple[int, ...]
