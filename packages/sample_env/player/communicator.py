"""The player's side of ML-Agents' protocol, version API-11.

The trainer is the server, the player the client of a single call, `Exchange`, in which each message of the player
is answered by what the trainer wants next. The first message introduces the player, and its answer brings the seed;
the second is empty, and its answer the first wish, a reset; every later one reports what the agents saw.

The messages are those of `mlagents_envs` 0.11.0 (`mlagents.envs.communicator_objects`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
from mlagents.envs.communicator_objects.brain_parameters_pb2 import BrainParametersProto
from mlagents.envs.communicator_objects.command_pb2 import CommandProto
from mlagents.envs.communicator_objects.space_type_pb2 import SpaceTypeProto
from mlagents.envs.communicator_objects.unity_message_pb2 import UnityMessageProto
from mlagents.envs.communicator_objects.unity_rl_input_pb2 import UnityRLInputProto
from mlagents.envs.communicator_objects.unity_to_external_pb2_grpc import UnityToExternalProtoStub

from .scene import Behaviour, Group, Scene
from .scenes import API_VERSION

CONNECT_SECONDS = 30
"""As long as the trainer waits for its player."""
STEP, RESET, QUIT = (CommandProto.Value(name) for name in ("STEP", "RESET", "QUIT"))


class NoTrainerError(Exception):
    """There is no trainer to connect to."""


class TrainerGoneError(Exception):
    """The trainer has closed the connection."""


class Communicator:
    """The connection to the trainer that listens on a port of this machine.

    All that wait for its answer raise TrainerGoneError when it ends the connection instead.

    Parameters
    ----------
    port
        TCP port.
    """

    def __init__(self, port: int) -> None:
        # A proxy set for the machine's other traffic must not come between two processes of one machine.
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
        self._channel = grpc.insecure_channel(f"localhost:{port}", options=options)
        self._exchange = UnityToExternalProtoStub(self._channel).Exchange
        self._port = port

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def introduce(self, name: str, kinds: Sequence[type[Group]], log_path: str) -> int:
        """Wait for the trainer and tell it who is there; give the seed it sends.

        Parameters
        ----------
        name
            Of the scene.
        kinds
            Its groups' classes.
        log_path
            Where the player logs.

        Raises
        ------
        NoTrainerError
            When nobody listens.
        """
        try:
            grpc.channel_ready_future(self._channel).result(timeout=CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            raise NoTrainerError(
                f"Expected a trainer on port {self._port}, found none within {CONNECT_SECONDS} s. "
                "Let mlagents-learn start the player (--env), or start the trainer first."
            ) from None
        message = UnityMessageProto()
        hello = message.unity_output.rl_initialization_output
        hello.name = f"{name}Academy"
        hello.version = API_VERSION
        hello.log_path = log_path
        for kind in kinds:
            hello.brain_parameters.add().CopyFrom(brain_parameters(kind.behaviour))
            hello.environment_parameters.float_parameters.update(kind.parameters)
        return self._send(message).unity_input.rl_initialization_input.seed

    def first_wish(self) -> UnityRLInputProto:
        """Give what the trainer wants first."""
        return self._send(UnityMessageProto()).unity_input.rl_input

    def report(self, scene: Scene, *, with_brains: bool) -> UnityRLInputProto:
        """Tell what the agents see and got; give what the trainer wants next.

        Parameters
        ----------
        scene
            After its last decision.
        with_brains
            Whether to describe the brains as well, as is due after a reset.
        """
        message = UnityMessageProto()
        for group in scene.groups:
            if with_brains:
                introduction = message.unity_output.rl_initialization_output
                introduction.brain_parameters.add().CopyFrom(brain_parameters(group.behaviour))
            add_agents(message.unity_output.rl_output.agentInfos[group.behaviour.name].value, group)
        return self._send(message).unity_input.rl_input

    def fail(self, reason: str) -> None:
        """Tell the trainer that there is no going on, which makes it save and end."""
        message = UnityMessageProto()
        message.header.status = 500
        message.header.message = reason
        with contextlib.suppress(grpc.RpcError):
            self._exchange(message, timeout=CONNECT_SECONDS)

    def _send(self, message: UnityMessageProto) -> UnityMessageProto:
        message.header.status = 200
        try:
            answer = self._exchange(message)
        except grpc.RpcError as error:
            raise TrainerGoneError(f"the connection broke ({error.details()})") from None
        if answer.header.status != 200:
            raise TrainerGoneError(f"the trainer closed the connection (status {answer.header.status})")
        return answer


def add_agents(infos: Any, group: Group) -> None:
    """Add what each agent of a group sees and got, to a list of messages."""
    # Python's own numbers go into messages several times as fast as NumPy's.
    observations, actions, rewards = group.observe().tolist(), group.actions.tolist(), group.rewards.tolist()
    done, max_step_reached = group.done.tolist(), group.max_step_reached.tolist()
    for agent in range(group.agents):
        infos.add(
            stacked_vector_observation=observations[agent],
            stored_vector_actions=actions[agent],
            reward=rewards[agent],
            done=done[agent],
            max_step_reached=max_step_reached[agent],
            id=agent,
        )


def brain_parameters(behaviour: Behaviour) -> BrainParametersProto:
    """Describe a behaviour in the protocol's words."""
    return BrainParametersProto(
        brain_name=behaviour.name,
        vector_observation_size=behaviour.observations,
        num_stacked_vector_observations=1,
        vector_action_size=behaviour.actions,
        vector_action_space_type=SpaceTypeProto.Value("continuous" if behaviour.continuous else "discrete"),
        is_training=True,
    )


def wanted_actions(wish: UnityRLInputProto, group: Group) -> np.ndarray:
    """Give the actions in the trainer's answer, or the last ones again when it sent none for this brain.

    Raises
    ------
    ValueError
        When they do not fit the agents.
    """
    name = group.behaviour.name
    if name not in wish.agent_actions:
        return group.actions
    values: list[float] = []
    for action in wish.agent_actions[name].value:
        values.extend(action.vector_actions)
    if len(values) != group.actions.size:
        raise ValueError(
            f"Expected {group.actions.size} action values for brain {name} "
            f"({group.agents} agents, {group.behaviour.action_values} each), got {len(values)}. "
            "Is the model trained for another brain?"
        )
    return np.array(values).reshape(group.actions.shape)
