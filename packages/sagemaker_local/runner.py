"""Ways to run a job: their interface, and running a program as a process; `docker_runner` runs containers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from common.processes import kill_marked
from sagemaker_local import process_supervisor
from sagemaker_local.transfer import remove

INHERITED = ("PATH", "USER", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""Environment variables that a job inherits from the server; in a container the image sets them."""
PRIVATE_FOLDERS = {"HOME": "home", "TMPDIR": "tmp"}
"""Folders below the job's own that replace the user's, and are removed when the job ends."""


class Run(Protocol):
    """A job's program while it runs."""

    output: BinaryIO
    """stdout and stderr, merged; ends when all processes of the job have ended."""

    def terminate(self) -> None:
        """Ask the program to end, as SageMaker does: SIGTERM."""

    def kill(self) -> None:
        """Kill the program and all processes that it started."""

    def wait(self) -> int:
        """Wait for the end of the program and return its exit code (128 + n for signal n)."""


class Runner(Protocol):
    """A way to run programs."""

    description: str
    """How programs run, for the message of the Training status."""

    def start(self, name: str, base: Path, environment: Mapping[str, str]) -> Run:
        """Start the program of the job `name` on the `/opt/ml` at `base`."""


class RunnerError(Exception):
    """The job's program can't be started here; the message says what to do."""


@dataclass(frozen=True)
class ProcessRun:
    """A program that runs under `process_supervisor`."""

    process: subprocess.Popen
    base: Path

    @property
    def output(self) -> BinaryIO:
        """The program's stdout and stderr, merged."""
        return self.process.stdout

    def terminate(self) -> None:
        """Send SIGTERM to the program."""
        self._send(b"T")

    def kill(self) -> None:
        """Kill the program and all processes that it started."""
        self._send(b"K")

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait()
        if code < 0:  # the supervisor itself was killed, so it could not clean up
            kill_marked(process_supervisor.MARK, str(self.base))
            code = 128 - code
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        remove(*(self.base / folder for folder in PRIVATE_FOLDERS.values()))
        return code

    def _send(self, command: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has ended already
            self.process.stdin.write(command)
            self.process.stdin.flush()


@dataclass(frozen=True)
class ProcessRunner:
    """Runs `program` as a process, with ``SAGEMAKER_BASE_DIR`` instead of ``/opt/ml``."""

    program: tuple[str, ...]
    description: str

    def start(self, name: str, base: Path, environment: Mapping[str, str]) -> ProcessRun:
        """Start the program; see `Runner.start`."""
        process = subprocess.Popen(
            [sys.executable, "-I", process_supervisor.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        for variable, folder in PRIVATE_FOLDERS.items():
            (base / folder).mkdir(exist_ok=True)
            inherited[variable] = str(base / folder)
        order = {
            "base": str(base),
            "program": self.program,
            "environment": {**inherited, "PYTHONUNBUFFERED": "1", **environment},
        }
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        return ProcessRun(process, base)
