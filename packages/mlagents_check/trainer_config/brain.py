"""What the checks of the trainer's files need to know of a brain."""

from __future__ import annotations

from typing import Protocol


class Brain(Protocol):
    """A brain as a smoke start describes it, or as a demonstration does that was recorded with it.

    Parameters
    ----------
    name
        Of the brain.
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
