"""ECR of the embedded AWS: moto's records, a registry's images, one answer."""

import base64
import contextlib
import hashlib
import json
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


class Aws:
    """An embedded AWS of one test."""

    def start(self):
        server = embedded.start()
        self.home = server.home
        self.ecr = boto3.client(
            "ecr",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id=server.keys.access,
            aws_secret_access_key=server.keys.secret,
            config=Config(proxies={}),
        )
        return self

    def push(self, repository, tag, manifest=MANIFEST):
        """Put a manifest into the registry's own store, as a push does."""
        store = self.home / "registry" / "data" / "manifests.json"
        kept = json.loads(store.read_text()) if store.is_file() else {}
        kept.setdefault(repository, {})[tag] = manifest
        store.write_text(json.dumps(kept))

    def address(self, repository):
        return self.ecr.describe_repositories(repositoryNames=[repository])["repositories"][0][
            "repositoryUri"
        ].removesuffix(f"/{repository}")


@contextlib.contextmanager
def machine(folder, program):
    """Be on a machine without an engine, with a registry program or without one."""
    (folder / "bin").mkdir()
    if program:
        path = folder / "bin" / "docker-registry"
        path.write_text(f"#!{sys.executable}\n{PROGRAM.read_text()}")
        path.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", str(folder / "home"))
        patch.setenv("DOCKER_HOST", f"unix://{folder}/no-engine.sock")
        patch.setenv("PATH", str(folder / "bin"))
        yield Aws().start()
        embedded.stop()


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """Give an embedded AWS on a machine with a registry program."""
    folder = tmp_path_factory.mktemp("registry")
    with machine(folder, program=True) as aws:
        yield aws
        config = str(aws.home / "registry" / "config.json")
        assert embedded.stop()
        assert [
            process for process in psutil.process_iter(["cmdline"]) if config in (process.info["cmdline"] or [])
        ] == []


@pytest.fixture
def repository(request):
    """Name a repository of the test's own."""
    return request.node.name.replace("_", "-")[:30].strip("-")


def test_without_a_registry_program_it_says_how_to_get_one(tmp_path, repository):
    with machine(tmp_path, program=False) as aws:
        made = aws.ecr.create_repository(repositoryName=repository)["repository"]
        assert made["repositoryUri"] == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{repository}"
        with pytest.raises(ClientError) as refused:
            aws.ecr.get_authorization_token()
    assert refused.value.response["Error"]["Code"] == "RegistryUnavailableException"
    for advice in ("apt-get install docker-registry", "docker pull registry:2"):
        assert advice in refused.value.response["Error"]["Message"]


def test_what_is_pushed_is_described_until_it_is_deleted(aws, repository):
    made = aws.ecr.create_repository(repositoryName=repository, imageTagMutability="IMMUTABLE")["repository"]
    address = aws.address(repository)
    assert address.startswith("127.0.0.1:")
    assert made["repositoryUri"] == f"{address}/{repository}"
    told = aws.ecr.get_authorization_token()["authorizationData"][0]
    assert told["proxyEndpoint"] == f"http://{address}"
    assert base64.b64decode(told["authorizationToken"]).startswith(b"AWS:")
    assert told["expiresAt"] > datetime.now(timezone.utc) + timedelta(hours=11)
    with pytest.raises(ClientError, match="ImageNotFoundException"):
        aws.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "one"}])
    aws.push(repository, "one")
    for _ in range(2):
        [image] = aws.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "one"}])["imageDetails"]
        assert (image["imageDigest"], image["imageSizeInBytes"]) == (DIGEST, 127)
        assert (image["imageTags"], image["imageManifestMediaType"]) == (["one"], KIND)
    [held] = aws.ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "one"}])["images"]
    assert held["imageManifest"] == MANIFEST
    aws.ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "one"}])
    assert aws.ecr.list_images(repositoryName=repository)["imageIds"] == []
    assert json.loads((aws.home / "registry/data/manifests.json").read_text())[repository] == {}


def test_an_index_is_told_as_one(aws, repository):
    index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
    aws.ecr.create_repository(repositoryName=repository)
    aws.push(repository, "both", index)
    [image] = aws.ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert image["imageManifestMediaType"] == "application/vnd.oci.image.index.v1+json"


def test_repositories_and_images_outlive_the_server(aws, repository):
    aws.ecr.create_repository(repositoryName=repository, imageTagMutability="IMMUTABLE")
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
    aws.ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=rules)
    aws.push(repository, "one")
    address = aws.address(repository)
    assert embedded.stop()
    aws.start()
    [image] = aws.ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert image["imageDigest"] == DIGEST
    assert aws.ecr.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"] == rules
    assert (
        aws.ecr.describe_repositories(repositoryNames=[repository])["repositories"][0]["imageTagMutability"]
        == "IMMUTABLE"
    )
    assert aws.address(repository) == address


def test_a_registry_that_was_killed_is_started_again_where_it_was(aws, repository):
    aws.ecr.create_repository(repositoryName=repository)
    address = aws.address(repository)
    [program] = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(aws.home / "registry" / "config.json") in (process.info["cmdline"] or [])
    ]
    program.kill()
    psutil.wait_procs([program], timeout=10)
    aws.push(repository, "one")
    assert aws.ecr.describe_images(repositoryName=repository)["imageDetails"][0]["imageDigest"] == DIGEST
    assert aws.address(repository) == address
