"""Drive a player: send it actions, receive observations."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.processes import kill_marked
from evaluation import pipe_messages
from mlagents_check.unity_build import UnityBuild, smoke

_SCRIPT = Path(__file__).with_name("player_process.py")
SECONDS_TO_START = 90
SECONDS_TO_STEP = 60


class PlayerError(RuntimeError):
    """The player did not start, has ended, or does not respond; the message has the end of its log."""


@dataclass(frozen=True)
class Observations:
    """The observations of a brain's agents, and the result of their last decision.

    Attributes
    ----------
    agents : list of str
        Their names, which do not change.
    vector : ndarray, shape (agents, observations)
    visual : tuple of ndarray, each of shape (agents, height, width, channels)
        From builds of com.unity.ml-agents (agents, channels, height, width).
    masks : ndarray or None
        1 for each choice that an agent may make, else 0.
    reward : ndarray, shape (agents,)
    done : ndarray of bool, shape (agents,)
        Whether the episode ended with that decision.
    """

    agents: list[str]
    vector: np.ndarray
    visual: tuple[np.ndarray, ...]
    masks: np.ndarray | None
    reward: np.ndarray
    done: np.ndarray


class Player:
    """A running player that waits for decisions.

    Attributes
    ----------
    brains : mapping of str to mapping
        Whether the actions of each are ``continuous``, and their sizes, ``actions``.
    seen : dict of str to Observations
        The latest observations of each brain.
    """

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self._process = process
        self._log = log
        self._messages: queue.Queue = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.brains: Mapping[str, Mapping] = {}
        self.seen: dict[str, Observations] = {}
        self.brains = self._receive(SECONDS_TO_START)["brains"]

    def step(self, actions: Mapping[str, np.ndarray]) -> None:
        """Carry out a decision of every agent of every brain.

        Raises
        ------
        PlayerError
            If the player does not respond.
        """
        try:
            pipe_messages.write(self._process.stdin, None, dict(actions))
        except OSError:
            raise self._gone("ended") from None
        self._receive(SECONDS_TO_STEP)

    def _listen(self) -> None:
        try:
            while True:
                self._messages.put(pipe_messages.read(self._process.stdout))
        except (EOFError, ValueError, OSError):
            self._messages.put(None)

    def _receive(self, seconds: float) -> dict:
        try:
            message = self._messages.get(timeout=seconds)
        except queue.Empty:
            raise self._gone(f"did not respond within {seconds} s") from None
        if message is None:
            raise self._gone("ended")
        values, arrays = message
        for name, agents in values["agents"].items():
            pictures = [key for key in arrays if key.startswith(f"{name}/visual/")]
            self.seen[name] = Observations(
                agents,
                arrays[f"{name}/vector"],
                tuple(arrays[f"{name}/visual/{number}"] for number in range(len(pictures))),
                arrays.get(f"{name}/masks"),
                arrays[f"{name}/reward"],
                arrays[f"{name}/done"],
            )
        return values

    def _gone(self, how: str) -> PlayerError:
        logs = [path.read_text("utf-8", "replace").strip() for path in self._log.parent.glob("*.log")]
        tail = "\n".join("\n".join(text for text in logs if text).splitlines()[-15:])
        return PlayerError(f"The player {how}. The end of its log:\n{tail or '(empty)'}")


@contextlib.contextmanager
def playing(build: UnityBuild, python: Path, *, seed: int, env_args: Sequence[str]) -> Iterator[Player]:
    """Start a player as mlagents-learn does; end it with every process that it started.

    Parameters
    ----------
    build
        Its folder stays unchanged.
    python
        The trainer environment's interpreter.
    seed
        The seed that is sent to the player.
    env_args
        Further arguments for the player.

    Raises
    ------
    PlayerError
        If it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="watch-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        smoke.lay_out(build, folder / "build")
        log = folder / "Player.log"
        request = folder / "request.json"
        request.write_text(
            json.dumps(
                {
                    "driver": str(smoke.DRIVER),
                    "module": smoke.MODULES[build.trainer],
                    "file_name": str(folder / "build" / build.name),
                    "port": smoke.free_port(),
                    "no_graphics": True,
                    "args": ["-logFile", str(log), *env_args],
                    "seed": seed,
                }
            )
        )
        mark = uuid.uuid4().hex
        path = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
        with (folder / "console.log").open("wb") as console:
            process = subprocess.Popen(
                [python, _SCRIPT, request],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                env={**os.environ, smoke.MARK: mark, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=folder,
                start_new_session=True,
            )
            try:
                yield Player(process, log)
            finally:
                process.kill()
                process.wait()
                kill_marked(smoke.MARK, mark)
                process.stdout.close()
                with contextlib.suppress(OSError):
                    process.stdin.close()
