"""Measures the time of a sample environment's decision. Runs on the trainer's Python, in a build's data folder.

Does all that the player does between two messages of the trainer: read the actions, move the balls, observe, and make
the next message. Only gRPC, which carries the messages, is left out.
"""

import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, ".")
from mlagents.envs.communicator_objects.unity_message_pb2 import UnityMessageProto  # noqa: E402
from player.api_11 import Communicator  # noqa: E402
from player.communicator import requested_actions  # noqa: E402
from player.scene import Scene  # noqa: E402
from player.scenes import SCENES  # noqa: E402

DECISIONS = 200
ROUNDS = 15


class Loop(Communicator):
    """A communicator that serializes and parses messages, but sends none; every response has the same actions."""

    def __init__(self, scene):
        response = UnityMessageProto()
        response.header.status = 200
        for group in scene.groups:
            actions = response.unity_input.rl_input.agent_actions[group.behaviour.name].value
            for _ in range(group.agents):
                actions.add(vector_actions=[0.1] * group.behaviour.action_values)
        self._response = response.SerializeToString()

    def _exchange(self, message):
        message.SerializeToString()
        return UnityMessageProto.FromString(self._response)


def main(agents):
    """Print the microseconds of processor time that a decision takes: the median of several rounds."""
    scene = Scene(SCENES["3DBall"], agents, seed=1)
    communicator = Loop(scene)
    request = communicator.report(scene, after_reset=True)
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(DECISIONS):
            for group in scene.groups:
                group.step(requested_actions(request, group))
            request = communicator.report(scene, after_reset=False)
        times.append((time.process_time() - started) / DECISIONS * 1e6)
    print(statistics.median(times))


if __name__ == "__main__":
    main(int(sys.argv[1]))
