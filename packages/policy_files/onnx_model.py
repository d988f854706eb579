"""Read, check and run the `.onnx` files that ML-Agents 1.1.0 exports, for Unity's Inference Engine.

Inputs are ``obs_0``, ``obs_1`` and so on, in the order of the sensors, ``action_masks`` and ``recurrent_in``. Outputs
are the actions, as drawn and the likeliest ones, and four constants, as the wheel's `model_serialization` names them.
onnx and onnxruntime are imported when a file is read: together they take half a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from common.findings import CheckError, Report
from policy_files.basics import MASKS, MAX_NUMBERS, ModelError, shown, training_of

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

VERSION = 3
"""The `version_number` of files for com.unity.ml-agents 2.0 and later."""
SEEN = "obs_"
MEMORY, MEMORY_AFTER = "recurrent_in", "recurrent_out"
NUMBERS, CHOICES = "continuous_actions", "discrete_actions"
SHAPE_OF = {NUMBERS: "continuous_action_output_shape", CHOICES: "discrete_action_output_shape"}
CONSTANTS = ("version_number", "memory_size")


@dataclass(frozen=True)
class OnnxModel(Report):
    """A model that was read completely, and ran once. A notebook shows it as a table.

    Attributes
    ----------
    path : Path
    brain : str
        From the file's name, decoded.
    content : bytes
    inputs : mapping of str to tuple of int
        Shapes; -1 stands for the number of agents.
    outputs : tuple of str
    numbers : int
        Continuous actions.
    choices : tuple of int
        The choices of each branch of discrete actions.
    memory_size : int
        Numbers that an agent keeps between decisions; 0 without a memory.
    weights : int
    trained : mapping
        What `training.json` says about this brain; empty if there is none.
    """

    error_type: ClassVar[type[CheckError]] = ModelError
    ready: ClassVar[str] = "The model is complete, and has everything that com.unity.ml-agents 2.0 and later need."

    path: Path
    brain: str
    content: bytes = field(repr=False)
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    numbers: int
    choices: tuple[int, ...]
    memory_size: int
    weights: int
    trained: Mapping[str, Any]

    @property
    def continuous(self) -> bool:
        """Whether all actions are numbers."""
        return not self.choices

    @property
    def actions(self) -> tuple[int, ...]:
        """How many numbers, then the choices of each branch."""
        return (*((self.numbers,) if self.numbers else ()), *self.choices)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The rows of the table."""
        lines = [("brain", self.brain), ("file", f"{len(self.content) / 1e3:,.1f} kB, ONNX")]
        if self.trained:
            reward = self.trained.get("mean_reward")
            last = "" if reward is None else f", last mean reward {reward:.3f}"
            lines.append(("trained for", f"{self.trained['steps']:,} steps of all agents{last}"))
        lines += [(f"input {name}", shown(shape)) for name, shape in self.inputs.items()]
        if self.numbers:
            lines.append((f"output {NUMBERS}", f"{self.numbers} numbers"))
        if self.choices:
            lines.append((f"output {CHOICES}", f"{' + '.join(map(str, self.choices))} choices"))
        return (*lines, ("network", f"{self.weights:,} weights"))


def read(path: Path, content: bytes) -> OnnxModel:
    """Read a model's content, check what Unity requires, and run it once.

    Raises
    ------
    ModelError
        As `policy_files.model.read` does.
    """
    from google.protobuf.message import DecodeError

    try:
        import onnx
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError:
        raise ModelError(
            f"Expected onnx and onnxruntime to read {path}, a model of ML-Agents 1.1.0, found them not installed. Run "
            "`make setup TRAINER=1.1.0`."
        ) from None

    broken = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)

    def damaged(how: object) -> ModelError:
        return ModelError(f"Expected a model that mlagents 1.1.0 exported, but {path} {how}.")

    try:
        proto = onnx.load_model_from_string(content)
        external = [one.name for one in proto.graph.initializer if one.data_location == one.EXTERNAL]
        if external:
            raise damaged(f"keeps its weights {external[0]} in another file")
        onnx.checker.check_model(proto)
        weights = _weights(proto, damaged)
    except ModelError:
        raise
    except (DecodeError, onnx.checker.ValidationError, ValueError, LookupError, TypeError):
        raise damaged("is truncated, damaged, or no ONNX file") from None
    try:
        session = _session(content)
        inputs = {one.name: tuple(n if isinstance(n, int) else -1 for n in one.shape) for one in session.get_inputs()}
        outputs = tuple(one.name for one in session.get_outputs())
        if any(math.prod(map(abs, shape)) > MAX_NUMBERS for shape in inputs.values()):
            raise damaged("is damaged: an input is too large")
        lacking = [f"output {name}" for name in CONSTANTS if name not in outputs]
        lacking += [] if {NUMBERS, CHOICES} & set(outputs) else ["actions"]
        lacking += [] if any(name.startswith(SEEN) for name in inputs) else ["observation"]
        if lacking:
            raise damaged(f"has no {', no '.join(lacking)}, which Unity's ML-Agents needs")
        values = dict(
            zip(outputs, session.run(None, {name: _zeros(shape, 1) for name, shape in inputs.items()}), strict=True)
        )
        version = float(values["version_number"].flat[0])
        if version != VERSION:
            raise damaged(f"has version_number {version:g}, but com.unity.ml-agents 2.0 and later expect {VERSION}")
        memory_size = int(values["memory_size"].flat[0])
        numbers, choices = (
            tuple(map(int, values[SHAPE_OF[name]].flat)) if name in outputs else () for name in (NUMBERS, CHOICES)
        )
    except ModelError:
        raise
    except (*broken, state.RuntimeException, ValueError, LookupError, TypeError, OverflowError) as error:
        raise damaged(f"does not run: {str(error).splitlines()[0]}") from None
    brain, trained = training_of(path)
    return OnnxModel(
        subject=f"Model {path.name}",
        findings=(),
        path=path,
        brain=brain,
        content=content,
        inputs=inputs,
        outputs=outputs,
        numbers=sum(numbers),
        choices=choices,
        memory_size=memory_size,
        weights=weights,
        trained=trained,
    )


def _weights(proto: ModelProto, damaged: Any) -> int:
    """Return the number of weights, all of which must be finite."""
    from onnx import numpy_helper

    count = 0
    for one in proto.graph.initializer:
        values = numpy_helper.to_array(one)
        if not np.isfinite(values).all():
            raise damaged(f"has weights {one.name} that are not finite: the training diverged. Lower its learning_rate")
        count += values.size
    return count


def _session(content: bytes) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _zeros(shape: tuple[int, ...], agents: int) -> np.ndarray:
    return np.zeros([agents if number < 0 else number for number in shape], np.float32)


class OnnxPolicy:
    """An `.onnx` model that decides for agents, as `policy_files.inference.Policy` does with an `.nn` file.

    Parameters
    ----------
    model
    seed
        The same seed and observations give the same actions, with one policy at a time.
    """

    def __init__(self, model: OnnxModel, seed: int = 0) -> None:
        import onnxruntime

        self.model = model
        onnxruntime.set_seed(seed)  # of sessions that begin from now on
        self.session = _session(model.content)
        self.memories: np.ndarray | None = None

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
            Vector observations, those of all sensors side by side, shape (agents, observations).
        visual
            Camera pictures, each of shape (agents, channels, height, width), from 0 to 1.
        masks
            1 for each choice that an agent may make, else 0; by default it may make all.
        begins
            Whether each agent's episode begins now, which clears its memory; by default only in the first call.

        Returns
        -------
        ndarray, shape (agents, actions)
            The numbers, then the choice in each branch.

        Raises
        ------
        ModelError
            If the observations do not fit the model.
        """
        agents = len(vector)
        inputs = self._observations(np.asarray(vector, np.float32), list(visual))
        if MASKS in self.model.inputs:
            width = sum(self.model.choices)
            inputs[MASKS] = np.ones((agents, width), np.float32) if masks is None else masks.astype(np.float32)
        if MEMORY in self.model.inputs:
            if self.memories is None or len(self.memories) != agents:
                self.memories = _zeros(self.model.inputs[MEMORY], agents)
            elif begins is not None:
                self.memories[begins] = 0
            inputs[MEMORY] = self.memories
        wanted = [name for name in (NUMBERS, CHOICES) if name in self.model.outputs]
        found = self.session.run([*wanted, *([MEMORY_AFTER] if MEMORY in inputs else [])], inputs)
        if MEMORY in inputs:
            self.memories = found.pop()
        return np.concatenate([part.reshape(agents, -1) for part in found], axis=1)

    def _observations(self, vector: np.ndarray, visual: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the sensors' inputs, cut out of the vector, or the next camera's picture."""
        inputs, start = {}, 0
        for name, shape in sorted(self.model.inputs.items(), key=lambda one: (len(one[0]), one[0])):
            if not name.startswith(SEEN):
                continue
            if len(shape) == 2:
                inputs[name] = vector[:, start : start + shape[1]]
                start += shape[1]
            elif len(shape) == 4 and visual:
                inputs[name] = visual.pop(0).astype(np.float32)
            else:
                raise ModelError(f"{self.model.path.name} needs {name}, {shown(shape)}, which is not here.")
            if inputs[name].shape[1:] != shape[1:]:
                raise ModelError(
                    f"Expected {name} with {shape[1:]} numbers for each agent, as {self.model.path.name} needs it, got "
                    f"{inputs[name].shape[1:]}. Is it the model for this environment?"
                )
        if start != vector.shape[1]:
            raise ModelError(
                f"Expected {start} observations, as {self.model.path.name} needs them, got {vector.shape[1]}. Is it "
                "the model for this environment?"
            )
        return inputs
