"""Recorded demonstrations (`.demo`): is it one, whose is it, and is all of it there."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from helpers.findings import Finding
from helpers.trainer_config.brain import Brain

_BRAIN_AT = 33  # the first 32 bytes after the first length hold the header, padded

_RECORD = "Record it in Unity with a Demonstration Recorder of ML-Agents 0.11"


@dataclass(frozen=True)
class Demonstration:
    """What a `.demo` file says of itself.

    Parameters
    ----------
    name, observations, stacked, cameras, actions, action_sizes
        Of the brain that it was recorded with, as in `Brain`.
    steps
        Steps in the file.
    promised
        Steps that its header names.
    """

    name: str
    observations: int
    stacked: int
    cameras: tuple[tuple[int, int, int], ...]
    actions: str
    action_sizes: tuple[int, ...]
    steps: int
    promised: int


def read_demonstration(path: Path) -> Demonstration:
    """Read a demonstration's header and count its steps.

    The format is ML-Agents' own: a length and a header message in the first 33 bytes, then brain parameters and one
    agent info for each step, each as a length and a protocol buffer message.

    Raises
    ------
    ValueError
        If it is no whole demonstration; the text ends the sentence "it is …".
    """
    data = path.read_bytes()
    try:
        length, start = _varint(data, 0)
        header = _fields(data[start : start + length])
        length, start = _varint(data, _BRAIN_AT)
        brain = _fields(data[start : start + length])
        name, action_sizes = brain[7][0].decode(), tuple(_numbers(brain, 3))
        position, steps, cameras = start + length, 0, ()
        while position < len(data):
            length, start = _varint(data, position)
            position = start + length
            if not steps:
                images = _fields(data[start:position]).get(13, [])
                shapes = [_numbers(_fields(image), 1) for image in images]
                cameras = tuple((shape[0], shape[1], shape[2]) for shape in shapes)
            steps += 1
    except (IndexError, KeyError, ValueError, AttributeError, TypeError):
        raise ValueError("no demonstration, or damaged") from None
    if position != len(data):
        raise ValueError("cut short")
    if steps < 2:
        raise ValueError("without any steps")
    return Demonstration(
        name,
        observations=brain.get(1, [0])[0],
        stacked=brain.get(2, [0])[0],
        cameras=cameras,
        actions="continuous" if brain.get(6, [0])[0] else "discrete",
        action_sizes=action_sizes,
        steps=steps,
        promised=header.get(3, [0])[0],
    )


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise ValueError("number too long")


def _numbers(fields: Mapping[int, list], number: int) -> list[int]:
    """Give a field of repeated numbers, which arrive packed into bytes or one by one."""
    values: list[int] = []
    for item in fields.get(number, []):
        values += _packed(item) if isinstance(item, bytes) else [item]
    return values


def _packed(data: bytes) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def _fields(message: bytes) -> dict[int, list]:
    """Read a protocol buffer message without its schema: field number to values."""
    fields: dict[int, list] = {}
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
        elif wire in (1, 5):
            position += (8, 4)[wire == 5]
            value = message[position - (8, 4)[wire == 5] : position]
        elif wire == 2:
            length, position = _varint(message, position)
            value = message[position : position + length]
            position += length
        else:
            raise ValueError("unknown wire type")
        if position > len(message):
            raise ValueError("cut short")
        fields.setdefault(number, []).append(value)
    return fields


def kind_of(path: Path) -> Literal["folder", "file"] | None:
    """Say what lies at a path; None if nothing does, or if no file could have such a name."""
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except (OSError, ValueError):
        return None


def check_demonstration(
    folder: Path, named: str, path: str, line: int | None, brain: Brain | None = None, exact: bool = False
) -> Iterator[Finding]:
    """Check a `demo_path` of a config: a `.demo` file, or a folder of them, in the folder that is uploaded.

    Parameters
    ----------
    folder
        That folder.
    named
        The path in the config.
    path, line
        Where it stands there.
    brain
        The brain that is to learn from it, where known; else the files of a folder are held to the first of them.
    exact
        Whether the trainer wants the very same brain, as offline_bc does. GAIL and pretraining take what has the same
        width.
    """
    if Path(named).is_absolute() or ".." in Path(named).parts:
        todo = f"In a training job only {folder}/ is there. Put it into that folder and name it from there."
        yield Finding("error", f"demo_path {named} leads out of the folder.", todo, path, line)
        return
    target = folder / named
    kind = kind_of(target)
    if kind == "folder":
        files = sorted(target.glob("*.demo"))
        if not files:
            yield Finding("error", f"{named}/ holds no .demo file.", f"{_RECORD}.", path, line)
    elif kind is None:
        near = sorted(found.relative_to(folder).as_posix() for found in folder.rglob("*.demo"))[:3]
        hint = f" Found: {', '.join(near)}." if near else f" {_RECORD}."
        todo = f"A demo_path is read from {folder}/.{hint}"
        yield Finding("error", f"The demonstration {named} is missing.", todo, path, line)
        return
    elif target.suffix != ".demo":
        yield Finding("error", f"{named} does not end in .demo.", "mlagents-learn reads .demo files alone.", path, line)
        return
    else:
        files = [target]
    first = None
    for file in files:
        shown = file.relative_to(folder).as_posix()
        try:
            demonstration = read_demonstration(file)
        except (ValueError, OSError) as error:
            yield Finding("error", f"{shown} is {error}.", f"{_RECORD}.", path, line)
            continue
        if demonstration.steps < demonstration.promised:
            what = f"{shown} holds {demonstration.steps} steps, its header names {demonstration.promised}."
            yield Finding("warning", what, "It may be cut short; copy it again.", path, line)
        differences = list(_differences(demonstration, brain, exact)) if brain else []
        for level, holds, has in differences:
            what = f"{shown} holds {holds}, but {'brain ' if first is None else ''}{first or brain.name} has {has}."
            todo = "mlagents-learn fails on it." if level == "error" else "One action would be taken for another."
            yield Finding(level, what, f"{todo} {_RECORD}, in the scene that is trained.", path, line)
        what = f"{shown}: {demonstration.steps} steps of brain {demonstration.name}."
        if brain is None:
            todo = "Observations and actions must be those of the brain that is trained; only a start tells them."
            yield Finding("note", what, todo, path, line)
            brain, first = demonstration, shown
        elif not differences and first is None:
            yield Finding("note", what, f"Observations and actions are those of brain {brain.name}.", path, line)


def _differences(
    demonstration: Brain, brain: Brain, exact: bool
) -> Iterator[tuple[Literal["error", "warning"], str, str]]:
    """Tell in what a demonstration's brain is unlike the one that is trained: level, what the first has, the second."""
    pair = (demonstration, brain)
    seen = [(one.observations, one.stacked) if exact else one.observations * one.stacked for one in pair]
    if seen[0] != seen[1] and (exact or brain.observations):
        yield "error", *map(_observations, pair)
    cameras = [list(map(tuple, one.cameras)) for one in pair]
    if cameras[0] != cameras[1] if exact else cameras[0][: len(cameras[1])] != cameras[1]:
        yield "error", *map(_cameras, pair)
    if (demonstration.actions, tuple(demonstration.action_sizes)) != (brain.actions, tuple(brain.action_sizes)):
        widths = [sum(one.action_sizes[:1]) if one.actions == "continuous" else len(one.action_sizes) for one in pair]
        yield "error" if exact or widths[0] != widths[1] else "warning", *map(_actions, pair)


def _observations(brain: Brain) -> str:
    return f"{brain.observations} observations{f' x {brain.stacked}' if brain.stacked > 1 else ''}"


def _cameras(brain: Brain) -> str:
    sizes = [f"{width} x {height} x {channels}" for height, width, channels in brain.cameras]
    return f"camera{'s' if len(sizes) > 1 else ''} {', '.join(sizes)}" if sizes else "no camera"


def _actions(brain: Brain) -> str:
    return f"{' x '.join(map(str, brain.action_sizes))} {brain.actions} actions"
