"""What an engine and a registry really say when they refuse, and what comes of it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import training_image as image
from common import docker_engine as engine
from sagemaker_local import docker_runner, registry
from training_image import building, name, pushing

RIGHT = "$2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC"  # bcrypt of the password "right"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture
def small(client, tmp_path):
    """Return a function that builds a small image for a platform; it and its names go again."""
    made = []

    def build(tag, platform="linux/amd64"):
        (tmp_path / "part").write_bytes(os.urandom(100_000))
        (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY part /\nCMD ["none"]\n')
        client.images.build(path=str(tmp_path), tag=tag, platform=platform, rm=True)
        made.append(client.images.get(tag).id)

    yield build
    for identity in made:
        client.images.remove(identity, force=True)


def test_a_base_that_cannot_be_pulled(client):
    with pytest.raises(image.UnavailableError) as failed:
        building.pull_base(client, "127.0.0.1:1/python:3.7")
    said = str(failed.value)
    assert said.startswith("Pulling the base image 127.0.0.1:1/python:3.7 failed: ")
    assert "connection refused" in said
    assert "`docker pull 127.0.0.1:1/python:3.7`" in said
    assert "TRAINING_BASE_IMAGE" in said


def test_a_base_for_another_platform_only(connection, small):
    address = pushing.make_repository(connection, "base")
    small(f"{address}/base:arm64", "linux/arm64")
    client = engine.connect()
    client.login(**pushing.log_in(connection), registry=address)  # kept in this client alone
    pushing.send(client, f"{address}/base", "arm64", pushing.log_in(connection))
    with pytest.raises(image.ImageError, match=r"linux/amd64"):
        building.pull_base(client, f"{address}/base:arm64")


def test_an_image_for_another_platform_is_not_pushed(connection, client, pushed, small):
    other = image.Image(pushed.registry, "arm64")
    small(other.local, "linux/arm64")
    with pytest.raises(image.ImageError, match="for linux/amd64 in the Docker engine, found none"):
        image.push(connection, client, other)
    assert name.look_up(connection, other).digest == ""


@pytest.fixture
def another(connection, container, tmp_path):
    """Return a folder of which no image was built, and the address of its image in the registry."""
    folder = tmp_path / "container"
    shutil.copytree(container, folder)
    (folder / "train").write_text(f"# {tmp_path}\n")
    address = pushing.make_repository(connection, name.REPOSITORY)
    return folder, f"{address}/{name.REPOSITORY}:{name.read(connection, folder).tag}"


def index_of(digest, *platforms):
    """Return an index of one image for several platforms, as buildx pushes it, and its kind."""
    part = {"mediaType": name.MANIFEST, "digest": digest, "size": 1}
    parts = [{**part, "platform": {"os": "linux", "architecture": each}} for each in platforms]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": parts}).encode(), INDEX


def test_an_index_under_the_tag(connection, client, small, another, manifests):
    folder, address = another
    single = address.rpartition(":")[0]
    small(f"{single}:single")
    _, _, digest = pushing.send(client, single, "single", pushing.log_in(connection))
    manifests(address, *index_of(digest, "amd64", "arm64"))
    named = image.read(connection, folder)
    assert image.build(client, named, path=folder) is None  # the registry holds it
    with pytest.raises(image.ImageError, match="one image for linux/amd64, found an index of linux/amd64, linux/arm64"):
        image.push(connection, client, named)
    with pytest.raises(image.ImageError, match="Run notebook 3"):
        image.locate(connection, folder)
    ids = [{"imageTag": named.tag}]
    connection.client("ecr").batch_delete_image(repositoryName=name.REPOSITORY, imageIds=ids)
    manifests(address, *index_of(digest, "amd64"))
    assert image.push(connection, client, image.read(connection, folder)).digest == digest
    assert image.locate(connection, folder).digest == digest


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_oci_image_under_the_tag(connection, client, small, another, manifests, compression):
    """Pushed by skopeo, which writes what an engine with containerd's image store does."""
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    folder, address = another
    small("mlagents-oci:1")
    login = pushing.log_in(connection)
    subprocess.run(
        [
            *("skopeo", "copy", "--quiet", "--format", "oci", "--dest-compress-format", compression),
            *("--dest-tls-verify=false", "--dest-creds", f"{login['username']}:{login['password']}"),
            *("docker-daemon:mlagents-oci:1", f"docker://{address}"),
        ],
        check=True,
    )
    held = image.read(connection, folder)
    assert held.kind == "application/vnd.oci.image.manifest.v1+json"
    with pytest.raises(image.ImageError, match="found application/vnd.oci.image.manifest.v1.json, .*Run notebook 3"):
        image.locate(connection, folder)
    if compression == "zstd":
        with pytest.raises(image.ImageError, match="packed with gzip, found the layer sha256:.*tar.zstd"):
            image.push(connection, client, held)
        return
    pushed = image.push(connection, client, held)
    assert pushed == image.locate(connection, folder)
    assert pushed.digest != held.digest and pushed.kind == name.MANIFEST
    kind, body = manifests(pushed.uri)
    assert (kind, "sha256:" + hashlib.sha256(body).hexdigest()) == (name.MANIFEST, pushed.digest)
    refused = docker_runner.find(pushed.uri)
    assert refused.startswith("the engine could not get the image: ") and "no basic auth credentials" in refused
    found = docker_runner.find(pushed.uri, connection.client)  # as a job is started
    assert found.image == json.loads(body)["config"]["digest"]
    pulled, made = (client.images.get(image).attrs for image in (found.image, "mlagents-oci:1"))
    assert (pulled["RootFS"], pulled["Config"]["Cmd"]) == (made["RootFS"], ["none"])
    client.images.remove(found.image, force=True)


@pytest.mark.parametrize(
    "step",
    [
        "dd if=/dev/zero of=/dev/shm/full bs=1M",
        """python -c 'open("/dev/shm/full", "wb").write(bytes(100_000_000))'""",
    ],
)
def test_a_build_for_which_the_disk_is_too_small(client, tmp_path, step):
    (tmp_path / "train").touch()
    (tmp_path / "Dockerfile").write_text(f"FROM {os.environ[name.BASE_VARIABLE]}\nRUN {step}\n")
    with pytest.raises(image.ImageError, match=r"The disk is full where Docker keeps its images\. Free some"):
        building.run_build(client, building.context(name.read_files(tmp_path)), {}, "mlagents-too-large:1")
    assert not building.has_image(client, "mlagents-too-large:1")


def test_a_build_on_a_machine_that_cannot_run_amd64(client, tmp_path):
    """What an arm64 machine without emulation sees, the other way round: a shell for arm64 in an amd64 image."""
    shell = bytearray(Path("/bin/sh").read_bytes())
    shell[18:20] = (183).to_bytes(2, "little")  # ELF's number of AArch64
    (tmp_path / "train").write_bytes(shell)  # the one file that is sent as a program
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY train /bin/sh\nRUN true\n")
    with pytest.raises(image.ImageError, match="cannot run linux/amd64 programs") as failed:
        building.run_build(client, building.context(name.read_files(tmp_path)), {}, "mlagents-foreign:1")
    assert "exec format error" in str(failed.value)
    assert not building.has_image(client, "mlagents-foreign:1")


@pytest.fixture
def locked(tmp_path):
    """Run a registry that asks for a password."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if not program:
        pytest.skip("no registry program is installed")
    (tmp_path / "htpasswd").write_text(f"AWS:{RIGHT}\n")
    config = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "http": {"addr": "127.0.0.1:0"},
        "auth": {"htpasswd": {"realm": "ECR", "path": str(tmp_path / "htpasswd")}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    with subprocess.Popen(
        [program, "serve", tmp_path / "config.json"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as running:
        for line in running.stderr:
            if found := registry.LISTENING.search(line):
                break
        yield f"127.0.0.1:{int(found[1])}"
        running.kill()


@pytest.fixture
def passwords(monkeypatch):
    """Return the passwords that ECR gives, one after another; those that were asked for go."""
    left = []
    monkeypatch.setattr(pushing, "log_in", lambda connection: {"username": "AWS", "password": left.pop(0)})
    return left


def manifest(address, tag):
    """Ask the registry for a manifest; return its status."""
    login = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    login.add_password(None, f"http://{address}", "AWS", "right")
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(login))
    try:
        return opener.open(f"http://{address}/v2/{name.REPOSITORY}/manifests/{tag}", timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_token_that_has_expired_is_renewed(connection, client, locked, passwords, small):
    made = image.Image(locked, "renewed")
    small(made.local)
    passwords += ["expired", "right"]
    sent, kept, digest = pushing.push_once_more(connection, client, made)
    assert (sent, kept, passwords) == (1, 0, [])
    assert re.fullmatch("sha256:[0-9a-f]{64}", digest)
    assert manifest(locked, "renewed") == 200


def test_a_registry_that_refuses_every_token(connection, client, locked, passwords, small):
    made = image.Image(locked, "refused")
    small(made.local)
    passwords += ["expired", "wrong", "right"]
    with pytest.raises(image.ImageError) as failed:
        pushing.push_once_more(connection, client, made)
    assert passwords == ["right"]  # once more and no further
    assert str(failed.value).startswith(f"Pushing to {locked} failed: ")
    assert "Nothing counts as pushed" in str(failed.value)
    assert "wrong" not in str(failed.value)
    assert manifest(locked, "refused") == 404
