"""The player's side of ML-Agents' protocol, as far as its versions have it in common.

The trainer is the server. The player calls one method, `Exchange`: each message of the player is answered with the
trainer's next command. The first message introduces the player, and the answer holds the seed; the second is empty,
and the answer is the first command, a reset; every later message reports the agents' observations and rewards.

A module for each version says what the messages hold: `api_11` for ML-Agents 0.11.0, `api_1_5` for 1.1.0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import grpc
import numpy as np

from .scene import Group, Parameters, Scene

CONNECT_SECONDS = 30
"""The trainer waits for its player as long, or longer."""
STEP, RESET, QUIT = 0, 1, 2


class NoTrainerError(Exception):
    """There is no trainer to connect to."""


class TrainerGoneError(Exception):
    """The trainer has closed the connection."""


class Command(NamedTuple):
    """What the trainer wants next."""

    kind: int
    """`STEP`, `RESET` or `QUIT`."""
    actions: Mapping[str, Sequence[float]]
    """The values of all agents' actions, one after another, by brain."""
    parameters: Parameters
    """Reset parameters that change."""
    pace: float | None
    """Seconds that each simulated second should take at least; None to leave it as it is."""


class Communicator:
    """The connection to the trainer that listens on a port of this machine, with a subclass for each protocol.

    Methods that wait for a response raise TrainerGoneError if the trainer ends the connection.

    Parameters
    ----------
    port
        TCP port.
    kinds
        The classes of the scene's groups.
    """

    message: type
    """The protocol's `UnityMessageProto`."""
    stub: type
    """The protocol's `UnityToExternalProtoStub`."""

    def __init__(self, port: int, kinds: Sequence[type[Group]]) -> None:
        # A proxy of the environment must not be used between two processes on one machine.
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
        self._channel = grpc.insecure_channel(f"localhost:{port}", options=options)
        self._exchange = self.stub(self._channel).Exchange
        self._port = port
        self.kinds = kinds

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def introduce(self, name: str, log_path: str) -> int:
        """Wait for the trainer, introduce the player, and return the seed that the trainer sends.

        Parameters
        ----------
        name
            The scene's name.
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
        message = self.message()
        hello = message.unity_output.rl_initialization_output
        hello.log_path = log_path
        self.describe(hello, name)
        return self._send(message).unity_input.rl_initialization_input.seed

    def first_command(self) -> Command:
        """Return the trainer's first command."""
        return self.read(self._send(self.message()).unity_input.rl_input)

    def report(self, scene: Scene, *, after_reset: bool) -> Command:
        """Report observations and rewards; return the trainer's next command.

        Parameters
        ----------
        scene
            After its last decision.
        after_reset
            Whether it was reset instead.
        """
        message = self.message()
        self.write(message.unity_output, scene, after_reset)
        return self.read(self._send(message).unity_input.rl_input)

    def fail(self, reason: str) -> None:
        """Report an error to the trainer, which then saves and ends."""
        message = self.message()
        message.header.status = 500
        message.header.message = reason
        with contextlib.suppress(grpc.RpcError):
            self._exchange(message, timeout=CONNECT_SECONDS)

    def _send(self, message: Any) -> Any:
        message.header.status = 200
        try:
            response = self._exchange(message)
        except grpc.RpcError as error:
            raise TrainerGoneError(f"the connection broke ({error.details()})") from None
        if response.header.status != 200:
            raise TrainerGoneError(f"the trainer closed the connection (status {response.header.status})")
        return response

    def describe(self, hello: Any, name: str) -> None:
        """Fill the message that introduces the player."""
        raise NotImplementedError

    def write(self, output: Any, scene: Scene, after_reset: bool) -> None:
        """Fill the message that reports to the trainer."""
        raise NotImplementedError

    def read(self, given: Any) -> Command:
        """Read the trainer's command."""
        raise NotImplementedError


def flat(actions: Iterable[Iterable[float]]) -> list[float]:
    """Return the values of all agents' actions in one list."""
    values: list[float] = []
    for action in actions:
        values.extend(action)
    return values


def requested_actions(command: Command, group: Group) -> np.ndarray:
    """Return the actions in the trainer's command, or the last ones if it has none for this brain.

    Raises
    ------
    ValueError
        If they do not fit the agents.
    """
    name = group.behaviour.name
    if name not in command.actions:
        return group.actions
    values = command.actions[name]
    if len(values) != group.actions.size:
        raise ValueError(
            f"Expected {group.actions.size} action values for brain {name} "
            f"({group.agents} agents, {group.behaviour.action_values} each), got {len(values)}. "
            "Is the model trained for another brain?"
        )
    return np.array(values).reshape(group.actions.shape)
