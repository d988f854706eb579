"""The trainer sleeps until a player has responded; ML-Agents polls, which takes a core from the players."""

from mlagents.envs import subprocess_env_manager


def apply() -> None:
    """Make the queue that `SubprocessEnvManager.step` polls wait for the first response."""
    manager = subprocess_env_manager.SubprocessEnvManager
    step = manager.step

    def waiting_step(self):
        queue = self.step_queue
        self.step_queue = _WaitForFirst(queue)
        try:
            return step(self)
        finally:
            self.step_queue = queue

    manager.step = waiting_step


class _WaitForFirst:
    """A queue that waits for its first item; further items are returned only if available."""

    def __init__(self, queue):
        self._queue = queue
        self._first = True

    def get_nowait(self):
        if self._first:
            self._first = False
            return self._queue.get()
        return self._queue.get_nowait()
