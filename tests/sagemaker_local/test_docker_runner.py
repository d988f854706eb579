"""How a job runs, with which limits and as which user; the Docker engine is a stand-in."""

import fcntl
import os
import sys
import threading
from types import SimpleNamespace

import pytest
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import ConnectionError
from urllib3.exceptions import ProtocolError

import sagemaker_local as embedded
from common import docker_engine as engine
from common.errors import UnavailableError
from sagemaker_local import __main__, docker_runner, jobs, runner, runner_choice

GIB = 2**30
DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("instance", "cores", "gib"),
    [
        ("ml.c5.large", 2, 4),
        ("ml.c5.xlarge", 4, 8),
        ("ml.m5.2xlarge", 8, 32),
        ("ml.t3.medium", 1, 2),
        ("ml.g4dn.xlarge", 4, 16),
        ("ml.m5.24xlarge", 64, 256),
        ("ml.unknown", 64, 256),
        ("ml.x9.xlarge", 64, 256),
    ],
)
def test_a_job_gets_its_instances_resources_up_to_the_machines(instance, cores, gib):
    assert docker_runner.bounds(instance, 64, 256 * GIB) == docker_runner.Bounds(cores, gib * GIB)


def test_a_small_machine_bounds_every_job():
    assert docker_runner.bounds("ml.c5.4xlarge", 2, 6 * GIB) == docker_runner.Bounds(2, 6 * GIB)


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ([], {"user": f"{os.getuid()}:{os.getgid()}"}),
        (["name=seccomp,profile=default", "name=rootless"], {"user": "0:0"}),
        (["name=userns"], {"user": f"{os.getuid()}:{os.getgid()}", "userns_mode": "host"}),
    ],
)
def test_files_belong_to_the_caller_whatever_the_engine(security, expected):
    assert engine.caller(security) == expected


class Images:
    def __init__(self, *held):
        self.held, self.pulled = list(held), []

    def list(self):
        return self.held

    def get(self, name):
        for image in self.held:
            if name in image.attrs["RepoTags"]:
                return image
        raise ImageNotFound("No such image")

    def pull(self, repository, tag):
        self.pulled.append((repository, tag))
        raise APIError("manifest unknown")


def held(*tags, digests=()):
    return SimpleNamespace(id="sha256:id", attrs={"RepoTags": list(tags), "RepoDigests": list(digests)})


@pytest.fixture
def images(monkeypatch):
    images = Images(held("a/b:1", digests=[f"127.0.0.1:9/b@{DIGEST}"]))
    monkeypatch.setattr(engine, "connect", lambda: SimpleNamespace(images=images))
    return images


@pytest.mark.parametrize("name", ["a/b:1", f"127.0.0.1:1/other-port@{DIGEST}"])
def test_a_local_image_is_used(images, name):
    found = docker_runner.find(name)
    assert (found.image, found.description) == ("sha256:id", f"in a container of {name} without a network")
    assert images.pulled == []


def test_remote_images_are_never_pulled(images):
    assert docker_runner.find("123456789012.dkr.ecr.us-east-1.amazonaws.com/b:2") == (
        "the Docker engine does not hold the image"
    )
    assert images.pulled == []


@pytest.mark.parametrize("tag", ["2", "sha256:" + "cd" * 32])
def test_images_are_pulled_from_the_registry_on_loopback(images, tag):
    name = f"127.0.0.1:5/b{'@' if ':' in tag else ':'}{tag}"
    assert docker_runner.find(name) == "the engine could not get the image: manifest unknown"
    assert images.pulled == [("127.0.0.1:5/b", tag)]


@pytest.mark.parametrize(
    ("program_reason", "reason"),
    [
        (FileNotFoundError(2), "expected a Docker engine, none answers"),
        (PermissionError(13, "Permission denied"), "a Docker engine is there, but you may not use it"),
    ],
)
def test_without_an_engine_a_job_runs_as_a_process_and_says_why(monkeypatch, tmp_path, program_reason, reason):
    def fail(**_):
        raise DockerException(f"Error while fetching server API version: {program_reason!r}")

    monkeypatch.setattr(engine.docker, "from_env", fail)
    monkeypatch.setattr(engine, "addresses", lambda: [""])
    monkeypatch.delenv(runner_choice.PROGRAM_VARIABLE, raising=False)
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path))
    with pytest.raises(runner.RunnerError, match="found neither. Build the image, or start the embedded AWS with"):
        runner_choice.choose("a/b:1")
    runner_choice.write_program(runner_choice.Program((), "No trainer: make setup."))
    with pytest.raises(runner.RunnerError, match="^No trainer: make setup.$"):
        runner_choice.choose("a/b:1")
    runner_choice.write_program(runner_choice.Program(("train", "--it"), "in a test"))
    way = runner_choice.choose("a/b:1")
    assert isinstance(way, runner.ProcessRunner)
    assert way.program == ("train", "--it")
    assert way.description == f"as a process in a test: {reason}"


@pytest.mark.parametrize(
    ("image", "command"),
    [
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/other:0a1b", ("other",)),
        (f"127.0.0.1:5000/other@{DIGEST}", ("other",)),
        ("127.0.0.1:5000/team/other:1", ("train",)),
        ("127.0.0.1:5000/first:1", ("train",)),
        ("other", ("train",)),
    ],
)
def test_a_program_may_differ_by_the_images_repository(monkeypatch, tmp_path, image, command):
    monkeypatch.setattr(docker_runner, "find", lambda image, clients: "no engine")
    monkeypatch.delenv(runner_choice.PROGRAM_VARIABLE, raising=False)
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path))
    other = runner_choice.Program(("other",), "in another place")
    program = runner_choice.Program(("train",), "in a place", {"other": other})
    runner_choice.write_program(program)
    assert runner_choice.read_program() == program
    assert runner_choice.choose(image).program == command


def run_of(container, base):
    """Return a run of a stand-in container."""
    (base / "output").mkdir()
    run = docker_runner.ContainerRun.__new__(docker_runner.ContainerRun)
    run.container, run.base, run.limits = container, base, docker_runner.Bounds(2, 4 * GIB)
    run.copier = threading.Thread(target=int)
    run.copier.start()
    return run


class Ended:
    """A container that has ended."""

    def __init__(self, code, oom_killed):
        self.code, self.attrs, self.removed = code, {"State": {"OOMKilled": oom_killed}}, False

    def wait(self):
        return {"StatusCode": self.code}

    def reload(self):
        pass

    def remove(self, force):
        self.removed = force


@pytest.mark.parametrize(
    ("oom_killed", "program_reason", "reason"),
    [
        (True, None, "Out of memory: the job was allowed 2 cores, 4.0 GiB. Take a larger instance type."),
        (True, "the program's own reason", "the program's own reason"),
        (False, None, None),
    ],
)
def test_out_of_memory_is_the_failure_reason(tmp_path, oom_killed, program_reason, reason):
    container = Ended(137, oom_killed)
    run = run_of(container, tmp_path)
    failure = tmp_path / "output/failure"
    if program_reason:
        failure.write_text(program_reason)
    assert run.wait() == 137
    assert (failure.read_text() if failure.exists() else None) == reason
    assert container.removed is True


class Left:
    """A container that was left behind, in the list that stands in for its engine."""

    def __init__(self, engine, folder):
        self.engine, self.labels = engine, {docker_runner.LABEL: str(folder)}
        engine.append(self)

    def remove(self, force):
        assert force
        self.engine.remove(self)


@pytest.fixture
def left(monkeypatch):
    """Return the containers of an engine, all with the label."""
    containers = []

    def list_them(*, all, filters, ignore_removed):
        assert (all, filters, ignore_removed) == (True, {"label": docker_runner.LABEL}, True)
        return [*containers]

    monkeypatch.setattr(engine, "connect", lambda: SimpleNamespace(containers=SimpleNamespace(list=list_them)))
    return containers


def test_containers_left_for_a_folder_are_removed(left, tmp_path):
    Left(left, tmp_path / "jobs/a")
    others = [Left(left, tmp_path / "jobs-of-another/a"), Left(left, tmp_path / "registry")]
    lives = Left(left, tmp_path / "jobs/lives")
    assert docker_runner.sweep(tmp_path / "jobs", lambda base: base.name == "lives") == 1
    assert left == [*others, lives]
    assert docker_runner.sweep(tmp_path) == 3
    assert left == []


def test_without_an_engine_nothing_is_removed(monkeypatch, tmp_path):
    def none():
        raise UnavailableError("none answers")

    monkeypatch.setattr(engine, "connect", none)
    assert docker_runner.sweep(tmp_path) == 0


def test_a_starting_server_removes_containers_without_a_job(left, tmp_path):
    """Its status does not matter: a job whose engine was lost is Failed although its container runs on."""
    found = jobs.Jobs(tmp_path / "jobs", None, at_once=1)
    (tmp_path / "jobs/failed").mkdir()
    Left(left, tmp_path / "jobs/failed")
    lives = Left(left, tmp_path / "jobs/lives")  # created by a client before the records were read
    found.threads["lives"] = None
    found.load()
    assert left == [lives]


def test_stop_removes_containers_of_a_killed_server(left, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", ["embedded", "stop"])
    Left(left, tmp_path / "home/jobs/a")
    Left(left, tmp_path / "home/registry")
    another = Left(left, tmp_path / "another/jobs/a")
    assert __main__.main() is None
    assert capsys.readouterr().out == ("No embedded AWS was running.\nRemoved 2 container(s) left by an earlier one.\n")
    assert left == [another]


def test_containers_of_a_running_server_stay(left, tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path))
    Left(left, tmp_path / "jobs/a")
    with (tmp_path / "alive.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert embedded.sweep() == 0
    assert embedded.sweep() == 1


@pytest.mark.parametrize("lost", [ConnectionError("gone"), DockerException("gone"), ProtocolError("gone")])
def test_a_lost_engine_is_the_failure_reason(tmp_path, lost, left):
    def gone(*_, **__):
        raise lost

    run = run_of(SimpleNamespace(wait=gone, kill=gone), tmp_path)
    Left(left, tmp_path)
    run.terminate()
    assert run.wait() == 137
    assert (tmp_path / "output/failure").read_text() == (
        "The Docker engine went away while the job ran (gone). Start it, and launch the job again."
    )
    assert left == []  # only the connection was lost: the engine responds
