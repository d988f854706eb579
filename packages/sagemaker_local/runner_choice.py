"""Choose how a job's image runs on this machine: in a container if an engine holds it, else as a process."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass

from botocore.client import BaseClient

from sagemaker_local.home import home_folder, open_private
from sagemaker_local.runner import ProcessRunner, Runner, RunnerError

PROGRAM_VARIABLE = "EMBEDDED_TRAIN_PROGRAM"
PROGRAM_FILE = "program.json"


@dataclass(frozen=True)
class Program:
    """What jobs run if no Docker engine has their image.

    Attributes
    ----------
    command : tuple of str
        The program and its arguments. Its `/opt/ml` is at ``SAGEMAKER_BASE_DIR``. Empty if there is no program.
    description : str
        Where it runs, such as ``"in the virtual environment of the trainer"``; without a command, why, and what to do.
    """

    command: tuple[str, ...] = ()
    description: str = (
        f"Expected an image in this machine's Docker engine, or a program to run instead, found neither. Build "
        f"the image, or start the embedded AWS with start(program=Program((...))), or with {PROGRAM_VARIABLE} set."
    )


def write_program(program: Program) -> None:
    """Set the program that jobs of this home run from now on, also under a server that already runs."""
    file = home_folder() / PROGRAM_FILE
    text = json.dumps({"command": program.command, "description": program.description})
    with contextlib.suppress(OSError):
        if file.read_text() == text:
            return
    new = file.with_name(f"{PROGRAM_FILE}.{os.getpid()}.{threading.get_ident()}")
    with open_private(new) as opened:
        opened.write(text)
    new.replace(file)


def read_program() -> Program:
    """Return the program that jobs of this home run."""
    try:
        content = json.loads((home_folder() / PROGRAM_FILE).read_text())
        return Program(tuple(content["command"]), content["description"])
    except FileNotFoundError:
        return Program()


def choose(image: str, clients: Callable[[str], BaseClient] | None = None) -> Runner:
    """Return the runner for `image` on this machine; `clients` are for the login to its registry.

    Raise `RunnerError` if there is none; the message says what to do.
    """
    if program := os.environ.get(PROGRAM_VARIABLE):
        return ProcessRunner(tuple(shlex.split(program)), f"as a process: {program}")
    from sagemaker_local import docker_runner  # here, so that the embedded AWS starts without Docker's client

    found = docker_runner.find(image, clients)
    if not isinstance(found, str):
        return found

    program = read_program()
    if not program.command:
        raise RunnerError(program.description)
    return ProcessRunner(program.command, f"as a process {program.description}: {found}")
