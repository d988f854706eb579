"""Checks of this machine: a Docker engine, which is needed until the image is in the registry, and disk space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

import training_image as image
from account_check.checked_account import CheckedAccount
from common import ROOT
from common import docker_engine as engine
from common.aws_session import Connection
from common.findings import Finding

# The image takes some 1.5 GB uncompressed, and Docker needs as much again while it builds.
RECOMMENDED = 5e9
MINIMUM = 1e9


def check_image(place: CheckedAccount | None, container: Path) -> Iterator[Finding]:
    """Check that the image is in the registry, or that an engine can build it."""
    found = None
    if place is not None:
        connection = Connection(place.target, place.session, place.account, place.region, place.bucket, place.role)
        try:
            found = image.read(connection, container)
        except (image.ImageError, BotoCoreError, ClientError) as error:
            yield Finding("warning", "Not known whether it holds the image.", str(error), "registry")
        else:
            if found.digest:
                yield Finding("ok", f"Holds {found.repository}:{found.tag}.", "", "registry")
            else:
                todo = "Notebook 3 builds and pushes it."
                yield Finding("note", f"Does not hold {found.repository}:{found.tag} yet.", todo, "registry")
    yield _engine(found is not None and bool(found.digest), place)


def _engine(pushed: bool, place: CheckedAccount | None) -> Finding:
    try:
        version = engine.connect().version().get("Version", "")
    except image.UnavailableError as error:
        if pushed:
            return Finding("ok", f"{error.what}. None is needed: the image is pushed.", "", "Docker")
        if place is not None and place.target == "embedded":
            todo = "Jobs run here without an image, too. On AWS an engine is needed to push one."
            return Finding("note", f"{error.what}.", todo, "Docker")
        return Finding("error", "No engine that can build the image.", str(error), "Docker")
    return Finding("ok", f"Engine {version} answers.", "", "Docker")


def check_disk(folder: Path = ROOT) -> Iterator[Finding]:
    """Check the disk space for the image and the results."""
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free."
    if free >= RECOMMENDED:
        yield Finding("ok", text, "", "disk")
    else:
        todo = (
            f"Building the image takes up to {RECOMMENDED / 1e9:.0f} GB. `docker system prune` frees what Docker left."
        )
        yield Finding("error" if free < MINIMUM else "warning", text, todo, "disk")
