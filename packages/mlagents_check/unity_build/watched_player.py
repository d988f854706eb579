"""A player that is started as mlagents-learn starts it, and whose end is noticed at once (Python 3.7 and later).

Imports nothing of this project: scripts that run in the trainer environment import it from its folder.
"""

import sys
import threading

from mlagents.envs import environment


class WatchedEnvironment(environment.UnityEnvironment):
    """ML-Agents' environment of the unmodified wheel, which does not wait for a player that is gone.

    Parameters
    ----------
    ended
        Called from a thread with the player's exit code when it ends, or with None when it sent no first message in
        time. It has to end this process.
    request
        `file_name`, `port`, `no_graphics`, `args` and, if not the defaults, `seed` and `timeout` in seconds.
    """

    def __init__(self, ended, request):
        if sys.platform == "darwin":
            environment.platform = "linux"  # so that it looks for NAME.x86_64 there too, which the sample is
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
        """Wait for the player's first message; don't wait for its end where none comes."""
        try:
            return super().send_academy_parameters(init_parameters)
        except environment.UnityTimeOutException:
            self.ended(None)
            raise
