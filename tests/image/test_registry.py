"""ECR of the embedded AWS: moto's records, a registry's images, one answer."""

import base64
import hashlib
import json
import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers import embedded

PROGRAM = Path(__file__).with_name("registry_program.py")
KIND = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": KIND,
        "config": {"digest": "sha256:c", "size": 7},
        "layers": [{"digest": "sha256:a", "size": 100}, {"digest": "sha256:b", "size": 20}],
    }
)
DIGEST = "sha256:" + hashlib.sha256(MANIFEST.encode()).hexdigest()
REPOSITORY = "mlagents-0.11.0"


class Aws:
    """An embedded AWS of one test."""

    def start(self):
        server = embedded.start()
        self.home = server.home
        self.ecr = boto3.client(
            "ecr",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(proxies={}),
        )
        return self

    def push(self, tag, manifest=MANIFEST):
        """Put a manifest into the registry's own store, as a push does."""
        store = self.home / "registry" / "data" / "manifests.json"
        kept = json.loads(store.read_text()) if store.is_file() else {}
        kept.setdefault(REPOSITORY, {})[tag] = manifest
        store.write_text(json.dumps(kept))

    def address(self):
        return self.ecr.describe_repositories()["repositories"][0]["repositoryUri"].removesuffix(f"/{REPOSITORY}")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    yield tmp_path
    embedded.stop()


@pytest.fixture
def aws(home):
    """Start an embedded AWS on a machine with a registry program."""
    program = home / "bin" / "docker-registry"
    program.write_text(f"#!{sys.executable}\n{PROGRAM.read_text()}")
    program.chmod(0o755)
    return Aws().start()


def test_without_a_registry_program_it_says_how_to_get_one(home):
    aws = Aws().start()
    made = aws.ecr.create_repository(repositoryName=REPOSITORY)["repository"]
    assert made["repositoryUri"] == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}"
    with pytest.raises(ClientError) as refused:
        aws.ecr.get_authorization_token()
    assert refused.value.response["Error"]["Code"] == "RegistryUnavailableException"
    for advice in ("apt-get install docker-registry", "docker pull registry:2"):
        assert advice in refused.value.response["Error"]["Message"]


def test_what_is_pushed_is_described_until_it_is_deleted(aws):
    made = aws.ecr.create_repository(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")["repository"]
    address = aws.address()
    assert address.startswith("127.0.0.1:")
    assert made["repositoryUri"] == f"{address}/{REPOSITORY}"
    told = aws.ecr.get_authorization_token()["authorizationData"][0]
    assert told["proxyEndpoint"] == f"http://{address}"
    assert base64.b64decode(told["authorizationToken"]).startswith(b"AWS:")
    assert told["expiresAt"] > datetime.now(timezone.utc) + timedelta(hours=11)
    with pytest.raises(aws.ecr.exceptions.ImageNotFoundException):
        aws.ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "one"}])
    aws.push("one")
    for _ in range(2):
        [image] = aws.ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "one"}])["imageDetails"]
        assert (image["imageDigest"], image["imageSizeInBytes"]) == (DIGEST, 127)
        assert (image["imageTags"], image["imageManifestMediaType"]) == (["one"], KIND)
    [held] = aws.ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "one"}])["images"]
    assert held["imageManifest"] == MANIFEST
    aws.ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "one"}])
    assert aws.ecr.list_images(repositoryName=REPOSITORY)["imageIds"] == []
    assert json.loads((aws.home / "registry/data/manifests.json").read_text()) == {REPOSITORY: {}}


def test_an_index_is_told_as_one(aws):
    index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
    aws.ecr.create_repository(repositoryName=REPOSITORY)
    aws.push("both", index)
    [image] = aws.ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert image["imageManifestMediaType"] == "application/vnd.oci.image.index.v1+json"


def test_repositories_and_images_outlive_the_server(aws):
    aws.ecr.create_repository(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    rules = json.dumps(
        {
            "rules": [
                {
                    "rulePriority": 1,
                    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10},
                    "action": {"type": "expire"},
                }
            ]
        }
    )
    aws.ecr.put_lifecycle_policy(repositoryName=REPOSITORY, lifecyclePolicyText=rules)
    aws.push("one")
    address = aws.address()
    assert embedded.stop()
    aws.start()
    [image] = aws.ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert image["imageDigest"] == DIGEST
    assert aws.ecr.get_lifecycle_policy(repositoryName=REPOSITORY)["lifecyclePolicyText"] == rules
    assert aws.ecr.describe_repositories()["repositories"][0]["imageTagMutability"] == "IMMUTABLE"
    assert aws.address() == address


def test_a_registry_that_was_killed_is_started_again_where_it_was(aws):
    aws.ecr.create_repository(repositoryName=REPOSITORY)
    address = aws.address()
    [program] = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(aws.home / "registry" / "config.json") in (process.info["cmdline"] or [])
    ]
    program.kill()
    psutil.wait_procs([program], timeout=10)
    aws.push("one")
    assert aws.ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"][0]["imageDigest"] == DIGEST
    assert aws.address() == address


def test_no_registry_is_left_behind(aws):
    aws.ecr.get_authorization_token()
    mark = str(aws.home / "registry" / "config.json")
    assert embedded.stop()
    left = [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]
    assert left == []
    assert os.environ["DOCKER_HOST"].endswith("no-engine.sock")
