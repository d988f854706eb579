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

import training_image as image
from common import ROOT
from common import docker_engine as engine
from training_image import name, pushing

MAX_SIZE = 560e6  # bytes without the base image, uncompressed
LISTING = """
import pkg_resources, sysconfig
for found in pkg_resources.find_distributions(sysconfig.get_path("purelib")):
    print(found.key, found.version)
"""


def run(client, pushed, *command, **options):
    return client.containers.run(
        pushed.image.local, list(command), remove=True, network_mode="none", **options
    ).decode()


def test_the_registry_holds_one_image_under_the_digest(pushed, manifests):
    kind, body = manifests(pushed.image.uri)
    assert kind == name.MANIFEST
    assert "sha256:" + hashlib.sha256(body).hexdigest() == pushed.image.digest
    told = json.loads(body)
    assert pushed.image.size == told["config"]["size"] + sum(layer["size"] for layer in told["layers"])
    assert pushed.image.uri.endswith(f"/mlagents-0.11.0@{pushed.image.digest}")


def test_it_is_for_linux_amd64_and_labelled(client, pushed):
    told = client.images.get(pushed.image.local).attrs
    assert (told["Os"], told["Architecture"]) == ("linux", "amd64")
    assert told["Config"]["Labels"] == {
        "org.opencontainers.image.title": "ML-Agents 0.11.0 trainer",
        "org.opencontainers.image.description": "Trains Unity ML-Agents v0.11.0 builds as an Amazon SageMaker training job",
        "org.opencontainers.image.version": "0.11.0",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.base.name": os.environ[name.BASE_VARIABLE],
    }


def test_without_its_base_it_is_small(pushed):
    base, *ours = image.layers(pushed.image)
    assert base.holds == "base: Debian, Python 3.7"
    assert [layer.holds for layer in ours] == ["ML-Agents, TensorFlow", "speedups", "train"]
    assert sum(layer.size for layer in ours) <= MAX_SIZE
    assert image.plot([base, *ours]).axes[0].patches[1].get_width() == ours[0].size / 1e6


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
    said = json.dumps(client.images.get(pushed.image.local).history())
    assert "PIP_" not in said
    assert "ca.pem" not in said


def test_without_a_word_it_prints_usage(client, pushed):
    said = run(client, pushed)
    assert "docker run --rm --network none --volume FOLDER:/opt/ml IMAGE train" in said
    assert "stop-at-reward" in said


def test_building_and_pushing_the_same_again_does_nothing(connection, client, container, pushed):
    identity = client.images.get(pushed.image.local).id
    again = image.build(connection, container)
    once_more = image.push(connection, again)
    assert (again.done, once_more.sent, once_more.kept) == ("kept", 0, 0)
    assert once_more.image == pushed.image
    assert client.images.get(pushed.image.local).id == identity


def test_touching_train_sends_one_layer(connection, client, container, pushed, tmp_path):
    """Twice, for the first may rest on packages that a build by hand has left since `pushed` was made."""
    folder = tmp_path / "container"
    shutil.copytree(container, folder)
    before = pushed.image
    for _ in range(2):
        with (folder / "train").open("a") as file:
            file.write(f"# {time.time()}\n")
        built = image.build(connection, folder)
        changed = image.push(connection, built)
        client.images.remove(built.image.local, force=True)
        assert built.done == "built"
        assert built.image.tag != before.tag
        assert changed.image.digest != before.digest
        before = changed.image
    assert changed.sent == 1
    assert changed.kept >= 2


def test_credentials_are_written_nowhere(pushed):
    assert pushed.image.digest
    assert list(Path(os.environ["DOCKER_CONFIG"]).iterdir()) == []


def test_repository_is_as_it_should_be(connection, pushed):
    ecr = connection.client("ecr")
    repository = ecr.describe_repositories(repositoryNames=["mlagents-0.11.0"])["repositories"][0]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["repositoryUri"] == f"{pushed.image.registry}/mlagents-0.11.0"
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
    yield image.Build(made, "built", "", 0.0)
    client.images.remove(made.local, force=True)


def test_a_push_that_broke_off_goes_on(connection, pushed, layered, monkeypatch):
    finish = pushing.LayerBars.finish

    def break_off(self, layer):
        finish(self, layer)
        raise KeyboardInterrupt

    monkeypatch.setattr(pushing.LayerBars, "finish", break_off)
    with pytest.raises(KeyboardInterrupt):
        image.push(connection, layered)
    # Half of it is no image: nothing can be launched by it.
    assert name.look_up(connection, layered.image).digest == ""
    monkeypatch.undo()
    assert_it_goes_on(connection, layered)


def test_a_push_whose_engine_goes_away_goes_on(connection, pushed, layered, cable, monkeypatch):
    finish = pushing.LayerBars.finish

    def cut(self, layer):
        finish(self, layer)
        cable.cut()

    monkeypatch.setattr(pushing.LayerBars, "finish", cut)
    monkeypatch.setattr(engine, "connect", lambda: cable.client)
    with pytest.raises(image.ImageError, match="running this again goes on"):
        image.push(connection, layered)
    assert name.look_up(connection, layered.image).digest == ""
    monkeypatch.undo()
    assert_it_goes_on(connection, layered)


def assert_it_goes_on(connection, layered):
    done = image.push(connection, layered)
    assert done.sent + done.kept == 4
    assert done.kept >= 1
    assert done.image.digest.startswith("sha256:")


def test_what_was_pushed_outlives_the_embedded_aws(connection, pushed):
    import sagemaker_local as embedded
    from helpers import aws

    assert embedded.stop()
    again = aws.connect("embedded")
    found = name.look_up(again, pushed.image)
    assert (found.digest, found.size) == (pushed.image.digest, pushed.image.size)
    assert name.registry_address(again) == pushed.image.registry
