"""A smoke start: start the build for a few seconds as mlagents-learn would, and query its brains."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from common.findings import CheckError, Finding, Report, ordered
from common.processes import kill_marked
from mlagents_check.brain_spaces import BrainSpaces
from mlagents_check.unity_build.causes import explain
from mlagents_check.unity_build.report import UnityBuild, UnityBuildError

_OVERHEAD = 60  # seconds for the trainer environment's own start
DRIVER = Path(__file__).parent
"""The folder from which scripts in a trainer's Python import one of `MODULES`."""
_SCRIPT = DRIVER / "ask_player.py"
MODULES = {"0.11.0": "watched_player", "1.1.0": "stepped_player"}
SECONDS_TO_CONNECT = {"0.11.0": 30, "1.1.0": 60}
"""What each version of mlagents-learn gives a player."""
"""The module in that folder that drives a player, by trainer version."""
MARK = "SMOKE_START"  # environment variable that marks all processes of one smoke start


@dataclass(frozen=True)
class Brain(BrainSpaces):
    """A brain as the running player describes it.

    Parameters
    ----------
    name, observations, stacked, cameras, actions, action_sizes, sensors
        As in `BrainSpaces`.
    agents
        Number of agents that request decisions.
    late
        Whether it appeared only after the start.
    """

    agents: int
    late: bool = False

    def __str__(self) -> str:
        parts = [f"{self.observations} observations" + (f" x {self.stacked}" if self.stacked > 1 else "")]
        parts += [f"camera {width} x {height} x {channels}" for height, width, channels in self.cameras]
        sizes = " x ".join(map(str, self.action_sizes))
        agents = f"{self.agents} agents{', none at the start' * self.late}"
        return f"{', '.join(parts)}; {sizes} {self.actions} actions; {agents}"


@dataclass(frozen=True)
class SmokeReport(Report):
    """The result of a smoke start: the player's description, or why it did not respond.

    Parameters
    ----------
    academy
        Name of the Academy; None if the player did not connect.
    brains
        Its brains, or behaviors, which `trainer_config.check` accepts.
    reset_parameters
        Their names and starting values, for curricula and samplers; None if the player does not tell, as from 0.14 on.
    steps_per_second
        Environment steps per second with one player and an instant trainer: an upper bound.
    seconds_to_connect
        Seconds from the start to the first message.
    log
        The player's own log, then its output.
    """

    error_type: ClassVar[type[CheckError]] = UnityBuildError
    ready: ClassVar[str] = "The build starts, connects and steps."

    academy: str | None = None
    brains: tuple[Brain, ...] = ()
    reset_parameters: Mapping[str, float] | None = None
    steps_per_second: float = 0.0
    seconds_to_connect: float = 0.0
    log: str = ""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Facts about the player."""
        if self.academy is None:
            return ()
        parameters = ", ".join(f"{name} {value:g}" for name, value in (self.reset_parameters or {}).items())
        return (
            ("academy", self.academy),
            *((f"brain {brain.name}", str(brain)) for brain in self.brains),
            *([] if self.reset_parameters is None else [("reset parameters", parameters or "none")]),
            ("connected after", f"{self.seconds_to_connect:.1f} s"),
            ("speed", f"{self.steps_per_second:,.0f} steps a second at most, with one player"),
        )


def smoke_start(
    build: UnityBuild,
    trainer_python: str | Path,
    timeout: float | None = None,
    *,
    env_args: Sequence[str] = (),
    no_graphics: bool = True,
    seconds: float = 2,
) -> SmokeReport:
    """Start a build once, as mlagents-learn would, query its brains, and step it.

    The build's folder is not changed: the executable is copied to a temporary folder, where it is made executable, with
    links to the other files. The function takes at most `timeout`, `seconds` and a minute for the trainer environment;
    when it returns, all processes that it started have ended.

    Elsewhere than on Linux, the report of a Unity build is only a warning. The sample environment starts everywhere.

    Parameters
    ----------
    build
        From `check`.
    trainer_python
        The Python of the trainer that the build speaks to (`trainer_env.find(build.trainer).python`).
    timeout
        Seconds that the player has to connect; by default those that it has in training, 30 or 60.
    env_args
        Additional arguments for the player, as in the hyperparameter ``env-args``.
    no_graphics
        Start it with ``-nographics -batchmode``.
    seconds
        Seconds for which it is stepped to measure its speed.
    """
    subject = f"Smoke start of {build.name}"
    if sys.platform != "linux" and not build.is_sample:
        todo = "If it matters, run this check once on a Linux machine; the files were checked all the same."
        return SmokeReport(subject, (Finding("warning", "Only Linux can start a build for Linux.", todo),))
    if timeout is None:
        timeout = SECONDS_TO_CONNECT[build.trainer]
    with tempfile.TemporaryDirectory(prefix="smoke-start-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve()
        lay_out(build, folder / "build")
        _write_request(build, folder, timeout, env_args, no_graphics, seconds)
        answer = _ask(folder, Path(trainer_python), timeout + seconds + _OVERHEAD)
        logs = [folder / "Player.log", folder / "console.log"]
        log = "\n".join(path.read_text("utf-8", "replace") for path in logs if path.is_file())
    if "error" in answer:
        return SmokeReport(subject, (explain(answer, log, timeout, build.trainer),), log=log)
    brains = tuple(
        Brain(
            **{
                **brain,
                "cameras": tuple(map(tuple, brain["cameras"])),
                "action_sizes": tuple(brain["action_sizes"]),
                "sensors": tuple(map(tuple, brain.get("sensors", ()))),
            }
        )
        for brain in answer["brains"]
    )
    return SmokeReport(
        subject,
        ordered(_judge(brains, answer["steps"])),
        answer["academy"],
        brains,
        answer["reset_parameters"],
        answer["steps_per_second"],
        answer["seconds_to_connect"],
        log,
    )


def _judge(brains: Sequence[Brain], steps: int) -> list[Finding]:
    if not brains:
        todo = "Give an Agent in the scene its Behavior Parameters, without a model or with Use Heuristic off."
        return [Finding("error", "The player has no brain that can be trained.", todo)]
    idle = [brain.name for brain in brains if not brain.agents]
    todo = "Is the scene the right one, and do its agents request decisions?"
    findings = [Finding("warning", f"No agent of brain {name} asked for a decision.", todo) for name in idle]
    return findings if steps else [*findings, Finding("error", "The player made no step.", todo)]


def lay_out(build: UnityBuild, folder: Path) -> None:
    """Copy the executable to a folder, make it executable, and link the other files of the build."""
    folder.mkdir()
    source = build.executable.resolve()
    for path in source.parent.iterdir():
        if path.name in (build.data.name, "UnityPlayer.so", "GameAssembly.so"):
            (folder / path.name).symlink_to(path)
    shutil.copyfile(source, folder / source.name)
    (folder / source.name).chmod(0o755)


def _write_request(
    build: UnityBuild, folder: Path, timeout: float, env_args: Sequence[str], no_graphics: bool, seconds: float
) -> None:
    (folder / "request.json").write_text(
        json.dumps(
            {
                "module": MODULES[build.trainer],
                "file_name": str(folder / "build" / build.name),
                "port": free_port(),
                "no_graphics": no_graphics,
                "timeout": max(1, int(timeout)),
                "args": ["-logFile", str(folder / "Player.log"), *env_args],
                "seconds": seconds,
            }
        )
    )


def _ask(folder: Path, python: Path, seconds: float) -> dict[str, Any]:
    mark = uuid.uuid4().hex
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, MARK: mark, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / "console.log").open("wb") as console:
        try:
            asker = subprocess.Popen(
                [python, _SCRIPT, folder / "request.json", folder / "answer.json"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            return {"error": "NoTrainer", "message": f"{python}: {error.strerror}"}
        try:
            asker.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            asker.kill()
            asker.wait()
            kill_marked(MARK, mark)
    return _read_answer(folder, ended=asker.returncode not in (None, -signal.SIGKILL))


def _read_answer(folder: Path, ended: bool) -> dict[str, Any]:
    answer = folder / "answer.json"
    with contextlib.suppress(OSError, ValueError, RecursionError):  # the player may have written to the file
        if isinstance(content := json.loads(answer.read_text(encoding="utf-8")), dict):
            return content
    return {"error": "AskerFailed" if ended else "TimedOut", "message": ""}


def free_port() -> int:
    """Return a free port, from below those that Linux gives to whoever names none."""
    chosen = random.SystemRandom()
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("localhost", chosen.randrange(20000, 32000)))
            return listener.getsockname()[1]
