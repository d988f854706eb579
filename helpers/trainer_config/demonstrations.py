"""Recorded demonstrations (`.demo`): is it one, whose is it, and is all of it there."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from helpers.findings import Finding

_BRAIN_AT = 33  # the first 32 bytes after the first length hold the header, padded

_RECORD = "Record it in Unity with a Demonstration Recorder of ML-Agents 0.11"


@dataclass(frozen=True)
class Demonstration:
    """What a `.demo` file says of itself.

    Parameters
    ----------
    brain
        Name of the brain it was recorded with.
    observations
        Numbers in one vector observation, before stacking.
    actions
        Sizes of the actions.
    steps
        Steps in the file.
    promised
        Steps that its header names.
    """

    brain: str
    observations: int
    actions: tuple[int, ...]
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
        name = brain[7][0].decode()
        position, steps = start + length, 0
        while position < len(data):
            length, start = _varint(data, position)
            position = start + length
            steps += 1
    except (IndexError, KeyError, ValueError, AttributeError):
        raise ValueError("no demonstration, or damaged") from None
    if position != len(data):
        raise ValueError("cut short")
    if steps < 2:
        raise ValueError("without any steps")
    # Repeated numbers arrive packed into bytes, or one by one.
    actions: list[int] = []
    for item in brain.get(3, []):
        actions += _packed(item) if isinstance(item, bytes) else [item]
    return Demonstration(name, brain.get(1, [0])[0], tuple(actions), steps, header.get(3, [0])[0])


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


def check_demonstration(folder: Path, named: str, path: str, line: int | None) -> Iterator[Finding]:
    """Check a `demo_path` of a config: a `.demo` file, or a folder of them, in the folder that is uploaded."""
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
        what = f"{shown}: {demonstration.steps} steps of brain {demonstration.brain}."
        yield Finding("note", what, "Observations and actions must be those of the brain that is trained.", path, line)
