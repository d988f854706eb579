"""The player's side of ML-Agents' protocol, version API-11.

The trainer is the server. The player calls one method, `Exchange`: each message of the player is answered with the
trainer's next command. The first message introduces the player, and the answer holds the seed; the second is empty,
and the answer is the first command, a reset; every later message reports the agents' observations and rewards.

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
"""The trainer waits for its player as long."""
STEP, RESET, QUIT = (CommandProto.Value(name) for name in ("STEP", "RESET", "QUIT"))


class NoTrainerError(Exception):
    """There is no trainer to connect to."""


class TrainerGoneError(Exception):
    """The trainer has closed the connection."""


class Communicator:
    """The connection to the trainer that listens on a port of this machine.

    Methods that wait for a response raise TrainerGoneError if the trainer ends the connection.

    Parameters
    ----------
    port
        TCP port.
    """

    def __init__(self, port: int) -> None:
        # A proxy of the environment must not be used between two processes on one machine.
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
        self._channel = grpc.insecure_channel(f"localhost:{port}", options=options)
        self._exchange = UnityToExternalProtoStub(self._channel).Exchange
        self._port = port

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def introduce(self, name: str, kinds: Sequence[type[Group]], log_path: str) -> int:
        """Wait for the trainer, introduce the player, and return the seed that the trainer sends.

        Parameters
        ----------
        name
            The scene's name.
        kinds
            Its groups' classes.
        log_path
            The player's log file.

        Raises
        ------
        NoTrainerError
            If no trainer listens.
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

    def first_command(self) -> UnityRLInputProto:
        """Return the trainer's first command."""
        return self._send(UnityMessageProto()).unity_input.rl_input

    def report(self, scene: Scene, *, with_brains: bool) -> UnityRLInputProto:
        """Report observations and rewards; return the trainer's next command.

        Parameters
        ----------
        scene
            After its last decision.
        with_brains
            Whether to describe the brains as well, as after a reset.
        """
        message = UnityMessageProto()
        for group in scene.groups:
            if with_brains:
                introduction = message.unity_output.rl_initialization_output
                introduction.brain_parameters.add().CopyFrom(brain_parameters(group.behaviour))
            add_agents(message.unity_output.rl_output.agentInfos[group.behaviour.name].value, group)
        return self._send(message).unity_input.rl_input

    def fail(self, reason: str) -> None:
        """Report an error to the trainer, which then saves and ends."""
        message = UnityMessageProto()
        message.header.status = 500
        message.header.message = reason
        with contextlib.suppress(grpc.RpcError):
            self._exchange(message, timeout=CONNECT_SECONDS)

    def _send(self, message: UnityMessageProto) -> UnityMessageProto:
        message.header.status = 200
        try:
            response = self._exchange(message)
        except grpc.RpcError as error:
            raise TrainerGoneError(f"the connection broke ({error.details()})") from None
        if response.header.status != 200:
            raise TrainerGoneError(f"the trainer closed the connection (status {response.header.status})")
        return response


def add_agents(infos: Any, group: Group) -> None:
    """Add the observations, actions and rewards of a group's agents to a list of messages."""
    # Messages take Python's numbers several times as fast as NumPy's.
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
    """Convert a behaviour to the protocol's message."""
    return BrainParametersProto(
        brain_name=behaviour.name,
        vector_observation_size=behaviour.observations,
        num_stacked_vector_observations=1,
        vector_action_size=behaviour.actions,
        vector_action_space_type=SpaceTypeProto.Value("continuous" if behaviour.continuous else "discrete"),
        is_training=True,
    )


def requested_actions(command: UnityRLInputProto, group: Group) -> np.ndarray:
    """Return the actions in the trainer's command, or the last ones if it has none for this brain.

    Raises
    ------
    ValueError
        If they do not fit the agents.
    """
    name = group.behaviour.name
    if name not in command.agent_actions:
        return group.actions
    values: list[float] = []
    for action in command.agent_actions[name].value:
        values.extend(action.vector_actions)
    if len(values) != group.actions.size:
        raise ValueError(
            f"Expected {group.actions.size} action values for brain {name} "
            f"({group.agents} agents, {group.behaviour.action_values} each), got {len(values)}. "
            "Is the model trained for another brain?"
        )
    return np.array(values).reshape(group.actions.shape)
