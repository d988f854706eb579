"""The Docker engine on this machine, and its errors with what to do about them."""

import base64
import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import docker
from botocore.client import BaseClient
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from common.errors import ImageError, UnavailableError

SILENCE = 1800  # seconds without a response: writing a large layer takes long
FAILURES = (DockerException, RequestException, HTTPError)
"""What the SDK raises; the last one if the engine ends while a stream is read."""

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

FULL = "The disk is full where Docker keeps its images. Free some (`docker system df`, `docker system prune`)."
LOST = "The Docker engine went away. Start it and run this again."
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # the engine's mark of what a step writes to stderr


def connect() -> docker.DockerClient:
    """Connect to the engine that the environment names, or to one in the usual places.

    Raises
    ------
    UnavailableError
        If none responds, you may not use it, or it runs Windows containers.
    """
    try:
        client = docker.from_env(environment=environment(), timeout=SILENCE)
        require_linux(client)
    except FAILURES as error:
        raise explain_missing(error) from error
    return client


def environment() -> dict[str, str]:
    """Return what `docker.from_env` needs: the environment, with ``DOCKER_HOST`` where an engine listens elsewhere."""
    for address in addresses():
        found = {**os.environ, **({"DOCKER_HOST": address} if address else {})}
        with contextlib.suppress(*FAILURES):
            docker.from_env(environment=found).close()
            return found
    return dict(os.environ)


def addresses() -> Iterator[str]:
    """Yield the addresses where an engine may listen; an empty one means the environment's or the default."""
    yield ""
    if not os.environ.get("DOCKER_HOST"):
        for folder in (Path.home() / ".docker" / "run", Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")):
            with contextlib.suppress(PermissionError):  # after `su` the environment names another user's folders
                if (folder / "docker.sock").exists():
                    yield f"unix://{folder / 'docker.sock'}"


def require_linux(client: docker.DockerClient) -> None:
    """Raise an `UnavailableError` if the engine runs Windows containers."""
    if (kind := client.version().get("Os", "linux")) != "linux":
        raise UnavailableError(f"Expected an engine that runs Linux containers, found {kind}. Switch it to Linux.")


def explain_missing(error: Exception) -> UnavailableError:
    """Return what it means that no engine can be used, and what to do."""
    if "Permission denied" in str(error) or "PermissionError" in str(error):
        return UnavailableError(
            "A Docker engine is there, but you may not use it. On Linux join its group with "
            "`sudo usermod -aG docker $USER`, log out and in again, and run this once more."
        )
    return UnavailableError(
        "Expected a Docker engine, none answers. Install Docker (https://docs.docker.com/get-docker/), start it, and "
        "run this once more. If it runs elsewhere, DOCKER_HOST must name it."
    )


def caller(security: list[str]) -> dict[str, str]:
    """Return options with which a container's files belong to the current user."""
    if any("name=rootless" in option for option in security):
        return {"user": "0:0"}  # root in the container is the current user outside
    host = {"userns_mode": "host"} if any("name=userns" in option for option in security) else {}
    return {"user": f"{os.getuid()}:{os.getgid()}", **host}


def proxies() -> dict[str, str]:
    """Return this machine's proxies as build arguments. By these names Docker keeps them out of the image."""
    found = {}
    for name in PROXY_VARIABLES:
        value = os.environ.get(name) or os.environ.get(name.lower())
        # The build has a loopback address of its own.
        if value and urlsplit(value).hostname not in ("localhost", "127.0.0.1", "::1"):
            found[name] = value
    return found


def events(stream: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the engine's events until one is an error.

    Raises
    ------
    docker.errors.APIError
        With the text of the error event.
    """
    for event in stream:
        if "error" in event:
            raise APIError(event["error"])
        yield event


def build(
    client: docker.DockerClient, context: BinaryIO, buildargs: Mapping[str, str], platform: str | None, tag: str
) -> Iterator[str]:
    """Build an image of a context, a tar archive, and yield the lines of its log. Raises as `events` does."""
    stream = client.api.build(
        fileobj=context,
        custom_context=True,
        buildargs=dict(buildargs),
        platform=platform,
        tag=tag,
        rm=True,
        forcerm=True,
        decode=True,
    )
    for event in events(stream):
        yield from COLOUR.sub("", event.get("stream", "")).splitlines()


def log_in(ecr: BaseClient) -> dict[str, str]:
    """Return ECR's token as the engine takes it: for one request, stored nowhere."""
    [login] = ecr.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(login["authorizationToken"]).decode().partition(":")
    return {"username": user, "password": password}


def explain(error: Exception, doing: str) -> ImageError:
    """Return an `ImageError` for an error of the engine while `doing`."""
    text = getattr(error, "explanation", None) or str(error)
    if "no space left" in text:
        return ImageError(f"{doing} failed: {text.strip()}. {FULL}")
    if not isinstance(error, DockerException):
        return ImageError(f"{doing} failed: {text.strip()}. {LOST}")
    return ImageError(f"{doing} failed: {text.strip()}")
