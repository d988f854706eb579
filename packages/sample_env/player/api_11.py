"""What the messages hold in version API-11 of the protocol, which ML-Agents 0.11.0 speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mlagents.envs.communicator_objects.brain_parameters_pb2 import BrainParametersProto
from mlagents.envs.communicator_objects.demonstration_meta_pb2 import DemonstrationMetaProto  # noqa: F401
from mlagents.envs.communicator_objects.space_type_pb2 import SpaceTypeProto
from mlagents.envs.communicator_objects.unity_message_pb2 import UnityMessageProto
from mlagents.envs.communicator_objects.unity_rl_output_pb2 import UnityRLOutputProto
from mlagents.envs.communicator_objects.unity_to_external_pb2_grpc import UnityToExternalProtoStub

from . import communicator
from .communicator import RESET, Command, flat
from .scene import Behaviour, Group, Scene

TRAINER = "0.11.0"
PORT = "--port"


class Communicator(communicator.Communicator):
    """Reports what agents see that have begun their next episode, together with the end of the last one."""

    message, stub = UnityMessageProto, UnityToExternalProtoStub

    def describe(self, hello: Any, name: str) -> None:
        """Name the scene, its brains and its reset parameters."""
        hello.name = f"{name}Academy"
        hello.version = "API-11"
        for kind in self.kinds:
            hello.brain_parameters.add().CopyFrom(brain_parameters(kind.behaviour))
            hello.environment_parameters.float_parameters.update(kind.parameters)

    def write(self, output: Any, scene: Scene, after_reset: bool) -> None:
        """Add all agents, after a reset the brains as well."""
        for group in scene.groups:
            if after_reset:
                brain = output.rl_initialization_output.brain_parameters.add()
                brain.CopyFrom(brain_parameters(group.behaviour))
            add_agents(output.rl_output.agentInfos[group.behaviour.name].value, group)

    def read(self, given: Any) -> Command:
        """Read the command; only a reset brings parameters."""
        resets = given.command == RESET
        return Command(
            kind=given.command,
            actions={
                name: flat(action.vector_actions for action in listed.value)
                for name, listed in given.agent_actions.items()
            },
            parameters=dict(given.environment_parameters.float_parameters) if resets else {},
            pace=float(not given.is_training) if resets else None,
        )


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


def demonstration(group: Group, actions: np.ndarray) -> Sequence[Any]:
    """Return what a demonstration holds of a decision; its actions stand in the next one."""
    infos = UnityRLOutputProto().agentInfos[group.behaviour.name].value
    add_agents(infos, group)
    return infos


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
