"""An embedded AWS for this test process, whose jobs run `program.py` instead of container/train."""

import contextlib
import io
import json
import os
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import sagemaker_local as embedded

PROGRAM = f"{sys.executable} -S {Path(__file__).with_name('program.py')}"
SETTINGS = {
    "EMBEDDED_TRAIN_PROGRAM": PROGRAM,
    "EMBEDDED_MAX_JOBS": "6",
    "EMBEDDED_SYNC_SECONDS": "0.2",
    "EMBEDDED_GRACE_SECONDS": "1.5",
}
ROLE = "arn:aws:iam::123456789012:role/training"
BUCKET = "embedded-tests"


@contextlib.contextmanager
def environment(**values):
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def wait_for(poll, seconds=20.0):
    """Poll until the result is true; the API has no event to wait for."""
    end = time.monotonic() + seconds
    while not (result := poll()):
        assert time.monotonic() < end, f"still not after {seconds} s"
        time.sleep(0.02)
    return result


TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def prepare(aws):
    """Create the bucket and the role that jobs need."""
    aws.s3.create_bucket(Bucket=BUCKET)  # in us-east-1 it may be there already
    iam, trust = aws.client("iam"), json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    if ROLE not in {role["Arn"] for role in iam.list_roles()["Roles"]}:
        iam.create_role(RoleName="training", AssumeRolePolicyDocument=trust)
    return aws


class Aws:
    """Clients of one embedded AWS, and shortcuts for jobs."""

    bucket, role = BUCKET, ROLE
    wait_for = staticmethod(wait_for)

    def __init__(self, server):
        self.server, self.count = server, 0
        self.clients = {}

    @staticmethod
    def statuses(description):
        return [transition["Status"] for transition in description["SecondaryStatusTransitions"]]

    @staticmethod
    def channel(name, prefix, **more):
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}

    @staticmethod
    def metrics(**regexes):
        definitions = [{"Name": name, "Regex": regex} for name, regex in regexes.items()]
        return {"TrainingImage": "trainer:test", "TrainingInputMode": "File", "MetricDefinitions": definitions}

    def archive(self, key):
        """Unpack an archive in S3: a dict of names and texts."""
        with tarfile.open(fileobj=io.BytesIO(self.get(key))) as archive:
            return {m.name: archive.extractfile(m).read().decode() for m in archive if m.isfile()}

    def client(self, service, region_name="us-east-1", **config):
        key = (service, region_name, *config)
        if key not in self.clients:
            options = Config(retries={"total_max_attempts": 1}, **config)
            self.clients[key] = boto3.client(
                service,
                endpoint_url=self.server.url,
                region_name=region_name,
                aws_access_key_id=self.server.keys.access,
                aws_secret_access_key=self.server.keys.secret,
                config=options,
            )
        return self.clients[key]

    @property
    def sm(self):
        return self.client("sagemaker")

    @property
    def s3(self):
        return self.client("s3")

    def request(self, do="", **changes):
        self.count += 1
        request = {
            "TrainingJobName": f"job-{self.count}",
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingImage": "trainer:test", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "HyperParameters": {"do": do},
            **changes,
        }
        return {key: value for key, value in request.items() if value is not None}

    def create(self, do="", **changes):
        request = self.request(do, **changes)
        self.sm.create_training_job(**request)
        return request["TrainingJobName"]

    def describe(self, name):
        description = self.sm.describe_training_job(TrainingJobName=name)
        del description["ResponseMetadata"]
        return description

    def ended(self, name):
        ended = ("Completed", "Failed", "Stopped")
        return wait_for(lambda: (description := self.describe(name))["TrainingJobStatus"] in ended and description)

    def run(self, do="", **changes):
        return self.ended(self.create(do, **changes))

    def deleted(self, name):
        """Delete a job once its thread has ended, shortly after its status has changed."""

        def delete():
            try:
                return self.sm.delete_training_job(TrainingJobName=name)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "ResourceInUse"

        wait_for(delete)

    def log(self, name):
        file = self.folder(name) / "log.txt"
        return file.read_text(errors="replace") if file.exists() else ""

    def logged(self, name, text="waiting\n"):
        wait_for(lambda: text in self.log(name))

    def folder(self, name):
        return self.server.home / "jobs" / name

    def get(self, key):
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def keys(self, prefix):
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())]


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    home = tmp_path_factory.mktemp("embedded-home")
    with environment(EMBEDDED_HOME=str(home), **SETTINGS):
        server = embedded.start()
    yield server
    with environment(EMBEDDED_HOME=str(home)):
        embedded.stop()


@pytest.fixture(scope="session")
def shared(shared_server):
    return prepare(Aws(shared_server))


@pytest.fixture
def aws(shared, monkeypatch):
    """The embedded AWS that the tests of this process share."""
    monkeypatch.setenv("EMBEDDED_HOME", str(shared.server.home))
    return shared


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Start an embedded AWS for this test alone: ``own.start(EMBEDDED_MAX_JOBS="1")``; also after it was killed."""
    monkeypatch.setenv("EMBEDDED_HOME", str(tmp_path / "home"))
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)

    def start(program=None, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return prepare(Aws(embedded.start(program)))

    yield SimpleNamespace(start=start, wait_for=wait_for, home=tmp_path / "home")
    embedded.stop()
