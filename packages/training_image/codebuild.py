"""Building and pushing the image without a Docker engine: AWS CodeBuild does both, from the zipped folder in S3.

The project, its role and its log group are in the stack of `account_setup`.
"""

import contextlib
import io
import os
import time
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError
from tqdm import tqdm

from common import bar, pip_settings
from common.aws_session import Connection, code, explained
from common.errors import ImageError
from training_image import building
from training_image.name import (
    CONTAINER,
    KEPT,
    PROJECT,
    SOURCES,
    Image,
    build_inputs,
    look_up,
)
from training_image.pushing import make_repository, settle

POLL_SECONDS = 3.0
LOOKED_AT = 10
"""How many of the newest builds are looked at for one of the same image."""


def build_in_codebuild(
    connection: Connection,
    image: Image,
    *,
    path: str | Path = CONTAINER,
    buildargs: Mapping[str, str] | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> Image:
    """Have CodeBuild build and push an image, unless the registry holds it, and check there that it arrived.

    Calls ``put_object`` with the zipped folder, ``start_build``, and ``batch_get_builds`` and ``get_log_events`` until
    it has ended. A build of the same image that still runs is followed instead.

    Parameters
    ----------
    connection : Connection
    image : Image
        As `read` names it.
    path, buildargs
        As for `build`; of the arguments the project knows ``GRAPHICS``, ``TRAINER`` and ``GPU``.
    poll_seconds : float
        Between two looks.

    Returns
    -------
    Image
        With its digest and size; without them where the embedded AWS has no Docker engine, and only records the build.
        What was done is printed.

    Raises
    ------
    ImageError
        If the folder is not the one that was named, there is no project, the build fails, or the registry holds another
        kind of image than SageMaker takes.
    """
    start = time.monotonic()
    image = look_up(connection, image)
    if image.digest:
        print(f"{image.local}: the registry holds this very content already, nothing to build.")
        return settle(connection, image)
    files, arguments = build_inputs(image, Path(path), buildargs or {})
    with _explained(connection):
        image = replace(image, registry=make_repository(connection, image.repository))
        variables = {"IMAGE": image.uri, **arguments}
        build = _find_running(connection, variables) or _start(connection, image, files, variables)
        build = _Follower(connection, build, poll_seconds).follow()
    if build["buildStatus"] == "FAULT":  # of the embedded AWS
        print(f"{image.local}: not built. {_explain(build)}")
        return image
    held = look_up(connection, image)
    if not held.digest:
        raise ImageError(f"Expected {image.uri} in the registry after the build, found nothing. Run this again.")
    held = settle(connection, held)
    print(
        f"{image.local}: built and pushed in {time.monotonic() - start:.0f} s; the registry keeps "
        f"{held.size / 1e6:.0f} MB."
    )
    return held


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return the image's files as a zip archive, the same for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            about = zipfile.ZipInfo(name)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            archive.writestr(about, content)
    return packed.getvalue()


def _find_running(connection: Connection, variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Return a build of the same image that runs, for example because this was interrupted before."""
    codebuild = connection.client("codebuild")
    ids = codebuild.list_builds_for_project(projectName=PROJECT, sortOrder="DESCENDING")["ids"][:LOOKED_AT]
    for build in codebuild.batch_get_builds(ids=ids)["builds"] if ids else ():
        given = {each["name"]: each["value"] for each in build["environment"]["environmentVariables"]}
        if build["buildStatus"] == "IN_PROGRESS" and given.items() >= variables.items():
            return build
    return None


def _start(
    connection: Connection, image: Image, files: Mapping[str, bytes], variables: Mapping[str, str]
) -> dict[str, Any]:
    if connection.target == "embedded":  # it builds on this machine, and needs what this machine's pip needs
        files = {**files, **building.pip_files(pip_settings.read(), os.environ)}
    key = f"{SOURCES}{image.tag}.zip"
    connection.client("s3").put_object(
        Bucket=connection.bucket, Key=key, Body=pack(files), ExpectedBucketOwner=connection.account
    )
    return connection.client("codebuild").start_build(
        projectName=PROJECT,
        sourceLocationOverride=f"{connection.bucket}/{key}",
        environmentVariablesOverride=[{"name": name, "value": value} for name, value in variables.items()],
    )["build"]


@dataclass
class _Follower:
    """Shows a build's phase and log until it has ended."""

    connection: Connection
    build: dict[str, Any]
    poll_seconds: float
    last: deque[str] = field(default_factory=lambda: deque(maxlen=building.LAST_LINES))
    token: dict[str, str] = field(default_factory=dict)

    def follow(self) -> dict[str, Any]:
        """Return the build at its end. Raises `ImageError` if it failed, with its last lines."""
        codebuild, logs = self.connection.client("codebuild"), self.connection.client("logs")
        with bar.make(desc="CodeBuild", bar_format="{desc} |{bar:20}| {elapsed} {postfix}") as shown:
            try:
                while True:
                    self.build = codebuild.batch_get_builds(ids=[self.build["id"]])["builds"][0]
                    if not self.last:
                        shown.set_description_str(self.build["currentPhase"])
                    self._read(logs, shown)
                    if self.build["buildStatus"] != "IN_PROGRESS":
                        break
                    time.sleep(self.poll_seconds)
            except KeyboardInterrupt:
                print(
                    "The build goes on. Run this again to follow it; to end it: "
                    f"codebuild.stop_build(id={self.build['id']!r})."
                )
                raise
            if self.build["buildStatus"] == "FAULT":  # the sentence that follows says why
                shown.set_description_str("not built")
                shown.set_postfix_str("")
            shown.update((shown.total or 0) - shown.n)
        if self.build["buildStatus"] not in ("SUCCEEDED", "FAULT"):
            raise ImageError("\n".join([_explain(self.build), *self.last]))
        if self.build["buildStatus"] == "FAULT" and self.connection.target != "embedded":
            raise ImageError(f"{_explain(self.build)} That is CodeBuild's own fault: run this again.")
        return self.build

    def _read(self, logs: BaseClient, shown: tqdm) -> None:
        """Show what the log says since the last look; there is none before the machine runs."""
        place = self.build.get("logs", {})
        if "streamName" not in place:
            return
        names = {"logGroupName": place["groupName"], "logStreamName": place["streamName"], "startFromHead": True}
        while True:
            try:
                page = logs.get_log_events(**names, **self.token)
            except ClientError as error:
                if code(error) != "ResourceNotFoundException":
                    raise
                return
            for event in page["events"]:
                line = event["message"].rstrip()
                building.show_line(shown, line)
                self.last.append(line)
            if self.token.get("nextToken") == page["nextForwardToken"]:
                return
            self.token = {"nextToken": page["nextForwardToken"]}


def _explain(build: Mapping[str, Any]) -> str:
    """Say how a build ended, in the words of the phase that failed."""
    phases = build.get("phases", ())
    said = [
        (phase["phaseType"], context["message"])
        for phase in phases
        for context in phase.get("contexts", ())
        if context.get("message")
    ]
    if build["buildStatus"] == "FAULT":
        return said[0][1] if said else "CodeBuild gives no reason."
    ended = [(phase["phaseType"], "") for phase in phases if phase.get("phaseStatus", "SUCCEEDED") != "SUCCEEDED"]
    phase, why = next(iter([*said, *ended]), ("", ""))
    where, reason = f" in {phase}" * bool(phase), why.rstrip(".") or "CodeBuild gives no reason"
    todo = (
        "Run this again"
        if build["buildStatus"] == "STOPPED"
        else "Correct what the end of its log names, and run this again"
    )
    return f"Expected the build {build['id']} to succeed, found it {build['buildStatus']}{where}: {reason}. {todo}:"


@contextlib.contextmanager
def _explained(connection: Connection) -> Iterator[None]:
    """Turn what AWS refuses into an `ImageError` of one sentence."""
    try:
        with explained(connection, ImageError, KEPT):
            yield
    except ClientError as error:
        if code(error) == "ResourceNotFoundException":
            raise ImageError(
                f"Expected the CodeBuild project {PROJECT}, found none in {connection.region}. Lesson 0 makes it, in "
                "the stack: run it, again if your stack is older."
            ) from error
        raise ImageError(
            f"Expected to have {PROJECT} build the image, found that AWS refuses: {error} `.venv/bin/python -m "
            "account_check.policies user` prints the permissions that it takes."
        ) from error
