"""The trainer sleeps until a player has answered, where ML-Agents polls and so takes a core from the players."""

from mlagents.envs import subprocess_env_manager


def apply() -> None:
    """Let the queue that `SubprocessEnvManager.step` polls wait for its first answer."""
    manager = subprocess_env_manager.SubprocessEnvManager
    step = manager.step

    def waiting_step(self):
        queue = self.step_queue
        self.step_queue = _FirstAnswer(queue)
        try:
            return step(self)
        finally:
            self.step_queue = queue

    manager.step = waiting_step


class _FirstAnswer:
    """A queue whose first answer is waited for; the others are taken if they are there."""

    def __init__(self, queue):
        self._queue = queue
        self._first = True

    def get_nowait(self):
        if self._first:
            self._first = False
            return self._queue.get()
        return self._queue.get_nowait()
