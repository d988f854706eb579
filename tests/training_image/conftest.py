"""A stand-in for the engine, and a connection whose ECR answers what a test says."""

import hashlib
import json

import boto3
import pytest
from botocore.stub import ANY, Stubber
from docker.errors import ImageNotFound

from common import docker_engine as engine
from common.aws_session import Connection

BASE = "python:3.7-test"


class Answers:
    """ECR with the answers that a test lays down, in order."""

    def __init__(self):
        self.ecr = boto3.client("ecr", "us-east-1", aws_access_key_id="TESTING", aws_secret_access_key="testing")
        self.stubber = Stubber(self.ecr)
        self.stubber.activate()

    def client(self, service, config=None):
        assert service == "ecr"
        return self.ecr

    def absent(self):
        self.stubber.add_client_error("describe_images", "ImageNotFoundException")

    def present(self, digest, kind="application/vnd.docker.distribution.manifest.v2+json"):
        detail = {"imageDigest": digest, "imageSizeInBytes": 200_000_000, "imageManifestMediaType": kind}
        self.stubber.add_response("describe_images", {"imageDetails": [detail]})

    def manifest(self, text, digest=None):
        """Return the manifest that is asked for by its digest, or another one."""
        digest = digest or "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        asked = {"repositoryName": "mlagents-0.11.0", "imageIds": [{"imageDigest": digest}], "acceptedMediaTypes": ANY}
        found = {"imageManifest": text, "imageManifestMediaType": json.loads(text)["mediaType"]}
        self.stubber.add_response("batch_get_image", {"images": [found]}, asked)
        return digest

    def refuse(self, call, code, message=""):
        self.stubber.add_client_error(call, code, message)

    def repository(self):
        uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlagents-0.11.0"
        self.stubber.add_response("create_repository", {"repository": {"repositoryUri": uri}})
        self.stubber.add_client_error("get_lifecycle_policy", "LifecyclePolicyNotFoundException")
        self.stubber.add_response("put_lifecycle_policy", {})

    def token(self, token):
        data = [{"authorizationToken": token, "proxyEndpoint": "https://123456789012.dkr.ecr.us-east-1.amazonaws.com"}]
        self.stubber.add_response("get_authorization_token", {"authorizationData": data})


class Found:
    """An image in the engine."""

    def __init__(self, architecture="amd64"):
        self.attrs = {"Os": "linux", "Architecture": architecture}
        self.tags = []

    def tag(self, name, tag):
        self.tags.append(f"{name}:{tag}")


class Engine:
    """A Docker engine as docker-py shows it, as far as building and pushing go."""

    def __init__(self):
        self.held = {BASE: Found()}
        self.pulls, self.builds, self.pushes = [], [], []
        self.pull_events, self.build_events, self.push_events = [], [], [[]]
        self.pulled = self.built = Found()
        self.images, self.api = self, self

    def version(self):
        return {"Os": "linux"}

    def get(self, name):
        if name not in self.held:
            raise ImageNotFound(f"No such image: {name}")
        return self.held[name]

    def pull(self, name, **options):
        self.pulls.append((name, options["platform"]))
        yield from self.pull_events
        self.held[name] = self.pulled

    def build(self, **options):
        self.builds.append(options)
        yield from self.build_events
        self.held[options["tag"]] = self.built

    def push(self, name, *, tag, auth_config, **options):
        self.pushes.append((name, tag, auth_config))
        events = self.push_events.pop(0)
        if isinstance(events, Exception):
            raise events
        yield from events


@pytest.fixture
def answers():
    answers = Answers()
    yield answers
    answers.stubber.assert_no_pending_responses()


@pytest.fixture
def connection(answers):
    return Connection("aws", answers, "123456789012", "us-east-1", "bucket", "role")


@pytest.fixture
def docker(monkeypatch):
    """Return an engine that is there."""
    made = Engine()
    monkeypatch.setattr(engine, "connect", lambda: made)
    return made


@pytest.fixture
def folder(tmp_path):
    """Make a small `container/`."""
    for name, content in {
        "Dockerfile": f"ARG BASE_IMAGE={BASE}\nFROM ${{BASE_IMAGE}}\n",
        "train": "print()\n",
        "paths.py": "",
        "compat.lock": "left out",
        ".dockerignore": "# a comment\n__pycache__\n*.lock\n.*\n",
        "__pycache__/paths.pyc": "left out",
    }.items():
        path = tmp_path / "container" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "container"
