"""A player that is started as mlagents-learn does, and whose end is detected immediately (Python 3.7 and later).

Imports nothing of this project: scripts that run in the trainer environment import it from its folder.
"""

import sys
import threading
from types import SimpleNamespace

import numpy as np
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


class Player:
    """A running player of ML-Agents 0.11; `stepped_player` has the same for com.unity.ml-agents.

    Parameters
    ----------
    ended, request
        As for `WatchedEnvironment`.

    Attributes
    ----------
    academy, reset_parameters
        As the player names them.
    brains
        What each brain sees and does, as plain values, by name.
    agents
        By brain, of those that wait for a decision: `names`; observations, `vector` and `pictures`; `masks`, 1 for each
        choice that an agent may make, or None; `rewards` and `done` since the last decision; `count` of all.
    """

    def __init__(self, ended, request):
        self._env = WatchedEnvironment(ended, request)
        self._take(self._env.reset(train_mode=True))
        self.academy, self.reset_parameters = self._env.academy_name, self._env.reset_parameters
        self.close = self._env.close

    def step(self, actions):
        """Carry out a decision for every agent that waits."""
        self._take(self._env.step(actions))

    def _take(self, infos):
        self.brains = {name: self._describe(self._env.brains[name]) for name in self._env.external_brain_names}
        self.agents = {
            name: SimpleNamespace(
                names=list(info.agents),
                vector=info.vector_observations,
                pictures=info.visual_observations,
                masks=info.action_masks,
                rewards=info.rewards,
                done=np.array(info.local_done, dtype=bool),
                count=len(info.agents),
            )
            for name, info in infos.items()
        }

    @staticmethod
    def _describe(brain):
        return {
            "observations": brain.vector_observation_space_size,
            "stacked": brain.num_stacked_vector_observations,
            "cameras": [list(camera) for camera in brain.camera_resolutions],
            "actions": brain.vector_action_space_type,
            "action_sizes": list(brain.vector_action_space_size),
        }
