"""Rows about the image, against one tags with a plain `pip install` over the same base."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import docker

import training_image as images
from common import aws_session
from common import docker_engine as engine
from helpers import aws
from tools.benchmarks.comparison import AbsentError, Comparison, Measurements, Row
from tools.benchmarks.training_process import (
    PLAYER_LOGS,
    TIMEOUT,
    Task,
    TrainingFailedError,
    find_trainer,
    first_step_at,
    ours,
    write_job_inputs,
)
from tools.benchmarks.upload import own_embedded
from training_image import building, pushing
from training_image.name import CONTAINER, Image, base_image, content_hash, read_files, registry_address

OURS, OTHER = "container/", "pip install"
PLAIN = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY requirements.txt pip.con[f] ca.pe[m] /packages/
ENV PIP_CONFIG_FILE=/packages/pip.conf
RUN pip install --requirement /packages/requirements.txt
COPY train /opt/train
"""
REQUIREMENTS = "mlagents==0.11.0\nprotobuf<3.21\n"  # without the second, the first cannot be imported
SHORT = Task(agents=1, steps=100, settings={"max_steps": 100, "summary_freq": 20})
ROWS = (
    Row("build", "image: build, nothing cached", "s", OURS, OTHER, "build"),
    Row("rebuild", "image: build again, the entrypoint changed", "s", OURS, OTHER, "rebuild"),
    Row("push", "image: push", "s", OURS, OTHER, "push"),
    Row("push again", "image: push again", "s", OURS, OTHER, "push again"),
    Row("size", "image: size", "MB", OURS, OTHER, "size"),
)


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    sides = {OURS: lambda run: measure(copy_container, push_ours), OTHER: lambda run: measure(write_plain, push_plain)}
    return [
        Comparison(
            "image.image", sides, ROWS, "Pushed to the registry of an embedded AWS of its own, on this machine."
        ),
        start(),
    ]


def start() -> Comparison:
    """Return the comparison of a start in the container with that of the bare process."""
    inside, bare = "in its container", "as a process"
    row = Row("start", "container/train: start to first step", "s", inside, bare, "start")
    return Comparison("image.start", {inside: start_in_container, bare: start_as_process}, (row,))


def start_in_container(run: int) -> Measurements:
    """Start a training in a container of the image; return the seconds until its player takes the first step."""
    client, tag = build_once()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        write_job_inputs(folder, SHORT, {"seed": run})
        container = client.containers.create(
            tag,
            "train",
            network_mode="none",
            user=f"{os.getuid()}:{os.getgid()}",
            environment={"HOME": "/opt/ml"},
            volumes={str(folder): {"bind": "/opt/ml", "mode": "rw"}},
        )
        try:
            started = time.time()
            container.start()
            if code := container.wait(timeout=TIMEOUT)["StatusCode"]:
                raise TrainingFailedError(f"exit code {code}:\n{container.logs(tail=15).decode()}")
        finally:
            container.remove(force=True)
        return {"start": first_step_at(folder, PLAYER_LOGS) - started}


@functools.cache
def build_once() -> tuple[docker.DockerClient, str]:
    """Build the image, which is removed at exit; return the engine and the image's name."""
    client, base = connect()
    files = read_files(CONTAINER)
    tag = f"{images.REPOSITORY}:bench-{content_hash(files)}"
    arguments = {"BASE_IMAGE": base, "GRAPHICS": "0", **engine.proxies()}
    building.run_build(client, building.context(files), arguments, tag)
    atexit.register(client.images.remove, tag)  # only this tag: notebook 3 may have built the same image
    return client, tag


def start_as_process(run: int) -> Measurements:
    """Start the same training without a container."""
    trainer = find_trainer()
    if trainer.flavour != "exact":
        raise AbsentError(f"the image has TensorFlow 1.15; the trainer here is {trainer}.")
    return {"start": ours(SHORT, seed=run)["start"]}


def connect() -> tuple[docker.DockerClient, str]:
    """Pull the base image; return the engine and the image's name. Raises `AbsentError`."""
    try:
        client = engine.connect()
        base = base_image(read_files(CONTAINER))
        building.pull_base(client, base)
    except images.UnavailableError as error:
        raise AbsentError(str(error)) from error
    return client, base


def measure(prepare: Callable[[Path], str], push: Callable[[aws_session.Connection, str], None]) -> Measurements:
    """Build, build again after a change, push and push again; remove the images afterwards."""
    times = {}
    client, base = connect()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, own_embedded(Path(scratch) / "home"):
        connection, folder = aws.connect("embedded"), Path(scratch) / "context"
        tags = []
        try:
            lock = folder / prepare(folder)
            for name, changed in (("build", lock), ("rebuild", folder / "train")):
                with changed.open("a") as file:  # from this file on, the engine's cache does not apply
                    file.write(f"# {uuid.uuid4()}\n")
                files = read_files(folder)
                tag = f"{images.REPOSITORY}:{content_hash(files)}"
                tags.append(tag)
                start = time.monotonic()
                arguments = {"BASE_IMAGE": base, "GRAPHICS": "0", **engine.proxies()}
                building.run_build(client, building.context(files), arguments, tag)
                times[name] = time.monotonic() - start
            for name in ("push", "push again"):
                start = time.monotonic()
                push(connection, content_hash(files))
                times[name] = time.monotonic() - start
            times["size"] = client.images.get(tags[-1]).attrs["Size"] / 1e6
        finally:
            remove(client, tags)
    return times


def copy_container(folder: Path) -> str:
    """Copy `container/`; return the name of the file that the packages depend on."""
    shutil.copytree(CONTAINER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return "requirements.lock"


def write_plain(folder: Path) -> str:
    """Write the context of the plain image; return the name of the file that the packages depend on."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(PLAIN)
    (folder / "requirements.txt").write_text(REQUIREMENTS)
    (folder / "train").write_text("#!/bin/sh\nexec mlagents-learn /opt/ml/input/data/config.yaml --train\n")
    return "requirements.txt"


def push_ours(connection: aws_session.Connection, tag: str) -> None:
    """Push as notebook 3 does."""
    image = Image(registry_address(connection), tag)
    try:
        images.push(connection, engine.connect(), image)
    except images.UnavailableError as error:
        raise AbsentError(str(error)) from error


def push_plain(connection: aws_session.Connection, tag: str) -> None:
    """Push as `docker push` does, whatever the registry contains."""
    try:
        registry = pushing.make_repository(connection, images.REPOSITORY)
        pushing.push_once_more(connection, engine.connect(), Image(registry, tag))
    except images.UnavailableError as error:
        raise AbsentError(str(error)) from error


def remove(client: docker.DockerClient, tags: list[str]) -> None:
    """Remove images and their tags for the push."""
    for image in client.images.list(all=False):
        if any(tag.rpartition("/")[2] in tags for tag in image.tags):
            client.images.remove(image.id, force=True)
