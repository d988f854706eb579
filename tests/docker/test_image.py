"""The image: built and pushed for real, once."""

import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from docker.errors import ContainerError

import account_setup
import training_image as image
from common import ROOT
from training_image import name, picture, pushing

MAX_SIZE = 560e6  # bytes without the base image, uncompressed
LISTING = """
import pkg_resources, sysconfig
for found in pkg_resources.find_distributions(sysconfig.get_path("purelib")):
    print(found.key, found.version)
"""


def run(client, pushed, *command, **options):
    return client.containers.run(pushed.local, list(command), remove=True, network_mode="none", **options).decode()


def test_the_registry_holds_one_image_under_the_digest(pushed, manifests):
    kind, body = manifests(pushed.uri)
    assert kind == name.MANIFEST
    assert "sha256:" + hashlib.sha256(body).hexdigest() == pushed.digest
    manifest = json.loads(body)
    assert pushed.size == manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])
    assert pushed.uri.endswith(f"/mlagents-0.11.0@{pushed.digest}")


def test_it_is_for_linux_amd64_and_labelled(client, pushed):
    attributes = client.images.get(pushed.local).attrs
    assert (attributes["Os"], attributes["Architecture"]) == ("linux", "amd64")
    assert attributes["Config"]["Labels"] == {
        "org.opencontainers.image.title": "ML-Agents 0.11.0 trainer",
        "org.opencontainers.image.description": "Trains Unity ML-Agents v0.11.0 builds as an Amazon SageMaker training job",
        "org.opencontainers.image.version": "0.11.0",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.base.name": os.environ[name.BASE_VARIABLE],
    }


def test_without_its_base_it_is_small(client, pushed):
    built = client.images.get(pushed.local)
    base, *ours = picture.list_layers(built)
    assert base[0] == "base: Debian, Python"
    assert [holds for holds, _ in ours] == ["ML-Agents, its packages", "trainer versions", "train"]
    assert sum(size for _, size in ours) <= MAX_SIZE
    assert image.plot(built).axes[0].patches[1].get_width() == ours[0][1] / 1e6


def test_it_holds_the_locked_packages_and_no_others(client, pushed):
    found = sorted(tuple(line.split()) for line in run(client, pushed, "python", "-c", LISTING).splitlines())
    lock = (ROOT / "container/requirements.lock").read_text()
    locked = sorted(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.M))
    assert ("mlagents", "0.11.0") in locked
    assert [package for package in found if package[0] != "pip"] == locked
    assert [package[0] for package in found].count("pip") == 1  # the base's
    with pytest.raises(ContainerError):
        run(client, pushed, "sh", "-c", "command -v gcc cc make || command -v Xvfb")


def test_nothing_of_how_it_was_built_stays_in_it(client, pushed):
    left = run(
        client,
        pushed,
        "sh",
        "-c",
        "ls -d /packages /opt/mlagents/ca.pem /opt/mlagents/pip.conf 2>/dev/null; ls -A /opt ~/.cache 2>/dev/null; true",
    )
    assert "packages" not in left
    assert not [word for word in left.split() if word.endswith((".pem", "pip.conf"))]
    said = json.dumps(client.images.get(pushed.local).history())
    assert "PIP_" not in said
    assert "ca.pem" not in said


def test_without_a_word_it_prints_usage(client, pushed):
    said = run(client, pushed)
    assert "docker run --rm --network none --volume FOLDER:/opt/ml IMAGE train" in said
    assert "stop-at-reward" in said


def test_building_and_pushing_the_same_again_does_nothing(connection, client, container, pushed, capsys):
    identity = client.images.get(pushed.local).id
    named = image.read(connection, container)
    assert image.build(client, named, path=container).id == identity
    assert image.push(connection, client, named) == pushed
    assert capsys.readouterr().out.splitlines() == [
        f"{named.local}: built before from the same files.",
        f"{named.local}: the registry holds this very content already, nothing pushed.",
    ]
    assert client.images.get(pushed.local).id == identity


def test_touching_train_sends_one_layer(connection, client, container, pushed, tmp_path, capsys):
    """Twice, because the first may rest on packages that a build by hand has left since `pushed` was made."""
    folder = tmp_path / "container"
    shutil.copytree(container, folder)
    before = pushed
    for _ in range(2):
        with (folder / "train").open("a") as file:
            file.write(f"# {time.time()}\n")
        named = image.read(connection, folder)
        assert image.build(client, named, path=folder)
        capsys.readouterr()
        changed = image.push(connection, client, named)
        client.images.remove(named.local, force=True)
        assert named.tag != before.tag
        assert changed.digest != before.digest
        before = changed
        sent, kept = count_layers(changed, capsys)
    assert sent == 1
    assert kept >= 2


def test_codebuild_builds_and_pushes_one_that_sagemaker_takes(connection, client, container, pushed, tmp_path):
    """Of the embedded AWS, with the project and the buildspec of the template."""
    cloudformation = connection.client("cloudformation")
    made = cloudformation.create_change_set(**account_setup.make_request(connection.session, account_setup.Settings()))
    cloudformation.execute_change_set(ChangeSetName=account_setup.wait_for_change_set(cloudformation, made["Id"]).name)
    account_setup.follow(cloudformation)
    folder = tmp_path / "container"
    shutil.copytree(container, folder)
    with (folder / "train").open("a") as file:
        file.write(f"# {time.time()}\n")
    built = image.build_in_codebuild(connection, image.read(connection, folder), path=folder, poll_seconds=0.5)
    assert (built.kind, built.repository) == (name.MANIFEST, pushed.repository)
    assert built.digest != pushed.digest
    name_there = f"{built.registry}/{built.repository}:{built.tag}"
    assert b"stop-at-reward" in client.containers.run(name_there, remove=True, network_mode="none")
    client.images.remove(name_there, force=True)
    account_setup.delete_stack(cloudformation)


def test_credentials_are_written_nowhere(pushed):
    assert pushed.digest
    assert list(Path(os.environ["DOCKER_CONFIG"]).iterdir()) == []


def test_repository_is_as_it_should_be(connection, pushed):
    ecr = connection.client("ecr")
    repository = ecr.describe_repositories(repositoryNames=["mlagents-0.11.0"])["repositories"][0]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["repositoryUri"] == f"{pushed.registry}/mlagents-0.11.0"
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName="mlagents-0.11.0")["lifecyclePolicyText"])
    assert policy["rules"][0]["selection"] == {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}


@pytest.fixture
def layered(connection, client, tmp_path):
    """Build an image of four layers that no registry has seen."""
    folder = tmp_path / "layered"
    folder.mkdir()
    for number in range(4):
        (folder / f"part{number}").write_bytes(os.urandom(8_000_000))
    lines = ["FROM scratch", *(f"COPY part{number} /" for number in range(4)), 'CMD ["none"]']
    (folder / "Dockerfile").write_text("\n".join(lines))
    made = image.Image(name.registry_address(connection), hashlib.sha256(os.urandom(8)).hexdigest()[:16])
    client.images.build(path=str(folder), tag=made.local, platform="linux/amd64", rm=True)
    yield made
    client.images.remove(made.local, force=True)


def test_a_push_that_broke_off_goes_on(connection, client, pushed, layered, monkeypatch, capsys):
    finish = pushing.LayerBars.finish

    def break_off(self, layer):
        finish(self, layer)
        raise KeyboardInterrupt

    monkeypatch.setattr(pushing.LayerBars, "finish", break_off)
    with pytest.raises(KeyboardInterrupt):
        image.push(connection, client, layered)
    # Half of it is no image: nothing can be launched by it.
    assert name.look_up(connection, layered).digest == ""
    monkeypatch.undo()
    assert_it_goes_on(connection, client, layered, capsys)


def test_a_push_whose_engine_goes_away_goes_on(connection, client, pushed, layered, cable, monkeypatch, capsys):
    finish = pushing.LayerBars.finish

    def cut(self, layer):
        finish(self, layer)
        cable.cut()

    monkeypatch.setattr(pushing.LayerBars, "finish", cut)
    with pytest.raises(image.ImageError, match="running this again goes on"):
        image.push(connection, cable.client, layered)
    assert name.look_up(connection, layered).digest == ""
    monkeypatch.undo()
    assert_it_goes_on(connection, client, layered, capsys)


def assert_it_goes_on(connection, client, layered, capsys):
    sent, kept = count_layers(image.push(connection, client, layered), capsys)
    assert sent + kept == 4
    assert kept >= 1


def count_layers(pushed, capsys):
    """Return how many layers a push says that it sent, and that were there."""
    assert pushed.digest.startswith("sha256:")
    return map(int, re.search(r"(\d+) layers sent, (\d+) there already", capsys.readouterr().out).groups())


def test_what_was_pushed_outlives_the_embedded_aws(connection, pushed):
    import sagemaker_local as embedded
    from helpers import aws

    assert embedded.stop()
    again = aws.connect("embedded")
    found = name.look_up(again, pushed)
    assert (found.digest, found.size) == (pushed.digest, pushed.size)
    assert name.registry_address(again) == pushed.registry
