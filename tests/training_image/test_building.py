"""Building: what the engine is given, what is skipped, and each way it fails."""

import io
import json
import os
import tarfile
from dataclasses import replace

import pytest
from docker.errors import APIError, DockerException

import training_image as image
from common import docker_engine as engine
from training_image import building, name

BASE = "python:3.7-test"


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch):
    monkeypatch.setattr(building, "pip_settings", dict)
    for variable in (*building.CA_VARIABLES, *building.PROXY_VARIABLES, "TRAINING_BASE_IMAGE"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


def test_the_engine_gets_platform_base_and_files(connection, answers, docker, folder):
    answers.absent()
    built = image.build(connection, folder)
    assert built.done == "built"
    assert str(replace(built, seconds=4.06)) == f"mlagents-0.11.0:{built.image.tag}: built (4.1 s)"
    [options] = docker.builds
    assert options["platform"] == "linux/amd64"
    assert options["buildargs"] == {"BASE_IMAGE": BASE, "GRAPHICS": "0"}
    assert options["tag"] == built.image.local == f"mlagents-0.11.0:{built.image.tag}"
    with tarfile.open(fileobj=options["fileobj"]) as archive:
        assert {item.name: (item.mode, item.mtime) for item in archive} == {
            "Dockerfile": (0o644, 0),
            "paths.py": (0o644, 0),
            "train": (0o755, 0),
        }


def test_graphics_are_asked_for_by_a_build_argument(connection, answers, docker, folder):
    answers.absent()
    image.build(connection, folder, graphics=True)
    assert docker.builds[0]["buildargs"]["GRAPHICS"] == "1"


def test_what_the_registry_holds_is_not_built(connection, answers, docker, folder):
    answers.present("sha256:" + "ab" * 32)
    built = image.build(connection, folder)
    assert (built.done, docker.builds) == ("kept", [])
    assert str(replace(built, seconds=0.12)) == (
        f"mlagents-0.11.0:{built.image.tag}: the registry holds it already, nothing to build (0.1 s)"
    )


def test_what_was_built_is_not_built_again(connection, answers, docker, folder):
    answers.absent()
    answers.absent()
    image.build(connection, folder)
    assert image.build(connection, folder).done == "kept"
    assert len(docker.builds) == 1


def test_the_base_is_pulled_for_the_platform(connection, answers, docker, folder):
    del docker.held[BASE]
    answers.absent()
    image.build(connection, folder)
    assert docker.pulls == [(BASE, "linux/amd64")]


def test_what_is_built_is_what_the_tag_is_the_hash_of(connection, answers, docker, folder):
    """Also where a file is edited while the base is pulled."""
    del docker.held[BASE]
    tag = name.content_hash(name.read_files(folder))
    pull = docker.pull

    def edit_meanwhile(*asked, **options):
        (folder / "train").write_text("edited")
        return pull(*asked, **options)

    docker.pull = edit_meanwhile
    answers.absent()
    assert image.build(connection, folder).image.tag == tag
    [options] = docker.builds
    with tarfile.open(fileobj=options["fileobj"]) as archive:
        sent = {item.name: archive.extractfile(item).read() for item in archive}
    assert name.content_hash(sent) == tag
    assert sent["train"] == b"print()\n"


def test_a_base_of_another_platform_is_pulled_anew(connection, answers, docker, folder):
    docker.held[BASE].attrs["Architecture"] = "arm64"
    answers.absent()
    assert image.build(connection, folder).done == "built"
    assert docker.pulls == [(BASE, "linux/amd64")]


def test_a_base_of_the_wrong_platform_only_is_refused(connection, answers, docker, folder):
    del docker.held[BASE]
    docker.pulled.attrs["Architecture"] = "arm64"
    answers.absent()
    with pytest.raises(image.ImageError, match=r"python:3.7-test for linux/amd64, found one of another platform"):
        image.build(connection, folder)
    assert docker.builds == []


def test_an_image_of_the_wrong_platform_is_refused(connection, answers, docker, folder):
    docker.built = docker.held[BASE].of("arm64")
    answers.absent()
    with pytest.raises(image.ImageError, match="found another platform or none"):
        image.build(connection, folder)


def test_a_base_that_cannot_be_pulled(connection, answers, docker, folder):
    del docker.held[BASE]
    docker.pull_events = [{"status": "Pulling"}, {"error": "dial tcp: lookup public.ecr.aws: no such host"}]
    answers.absent()
    with pytest.raises(image.UnavailableError) as failed:
        image.build(connection, folder)
    assert "no such host" in str(failed.value)
    assert f"docker pull {BASE}" in str(failed.value)
    assert "TRAINING_BASE_IMAGE" in str(failed.value)


@pytest.mark.parametrize("when", ["pull_events", "build_events"])
def test_a_full_disk(connection, answers, docker, folder, when):
    del docker.held[BASE]
    setattr(docker, when, [{"error": "write /var/lib/docker/tmp/x: no space left on device"}])
    answers.absent()
    with pytest.raises(image.ImageError) as failed:
        image.build(connection, folder)
    assert not isinstance(failed.value, image.UnavailableError)
    assert "docker system prune" in str(failed.value)


def test_a_failed_build_shows_its_last_lines(connection, answers, docker, folder):
    lines = ["Step 1/2 : FROM x\n", *(f"\x1b[91mline {number}\n\x1b[0m" for number in range(30))]
    docker.build_events = [*({"stream": line} for line in lines), {"error": "returned a non-zero code: 1"}]
    answers.absent()
    with pytest.raises(image.ImageError) as failed:
        image.build(connection, folder)
    said = str(failed.value).splitlines()
    assert said[0] == "The build failed: returned a non-zero code: 1"
    assert said[1:] == [f"line {number}" for number in range(15, 30)]


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
def test_known_failures_of_pip_come_with_advice(connection, answers, docker, folder, line, advice):
    docker.build_events = [{"stream": f"{line}\n"}, {"error": "returned a non-zero code: 1"}]
    answers.absent()
    with pytest.raises(image.ImageError, match=advice):
        image.build(connection, folder)


def unreachable(*_, **__):
    raise DockerException("Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2))")


def forbidden(*_, **__):
    raise DockerException("Error while fetching server API version: PermissionError(13, 'Permission denied')")


@pytest.mark.parametrize(
    ("failure", "advice"), [(unreachable, "docs.docker.com/get-docker"), (forbidden, "usermod -aG docker")]
)
def test_no_engine_or_no_right_to_use_it(connection, answers, folder, monkeypatch, failure, advice):
    monkeypatch.setattr("docker.from_env", failure)
    monkeypatch.setattr(engine, "addresses", lambda: [""])
    answers.absent()
    with pytest.raises(image.UnavailableError, match=advice):
        image.build(connection, folder)


def test_a_home_that_may_not_be_seen_holds_no_engine(monkeypatch):
    stat = os.stat

    def refuse(path, **options):
        if str(path).endswith("docker.sock"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(os, "stat", refuse)
    assert list(engine.addresses()) == [""]


def test_an_engine_that_runs_windows(monkeypatch):
    windows = type("Windows", (), {"version": lambda self: {"Os": "windows"}})
    monkeypatch.setattr("docker.from_env", lambda **_: windows())
    with pytest.raises(image.UnavailableError, match="found windows"):
        engine.connect()


def test_the_embedded_target_says_what_is_missing_and_goes_on(connection, answers, folder, monkeypatch):
    monkeypatch.setattr("docker.from_env", unreachable)
    monkeypatch.setattr(engine, "addresses", lambda: [""])
    answers.refuse("describe_repositories", "RepositoryNotFoundException")
    answers.absent()
    answers.absent()
    embedded = replace(connection, target="embedded")
    built = image.build(embedded, folder)
    assert built.done == "nothing"
    assert "none answers" in built.reason
    pushed = image.push(embedded, built)
    assert (pushed.image.digest, pushed.reason) == ("", built.reason)


def test_events_stop_at_an_error():
    seen = []
    with pytest.raises(APIError, match="broken"):
        seen.extend(engine.events(iter([{"stream": "a"}, {"error": "broken"}, {"stream": "b"}])))


def read_conf(files):
    return files["pip.conf"].decode().splitlines()


def test_a_plain_machine_gives_pip_no_settings():
    assert building.pip_files({}, {}) == {}


def test_pip_settings_go_along_and_folders_of_this_machine_do_not(tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificate")
    settings = {
        "index-url": "https://user:secret@example.org/simple",
        "extra-index-url": "file:///opt/simple https://other.example/simple",
        "find-links": "/opt/wheels",
        "default-timeout": "180",
        "cert": str(bundle),
    }
    files = building.pip_files(settings, {})
    assert read_conf(files) == [
        "[global]",
        "index-url = https://user:secret@example.org/simple",
        "extra-index-url = https://other.example/simple",
        "default-timeout = 180",
        "cert = /packages/ca.pem",
    ]
    assert files["ca.pem"] == b"certificate"


def test_a_ca_bundle_in_the_environment_goes_along(tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificate")
    files = building.pip_files({}, {"SSL_CERT_FILE": str(bundle), "REQUESTS_CA_BUNDLE": "/nowhere"})
    assert read_conf(files) == ["[global]", "cert = /packages/ca.pem"]


def test_proxies_go_along_unless_they_are_on_loopback(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    assert building.proxies() == {"HTTPS_PROXY": "http://proxy.example:3128"}


def test_pip_is_asked_for_its_settings(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert building.pip_settings()["index-url"] == "https://index.example/simple"


def test_steps_and_lines_are_shown(connection, answers, docker, folder, capsys):
    docker.build_events = [{"stream": "Step 1/2 : FROM x\n"}, {"stream": " ---> abc\n"}, {"aux": {"ID": "sha256:1"}}]
    answers.absent()
    image.build(connection, folder)
    assert "1/2 FROM x" in capsys.readouterr().out


def test_settings_reach_the_packages_stage_alone():
    """The last stage copies nothing that could bring them along."""
    dockerfile = (building.CONTAINER / "Dockerfile").read_text()
    last = dockerfile[dockerfile.rindex("\nFROM ") :]
    copies = [line for line in last.splitlines() if line.startswith(("COPY", "ADD"))]
    assert copies == [
        "COPY --from=packages /packages/installed /usr/local",
        "COPY speedups/*.py /opt/mlagents/speedups/",
        "COPY train *.py *.json trainer_config.yaml /opt/mlagents/",
    ]
    assert json.loads(last[last.index("\nCMD ") + 5 :]) == ["python", "/opt/mlagents/usage.py"]
    assert "--require-hashes --no-deps" in dockerfile
    assert io.StringIO(dockerfile).read().count("ARG BASE_IMAGE=") == 1
