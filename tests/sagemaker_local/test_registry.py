"""ECR of the embedded AWS: moto's records and a registry's images always agree."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
import psutil
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

import sagemaker_local as embedded

PROGRAM = Path(__file__).with_name("registry_program.py")
REAL = shutil.which("docker-registry")
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
    """An embedded AWS for one test."""

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
        """Put a manifest directly into the registry's store."""
        store = self.home / "registry" / "data" / "manifests.json"
        kept = json.loads(store.read_text()) if store.is_file() else {}
        kept.setdefault(repository, {})[tag] = manifest
        store.write_text(json.dumps(kept))

    def login(self):
        """Return the header that `docker login` derives from ECR's token."""
        [data] = self.ecr.get_authorization_token()["authorizationData"]
        return {"Authorization": f"Basic {data['authorizationToken']}"}

    def address(self, repository):
        return self.ecr.describe_repositories(repositoryNames=[repository])["repositories"][0][
            "repositoryUri"
        ].removesuffix(f"/{repository}")


@contextlib.contextmanager
def machine(folder, program):
    """Simulate a machine without an engine, with or without a registry program."""
    (folder / "bin").mkdir()
    if isinstance(program, str):
        (folder / "bin" / "docker-registry").symlink_to(program)
    elif program:
        path = folder / "bin" / "docker-registry"
        path.write_text(f"#!{sys.executable}\n{PROGRAM.read_text()}")
        path.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", str(folder / "home"))
        patch.setenv("DOCKER_HOST", f"unix://{folder}/no-engine.sock")
        patch.setenv("PATH", str(folder / "bin"))
        try:
            yield Aws().start()
        finally:
            embedded.stop()


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """Return an embedded AWS on a machine with a registry program."""
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
    """Return the name of a repository for this test alone."""
    return request.node.name.replace("_", "-")[:30].strip("-")


def test_without_a_registry_program_it_says_how_to_get_one(tmp_path, repository):
    with machine(tmp_path, program=False) as aws:
        created = aws.ecr.create_repository(repositoryName=repository)["repository"]
        assert created["repositoryUri"] == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{repository}"
        with pytest.raises(ClientError) as refused:
            aws.ecr.get_authorization_token()
    assert refused.value.response["Error"]["Code"] == "RegistryUnavailableException"
    for advice in ("apt-get install docker-registry", "docker pull registry:2"):
        assert advice in refused.value.response["Error"]["Message"]


def test_what_is_pushed_is_described_until_it_is_deleted(aws, repository):
    created = aws.ecr.create_repository(repositoryName=repository, imageTagMutability="IMMUTABLE")["repository"]
    address = aws.address(repository)
    assert address.startswith("127.0.0.1:")
    assert created["repositoryUri"] == f"{address}/{repository}"
    authorization = aws.ecr.get_authorization_token()["authorizationData"][0]
    assert authorization["proxyEndpoint"] == f"http://{address}"
    assert base64.b64decode(authorization["authorizationToken"]).startswith(b"AWS:")
    assert authorization["expiresAt"] > datetime.now(timezone.utc) + timedelta(hours=11)
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


def test_an_image_index_keeps_its_media_type(aws, repository):
    index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
    aws.ecr.create_repository(repositoryName=repository)
    aws.push(repository, "both", index)
    [image] = aws.ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert image["imageManifestMediaType"] == "application/vnd.oci.image.index.v1+json"


def other(number):
    """Return another image's manifest."""
    manifest = json.loads(MANIFEST)
    manifest["layers"][0]["size"] = number
    return json.dumps(manifest)


def put(aws, repository, tag, manifest):
    """Push a manifest to the registry's address; return status and body."""
    url = f"http://{aws.address(repository)}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(url, manifest.encode(), {"Content-Type": KIND, **aws.login()}, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["errors"][0]


def pull(aws, repository, tag):
    url = f"http://{aws.address(repository)}/v2/{repository}/manifests/{tag}"
    with urllib.request.urlopen(urllib.request.Request(url, headers=aws.login()), timeout=30) as response:
        return response.read().decode()


def tags(aws, repository):
    details = aws.ecr.describe_images(repositoryName=repository)["imageDetails"]
    return {image["imageDigest"]: sorted(image.get("imageTags", [])) for image in details}


def digest(manifest):
    return "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()


def test_a_push_to_an_immutable_tag_is_refused(aws, repository):
    aws.ecr.create_repository(repositoryName=repository, imageTagMutability="IMMUTABLE")
    assert put(aws, repository, "one", MANIFEST) == (201, b"")
    assert put(aws, repository, "one", MANIFEST) == (201, b"")  # pushing the same again changes nothing
    assert put(aws, repository, "two", other(1))[0] == 201
    refused = {
        "code": "TAG_INVALID",
        "message": f"The image tag 'one' already exists in the '{repository}' repository and cannot be overwritten because "
        "the repository is immutable.",
    }
    assert put(aws, repository, "one", other(1)) == (400, refused)
    assert pull(aws, repository, "one") == MANIFEST
    assert tags(aws, repository) == {DIGEST: ["one"], digest(other(1)): ["two"]}
    with pytest.raises(ClientError, match="ImageTagAlreadyExistsException"):
        aws.ecr.put_image(repositoryName=repository, imageManifest=other(2), imageTag="one")
    assert pull(aws, repository, "one") == MANIFEST
    aws.ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "one"}])
    assert put(aws, repository, "one", other(2))[0] == 201  # the tag no longer exists


def test_ecr_and_the_registry_never_differ(aws, repository):
    aws.ecr.create_repository(repositoryName=repository)
    for tag, manifest in (("a", MANIFEST), ("b", MANIFEST), ("c", other(1))):
        put(aws, repository, tag, manifest)
    assert tags(aws, repository) == {DIGEST: ["a", "b"], digest(other(1)): ["c"]}
    for manifest in (other(1), MANIFEST):  # moved away and back again
        put(aws, repository, "a", manifest)
        [image] = aws.ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "a"}])["images"]
        assert image["imageManifest"] == pull(aws, repository, "a") == manifest
    gone = aws.ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "a"}])
    assert (gone["failures"], tags(aws, repository)[DIGEST]) == ([], ["b"])
    assert pull(aws, repository, "b") == MANIFEST
    with pytest.raises(urllib.error.HTTPError, match="404"):
        pull(aws, repository, "a")
    aws.ecr.put_image(repositoryName=repository, imageManifest=other(3), imageTag="d")
    assert pull(aws, repository, "d") == other(3)
    listed = aws.ecr.list_images(repositoryName=repository)["imageIds"]
    assert sorted(image["imageTag"] for image in listed) == ["b", "c", "d"]
    with pytest.raises(ClientError, match="RepositoryNotEmptyException"):
        aws.ecr.delete_repository(repositoryName=repository)
    address = aws.address(repository)
    aws.ecr.delete_repository(repositoryName=repository, force=True)
    request = urllib.request.Request(f"http://{address}/v2/{repository}/blobs/uploads/", b"", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(request, timeout=30)
    assert json.loads(refused.value.read())["errors"][0]["code"] == "NAME_UNKNOWN"
    aws.ecr.create_repository(repositoryName=repository)
    assert tags(aws, repository) == {}  # the old images do not come back


@pytest.mark.skipif(not REAL, reason="no docker-registry here")
def test_a_push_to_a_real_registry(tmp_path, repository):
    layers = [os.urandom(3 << 20), b"{}"]
    names = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    parts = [{"mediaType": KIND, "digest": name, "size": len(layer)} for name, layer in zip(names, layers, strict=True)]
    manifest = json.dumps({"schemaVersion": 2, "mediaType": KIND, "config": parts[1], "layers": parts[:1]})
    with machine(tmp_path, program=REAL) as aws:
        aws.ecr.create_repository(repositoryName=repository, imageTagMutability="IMMUTABLE")
        assert put(aws, repository, "one", manifest)[1]["code"] == "MANIFEST_BLOB_UNKNOWN"
        with pytest.raises(ClientError, match="LayersNotFoundException"):
            aws.ecr.put_image(repositoryName=repository, imageManifest=manifest, imageTag="one")
        assert tags(aws, repository) == {}
        session = requests.Session()
        session.trust_env = False
        uploads = f"http://{aws.address(repository)}/v2/{repository}/blobs/uploads/"
        for login in (None, ("AWS", "any")):
            assert session.post(uploads, auth=login).status_code == 401
        session.headers.update(aws.login())
        for name, layer in zip(names, layers, strict=True):
            begun = session.post(uploads)
            assert begun.headers["Location"].startswith(f"http://{aws.address(repository)}/")
            sent = session.patch(begun.headers["Location"], data=iter([layer[:99], layer[99:]]))  # in chunks
            assert sent.headers["Range"] == f"0-{len(layer) - 1}"
            done = session.put(sent.headers["Location"], params={"digest": name})
            assert (done.status_code, done.headers["Docker-Content-Digest"]) == (201, name)
            assert session.get(done.headers["Location"]).content == layer
        assert put(aws, repository, "one", manifest)[0] == 201
        [image] = aws.ecr.describe_images(repositoryName=repository)["imageDetails"]
        assert (image["imageDigest"], image["imageSizeInBytes"]) == (digest(manifest), (3 << 20) + 2)
        layers_only = json.dumps({**json.loads(manifest), "layers": []})
        assert put(aws, repository, "one", layers_only)[1]["code"] == "TAG_INVALID"
        deleted = session.delete(f"http://{aws.address(repository)}/v2/{repository}/manifests/{digest(manifest)}")
        assert (deleted.status_code, deleted.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")


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


def test_a_killed_registry_restarts_at_the_same_address(aws, repository):
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
