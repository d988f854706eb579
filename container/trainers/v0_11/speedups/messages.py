"""Messages are passed between a worker's threads as objects; ML-Agents pickles each one through a pipe.

Messages to the player are filled in place; ML-Agents copies the message of each agent.
"""

import queue

from mlagents.envs.communicator_objects.unity_input_pb2 import UnityInputProto
from mlagents.envs.environment import UnityEnvironment
from mlagents.envs.rpc_communicator import UnityToExternalServicerImplementation

_END = object()


def apply() -> None:
    """Connect the server's thread and the worker's thread by queues instead of a pipe."""

    def connect(self):
        self.parent_conn, self.child_conn = make_pair()

    UnityToExternalServicerImplementation.__init__ = connect
    UnityEnvironment._generate_step_input = _step_input


def _step_input(self, vector_action, memory, text_action, value, custom_action):
    """Return the message with these actions, as `UnityEnvironment._generate_step_input` makes it."""
    message = UnityInputProto()
    message.rl_input.SetInParent()
    for brain, actions in vector_action.items():
        agents = self._n_agents[brain]
        if agents == 0:
            continue
        size, memory_size = len(actions) // agents, len(memory[brain]) // agents
        values = value.get(brain)
        add = message.rl_input.agent_actions[brain].value.add
        for agent in range(agents):
            action = add(
                vector_actions=actions[agent * size : (agent + 1) * size],
                memories=memory[brain][agent * memory_size : (agent + 1) * memory_size],
                text_actions=text_action[brain][agent],
                custom_action=custom_action[brain][agent],
            )
            if values is not None:
                action.value = float(values[agent])
    return message


def make_pair():
    """Return two connected ends that pass objects within a process, with the pipe methods that ML-Agents uses."""
    one, other = queue.SimpleQueue(), queue.SimpleQueue()
    return End(one, other), End(other, one)


class End:
    """One end; a single thread at a time receives from it."""

    def __init__(self, incoming, outgoing):
        self._incoming, self._outgoing = incoming, outgoing
        self._next = None  # the message that `poll` has received

    def send(self, message):
        """Pass a message on."""
        self._outgoing.put(message)

    def poll(self, seconds):
        """Wait for at most `seconds`, and return whether there is something to receive."""
        if self._next is None:
            try:
                self._next = self._incoming.get(timeout=seconds)
            except queue.Empty:
                return False
        return True

    def recv(self):
        """Wait for a message. Raise EOFError if the other end is closed, as a pipe does."""
        message, self._next = self._next, None
        if message is None:
            message = self._incoming.get()
        if message is _END:
            self._incoming.put(_END)  # for whoever receives next
            raise EOFError
        return message

    def close(self):
        """Signal the end to the other side."""
        self._outgoing.put(_END)
