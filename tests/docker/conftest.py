"""A real engine, a real base image, and an embedded AWS with a real registry.

The base image is the public one where it can be pulled, else the stand-in that `stand_in_base.py` makes.
"""

import contextlib
import functools
import http.server
import importlib.util
import os
import re
import shutil
import socket
import threading
import urllib.request
import uuid
from pathlib import Path

import docker
import pytest

import sagemaker_local as embedded
import training_image as image
from common import ROOT, trainer_env
from common import docker_engine as engine
from common.contract import DEFAULT_TRAINER
from helpers import aws
from training_image import name

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def client():
    """Return the engine. Who runs these tests wants them run: without an engine they fail, and say why."""
    return engine.connect()


class Cable:
    """A socket that leads to the engine's, until it is cut."""

    def __init__(self, near, far):
        self.ends, self.far, self.waited_for = [], far, threading.Event()
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(near))
        self.door.listen()
        self.ends.append(self.door)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self.door.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self.far)
                self.ends += [caller, engine]
                for one, other in ((caller, engine), (engine, caller)):
                    threading.Thread(target=self.pass_on, args=(one, other), daemon=True).start()

    def pass_on(self, one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
                if b"/wait" in data:
                    self.waited_for.set()
            other.shutdown(socket.SHUT_WR)

    def cut(self):
        for end in self.ends:
            with contextlib.suppress(OSError):  # not connected any more
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def cable(client, tmp_path):
    """Return a cable to the engine, with a client at its near end."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        pytest.skip("the engine does not listen at a socket of this machine")
    near = tmp_path / "engine.sock"
    cable = Cable(near, address.removeprefix("unix://"))
    cable.client = docker.DockerClient(f"unix://{near}")
    yield cable
    cable.cut()


@pytest.fixture(scope="session")
def connection(client, tmp_path_factory):
    """Connect to an embedded AWS of these tests' own, whose jobs choose their way as the reader's do."""
    settings = {
        "EMBEDDED_HOME": str(tmp_path_factory.mktemp("docker-embedded")),
        # Login and build write nothing here; a test looks.
        "DOCKER_CONFIG": str(tmp_path_factory.mktemp("docker-config")),
        name.BASE_VARIABLE: base_image(client),
    }
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in settings.items():
            patch.setenv(variable, value)
        patch.delenv("EMBEDDED_TRAIN_PROGRAM", raising=False)
        yield aws.connect("embedded")
        embedded.stop()


@pytest.fixture(scope="session")
def manifests(connection):
    """Return a function that reads or writes a manifest of the registry, logged in as the engine is."""

    def ask(uri, body=None, kind=name.MANIFEST):
        host, _, path = uri.partition("/")
        url = f"http://{host}/v2/" + re.sub("[@:]", "/manifests/", path, count=1)
        [authorization] = connection.client("ecr").get_authorization_token()["authorizationData"]
        headers = {
            "Accept": kind,
            "Content-Type": kind,
            "Authorization": f"Basic {authorization['authorizationToken']}",
        }
        request = urllib.request.Request(url, body, headers, method="PUT" if body else "GET")
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.headers["Content-Type"], response.read()

    return ask


def base_image(client):
    """Return the base image: what the caller named, the public one, or the stand-in."""
    given = os.environ.get(name.BASE_VARIABLE)
    return given or public_base(client, DEFAULT_TRAINER) or stand_in_base().make()


def public_base(client, trainer):
    """Pull the public base image for a version of ML-Agents; return its name, or nothing where it can't be pulled."""
    public = name.base_image(name.read_files(name.CONTAINER, trainer), trainer)
    with contextlib.suppress(*engine.FAILURES):
        client.images.pull(public, platform="linux/amd64")
        return public


def stand_in_base():
    """Import the module, which lies in no package."""
    place = importlib.util.spec_from_file_location("stand_in_base", HERE / "stand_in_base.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def container(tmp_path_factory):
    """Copy `container/`, so that nobody who edits it meanwhile changes the image under the tests.

    A line more makes it one that no engine holds, so that it is really built.
    """
    folder = tmp_path_factory.mktemp("container") / "container"
    shutil.copytree(ROOT / "container", folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "train").open("a") as file:
        file.write(f"# {uuid.uuid4()}\n")
    return folder


def build_and_push(client, connection, container, trainer):
    """Build and push the image of a version of ML-Agents. Nothing of it stays in the engine."""
    named = image.read(connection, container, trainer=trainer)
    assert image.build(client, named, path=container)
    done = image.push(connection, client, named)
    yield done
    for tag in [tag for found in client.images.list() for tag in found.tags]:
        if tag.startswith(f"{done.registry}/{done.repository}"):
            client.images.remove(tag)
    client.images.remove(named.local, force=True)


@pytest.fixture(scope="session")
def pushed(client, connection, container):
    """Build and push the image."""
    yield from build_and_push(client, connection, container, DEFAULT_TRAINER)


@pytest.fixture(scope="session")
def pushed_1_1_0(client, connection, container):
    """Build and push the image of 1.1.0.

    PyTorch comes from where the Dockerfile says. Over the stand-in it comes from pip's folder of wheels on this
    machine, which is served to the build.
    """
    pytest.importorskip("onnx", reason="`make setup TRAINER=1.1.0` installs onnx, which reads the model")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as served:
        patch.delenv(name.BASE_VARIABLE)  # that of 0.11.0
        option, folder = trainer_env.wheels_of_torch(trainer_env.FLAVOURS["cpu"])
        base = public_base(client, "1.1.0")
        if not base and option == "--find-links":
            base = stand_in_base().make("1.1.0")
            address = client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
            handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
            server = served.enter_context(http.server.ThreadingHTTPServer((address, 0), handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            served.callback(server.shutdown)
            patch.setenv("PIP_FIND_LINKS", f"http://{address}:{server.server_port}/")
            patch.setenv("PIP_TRUSTED_HOST", address)
        if not base:
            pytest.skip(
                "The base image of Python 3.10 cannot be pulled, and no folder in pip's find-links holds a wheel of "
                "PyTorch without CUDA."
            )
        patch.setenv(name.BASE_VARIABLE, base)
        built = build_and_push(client, connection, container, "1.1.0")
        done = next(built)
    yield done
    yield from built


@pytest.fixture(scope="session")
def upload_sample(connection, tmp_path_factory):
    """Return a function that uploads the sample build for a version of ML-Agents and returns its place in S3."""
    from helpers import volume
    from sample_env import make_sample_build

    def upload(trainer):
        folder = tmp_path_factory.mktemp("unity-volume")
        make_sample_build(folder, trainer=trainer)
        return volume.upload(connection.client("s3"), connection.bucket, folder, progress=False).uri

    return upload


@pytest.fixture(scope="session")
def sample(upload_sample):
    """Upload the sample build and return its place in S3."""
    return upload_sample(DEFAULT_TRAINER)
