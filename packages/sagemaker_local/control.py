"""Start, find and stop the embedded AWS's server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sagemaker_local.home import CONFIG, REGION, HomeError, Keys, home_folder, make_private, open_private, read_keys
from sagemaker_local.runner_choice import Program, write_program

START_SECONDS = 120.0
STOP_SECONDS = 180.0  # a job has 120 s to end, then its model is uploaded
ANSWER_SECONDS = 5.0
ENDING_SECONDS = 1.0
"""How long a server that does not respond may hold its lock before it counts as busy rather than killed."""

SDK_CONFIG = """\
# Read by the SageMaker SDK where SAGEMAKER_USER_CONFIG_OVERRIDE names this file.
SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      # Without a name the SDK asks AWS's own STS for the account, past the embedded AWS.
      Session:
        DefaultS3Bucket: sagemaker-us-east-1-123456789012
      TelemetryOptOut: true
"""


class EmbeddedError(Exception):
    """The embedded AWS can't do what was requested; the message says what to do."""


@dataclass(frozen=True)
class Server:
    """A running embedded AWS.

    Attributes
    ----------
    url
        What to set ``AWS_ENDPOINT_URL`` to.
    pid
        Its process.
    home
        Its folder, with ``jobs/``, ``s3/``, ``server.log``, ``sagemaker-config.yaml``, ``aws-config``. Only its owner
        has access.
    """

    url: str
    pid: int
    home: Path

    @property
    def sdk_config(self) -> Path:
        """The SageMaker SDK's configuration file, which turns usage reporting off and sets the default bucket."""
        return self.home / "sagemaker-config.yaml"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that uses this server and no other AWS."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        direct = ",".join(filter(None, (inherited.get("NO_PROXY"), inherited.get("no_proxy"), "127.0.0.1")))
        return {
            **inherited,
            "AWS_CONFIG_FILE": str(self.config),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(self.sdk_config),
            # A proxy cannot reach this machine's loopback address.
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    @property
    def config(self) -> Path:
        """The file for ``AWS_CONFIG_FILE``, with this server's address, region and keys."""
        return self.home / CONFIG

    @property
    def keys(self) -> Keys:
        """The keys that requests are signed with.

        Raises
        ------
        EmbeddedError
            If the folder holds none.
        """
        keys = read_keys(self.home)
        if keys is None:
            raise EmbeddedError(
                f"Expected the embedded AWS's keys in {self.config}, found none that only you can read. "
                "Stop it with `make stop` and start it again: it makes new ones."
            )
        return keys


def find(home: Path | None = None) -> Server | None:
    """Return the running server of a folder, by default of `home_folder`, or None."""
    home = home or home_folder()
    if not home.exists():
        return None
    try:
        make_private(home)  # refuses the folder of another user
    except HomeError:
        return None
    if not _alive(home):
        return None
    try:
        state = json.loads((home / "server.json").read_text())
    except (OSError, ValueError):
        return None  # still starting, or stopping
    # A server that was just killed holds its lock until its last thread has ended, but does not respond.
    if not _responds(state["url"]) and _wait_for_end(home, ENDING_SECONDS):
        return None
    return Server(state["url"], state["pid"], home)


def start(program: Program | None = None) -> Server:
    """Return the running server; start it first if there is none.

    Parameters
    ----------
    program : Program, optional
        What jobs run from now on if no Docker engine has their image. Default: the program of the last call.

    Raises
    ------
    EmbeddedError
        If it does not start, or its folder can't be made.
    """
    home = home_folder()
    if server := find():
        if program:
            write_program(program)
        return server
    try:
        make_private(home)
    except HomeError as error:
        raise EmbeddedError(str(error)) from error
    with _only_one(home):
        if program:
            write_program(program)
        if server := find():
            return server
        if not _wait_for_end(home, STOP_SECONDS):
            raise EmbeddedError(
                f"Expected the embedded AWS in {home} to start, found one that is still stopping. "
                f"Try again when its jobs have ended; {home / 'server.log'} says which they are."
            )
        (home / "sagemaker-config.yaml").unlink(missing_ok=True)
        with open_private(home / "sagemaker-config.yaml") as file:
            file.write(SDK_CONFIG)
        return _launch(home)


def stop() -> bool:
    """Stop all jobs as StopTrainingJob does, then the server; return whether one was running.

    Raises
    ------
    EmbeddedError
        If it has not ended after the longest time that its jobs may take.
    """
    home = home_folder()
    server = find()
    if server is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
    if not _wait_for_end(home, STOP_SECONDS):
        raise EmbeddedError(
            f"Expected the embedded AWS to end within {STOP_SECONDS:.0f} s, found process {server.pid} still there. "
            f"See {home / 'server.log'}, or end it with: kill -9 {server.pid}"
        )
    return True


def sweep() -> int:
    """Remove containers that a killed server or a lost engine left; return their number, 0 while a server runs."""
    from sagemaker_local import docker_runner  # here, because everything else works without Docker

    home = home_folder()
    with _only_one(home) if home.is_dir() else contextlib.nullcontext():
        return 0 if _alive(home) else docker_runner.sweep(home)


def interrupt(job_name: str, seconds: float = 5.0) -> None:
    """Take the instance away from a running spot job, as AWS may at any time.

    Parameters
    ----------
    job_name
        A training job with managed spot training, in status Training.
    seconds
        How long there is no spot capacity afterwards.

    Raises
    ------
    EmbeddedError
        If no server runs, or the job can't be interrupted.
    """
    server = find()
    if server is None:
        raise EmbeddedError(
            "Expected a running embedded AWS, found none. Interruptions can be practised on target 'embedded' only."
        )
    name = urllib.parse.quote(job_name, safe="")
    url = f"{server.url}/embedded/jobs/{name}/interrupt?seconds={seconds}"
    signed = AWSRequest("POST", url, {"X-Amz-Target": "Embedded.Interrupt"})  # refusals are JSON
    SigV4Auth(Credentials(server.keys.access, server.keys.secret), "sagemaker", REGION).add_auth(signed)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=dict(signed.headers), method="POST")  # noqa: S310  our own server
    try:
        opener.open(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        raise EmbeddedError(json.loads(error.read())["message"]) from None


def _alive(home: Path) -> bool:
    """Return whether a server holds the lock, which it does until its process ends."""
    try:
        with (home / "alive.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True


def _responds(url: str) -> bool:
    """Return whether a server responds at all."""
    address = urllib.parse.urlsplit(url)
    try:
        with socket.create_connection((address.hostname, address.port), ANSWER_SECONDS) as connection:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False


def _wait_for_end(home: Path, seconds: float) -> bool:
    """Wait until no server runs in `home`; return False if one still does after `seconds`."""
    if not (home / "alive.lock").exists():
        return True
    gone = threading.Event()

    def wait() -> None:
        with (home / "alive.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            gone.set()

    threading.Thread(target=wait, daemon=True).start()
    return gone.wait(seconds)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold a lock, across processes and threads, so that only one of them starts a server."""
    with (home / "start.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _launch(home: Path) -> Server:
    """Start the server process and wait until it is ready."""
    reader, writer = os.pipe()
    log = home / "server.log"
    cleared = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    settings = {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "AWS_CONFIG_FILE": os.devnull,
        # moto's settings: web pages can't read a response, and a host name never names a bucket
        "MOTO_DISABLE_GLOBAL_CORS": "1",
        "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "1",
    }
    with open_private(log) as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "sagemaker_local.server", str(home), str(writer)],
            cwd=home,
            env={**cleared, **settings},
            pass_fds=[writer],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    os.close(writer)
    with os.fdopen(reader) as pipe:
        ready_text = pipe.read() if select.select([pipe], (), (), START_SECONDS)[0] else ""
    if not ready_text:
        process.kill()
        process.wait()
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise EmbeddedError(
            f"Expected the embedded AWS to start within {START_SECONDS:.0f} s, found that it ended or never got ready. "
            f"The last lines of {log}:\n{last}"
        )
    threading.Thread(target=process.wait, daemon=True).start()  # reaps the process when it ends
    state = json.loads(ready_text)
    return Server(state["url"], state["pid"], home)
