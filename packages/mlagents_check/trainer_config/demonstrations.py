"""Checks of recorded demonstrations (`.demo`): validity, brain, and the steps that the trainer uses."""

from __future__ import annotations

import io
import itertools
import math
import stat
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from PIL import Image

from common.findings import Finding
from mlagents_check.brain_spaces import BrainSpaces

_BRAIN_AT = 33  # the first 33 bytes hold the header, with its length before it and zeros after it
_MAX_ACTIONS = 10_000_000  # with more, the trainer runs out of memory for their masks
_ORDERS = 720  # orders of a folder's files that are tried

_RECORD = {
    "0.11.0": "Record it in Unity with a Demonstration Recorder of ML-Agents 0.8 to 0.11",
    "1.1.0": "Record it in Unity with a Demonstration Recorder of com.unity.ml-agents 1.0 or later",
}

# The messages of ML-Agents 0.8 to 0.11, and those of 1.0 and later: number, name and type of each field; `*` means
# repeated.
_MESSAGES = {
    "Header": "1 api_version int32, 2 name string, 3 steps int32, 4 episodes int32, 5 reward float",
    "BrainParameters": "1 observations int32, 2 stacked int32, 3 action_sizes int32*, 5 descriptions string*, "
    "6 continuous int32, 7 name string, 8 is_training bool",
    "Custom": "",
    "Camera": "1 shape int32*, 2 compression int32, 3 data bytes",
    "AgentInfo": "1 observations float*, 3 text string, 4 actions float*, 5 text_action string, 6 memories float*, "
    "7 reward float, 8 done bool, 9 max_step_reached bool, 10 id int32, 11 mask bool*, 12 custom Custom, "
    "13 cameras Camera*",
    "Pair": "1 info Custom, 2 action Custom",  # a step in 0.12 and later
    "Values": "1 data float*",
    "Observation": "1 shape int32*, 3 image bytes, 4 values Values",
    "LaterInfo": "7 reward float, 8 done bool, 13 observations Observation*",
    "LaterAction": "1 old float*, 6 continuous float*, 7 discrete int32*",
    "LaterPair": "1 info LaterInfo, 2 action LaterAction",
    "ActionSpec": "1 continuous int32, 2 branches int32, 3 sizes int32*",
    "LaterParameters": "3 sizes int32*, 6 continuous int32, 7 name string, 9 actions ActionSpec",
}


def _classes() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="demonstration.proto", package="demonstration", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in filter(None, fields.split(", ")):
            number, label, kind = text.split()
            one, repeated = kind.rstrip("*"), field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
            added = message.field.add(name=label, number=int(number), label=repeated)
            if one in _MESSAGES:
                added.type, added.type_name = field.TYPE_MESSAGE, f".demonstration.{one}"
            else:
                added.type = getattr(field, f"TYPE_{one.upper()}")
    return message_factory.GetMessages([file], pool=descriptor_pool.DescriptorPool())


_CLASS = {name.rpartition(".")[2]: cls for name, cls in _classes().items()}


@dataclass(frozen=True)
class Demonstration(BrainSpaces):
    """The content of a `.demo` file.

    Parameters
    ----------
    name, observations, stacked, cameras, actions, action_sizes, sensors
        Of the recorded brain, as in `BrainSpaces`.
    promised
        Number of steps in its header, after which the trainer stops. 0 if the recording was never closed.
    present
        Number of complete steps in the file.
    ends
        For each of them, whether an episode ends with it.
    nan
        For each of them, how many of its observations are NaN. The trainer replaces these with 0.
    problem
        What is wrong after them, as the end of the sentence "it is …"; empty if the file ends there. After the promised
        steps, Unity's recorder appends the header again.
    """

    promised: int
    present: int
    ends: tuple[bool, ...]
    nan: tuple[int, ...]
    problem: str

    @property
    def steps(self) -> int:
        """Number of steps that the trainer uses if it reads only this file."""
        return self.promised if 0 < self.promised <= self.present else self.present


def read_demonstration(path: Path, trainer: str = "0.11.0") -> Demonstration:
    """Read a demonstration as a version of the trainer does.

    A header in the first 33 bytes, then brain parameters and an agent info for each step, from 0.12 on with its action,
    each as a length and a protocol buffer message. Unity's recorder up to 0.11 appends the header again, without a
    length; the trainer ignores it.

    Raises
    ------
    ValueError
        If the trainer fails on it, or gets no steps from it; the message completes the sentence "it is …".
    """
    data = path.read_bytes()
    try:
        header = _parse("Header", data, *_span(data, 0))
        start, position = _span(data, _BRAIN_AT)
    except (IndexError, DecodeError):
        raise ValueError("not a demonstration, or damaged") from None
    demonstration = _READERS[trainer](data, start, position, header.steps)
    if demonstration.steps < 2 and header.steps < 2:
        raise ValueError("without any steps")
    if not _loads([demonstration]):
        raise ValueError(demonstration.problem)
    if demonstration.steps < 2:
        raise ValueError("truncated")
    return demonstration


def _read_0_11(data: bytes, start: int, position: int, promised: int) -> Demonstration:
    """Read the brain and the steps of a demonstration of 0.8 to 0.11."""
    try:
        brain = _parse("BrainParameters", data, start, position)
        actions = ("discrete", "continuous")[brain.continuous]
        sizes = tuple(brain.action_sizes)
        if not 0 <= sum(sizes) <= _MAX_ACTIONS:
            raise ValueError
    except (IndexError, DecodeError, ValueError):
        raise ValueError("not a demonstration, or damaged") from None
    if _is_pair(data, position):
        raise ValueError("recorded with ML-Agents 0.12 or later, which the trainer 1.1.0 may read")
    width = sum(sizes[:1]) if actions == "continuous" else len(sizes)
    ends, nan, problem, cameras = [], [], "", None
    while position < len(data) and not problem:
        problem = "truncated"
        try:
            start, position = _span(data, position)
            problem = "truncated" if position > len(data) else "damaged"
            info = _parse("AgentInfo", data, start, position)
            if cameras is None:
                cameras = tuple((camera.shape[0], camera.shape[1], camera.shape[2]) for camera in info.cameras)
        except (IndexError, DecodeError):
            break
        problem = _problem(info, brain.observations * brain.stacked, width, cameras)
        if not problem:
            ends.append(info.done)
            nan.append(sum(map(math.isnan, info.observations)))
    return Demonstration(
        *(brain.name, brain.observations, brain.stacked, cameras or (), actions, sizes),
        *(promised, len(ends), tuple(ends), tuple(nan), problem),
    )


def _read_later(data: bytes, start: int, position: int, promised: int) -> Demonstration:
    """Read the brain and the steps of a demonstration of 1.0 and later, whose first step shows the observations."""
    try:
        brain = _parse("LaterParameters", data, start, position)
    except DecodeError:
        raise ValueError("not a demonstration, or damaged") from None
    if position < len(data) and not _is_pair(data, position):
        raise ValueError("recorded with ML-Agents 0.11 or earlier, which only the trainer 0.11.0 reads")
    numbers, branches = brain.actions.continuous, tuple(brain.actions.sizes)
    if not numbers and not brain.actions.branches:  # communicators before 1.3
        numbers, branches = (sum(brain.sizes[:1]), ()) if brain.continuous else (0, tuple(brain.sizes))
    kind = "continuous" if not branches else "hybrid" if numbers else "discrete"
    sizes = (*((numbers,) if numbers else ()), *branches)
    ends, problem, shapes = [], "", None
    while position < len(data) and not problem:
        problem = "truncated"
        try:
            start, position = _span(data, position)
            problem = "truncated" if position > len(data) else "damaged"
            pair = _parse("LaterPair", data, start, position)
        except (IndexError, DecodeError):
            break
        found = [tuple(one.shape) for one in pair.info.observations]
        shapes = found if shapes is None else shapes
        taken = len(pair.action.continuous) + len(pair.action.discrete) or len(pair.action.old)
        problem = "" if taken == numbers + len(branches) else f"damaged: a step holds {taken} actions"
        if not found:
            problem = "without observations that the trainer reads: record it with a later release"
        elif found != shapes or any(_is_wrong(one) for one in pair.info.observations):
            problem = "damaged: a step's observations are not of the sizes that it names"
        values = [value for one in pair.info.observations for value in one.values.data]
        if not problem and not all(map(math.isfinite, (*values, *pair.action.continuous, pair.info.reward))):
            problem = "unusable: a step contains infinite values or NaN"
        if not problem:
            ends.append(pair.info.done)
    vector = sum(math.prod(shape) for shape in shapes or () if len(shape) < 3)
    cameras = tuple((*shape[1:], shape[0]) for shape in shapes or () if len(shape) == 3)  # channels come first
    return Demonstration(
        *(brain.name, vector, 1, cameras, kind, sizes),
        *(promised, len(ends), tuple(ends), (0,) * len(ends), problem),
        sensors=tuple(shapes or ()),
    )


def _is_wrong(observation: Any) -> bool:
    """Return whether an observation of 1.0 and later has not the values, or the image, that its shape promises."""
    if not observation.image:
        return len(observation.values.data) != math.prod(observation.shape)
    try:
        image = Image.open(io.BytesIO(observation.image))
        image.load()
    except Exception:  # Pillow's decoders raise many kinds
        return True
    return image.size[::-1] not in (tuple(observation.shape[:2]), tuple(observation.shape[1:]))


_READERS: Mapping[str, Callable[[bytes, int, int, int], Demonstration]] = {"0.11.0": _read_0_11, "1.1.0": _read_later}


def _span(data: bytes, position: int) -> tuple[int, int]:
    """Read the length of a message; return the message's start and end."""
    length = shift = 0
    while True:
        byte = data[position]
        length |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return position, position + (length & 0xFFFFFFFF)
        if shift >= 64:
            raise DecodeError("number too long")


def _parse(name: str, data: bytes, start: int, end: int) -> Any:
    return _CLASS[name].FromString(
        data[start:end]
    )  # possibly less than the length, which the trainer does not check either


def _is_pair(data: bytes, position: int) -> bool:
    """Return whether the first step consists of two messages, agent info and action."""
    try:
        pair = _parse("Pair", data, *_span(data, position))
    except (IndexError, DecodeError):
        return False
    return pair.HasField("info") and pair.HasField("action")


def _problem(info: Any, observations: int, actions: int, cameras: Sequence[tuple[int, int, int]]) -> str:
    """Return why the trainer would fail on a step; empty if it would not."""
    if observations > 0 and len(info.observations) != observations:
        return f"damaged: a step holds {len(info.observations)} observations instead of {observations}"
    if len(info.actions) != actions:
        return f"damaged: a step holds {len(info.actions)} actions instead of {actions}"
    if any(map(math.isinf, info.observations)) or not all(map(math.isfinite, info.actions)):
        return "unusable: a step contains infinite values or NaN"
    if len(info.cameras) < len(cameras):
        return "damaged: a step lacks an image"
    for camera, (height, width, channels) in zip(info.cameras, cameras, strict=False):
        try:
            image = Image.open(io.BytesIO(camera.data))
            image.load()
        except Exception:  # Pillow's decoders raise many kinds
            return "damaged: an image can't be read"
        bands = len(image.getbands())
        if image.size != (width, height) or (bands < 2 if channels == 1 else bands != channels):
            return "damaged: an image is not of the size that the step names"
    return ""


def _loads(files: Sequence[Demonstration]) -> bool:
    """Return whether the trainer reads files in this order without failing.

    It counts steps across files, and leaves a file when it has read as many steps as all headers so far promise.
    """
    read = promised = 0
    for file in files:
        promised += file.promised
        if 0 < promised - read <= file.present:
            read = promised
        elif file.problem:
            return False
        else:
            read += file.present
    return True


def kind_of(path: Path) -> Literal["folder", "file"] | None:
    """Return what is at a path; None if nothing is, or if the name is invalid."""
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except (OSError, ValueError):
        return None


def check_demonstration(
    folder: Path,
    named: str,
    path: str,
    line: int | None,
    brain: BrainSpaces | None = None,
    exact: bool = False,
    trainer: str = "0.11.0",
) -> Generator[Finding, None, list[bool]]:
    """Check a `demo_path` of a config: a `.demo` file, or a folder of them, in the folder that is uploaded.

    Parameters
    ----------
    folder
        That folder.
    named
        The path in the config.
    path, line
        Its place in the config.
    brain
        The brain that learns from it, if known; else the files of a folder are compared with the first of them.
    exact
        Whether the trainer needs exactly the same brain, as offline_bc and 1.1.0 do. GAIL and pretraining of 0.11.0
        need only the same width.
    trainer
        The version that reads it.

    Returns
    -------
    list of bool
        For each step that the trainer uses, whether an episode ends with it.
    """
    if Path(named).is_absolute() or ".." in Path(named).parts:
        todo = f"In a training job only {folder}/ is there. Put it into that folder and name it from there."
        yield Finding("error", f"demo_path {named} leads out of the folder.", todo, path, line)
        return []
    target = folder / named
    kind = kind_of(target)
    if kind == "folder":
        files = sorted(target.glob("*.demo"))
        if not files:
            yield Finding("error", f"{named}/ holds no .demo file.", f"{_RECORD[trainer]}.", path, line)
    elif kind is None:
        # No deeper, because a build has thousands of files.
        near = [found.relative_to(folder).as_posix() for deep in ("*.demo", "*/*.demo") for found in folder.glob(deep)]
        near = sorted(near)[:3]
        hint = f" Found: {', '.join(near)}." if near else f" {_RECORD[trainer]}."
        todo = f"A demo_path is read from {folder}/.{hint}"
        yield Finding("error", f"The demonstration {named} is missing.", todo, path, line)
        return []
    elif target.suffix != ".demo":
        yield Finding("error", f"{named} does not end in .demo.", "mlagents-learn reads only .demo files.", path, line)
        return []
    else:
        files = [target]
    first, read = None, []
    for file in files:
        shown = file.relative_to(folder).as_posix()
        try:
            demonstration = read_demonstration(file, trainer)
        except (ValueError, OSError) as error:
            text = f"unreadable ({error.strerror})" if isinstance(error, OSError) else error
            yield Finding("error", f"{shown} is {text}.", f"{_RECORD[trainer]}.", path, line)
            continue
        read.append(demonstration)
        if demonstration.steps != demonstration.promised:
            what = f"{shown} holds {demonstration.steps} steps, its header names {demonstration.promised}."
            yield Finding("warning", what, "It may be truncated; copy or record it again.", path, line)
        yield from _nan_observations(demonstration, shown, path, line)
        differences = list(_differences(demonstration, brain, exact)) if brain else []
        for level, holds, has in differences:
            what = f"{shown} holds {holds}, but {'brain ' if first is None else ''}{first or brain.name} has {has}."
            todo = "mlagents-learn fails on it." if level == "error" else "The actions would be confused."
            yield Finding(level, what, f"{todo} {_RECORD[trainer]}, in the scene that is trained.", path, line)
        what = f"{shown}: {demonstration.steps} steps of brain {demonstration.name}."
        if brain is None:
            todo = "Observations and actions must be those of the trained brain; only starting the build shows them."
            yield Finding("note", what, todo, path, line)
            brain, first = demonstration, shown
        elif not differences and first is None:
            yield Finding("note", what, f"Observations and actions are those of brain {brain.name}.", path, line)
    if any(file.steps != file.promised for file in read):
        orders = itertools.islice(itertools.permutations(read), _ORDERS)
        if not all(map(_loads, orders)):
            what = f"The headers in {named}/ name more or fewer steps than there are."
            todo = "mlagents-learn counts them over all files, and may fail. Remove the files with warnings. "
            todo += f"{_RECORD[trainer]}."
            yield Finding("error", what, todo, path, line)
    return [end for file in read for end in file.ends[: file.steps]]


def _nan_observations(demonstration: Demonstration, shown: str, path: str, line: int | None) -> Iterator[Finding]:
    """Report steps with observations that are NaN; it is an error if there is nothing else to learn from."""
    width, nan = demonstration.observations * demonstration.stacked, demonstration.nan[: demonstration.steps]
    if width and (count := sum(map(bool, nan))):
        nothing = all(number == width for number in nan) and not demonstration.cameras
        which = f"All observations are NaN in {count}" if nothing else f"Observations are NaN in {count}"
        what = f"{which} of the {len(nan)} steps of {shown}."
        todo = "mlagents-learn replaces them with 0. Fix CollectObservations in the scene, and record it again."
        yield Finding("error" if nothing else "warning", what, todo, path, line)


def _differences(
    demonstration: BrainSpaces, brain: BrainSpaces, exact: bool
) -> Iterator[tuple[Literal["error", "warning"], str, str]]:
    """Yield differences between a demonstration's brain and the trained one: level, and what each of them has."""
    pair = (demonstration, brain)
    sensors = [" and ".join(" x ".join(map(str, shape)) for shape in one.sensors) for one in pair]
    if all(sensors) and sensors[0] != sensors[1]:
        yield "error", *(f"observations of {one}" for one in sensors)
        return
    seen = [(one.observations, one.stacked) if exact else one.observations * one.stacked for one in pair]
    if seen[0] != seen[1] and (exact or brain.observations):
        yield "error", *map(_observations, pair)
    cameras = [list(map(tuple, one.cameras)) for one in pair]
    if cameras[0] != cameras[1] if exact else cameras[0][: len(cameras[1])] != cameras[1]:
        yield "error", *map(_cameras, pair)
    if (demonstration.actions, tuple(demonstration.action_sizes)) != (brain.actions, tuple(brain.action_sizes)):
        widths = [sum(one.action_sizes[:1]) if one.actions == "continuous" else len(one.action_sizes) for one in pair]
        yield "error" if exact or widths[0] != widths[1] else "warning", *map(_actions, pair)


def _observations(brain: BrainSpaces) -> str:
    return f"{brain.observations} observations{f' x {brain.stacked}' if brain.stacked > 1 else ''}"


def _cameras(brain: BrainSpaces) -> str:
    sizes = [f"{width} x {height} x {channels}" for height, width, channels in brain.cameras]
    return f"camera{'s' if len(sizes) > 1 else ''} {', '.join(sizes)}" if sizes else "no camera"


def _actions(brain: BrainSpaces) -> str:
    return f"{' x '.join(map(str, brain.action_sizes))} {brain.actions} actions"
