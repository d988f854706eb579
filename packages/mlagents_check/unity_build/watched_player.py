"""A player that is started as mlagents-learn does, and whose end is detected immediately (Python 3.7 and later).

Imports nothing of this project: scripts that run in the trainer environment import it from its folder.
"""

import sys
import threading

from mlagents.envs import environment


class WatchedEnvironment(environment.UnityEnvironment):
    """ML-Agents' own environment, which does not wait for a player that has ended.

    Parameters
    ----------
    ended
        Called from a thread with the player's exit code when it ends, or with None if its first message did not arrive
        in time. It must end this process.
    request
        `file_name`, `port`, `no_graphics`, `args` and, if not the defaults, `seed` and `timeout` in seconds.
    """

    def __init__(self, ended, request):
        if sys.platform == "darwin":
            environment.platform = "linux"  # so that it finds NAME.x86_64, such as the sample
        self.ended = ended
        super().__init__(
            file_name=request["file_name"],
            base_port=request["port"],
            no_graphics=request["no_graphics"],
            timeout_wait=request.get("timeout", 30),
            args=request["args"],
            seed=request.get("seed", 1),
        )

    def executable_launcher(self, file_name, docker_training, no_graphics, args):
        """Start the player, and a thread that waits for its end."""
        super().executable_launcher(file_name, docker_training, no_graphics, args)
        threading.Thread(target=lambda: self.ended(self.proc1.wait()), daemon=True).start()

    def send_academy_parameters(self, init_parameters):
        """Wait for the player's first message; if it does not arrive, do not wait for the player's end."""
        try:
            return super().send_academy_parameters(init_parameters)
        except environment.UnityTimeOutException:
            self.ended(None)
            raise
