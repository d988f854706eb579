"""Run a trained model in NumPy, as Unity's ML-Agents does: the file itself decides.

`Network` computes the layers, `Policy` turns their output into decisions. As in Unity, a policy draws its actions:
continuous ones from the Gaussian, discrete ones from the probabilities that the network gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from policy_files.model import ACTION, LOAD, MASKS, VECTOR, VISUAL, Layer, Model, ModelError

if TYPE_CHECKING:
    from policy_files.onnx_model import OnnxModel, OnnxPolicy

EPSILON = "epsilon"
NOISE = 64
"""Type of the layers that draw from the normal distribution, one number for each of their input."""
PREVIOUS = "prev_action"
SMALL = 500_000
"""Multiplications at a time. For more, OpenBLAS wakes threads, whose waiting costs far more than they save here."""
RECURRENT = "recurrent_in"
"""The memory in one piece, as in TensorFlow; unused, because the layers read Barracuda's memories."""


def softmax(x: np.ndarray) -> np.ndarray:
    """Return probabilities along the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the logistic function."""
    return np.exp(-np.logaddexp(0, -x))


ACTIVATIONS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    0: lambda x: x,
    1: lambda x: np.maximum(x, 0),
    2: softmax,
    3: np.tanh,
    4: sigmoid,
    5: lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    9: lambda x: x * sigmoid(x),
    11: lambda x: np.logaddexp(0, x),
    100: np.abs,
    101: np.negative,
    111: np.sqrt,
    113: np.exp,
    114: np.log,
}
ARITHMETIC: dict[int, np.ufunc] = {
    100: np.add,
    101: np.subtract,
    102: np.multiply,
    103: np.divide,
    104: np.power,
    110: np.minimum,
    111: np.maximum,
}
REDUCTIONS: dict[int, Callable[..., np.ndarray]] = {124: np.max, 125: np.mean, 126: np.min, 127: np.prod, 128: np.sum}


def dense(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Multiply by a matrix and add."""
    kernel, bias = layer.tensors.values()
    matrix = kernel.reshape(kernel.shape[0], kernel.shape[3])
    parts = np.array_split(x.reshape(len(x), -1), max(1, -(-len(x) * matrix.size // SMALL)))
    flat = np.concatenate([part @ matrix for part in parts]) + bias.reshape(-1)
    return flat[:, np.newaxis, np.newaxis, :]


def windows(layer: Layer, x: np.ndarray, size: tuple[int, int], fill: float) -> np.ndarray:
    """Return the input of a filter at each position, (agents, height, width, channels, filter height, filter width)."""
    steps = layer.strides[:2]
    if layer.pads == (-1,):  # "same" padding, split evenly between the edges
        missing = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[1:3], size, steps, strict=True)]
        edges = [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)]
        x = np.pad(x, edges, constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))[:, :: steps[0], :: steps[1]]


def convolve(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Convolve pictures with a filter."""
    kernel, bias = layer.tensors.values()
    return np.einsum("nhwcij,ijco->nhwo", windows(layer, x, kernel.shape[:2], 0), kernel, optimize=True) + bias


def pool(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Take the maximum around each position of pictures."""
    return windows(layer, x, layer.pool_size[:2], -np.inf).max((-1, -2))


def scale(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Multiply and add, channel by channel."""
    factor, bias = layer.tensors.values()
    return x * factor + bias


def slices(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Slice; a stride of 0 takes one element."""
    parts = []
    for begin, end, stride in zip(layer.pads, layer.pool_size, layer.strides, strict=True):
        if stride == 0:
            parts.append(slice(begin, begin + 1 or None))
        else:
            parts.append(slice(begin, end or None, stride))
    return x[tuple(parts)]


def one_hot(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Turn the numbers of choices into one-hot rows."""
    on = x == np.arange(layer.pool_size[0])
    return np.where(on, np.float32(layer.alpha), np.float32(layer.beta))


LAYERS: dict[int, Callable[..., np.ndarray]] = {
    1: dense,
    20: convolve,
    25: pool,
    50: lambda layer, x: ACTIVATIONS[layer.activation](x),
    51: scale,
    67: one_hot,
    **{kind: lambda layer, *xs, f=f: f(*xs) for kind, f in ARITHMETIC.items()},
    # The second input is the axis as TensorFlow counts it; in everything that mlagents exports it is the last one.
    **{kind: lambda layer, x, *_, f=f: f(x, axis=-1, keepdims=True) for kind, f in REDUCTIONS.items()},
    200: lambda layer, x: x.reshape(len(x), 1, 1, -1),
    201: lambda layer, x, *_: x.reshape(layer.pool_size),
    210: lambda layer, *xs: np.concatenate(xs, layer.axis),
    211: slices,
}


class Network:
    """The layers of a model, ready to run.

    Parameters
    ----------
    model
    random
        Source of the noise that SAC's layers draw, with continuous actions.

    Raises
    ------
    ModelError
        If it has a layer that is unknown here; Unity may know it.
    """

    def __init__(self, model: Model, random: np.random.Generator | None = None) -> None:
        self.model = model
        self.random = random or np.random.default_rng(0)
        self.kinds = {**LAYERS, NOISE: lambda _, x: self.random.standard_normal(x.shape, np.float32)}
        self.constants = {
            name: tensor for layer in model.layers if layer.type == LOAD for name, tensor in layer.tensors.items()
        }
        self.layers = [layer for layer in model.layers if layer.type != LOAD]
        for layer in self.layers:
            if layer.type not in self.kinds or (layer.type == 50 and layer.activation not in ACTIVATIONS):
                raise ModelError(
                    f"Expected layers that can be run here, found {layer.name} (type {layer.type}, activation "
                    f"{layer.activation}) in {model.path}. Watch this model in Unity."
                )

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network.

        Parameters
        ----------
        inputs
            By name, with four axes: those of `Model.inputs` and, for each memory, its value before. A value under the
            name of a layer replaces that layer's output.

        Returns
        -------
        dict of str to ndarray
            The outputs and, under their names after the decision, the memories.

        Raises
        ------
        ModelError
            If shapes do not fit, in the model or in its inputs.
        """
        values = {**self.constants, **{name: np.asarray(value, np.float32) for name, value in inputs.items()}}
        names = (*self.model.outputs, *(memory.after for memory in self.model.memories))
        for layer in self.layers:
            if layer.name in inputs:
                continue
            try:
                values[layer.name] = self.kinds[layer.type](layer, *(values[name] for name in layer.inputs))
            except (ValueError, TypeError, IndexError, KeyError) as error:
                raise ModelError(
                    f"Expected {self.model.path.name} to run, but its layer {layer.name} does not: {error}. "
                    "Is it the model for this environment?"
                ) from None
        return {name: values[name] for name in names}


def policy_of(model: Model | OnnxModel, seed: int = 0) -> Policy | OnnxPolicy:
    """Return a model that decides, of whichever version."""
    if isinstance(model, Model):
        return Policy(model, seed)
    from policy_files.onnx_model import OnnxPolicy

    return OnnxPolicy(model, seed)


class Policy:
    """A model that decides for agents.

    Parameters
    ----------
    model
    seed
        The same seed and observations give the same actions.
    """

    def __init__(self, model: Model, seed: int = 0) -> None:
        self.model = model
        self.random = np.random.default_rng(seed)
        self.network = Network(model, self.random)
        self.memories: dict[str, np.ndarray] = {}
        self.previous: np.ndarray | None = None

    def decide(
        self,
        vector: np.ndarray,
        visual: tuple[np.ndarray, ...] = (),
        masks: np.ndarray | None = None,
        begins: np.ndarray | None = None,
    ) -> np.ndarray:
        """Decide once for every agent.

        Parameters
        ----------
        vector
            Vector observations, shape (agents, observations).
        visual
            Camera pictures, each of shape (agents, height, width, channels), from 0 to 1.
        masks
            Discrete actions: 1 for each choice that an agent may make, else 0; by default it may make all.
        begins
            Whether each agent's episode begins now, which clears its memory; by default only in the first call.

        Returns
        -------
        ndarray, shape (agents, actions)
            Continuous: numbers. Discrete: the choice in each branch.

        Raises
        ------
        ModelError
            If the observations do not fit the model.
        """
        agents = len(vector)
        inputs = self.gather(agents, vector, visual, masks)
        self.recall(agents, begins, inputs)
        outputs = self.network.run(inputs)
        for memory in self.model.memories:
            self.memories[memory.before] = outputs[memory.after]
        action = outputs[ACTION]
        if action.shape != (agents, 1, 1, sum(self.model.actions)):
            raise ModelError(
                f"Expected actions {self.model.actions} from {self.model.path.name}, got the shape {action.shape}."
            )
        action = action.reshape(agents, -1)
        if not self.model.continuous:
            action = self.draw(action)
        self.previous = action
        return action

    def gather(
        self, agents: int, vector: np.ndarray, visual: tuple[np.ndarray, ...], masks: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Collect the network's inputs."""
        inputs: dict[str, np.ndarray] = {}
        for name, shape in self.model.inputs.items():
            if name == VECTOR:
                inputs[name] = vector.reshape(agents, 1, 1, -1)
            elif name.startswith(VISUAL):
                number = int(name.removeprefix(VISUAL))
                if number >= len(visual):
                    raise ModelError(f"{self.model.path.name} needs {number + 1} cameras, got {len(visual)}.")
                inputs[name] = visual[number]
            elif name == EPSILON:
                inputs[name] = self.random.standard_normal((agents, 1, 1, shape[-1]))
            elif name == MASKS:
                inputs[name] = (np.ones((agents, shape[-1])) if masks is None else masks).reshape(agents, 1, 1, -1)
            elif name in (PREVIOUS, RECURRENT):
                inputs[name] = np.zeros((agents, 1, 1, shape[-1]))
            elif name in ("sequence_length", "batch_size"):
                inputs[name] = np.ones((1, 1, 1, 1))
            else:
                raise ModelError(
                    f"{self.model.path.name} has the input {name}, which is unknown here. Watch it in Unity."
                )
            if name in inputs and inputs[name].shape[1:] != shape[1:] and name not in ("sequence_length", "batch_size"):
                raise ModelError(
                    f"Expected {name} with {shape[1:]} numbers for each agent, as {self.model.path.name} needs it, got "
                    f"{inputs[name].shape[1:]}. Is it the model for this environment?"
                )
        return inputs

    def recall(self, agents: int, begins: np.ndarray | None, inputs: dict[str, np.ndarray]) -> None:
        """Add the agents' memories of their episodes."""
        first = self.previous is None or len(self.previous) != agents
        fresh = np.ones(agents, dtype=bool) if first else np.zeros(agents, dtype=bool)
        fresh |= False if begins is None else begins
        for memory in self.model.memories:
            held = np.zeros((agents, 1, 1, memory.shape[-1]), np.float32) if first else self.memories[memory.before]
            inputs[memory.before] = np.where(fresh[:, np.newaxis, np.newaxis, np.newaxis], 0, held)
        if PREVIOUS in inputs and not first:
            inputs[PREVIOUS] = np.where(fresh[:, np.newaxis], 0, self.previous)[:, np.newaxis, np.newaxis, :]

    def draw(self, logarithms: np.ndarray) -> np.ndarray:
        """Draw a choice in each branch from log probabilities."""
        # The Gumbel-max trick: the largest of log probabilities plus Gumbel noise has exactly these probabilities.
        noisy = logarithms + self.random.gumbel(size=logarithms.shape)
        edges = np.cumsum(self.model.actions)[:-1]
        return np.stack([branch.argmax(1) for branch in np.split(noisy, edges, axis=1)], axis=1)
