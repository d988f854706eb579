"""Run a job's program in its image, in the Docker engine of this machine."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import docker
from botocore.client import BaseClient
from docker.errors import ImageNotFound, NotFound
from docker.types import Mount

from common import docker_engine as engine
from common.cores import cores_of
from common.errors import UnavailableError
from sagemaker_local.runner import RunnerError

LABEL = "sagemaker-local.folder"
"""Label of a container: its folder in the embedded AWS's home, a job's or the registry's."""
KILLED = 128 + 9
LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost):\d+/")
GIB_PER_CORE = {"c": 2, "t": 2, "m": 4, "g": 4, "p": 8, "r": 8}
"""Memory of SageMaker's instance families, rounded: https://aws.amazon.com/sagemaker/pricing/."""


@dataclass(frozen=True)
class Bounds:
    """What a container may use: cores, and memory in bytes."""

    cores: int
    memory: int

    def __str__(self) -> str:
        return f"{self.cores} cores, {self.memory / 2**30:.1f} GiB"


def bounds(instance_type: str, cores: int, memory: int) -> Bounds:
    """Return the cores and bytes of an instance type, but no more than the machine's `cores` and `memory`."""
    has, per_core = cores_of(instance_type), GIB_PER_CORE.get(instance_type.removeprefix("ml.")[:1])
    if has is None or per_core is None:
        return Bounds(cores, memory)
    return Bounds(min(has, cores), min(has * per_core * 2**30, memory))


class ContainerRun:
    """A program in its container; see `sagemaker_local.runner.Run`."""

    def __init__(self, container: Any, base: Path, limits: Bounds):
        self.container, self.base, self.limits = container, base, limits
        output_stream = container.attach(stdout=True, stderr=True, stream=True, logs=True)
        container.start()
        reader, writer = os.pipe()
        self.output: BinaryIO = os.fdopen(reader, "rb")
        self.copier = threading.Thread(target=_copy, args=(output_stream, writer), daemon=True)
        self.copier.start()

    def terminate(self) -> None:
        """Send SIGTERM to the program."""
        self._signal("SIGTERM")

    def kill(self) -> None:
        """Kill the program and all processes that it started."""
        self._signal("SIGKILL")

    def wait(self) -> int:
        """Wait for the end, remove the container, and return the exit code; 137 if the engine stops meanwhile."""
        try:
            code = self.container.wait()["StatusCode"]
            self.container.reload()
            if self.container.attrs["State"]["OOMKilled"]:
                self._note(f"Out of memory: the job was allowed {self.limits}. Take a larger instance type.")
            self.copier.join()
            self.container.remove(force=True)
        except engine.FAILURES as error:
            self._note(f"The Docker engine went away while the job ran ({error}). Start it, and launch the job again.")
            sweep(self.base)  # if only the connection was lost, the container still runs
            return KILLED
        return code

    def _signal(self, name: str) -> None:
        with contextlib.suppress(*engine.FAILURES):  # it has ended already, or the engine has
            self.container.kill(signal=name)

    def _note(self, reason: str) -> None:
        """Write the reason of a failure, unless the program did."""
        # Mode "x" does not follow a link that the program may have left there.
        with contextlib.suppress(FileExistsError), (self.base / "output" / "failure").open("x") as file:
            file.write(reason)


def _copy(stream: Any, writer: int) -> None:
    """Copy a container's output into a pipe, until the container or the engine ends."""
    with os.fdopen(writer, "wb", buffering=0) as pipe, contextlib.suppress(BrokenPipeError, *engine.FAILURES):
        for chunk in stream:
            pipe.write(chunk)


@dataclass(frozen=True)
class DockerRunner:
    """Runs ``train`` in an image; see `sagemaker_local.runner.Runner`."""

    client: docker.DockerClient
    image: str
    description: str

    def start(self, name: str, base: Path, environment: Mapping[str, str]) -> ContainerRun:
        """Start the program with every folder of `base` below ``/opt/ml``, without a network.

        Raise `RunnerError` if the engine refuses.
        """
        machine = self.client.info()
        instance = json.loads((base / "input" / "config" / "resourceconfig.json").read_text())
        limits = bounds(instance["current_instance_type"], machine["NCPU"], machine["MemTotal"])
        # The container runs as the caller, who can't create folders there; SageMaker's containers run as root.
        (base / "checkpoints").mkdir(exist_ok=True)
        folders = sorted(path for path in base.iterdir() if path.is_dir())
        try:
            container = self.client.containers.create(
                self.image,
                "train",
                labels={LABEL: str(base)},
                network_mode="none",
                mem_limit=limits.memory,
                memswap_limit=limits.memory,
                nano_cpus=limits.cores * 10**9,
                # The caller has no home directory in the image.
                environment={"HOME": "/tmp", **environment},  # noqa: S108  the container's own
                mounts=[Mount(f"/opt/ml/{path.name}", str(path), type="bind") for path in folders],
                security_opt=["no-new-privileges"],
                **engine.caller(machine.get("SecurityOptions") or []),
            )
            try:
                return ContainerRun(container, base, limits)
            except BaseException:
                container.remove(force=True)
                raise
        except engine.FAILURES as error:
            raise RunnerError(str(engine.explain(error, f"Starting a container for {name}"))) from error


def sweep(folder: Path, owned: Callable[[Path], bool] = lambda base: False) -> int:
    """Remove containers left behind for `folder` and folders below it; return their number, 0 without an engine.

    `owned` returns whether a container's folder is in use; such a container stays.
    """
    try:
        return remove_all(engine.connect(), folder, owned)
    except UnavailableError:
        return 0
    except engine.FAILURES as error:
        logging.warning("could not look for containers left of %s: %s", folder, error)
        return 0


def remove_all(client: docker.DockerClient, folder: Path, owned: Callable[[Path], bool] = lambda base: False) -> int:
    """Remove the containers of an engine as `sweep` does; return their number."""
    removed = 0
    for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
        base = Path(container.labels[LABEL])
        if base.is_relative_to(folder) and not owned(base):
            with contextlib.suppress(NotFound):
                container.remove(force=True)
            removed += 1
    return removed


def find(image: str, clients: Callable[[str], BaseClient] | None = None) -> DockerRunner | str:
    """Return the runner for an image, or the reason why there is none.

    An image that the engine does not hold is pulled only from a registry on loopback, never over the network.
    """
    try:
        client = engine.connect()
    except UnavailableError as error:
        return error.what[0].lower() + error.what[1:]
    try:
        held = _held(client, image)
        if held is None and LOOPBACK.match(image):
            login = {"auth_config": engine.log_in(clients("ecr"))} if clients else {}
            held = client.images.pull(*_split(image), **login).id
    except engine.FAILURES as error:
        return f"the engine could not get the image: {getattr(error, 'explanation', None) or error}"
    if held is None:
        return "the Docker engine does not hold the image"
    return DockerRunner(client, held, f"in a container of {image} without a network")


def _held(client: docker.DockerClient, image: str) -> str | None:
    """Return the id of an image that the engine holds, or None; a digest is searched for under every name."""
    _, _, digest = image.partition("@")
    if digest:
        for found in client.images.list():
            if any(name.endswith(f"@{digest}") for name in found.attrs.get("RepoDigests") or []):
                return found.id
        return None
    try:
        return client.images.get(image).id
    except ImageNotFound:
        return None


def _split(image: str) -> tuple[str, str]:
    """Split an image's name into repository and tag or digest."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return repository, digest
    repository, _, tag = image.rpartition(":")
    return (repository, tag) if "/" not in tag else (image, "latest")
