"""The player's command line and its loop."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from . import recorder, trainer_watch
from .communicator import QUIT, RESET, Communicator, NoTrainerError, TrainerGoneError, requested_actions
from .scene import Group, Scene
from .scenes import SCENES

log = logging.getLogger("player")


def main(scene_name: str, protocol: ModuleType, arguments: list[str]) -> int:
    """Run the player until the trainer ends it; return the exit code.

    Parameters
    ----------
    scene_name
        One of `SCENES`.
    protocol
        `api_11` or `api_1_5`.
    arguments
        The command line, without the program's name.
    """
    parser = command_line(scene_name, protocol)
    options = parser.parse_args(arguments)
    if options.record:
        for kind in options.brains:
            print(recorder.record(protocol, kind, options.record, options.steps, options.seed or 0))
        return 0
    try:
        log_path = start_log(options.logFile or default_log(scene_name), options.port)
    except OSError as error:
        if options.logFile:
            parser.error(f"cannot write the log: {error}; give -logFile a file in a folder that can be written to")
        log_path = start_log("-", options.port)
    log.info("%s, sample player, process %d, Python %s", scene_name, os.getpid(), platform.python_version())
    trainer_watch.start()
    communicator = protocol.Communicator(options.port, options.brains)
    try:
        play(communicator, scene_name, options, log_path)
    except TrainerGoneError as gone:
        log.info("Ends: %s", gone)
    except NoTrainerError as error:
        log.error("%s", error)
        return 1
    except Exception as error:
        # Without a message the trainer would wait for ever.
        log.error("%s", error, exc_info=not isinstance(error, ValueError))
        communicator.fail(str(error))
        return 1
    finally:
        communicator.close()
    return 0


def command_line(scene_name: str, protocol: ModuleType) -> argparse.ArgumentParser:
    """Return the parser of the player's options."""
    parser = argparse.ArgumentParser(
        f"{scene_name}.x86_64", allow_abbrev=False, description=f"Sample player for ML-Agents {protocol.TRAINER}."
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument(protocol.PORT, dest="port", type=int, help="where the trainer listens; mlagents-learn gives it")
    mode.add_argument("--record", type=Path, metavar="FOLDER", help="write demonstrations there, without a trainer")
    parser.add_argument("--steps", type=at_least(2), default=3000, help="of each demonstration (3000)")
    parser.add_argument("--agents", type=at_least(1), default=12, help="how many of each brain act at once (12)")
    names = [kind.behaviour.name for kind in SCENES[scene_name]]
    parser.add_argument(
        "--brains",
        type=brains_of(scene_name),
        default=SCENES[scene_name],
        metavar=",".join(names),
        help="which brains take part (all)",
    )
    parser.add_argument("--seed", type=int, help="in place of the seed that the trainer sends")
    parser.add_argument("-logFile", "-logfile", help="where the log goes; - is standard output")
    parser.add_argument("-batchmode", action="store_true", help="has no effect, as there is no window")
    parser.add_argument("-nographics", action="store_true", help="has no effect, as there are no graphics")
    return parser


def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of integers that are not below a limit."""

    def read(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"expected {least} or more, got {text}")
        return int(text)

    return read


def brains_of(scene_name: str) -> Callable[[str], tuple[type[Group], ...]]:
    """Return a parser of comma-separated names of brains."""

    def read(text: str) -> tuple[type[Group], ...]:
        kinds = {kind.behaviour.name: kind for kind in SCENES[scene_name]}
        names = text.split(",")
        if not set(names) <= set(kinds):
            raise argparse.ArgumentTypeError(f"expected brains out of {','.join(kinds)}, got {text}")
        return tuple(kind for name, kind in kinds.items() if name in names)

    return read


def default_log(scene_name: str) -> str:
    """Return the log file of Unity's players on Linux."""
    return str(Path(f"~/.config/unity3d/DefaultCompany/{scene_name}/Player.log").expanduser())


def start_log(file: str, port: int) -> str:
    """Log to a file, or to standard output for `-`; return the file's path, empty for `-`."""
    if file == "-":
        handler: logging.StreamHandler = logging.StreamHandler(sys.stdout)
    else:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file)
        errors = logging.StreamHandler(sys.stderr)
        errors.setLevel(logging.ERROR)
        log.addHandler(errors)
    handler.setFormatter(logging.Formatter(f"{port} %(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    return "" if file == "-" else str(Path(file).absolute())


def play(communicator: Communicator, scene_name: str, options: argparse.Namespace, log_path: str) -> None:
    """Carry out the trainer's commands until it quits.

    Raises
    ------
    NoTrainerError, TrainerGoneError
        See `Communicator`.
    ValueError
        If a command is invalid.
    """
    seed = communicator.introduce(scene_name, log_path)
    if options.seed is not None:
        seed = options.seed
    scene = Scene(options.brains, options.agents, seed)
    log.info("Connected; %d agents, seed %d", options.agents, seed)
    command = communicator.first_command()
    pace = 0.0
    decisions = 0
    due = time.monotonic()
    try:
        while command.kind != QUIT:
            if command.pace is not None:
                pace = command.pace
            if command.kind == RESET:
                scene.reset(command.parameters)
                log.info("Reset; %s%s", scene.current, ", in real time" if pace else "")
            else:
                if command.parameters:
                    scene.change(command.parameters)
                    log.info("Changed; %s", scene.current)
                for group in scene.groups:
                    group.step(requested_actions(command, group))
                decisions += 1
                if decisions == 1:
                    log.info("First decision")
            if pace:
                time.sleep(max(0, due - time.monotonic()))
                due = time.monotonic() + scene.decision_seconds * pace
            command = communicator.report(scene, after_reset=command.kind == RESET)
        log.info("Ends: the trainer quits")
    finally:
        log.info("%d decisions of each agent, %d episodes in all", decisions, scene.episodes)
