"""Read and check a trained model, the file that Unity uses: `.nn` of ML-Agents 0.11.0, or `.onnx` of 1.1.0.

An `.nn` file is in the format of Barracuda, Unity's runtime for neural networks, as `mlagents` 0.11.0 writes it: a
header with inputs, outputs and memories; the layers in the order in which they run; last, the weights of all of them
(float32). All numbers are little-endian, and all shapes have four axes: batch, height, width, channels.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from common.findings import CheckError, Report
from policy_files.basics import MASKS, MAX_NUMBERS, ModelError, shown, training_of

if TYPE_CHECKING:
    from policy_files.onnx_model import OnnxModel

FORMAT = 16
"""The number with which a file of `mlagents` 0.11.0 begins."""
LOAD = 255
"""Type of the layers that hold constants."""
CONSTANTS = ("version_number", "is_continuous_control", "memory_size", "action_output_shape")
"""The constants that Unity's ML-Agents 0.11.0 reads from a model before it uses it."""
VERSION = 2
"""The `version_number` that it expects."""
ACTION = "action"
VECTOR = "vector_observation"
VISUAL = "visual_observation_"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Layer:
    """A layer of the network.

    Attributes
    ----------
    name : str
        Of the layer and of its output.
    type, activation : int
        Barracuda's numbers.
    pads, strides, pool_size : tuple of int
        Their meaning depends on the type.
    axis : int
    alpha, beta : float
    inputs : tuple of str
        Names of inputs, memories and earlier layers.
    tensors : mapping of str to ndarray
        Its weights, each with four axes.
    """

    name: str
    type: int
    activation: int
    pads: tuple[int, ...]
    strides: tuple[int, ...]
    pool_size: tuple[int, ...]
    axis: int
    alpha: float
    beta: float
    inputs: tuple[str, ...]
    tensors: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class Memory:
    """A recurrent network's memory: its names before and after a decision, and its shape."""

    before: str
    after: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Model(Report):
    """A model that was read completely. A notebook shows it as a table.

    Attributes
    ----------
    path : Path
    brain : str
        From the file's name, decoded.
    size : int
        Bytes.
    inputs : mapping of str to tuple of int
        Shapes; -1 stands for the number of agents.
    outputs : tuple of str
    memories : tuple of Memory
    continuous : bool
        Whether the actions are numbers (else choices).
    actions : tuple of int
        Continuous: how many. Discrete: the choices of each branch; all in one if the file does not say.
    layers : tuple of Layer
    trained : mapping
        What `training.json` says about this brain; empty if there is none.
    """

    error_type: ClassVar[type[CheckError]] = ModelError
    ready: ClassVar[str] = "The model is complete, and has everything that Unity's ML-Agents 0.11.0 needs."

    path: Path
    brain: str
    size: int
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    memories: tuple[Memory, ...]
    continuous: bool
    actions: tuple[int, ...]
    layers: tuple[Layer, ...] = field(repr=False)
    trained: Mapping[str, Any]

    @property
    def weights(self) -> int:
        """The number of trained weights."""
        return sum(t.size for layer in self.layers if layer.type != LOAD for t in layer.tensors.values())

    @property
    def observations(self) -> int:
        """The size of a vector observation, stacking included; 0 for a brain that has only cameras."""
        return self.inputs[VECTOR][-1] if VECTOR in self.inputs else 0

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The rows of the table."""
        sizes = " + ".join(map(str, self.actions))
        acts = f"{sizes} numbers" if self.continuous else f"{sizes} choices"
        lines = [("brain", self.brain), ("file", f"{self.size / 1e3:,.1f} kB, Barracuda format {FORMAT}")]
        if self.trained:
            reward = self.trained.get("mean_reward")
            last = "" if reward is None else f", last mean reward {reward:.3f}"
            lines.append(("trained for", f"{self.trained['steps']:,} steps{last}"))
        lines += [(f"input {name}", shown(shape)) for name, shape in self.inputs.items()]
        lines += [(f"output {name}", acts if name == ACTION else "") for name in self.outputs]
        lines += [(f"memory {memory.before}", shown(memory.shape)) for memory in self.memories]
        layers = sum(layer.type != LOAD for layer in self.layers)
        return (*lines, ("network", f"{layers} layers, {self.weights:,} weights"))


def read(path: str | Path) -> Model | OnnxModel:
    """Read a model and check it: an `.nn` file of ML-Agents 0.11.0, or an `.onnx` file of 1.1.0.

    The file is named after its brain, percent-encoded where file systems need it: ``A%2FRed.nn`` belongs to the
    brain ``A/Red``. A `training.json` beside it must mention that brain.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    ModelError
        If it is missing, empty, truncated, damaged, not a model of its version of ML-Agents, or from another training
        than the `training.json` beside it; or if its weights are not finite.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"Expected a model {path}, but it can't be read: {error.strerror}.") from None
    if not content:
        raise ModelError(f"Expected a model, found the empty file {path}. The job ended before its export.")
    if path.suffix == ".onnx":
        from policy_files import onnx_model

        return onnx_model.read(path, content)
    try:
        inputs, outputs, memories, layers = parse(content)
        return describe(path, len(content), inputs, outputs, memories, layers)
    except DamagedError as error:
        raise ModelError(f"Expected a model that mlagents 0.11.0 wrote, but {path} {error}.") from None


class DamagedError(Exception):
    """The content is invalid; the message continues a sentence that begins with the file's name."""


class Reader:
    """Reads numbers and names, never beyond the end."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def number(self, code: str) -> Any:
        """Read a number: ``i`` an integer of 4 bytes, ``q`` of 8 bytes, ``f`` a float."""
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def take(self, count: int) -> bytes:
        """Read some bytes."""
        if count > len(self.content) - self.at:
            raise DamagedError("is truncated")
        self.at += count
        return self.content[self.at - count : self.at]

    def many(self, read: Callable[[], Item]) -> tuple[Item, ...]:
        """Read a count and that many items, each at least as long as a number."""
        count = self.number("i")
        if not 0 <= count <= (len(self.content) - self.at) // 4:
            raise DamagedError(f"is damaged: it declares {count} items, more than fit into it")
        return tuple(read() for _ in range(count))

    def name(self) -> str:
        """Read a name."""
        length = self.number("i")
        if length < 1:
            raise DamagedError("is damaged: it has an empty name")
        text = self.take(length)
        if not (text.isascii() and text.decode("latin-1").isprintable()):
            raise DamagedError("is damaged: it has a name that is not text")
        return text.decode("ascii")

    def shape(self) -> tuple[int, ...]:
        """Read a shape, or another list of integers."""
        return self.many(lambda: self.number("i"))


def parse(
    content: bytes,
) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...], tuple[Memory, ...], tuple[Layer, ...]]:
    """Read inputs, outputs, memories and layers.

    Raises
    ------
    DamagedError
        If the content is something else, or incomplete.
    """
    reader = Reader(content)
    found = reader.number("q")
    if found != FORMAT:
        raise DamagedError(f"does not begin with Barracuda's format number {FORMAT}")
    inputs = dict(reader.many(lambda: (reader.name(), reader.shape())))
    outputs = reader.many(reader.name)
    memories = tuple(
        Memory(before, after, shape)
        for shape, before, after in reader.many(lambda: (reader.shape(), reader.name(), reader.name()))
    )
    heads = reader.many(lambda: read_layer(reader))
    if (len(content) - reader.at) % 4:
        raise DamagedError("is truncated")
    weights = np.frombuffer(content, "<f4", offset=reader.at)
    used = sum(length for _, tensors in heads for _, _, _, length in tensors)
    if used != len(weights):
        how = "is truncated" if used > len(weights) else "is damaged"
        raise DamagedError(f"{how}: its layers have {used:,} weights, the file {len(weights):,}")
    layers = tuple(Layer(*head, {name: cut(weights, *where) for name, *where in tensors}) for head, tensors in heads)
    check_names(inputs, outputs, memories, layers)
    return inputs, outputs, memories, layers


def read_layer(reader: Reader) -> tuple[tuple, tuple[tuple[str, tuple[int, ...], int, int], ...]]:
    """Read a layer's head: its own values, and the name, shape, offset and length of each of its tensors."""
    name, kind, activation = reader.name(), reader.number("i"), reader.number("i")
    reader.take(8)
    pads, strides, pool_size = reader.shape(), reader.shape(), reader.shape()
    axis, alpha, beta = reader.number("i"), reader.number("f"), reader.number("f")
    reader.take(4)
    inputs = reader.many(reader.name)
    return (name, kind, activation, pads, strides, pool_size, axis, alpha, beta, inputs), reader.many(
        lambda: read_tensor(reader)
    )


def read_tensor(reader: Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Read a tensor's head."""
    name, shape, offset = reader.name(), reader.shape(), reader.number("q")
    item_size, length = reader.number("i"), reader.number("i")
    if item_size != 4 or len(shape) != 4 or min(shape) < 0 or math.prod(shape) != length or offset < 0:
        raise DamagedError(f"is damaged: the weights {name} cannot have the shape {shape}")
    return name, shape, offset, length


def cut(weights: np.ndarray, shape: tuple[int, ...], offset: int, length: int) -> np.ndarray:
    """Return one tensor out of all weights."""
    if offset + length > len(weights):
        raise DamagedError("is damaged: a layer's weights lie beyond its end")
    try:
        return weights[offset : offset + length].reshape(shape)
    except ValueError:  # zero numbers in a shape larger than any memory
        raise DamagedError(f"is damaged: weights cannot have the shape {shape}") from None


def check_names(
    inputs: Mapping[str, tuple[int, ...]],
    outputs: tuple[str, ...],
    memories: tuple[Memory, ...],
    layers: tuple[Layer, ...],
) -> None:
    """Raise DamagedError unless each layer's inputs are computed before it, and every output is computed."""
    known = {*inputs, *(memory.before for memory in memories)}
    for layer in layers:
        if missing := sorted(set(layer.inputs) - known):
            raise DamagedError(f"is damaged: its layer {layer.name} needs {missing[0]}, which does not exist")
        known.add(layer.name)
        if layer.type == LOAD:
            known.update(layer.tensors)
    if missing := sorted({*outputs, *(memory.after for memory in memories)} - known):
        raise DamagedError(f"is damaged: no layer computes its output {missing[0]}")


def describe(
    path: Path,
    size: int,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: tuple[str, ...],
    memories: tuple[Memory, ...],
    layers: tuple[Layer, ...],
) -> Model:
    """Check a model for what Unity needs, and describe it.

    Raises
    ------
    DamagedError
        If something is missing.
    """
    loads = {name: tensor for layer in layers if layer.type == LOAD for name, tensor in layer.tensors.items()}
    lacking = [name for name in CONSTANTS if not loads.get(name, np.empty(0)).size]
    lacking += [] if ACTION in outputs else [f"output {ACTION}"]
    lacking += [] if any(name == VECTOR or name.startswith(VISUAL) for name in inputs) else ["observation"]
    if lacking:
        raise DamagedError(f"has no {', no '.join(lacking)}, which Unity's ML-Agents needs")
    for shape in (*inputs.values(), *(memory.shape for memory in memories)):
        if len(shape) != 4 or min(shape[1:]) < 1 or math.prod(shape[1:]) > MAX_NUMBERS:
            raise DamagedError(f"is damaged: an input cannot have the shape {shape}")
    version, continuous, _, width = (float(loads[name].flat[0]) for name in CONSTANTS)
    if version != VERSION:
        raise DamagedError(f"has version_number {version:g}, but Unity's ML-Agents 0.11.0 expects {VERSION}")
    if continuous not in (0, 1) or not (width >= 1 and width == int(width)):
        raise DamagedError("is damaged: its description of the actions is invalid")
    for layer in layers:
        if not all(np.isfinite(tensor).all() for tensor in layer.tensors.values()):
            raise DamagedError(
                f"has weights in layer {layer.name} that are not finite: the training diverged. Lower its learning_rate"
            )
    actions = (int(width),) if continuous else branches(layers, int(width))
    brain, trained = training_of(path)
    return Model(
        subject=f"Model {path.name}",
        findings=(),
        path=path,
        brain=brain,
        size=size,
        inputs=inputs,
        outputs=outputs,
        memories=memories,
        continuous=bool(continuous),
        actions=actions,
        layers=layers,
        trained=trained,
    )


def branches(layers: tuple[Layer, ...], choices: int) -> tuple[int, ...]:
    """Return the number of choices in each branch of discrete actions: the network slices its masks there."""
    ends = {layer.pool_size[-1] for layer in layers if layer.inputs == (MASKS,) and layer.pool_size}
    edges = sorted({0, *(end for end in ends if 0 < end < choices), choices})
    return tuple(end - begin for begin, end in pairwise(edges))
