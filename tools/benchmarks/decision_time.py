"""What one decision costs the sample environment: run by the trainer's Python, in the data folder of a sample build.

Does what the player does between two messages of the trainer, and all of it: read the actions, move the balls, observe,
and make the next message. What is left out is gRPC, which carries the messages.
"""

import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, ".")
from mlagents.envs.communicator_objects.unity_message_pb2 import UnityMessageProto  # noqa: E402
from player.communicator import Communicator, wanted_actions  # noqa: E402
from player.scene import Scene  # noqa: E402
from player.scenes import SCENES  # noqa: E402

DECISIONS = 200
ROUNDS = 15


class Loop(Communicator):
    """A communicator whose messages are written and read, but sent to nobody; every answer has the same actions."""

    def __init__(self, scene):
        answer = UnityMessageProto()
        answer.header.status = 200
        for group in scene.groups:
            actions = answer.unity_input.rl_input.agent_actions[group.behaviour.name].value
            for _ in range(group.agents):
                actions.add(vector_actions=[0.1] * group.behaviour.action_values)
        self._answer = answer.SerializeToString()

    def _exchange(self, message):
        message.SerializeToString()
        return UnityMessageProto.FromString(self._answer)


def main(agents):
    """Print the microseconds of processor time that a decision takes: the median of several rounds."""
    scene = Scene(SCENES["3DBall"], agents, seed=1)
    communicator = Loop(scene)
    wish = communicator.report(scene, with_brains=True)
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(DECISIONS):
            for group in scene.groups:
                group.step(wanted_actions(wish, group))
            wish = communicator.report(scene, with_brains=False)
        taken.append((time.process_time() - began) / DECISIONS * 1e6)
    print(statistics.median(taken))


if __name__ == "__main__":
    main(int(sys.argv[1]))
