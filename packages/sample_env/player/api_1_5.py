"""What the messages hold in version 1.5.0 of the protocol, which ML-Agents 1.1.0 speaks.

An agent whose episode ended is reported twice: its last observation with `done`, and, under a new id, the first one of
its next episode. Reset parameters come through a side channel, with any command; they hold from the next episode on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mlagents_envs.communicator_objects.agent_info_action_pair_pb2 import AgentInfoActionPairProto
from mlagents_envs.communicator_objects.brain_parameters_pb2 import BrainParametersProto
from mlagents_envs.communicator_objects.demonstration_meta_pb2 import DemonstrationMetaProto  # noqa: F401
from mlagents_envs.communicator_objects.unity_message_pb2 import UnityMessageProto
from mlagents_envs.communicator_objects.unity_rl_output_pb2 import UnityRLOutputProto
from mlagents_envs.communicator_objects.unity_to_external_pb2_grpc import UnityToExternalProtoStub

from . import communicator, side_channels
from .communicator import Command, flat
from .scene import Behaviour, Group, Scene

TRAINER = "1.1.0"
PORT = "--mlagents-port"
TEAM = "?team=0"
"""Unity adds it to the names of behaviours."""
WITHOUT = ("trainingAnalytics",)
"""Capabilities of Unity's package that this player lacks."""

log = logging.getLogger("player")


class Communicator(communicator.Communicator):
    """Gives agents an id for each episode, and reads and writes the side channels."""

    message, stub = UnityMessageProto, UnityToExternalProtoStub

    def __init__(self, port: int, kinds: Sequence[type[Group]]) -> None:
        super().__init__(port, kinds)
        self._ids: dict[str, list[int]] = {}
        self._next_id = 0
        self._engine = side_channels.Engine()
        self._known = {name for kind in kinds for name in kind.parameters}
        self._ignored: set[str] = set()

    def describe(self, hello: Any, name: str) -> None:
        """Name the player and what it can do; the brains come with their first agents."""
        hello.name = "AcademySingleton"
        hello.communication_version = "1.5.0"
        hello.package_version = "3.0.0-sample"
        for capability in hello.capabilities.DESCRIPTOR.fields:
            setattr(hello.capabilities, capability.name, capability.name not in WITHOUT)

    def write(self, output: Any, scene: Scene, after_reset: bool) -> None:
        """Add the episodes that ended, then all agents, and how the episodes went to the statistics."""
        statistics = b""
        for group in scene.groups:
            name = group.behaviour.name
            if name not in self._ids:
                output.rl_initialization_output.brain_parameters.add().CopyFrom(brain_parameters(group.behaviour))
            if after_reset:
                self._ids[name] = [self._new_id() for _ in range(group.agents)]
            infos = output.rl_output.agentInfos[name + TEAM].value
            add_ends(infos, group, self._ids[name])
            for agent in np.flatnonzero(group.done).tolist():
                self._ids[name][agent] = self._new_id()
                by_the_rules = float(not group.max_step_reached[agent])
                statistics += side_channels.statistic(f"{name}/{group.outcome}", by_the_rules)
            add_decisions(infos, group, self._ids[name])
        output.rl_output.side_channel = statistics

    def read(self, given: Any) -> Command:
        """Read the command and the side channels. Parameters that the scene does not have are ignored, as in Unity."""
        parameters = side_channels.read(given.side_channel, self._engine)
        for name in parameters.keys() - self._known - self._ignored:
            log.warning("Ignores the environment parameter %s: this scene has %s", name, ", ".join(sorted(self._known)))
            self._ignored.add(name)
        return Command(
            kind=given.command,
            actions={
                # An action has values of one of the two kinds.
                name[: -len(TEAM)]: flat(
                    action.continuous_actions or action.discrete_actions for action in listed.value
                )
                for name, listed in given.agent_actions.items()
            },
            parameters={name: value for name, value in parameters.items() if name in self._known},
            pace=self._engine.pace,
        )

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id


def add_agent(infos: Any, number: int, observation: list[float], reward: float, **more: bool) -> None:
    """Add a message about one agent."""
    seen = infos.add(id=number, reward=reward, **more).observations.add(
        name=f"VectorSensor_size{len(observation)}", shape=[len(observation)], dimension_properties=[1]
    )
    seen.float_data.data.extend(observation)


def add_ends(infos: Any, group: Group, ids: Sequence[int]) -> None:
    """Add the ends of the episodes that ended with the last decision."""
    for agent in np.flatnonzero(group.done).tolist():
        seen, reward = group.last_observations[agent].tolist(), float(group.rewards[agent])
        add_agent(infos, ids[agent], seen, reward, done=True, max_step_reached=bool(group.max_step_reached[agent]))


def add_decisions(infos: Any, group: Group, ids: Sequence[int]) -> None:
    """Add all agents as they wait for a decision; the last reward of an episode went with its end."""
    observations, rewards = group.observe().tolist(), np.where(group.done, 0.0, group.rewards).tolist()
    for agent in range(group.agents):
        add_agent(infos, ids[agent], observations[agent], rewards[agent])


def demonstration(group: Group, actions: np.ndarray) -> Sequence[AgentInfoActionPairProto]:
    """Return what a demonstration holds of a decision: observations with the actions chosen for them.

    The trainer takes them so. Unity's own recorder pairs an observation with the actions of the decision before.
    """
    infos = UnityRLOutputProto().agentInfos[group.behaviour.name].value
    add_ends(infos, group, [0])
    add_decisions(infos, group, [0])
    pairs = [AgentInfoActionPairProto(agent_info=info) for info in infos]
    for pair in pairs:
        given = np.zeros_like(actions[0]) if pair.agent_info.done else actions[0]
        pair.action_info.vector_actions_deprecated.extend(given.tolist())
        if group.behaviour.continuous:
            pair.action_info.continuous_actions.extend(given.tolist())
        else:
            pair.action_info.discrete_actions.extend(given.astype(int).tolist())
    return pairs


def brain_parameters(behaviour: Behaviour) -> BrainParametersProto:
    """Convert a behaviour to the protocol's message."""
    brain = BrainParametersProto(brain_name=behaviour.name + TEAM, is_training=True)
    if behaviour.continuous:
        brain.action_spec.num_continuous_actions = behaviour.action_values
    else:
        brain.action_spec.num_discrete_actions = behaviour.action_values
        brain.action_spec.discrete_branch_sizes.extend(behaviour.actions)
    return brain
