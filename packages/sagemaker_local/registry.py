"""The embedded AWS's image registry: an existing registry program on loopback, started when it is first needed.

The program is ``docker-registry`` (from Debian's package) or ``registry``, if one is on PATH, else the image
``registry:2`` in the Docker engine. Its data is in ``<home>/registry/`` and outlives it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import bcrypt

from sagemaker_local.home import open_private
from sagemaker_local.registry_proxy import RegistryProxy
from sagemaker_local.runner import ProcessRun, ProcessRunner

PROGRAMS = ("docker-registry", "registry")
IMAGE = os.environ.get("EMBEDDED_REGISTRY_IMAGE") or "registry:2"
HOST = "127.0.0.1"  # Docker uses plain HTTP only for loopback addresses
LISTENING = re.compile(rb"listening on [^ \"]*:(\d+)")
MEDIA_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
HOW_TO_GET_ONE = (
    "Expected a registry program for the embedded AWS, found none. On Debian or Ubuntu: `sudo apt-get install "
    "docker-registry`. Elsewhere: `docker pull registry:2`. Until then nothing can be pushed; a job runs in the image "
    "where this machine's engine holds it, else as a process."
)
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RegistryError(Exception):
    """There is no registry; the message says how to get one."""


@dataclass(frozen=True)
class Manifest:
    """An image's manifest as the registry holds it."""

    digest: str
    kind: str
    text: str

    @property
    def size(self) -> int:
        """Bytes of its layers and its configuration."""
        manifest = json.loads(self.text)
        config = [manifest["config"]] if "config" in manifest else []
        return sum(part["size"] for part in [*manifest.get("layers", []), *config])


class Program(Protocol):
    """A running registry."""

    port: int

    def end(self) -> None:
        """End it."""


@dataclass(frozen=True)
class Process:
    """A registry that runs as a process, under a supervisor that ends it with this server."""

    run: ProcessRun
    port: int

    def end(self) -> None:
        """End the process."""
        self.run.kill()
        self.run.wait()


@dataclass(frozen=True)
class Container:
    """A registry that runs in the Docker engine."""

    container: Any
    port: int

    def end(self) -> None:
        """Remove the container; its data stays in the folder."""
        with contextlib.suppress(Exception):  # gone already, or the engine is
            self.container.remove(force=True)


class Registry:
    """The registry of one embedded AWS, with its data in `folder`; the user ``AWS`` logs in with `password`."""

    def __init__(self, folder: Path, password: str):
        self.folder = folder
        self.token = base64.b64encode(f"AWS:{password}".encode()).decode()
        self.password = password
        self.lock = threading.Lock()
        self.program: Program | None = None
        self.proxy: RegistryProxy | None = None
        self.admit: Callable[[str, str, str], None] = lambda *_: None  # see `RegistryProxy`

    @property
    def users(self) -> Path:
        """The registry's htpasswd file, with the one user."""
        return self.folder / "htpasswd"

    @property
    def used(self) -> bool:
        """Whether it has ever been started."""
        return (self.folder / "data").is_dir()

    @property
    def address(self) -> str | None:
        """Host and port, or None if it does not run."""
        public = self.proxy.server_port if self.proxy else self.program.port if self.program else None
        return f"{HOST}:{public}" if public else None

    def start(self) -> str:
        """Start it unless it runs; return host and port, the same as last time if that port is free.

        Raise `RegistryError` if there is no registry program, or it does not start.
        """
        with self.lock:
            if self.program and not _answers(self.program.port):
                self.program.end()
                self.program = None
            if self.program is None:
                (self.folder / "data").mkdir(parents=True, exist_ok=True)
                noted = self.folder / "port"
                last = int(noted.read_text()) if noted.is_file() else 0
                if sys.platform == "linux":
                    self.program = self._start(0)
                else:  # the engine is in a virtual machine, which can't reach what listens here
                    self.program = self._start(last) or (self._start(0) if last else None)
                if self.program is None:
                    raise RegistryError(f"Expected a registry on {HOST}, found that it ended. See server.log.")
                if sys.platform == "linux" and self.proxy is None:
                    self.proxy = self._open(last)
                noted.write_text(self.address.rpartition(":")[2])
                logging.info("registry at %s", self.address)
            return self.address

    def _open(self, port: int) -> RegistryProxy:
        """Start the proxy, at the last registry's port if that is free."""
        with contextlib.suppress(OSError):
            return RegistryProxy(port, self.find_program, lambda *arguments: self.admit(*arguments))
        return RegistryProxy(0, self.find_program, lambda *arguments: self.admit(*arguments))

    def find_program(self) -> int:
        """Return the program's port; start the program if it has ended."""
        self.start()
        return self.program.port

    def stop(self) -> None:
        """End it if it runs."""
        with self.lock:
            if self.proxy:
                self.proxy.end()
                self.proxy = None
            if self.program:
                self.program.end()
                self.program = None

    def manifests(self, repository: str) -> Iterator[tuple[str, Manifest]]:
        """Yield each tag of a repository with its manifest."""
        try:
            with self._ask("GET", f"{repository}/tags/list") as response:
                tags = json.load(response)["tags"] or []
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return
        for tag in tags:
            with self._ask("GET", f"{repository}/manifests/{tag}") as response:
                body = response.read()
                digest = "sha256:" + hashlib.sha256(body).hexdigest()
                yield tag, Manifest(digest, response.headers["Content-Type"], body.decode())

    def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest, if it is there."""
        try:
            self._ask("DELETE", f"{repository}/manifests/{digest}").close()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def find_digest(self, repository: str, reference: str) -> str | None:
        """Return the digest of the manifest with this tag or digest, or None."""
        try:
            with self._ask("GET", f"{repository}/manifests/{reference}") as response:
                return "sha256:" + hashlib.sha256(response.read()).hexdigest()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    def put(self, repository: str, reference: str, text: str, kind: str) -> None:
        """Store a manifest under a tag or its digest; raise `urllib.error.HTTPError` if a layer is missing."""
        self._ask("PUT", f"{repository}/manifests/{reference}", text.encode(), kind).close()

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        url = f"http://{HOST}:{self.find_program()}/v2/{path}"
        request = urllib.request.Request(url, body, {"Content-Type": kind} if kind else {}, method=method)
        request.add_header("Authorization", f"Basic {self.token}")
        request.add_header("Accept", ", ".join(MEDIA_TYPES))
        return OPENER.open(request, timeout=30)

    def _start(self, port: int) -> Program | None:
        """Start a registry at a port (0: any); return None if it ended, for example because the port is taken."""
        self.users.unlink(missing_ok=True)
        with open_private(self.users) as file:  # a long random password needs no slow hash
            file.write(f"AWS:{bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(4)).decode()}\n")
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program and sys.platform == "linux":  # elsewhere the engine runs in a virtual machine with its own loopback
            return self._start_process(program, port)
        return self._start_container(port)

    def _start_process(self, program: str, port: int) -> Process | None:
        config = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": f"{HOST}:{port}"},
            "auth": {"htpasswd": {"realm": "ECR", "path": str(self.users)}},
        }
        file = self.folder / "config.json"
        file.write_text(json.dumps(config))  # the registry reads YAML, and JSON is YAML
        run = ProcessRunner((program, "serve", str(file)), "registry").start("registry", self.folder, {})
        for line in run.output:
            if found := LISTENING.search(line):
                threading.Thread(target=_drain, args=(run.output,), daemon=True).start()
                return Process(run, int(found[1]))
            logging.info("registry: %s", line.decode(errors="replace").strip())
        run.wait()
        return None

    def _start_container(self, port: int) -> Container | None:
        from docker.errors import APIError, ImageNotFound  # here, so that the embedded AWS starts without Docker

        from common import docker_engine as engine
        from common.errors import UnavailableError
        from sagemaker_local.docker_runner import LABEL

        try:
            client = engine.connect()
        except UnavailableError as error:
            raise RegistryError(HOW_TO_GET_ONE) from error
        name = f"sagemaker-local-registry-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}"
        with contextlib.suppress(APIError):  # left by a server that was killed
            client.containers.get(name).remove(force=True)
        options = {
            "name": name,
            "detach": True,
            "labels": {LABEL: str(self.folder)},
            "environment": {
                "REGISTRY_STORAGE_DELETE_ENABLED": "true",
                "REGISTRY_AUTH": "htpasswd",
                "REGISTRY_AUTH_HTPASSWD_REALM": "ECR",
                "REGISTRY_AUTH_HTPASSWD_PATH": "/htpasswd",
            },
            "ports": {"5000/tcp": (HOST, port or None)},
            "volumes": {
                str(self.folder / "data"): {"bind": "/var/lib/registry", "mode": "rw"},
                str(self.users): {"bind": "/htpasswd", "mode": "ro"},
            },
            "user": f"{os.getuid()}:{os.getgid()}",
        }
        try:
            container = client.containers.run(IMAGE, **options)
        except ImageNotFound as error:
            raise RegistryError(HOW_TO_GET_ONE) from error
        except APIError as error:
            logging.warning("registry container: %s", error)
            if "port" in str(error) and port:
                return None
            raise RegistryError(f"{HOW_TO_GET_ONE} The engine said: {error.explanation}") from error
        for line in container.logs(stream=True, follow=True):
            if LISTENING.search(line):
                break
        else:
            container.remove(force=True)
            return None
        container.reload()
        return Container(container, int(container.ports["5000/tcp"][0]["HostPort"]))


def _answers(port: int) -> bool:
    """Return whether anything listens at a port."""
    try:
        socket.create_connection((HOST, port), timeout=5).close()
    except OSError:
        return False
    return True


def _drain(stream: Any) -> None:
    for line in stream:
        if b"level=info" not in line:
            logging.info("registry: %s", line.decode(errors="replace").strip())
