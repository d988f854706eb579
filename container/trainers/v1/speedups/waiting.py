"""The trainer sleeps until a player has responded; ML-Agents polls, which takes a core from the players."""

import itertools

from mlagents.trainers import subprocess_env_manager


def apply() -> None:
    """Make the queue that `SubprocessEnvManager._step` polls wait for the first response."""
    manager = subprocess_env_manager.SubprocessEnvManager
    step = manager._step

    def waiting_step(self):
        queue, turns = self.step_queue, itertools.count()
        self.step_queue = _Queue(lambda: queue.get(next(turns) == 0))
        try:
            return step(self)
        finally:
            self.step_queue = queue

    manager._step = waiting_step


class _Queue:
    def __init__(self, get_nowait):
        self.get_nowait = get_nowait
