"""Building: what the engine is given, what is skipped, and each way it fails."""

import os
import re
import tarfile

import pytest
from docker.errors import APIError, DockerException

import training_image as image
from common import docker_engine as engine
from common import pip_settings
from training_image import building, name

BASE = "python:3.7-test"


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch):
    monkeypatch.setattr(pip_settings, "read", dict)
    for variable in (*building.CA_VARIABLES, *engine.PROXY_VARIABLES, "TRAINING_BASE_IMAGE"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


@pytest.fixture
def named(folder):
    """Return the folder's image, named as `image.read` does of one that the registry does not hold."""
    return name.Image("registry", name.content_hash(name.read_files(folder)))


@pytest.fixture
def build(docker, named, folder):
    return lambda **options: image.build(docker, named, path=folder, **options)


def unpack(options):
    with tarfile.open(fileobj=options["fileobj"]) as archive:
        return {item.name: (item.mode, item.mtime, archive.extractfile(item).read()) for item in archive}


def test_the_engine_gets_platform_base_and_files(docker, named, build, capsys):
    assert build() is docker.built
    [options] = docker.builds
    assert options["platform"] == "linux/amd64"
    assert options["buildargs"] == {"BASE_IMAGE": BASE, "GRAPHICS": "0"}
    assert options["tag"] == named.local == f"mlagents-0.11.0:{named.tag}"
    sent = unpack(options)
    assert {each: about[:2] for each, about in sent.items()} == {
        "Dockerfile": (0o644, 0),
        "paths.py": (0o644, 0),
        "train": (0o755, 0),
    }
    assert name.content_hash({each: about[2] for each, about in sent.items()}) == named.tag
    assert re.search(rf"^{named.local}: built in \d+\.\d s\.$", capsys.readouterr().out, re.MULTILINE)
    assert build() is docker.built
    assert capsys.readouterr().out == f"{named.local}: built before from the same files.\n"
    assert len(docker.builds) == 1


def test_the_engine_accepts_the_arguments_of_the_sdk(docker, folder):
    graphics = name.Image("registry", name.content_hash(name.read_files(folder), graphics=True))
    docker.pulled = docker.built = docker.held[BASE]
    docker.built.attrs["Architecture"] = "arm64"
    arguments = {"path": folder, "tag": "mine:1", "platform": "linux/arm64", "buildargs": {"GRAPHICS": "1"}}
    image.build(docker, graphics, **arguments)
    [options] = docker.builds
    assert (options["tag"], options["platform"]) == ("mine:1", "linux/arm64")
    assert options["buildargs"] == {"BASE_IMAGE": BASE, "GRAPHICS": "1"}


def test_an_image_in_the_registry_or_without_an_engine_is_not_built(docker, named, folder, capsys):
    held = name.replace(named, digest="sha256:" + "ab" * 32)
    assert image.build(docker, held, path=folder) is image.build(None, named, path=folder) is None
    assert capsys.readouterr().out == f"{named.local}: the registry holds it already, nothing to build.\n"
    assert docker.builds == []


def test_a_folder_that_changed_since_read_is_refused(docker, folder, build):
    (folder / "train").write_text("edited")
    with pytest.raises(
        image.ImageError, match=r"Expected .*container to be as it was when mlagents-0.11.0:\w+ was named"
    ):
        build()
    assert docker.builds == []


def test_edits_during_the_build_have_no_effect(docker, folder, build):
    del docker.held[BASE]
    pull = docker.pull

    def edit_meanwhile(*asked, **options):
        (folder / "train").write_text("edited")
        return pull(*asked, **options)

    docker.pull = edit_meanwhile
    build()
    assert unpack(docker.builds[0])["train"][2] == b"print()\n"


@pytest.mark.parametrize("there", ["nothing", "another platform"])
def test_the_base_is_pulled_for_the_platform(docker, build, there):
    if there == "nothing":
        del docker.held[BASE]
    else:
        docker.held[BASE].attrs["Architecture"] = "arm64"
    assert build() is docker.built
    assert docker.pulls == [(BASE, "linux/amd64")]


def test_a_base_image_of_the_wrong_platform_is_refused(docker, build):
    del docker.held[BASE]
    docker.pulled.attrs["Architecture"] = "arm64"
    with pytest.raises(image.ImageError, match=r"python:3.7-test for linux/amd64, found one of another platform"):
        build()
    assert docker.builds == []


def test_an_image_of_the_wrong_platform_is_refused(docker, build):
    docker.built = type(docker.built)("arm64")
    with pytest.raises(image.ImageError, match="found another platform or none"):
        build()


def test_a_base_that_cannot_be_pulled(docker, named, folder, build, capsys):
    del docker.held[BASE]
    docker.pull_events = [{"status": "Pulling"}, {"error": "dial tcp: lookup public.ecr.aws: no such host"}]
    with pytest.raises(image.UnavailableError) as failed:
        build()
    for part in ("no such host", f"docker pull {BASE}", "TRAINING_BASE_IMAGE"):
        assert part in str(failed.value)
    capsys.readouterr()
    assert image.build(docker, name.replace(named, optional=True), path=folder) is None
    assert f"{named.local}: not built. {failed.value}\n" in capsys.readouterr().out


@pytest.mark.parametrize("when", ["pull_events", "build_events"])
def test_a_full_disk(docker, build, when):
    del docker.held[BASE]
    setattr(docker, when, [{"error": "write /var/lib/docker/tmp/x: no space left on device"}])
    with pytest.raises(image.ImageError, match="docker system prune") as failed:
        build()
    assert not isinstance(failed.value, image.UnavailableError)


def test_a_failed_build_shows_its_steps_and_last_lines(docker, build, capsys):
    lines = ["Step 1/2 : FROM x\n", *(f"\x1b[91mline {number}\n\x1b[0m" for number in range(30))]
    docker.build_events = [*({"stream": line} for line in lines), {"error": "returned a non-zero code: 1"}]
    with pytest.raises(image.ImageError) as failed:
        build()
    first, *last = str(failed.value).splitlines()
    assert first == "The build failed: returned a non-zero code: 1"
    assert last == [f"line {number}" for number in range(15, 30)]
    assert "1/2 FROM x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "docker system prune"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "make lock"),
        ("Temporary failure in name resolution", "could not reach pip's index"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED]", "could not reach pip's index"),
        (
            "exec /bin/sh: exec format error",
            "cannot run linux/amd64 programs. With Docker Desktop, switch on Rosetta",
        ),
    ],
)
def test_known_failures_come_with_advice(docker, build, line, advice):
    docker.build_events = [{"stream": f"{line}\n"}, {"error": "returned a non-zero code: 1"}]
    with pytest.raises(image.ImageError, match=advice):
        build()


@pytest.mark.parametrize(
    ("said", "advice"),
    [("FileNotFoundError(2)", "docs.docker.com/get-docker"), ("PermissionError(13, 'x')", "usermod -aG docker")],
)
@pytest.mark.parametrize("target", ["embedded", "aws"])
def test_no_engine_or_no_right_to_use_it(connection, monkeypatch, capsys, said, advice, target):
    def fail(**_):
        raise DockerException(f"Error while fetching server API version: ('Connection aborted.', {said})")

    monkeypatch.setattr("docker.from_env", fail)

    def find():
        with image.find_engine(name.replace(connection, target=target)) as environment:
            engine.docker.from_env(environment=environment)

    if target == "aws":
        with pytest.raises(image.UnavailableError, match=advice):
            find()
    else:
        find()
        assert re.search(rf"{advice}.*\nThe embedded AWS trains without an image", capsys.readouterr().out)
    with pytest.raises(image.UnavailableError, match=advice):
        engine.connect()


def test_an_engine_at_another_address_is_found(tmp_path, monkeypatch):
    socket = tmp_path / ".docker/run/docker.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine.Path, "home", lambda: tmp_path)

    def from_env(environment):
        if "DOCKER_HOST" not in environment:
            raise DockerException("FileNotFoundError")
        return type("Client", (), {"close": lambda self: None})()

    monkeypatch.setattr("docker.from_env", from_env)
    assert engine.environment()["DOCKER_HOST"] == f"unix://{socket}"


def test_an_unreadable_home_has_no_engine(monkeypatch):
    stat = os.stat

    def refuse(path, **options):
        if str(path).endswith("docker.sock"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(os, "stat", refuse)
    assert list(engine.addresses()) == [""]


def test_an_engine_that_runs_windows(docker, build):
    docker.version = lambda: {"Os": "windows"}
    with pytest.raises(image.UnavailableError, match="found windows"):
        build()


def test_events_stop_at_an_error():
    seen = []
    with pytest.raises(APIError, match="broken"):
        seen.extend(engine.events(iter([{"stream": "a"}, {"error": "broken"}, {"stream": "b"}])))
    assert seen == [{"stream": "a"}]


def test_pip_settings_are_passed_without_local_folders(tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificate")
    settings = {
        "index-url": "https://user:secret@example.org/simple",
        "extra-index-url": "file:///opt/simple https://other.example/simple",
        "find-links": "/opt/wheels https://other.example/wheels",
        "default-timeout": "180",
        "cert": str(bundle),
    }
    files = building.pip_files(settings, {})
    assert files["pip.conf"].decode().splitlines() == [
        "[global]",
        "index-url = https://user:secret@example.org/simple",
        "extra-index-url = https://other.example/simple",
        "find-links = https://other.example/wheels",
        "default-timeout = 180",
        "cert = /packages/ca.pem",
    ]
    assert files["ca.pem"] == b"certificate"
    files = building.pip_files({}, {"SSL_CERT_FILE": str(bundle), "REQUESTS_CA_BUNDLE": "/nowhere"})
    assert files == {"pip.conf": b"[global]\ncert = /packages/ca.pem\n", "ca.pem": b"certificate"}
    assert building.pip_files({}, {}) == {}


def test_proxies_are_passed_unless_on_loopback(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    assert engine.proxies() == {"HTTPS_PROXY": "http://proxy.example:3128"}


def test_pip_is_asked_for_its_settings(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert pip_settings.read()["index-url"] == "https://index.example/simple"


def test_settings_reach_only_the_packages_stage():
    """The last stage copies nothing that could bring them along."""
    dockerfile = (building.CONTAINER / "Dockerfile").read_text()
    last = dockerfile[dockerfile.rindex("\nFROM ") :]
    copies = [line for line in last.splitlines() if line.startswith(("COPY", "ADD"))]
    assert copies == [
        "COPY --from=packages /packages/installed /usr/local",
        "COPY trainers /opt/mlagents/trainers",
        "COPY train *.py *.json /opt/mlagents/",
    ]
    assert last.endswith('\nCMD ["python", "/opt/mlagents/usage.py"]\n')
    assert "--require-hashes --no-deps" in dockerfile
    assert dockerfile.count("ARG BASE_IMAGE=") == 1
