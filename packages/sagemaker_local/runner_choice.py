"""Choose how a job's image runs on this machine: in a container if an engine holds it, else as a process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

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
    repositories : mapping of str to Program
        The programs for images of other repositories, by the repository's name without its registry.
    """

    command: tuple[str, ...] = ()
    description: str = (
        f"Expected an image in this machine's Docker engine, or a program to run instead, found neither. Build "
        f"the image, or start the embedded AWS with start(program=Program((...))), or with {PROGRAM_VARIABLE} set."
    )
    repositories: Mapping[str, Program] = field(default_factory=dict)

    def for_image(self, image: str) -> Program:
        """Return the program for an image."""
        repository = re.sub(r"@.*|:[^/]*$", "", image).partition("/")[2]
        return self.repositories.get(repository, self)


def write_program(program: Program) -> None:
    """Set the program that jobs of this home run from now on, also under a server that already runs."""
    file = home_folder() / PROGRAM_FILE
    text = json.dumps(asdict(program))
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
        return _parse(json.loads((home_folder() / PROGRAM_FILE).read_text()))
    except FileNotFoundError:
        return Program()


def _parse(content: Mapping[str, Any]) -> Program:
    others = {name: _parse(other) for name, other in content.get("repositories", {}).items()}
    return Program(tuple(content["command"]), content["description"], others)


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

    program = read_program().for_image(image)
    if not program.command:
        raise RunnerError(program.description)
    return ProcessRunner(program.command, f"as a process {program.description}: {found}")
