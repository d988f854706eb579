"""Records demonstrations: what one agent of a brain sees and does while its heuristic drives it.

A file is what Unity's Demonstration Recorder writes: the meta data as a delimited message with zeros up to byte 33, the
brain's parameters and the agent's info at each step as delimited messages, and the meta data once more, without a
length.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from google.protobuf.internal.encoder import _VarintBytes
from google.protobuf.message import Message

from .scene import Group

META_DATA_BYTES = 32
LONGEST_EPISODE = 50
"""Decisions after which an episode ends here, so that a demonstration holds many starts: they show most."""
LONGEST_NAME = 16
"""Characters of a demonstration's name, which must fit into the meta data."""


def record(protocol: ModuleType, kind: type[Group], folder: Path, steps: int, seed: int) -> Path:
    """Record one agent and write `<brain>.demo`, whole or not at all.

    Parameters
    ----------
    protocol
        `api_11` or `api_1_5`.
    kind
        The group's class.
    folder
        Where the file goes; it may lie there already.
    steps
        How many messages the file holds, 2 or more.
    seed
        Of the starts of the episodes.
    """
    group = kind(1, seed)
    group.decisions_per_episode = min(group.decisions_per_episode, LONGEST_EPISODE)
    name = group.behaviour.name
    actions = group.heuristic()
    infos: list[Message] = list(protocol.demonstration(group, actions))
    episodes, reward = 1, 0.0  # Unity counts the last episode, ended or not
    while len(infos) < steps:
        group.step(actions)
        actions = group.heuristic()
        infos += protocol.demonstration(group, actions)
        episodes += int(group.done[0])
        reward += float(group.rewards[0])
    meta = protocol.DemonstrationMetaProto(
        api_version=1,
        demonstration_name=name[:LONGEST_NAME],
        number_steps=steps,
        number_episodes=episodes,
        mean_reward=reward / episodes,
    )
    messages = [protocol.brain_parameters(group.behaviour), *infos[:steps]]
    content = delimited(meta).ljust(META_DATA_BYTES + 1, b"\0") + b"".join(map(delimited, messages))
    file = folder / (name + ".demo")
    part = file.with_suffix(".part")
    part.write_bytes(content + meta.SerializeToString())
    part.replace(file)
    return file


def delimited(message: Message) -> bytes:
    """Return a message with its length before it."""
    return _VarintBytes(message.ByteSize()) + message.SerializeToString()
