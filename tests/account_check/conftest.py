"""An embedded AWS with jobs of the small program, and an account whose answers a test lays down."""

import json
import sys
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import ClassVar

import boto3
import pytest
from botocore.stub import Stubber
from botocore.validate import ParamValidator

import sagemaker_local as embedded
import training_image as image
from account_check import machine
from common import aws_session
from helpers import aws

PROGRAM = Path(__file__).parents[1] / "sagemaker_local" / "program.py"
ACCOUNT = "123456789012"
USER = f"arn:aws:iam::{ACCOUNT}:user/reader"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/mlagents-training"


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", str(tmp_path_factory.mktemp("preflight-embedded")))
        with pytest.MonkeyPatch.context() as for_the_server:
            for_the_server.setenv("EMBEDDED_TRAIN_PROGRAM", f"{sys.executable} -S {PROGRAM}")
            for_the_server.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")  # builds are only recorded
            embedded.start()
        yield aws.connect("embedded")
        embedded.stop()


class Account:
    """A session whose clients answer what a test lays down, and nothing else."""

    real = boto3.Session("TESTING", "testing", region_name="us-east-1")
    clients: ClassVar[dict] = {}  # made once: to make them is what takes long

    def __init__(self):
        self.region_name = "us-east-1"
        self.stubs = {}
        self.denied = set()
        self.simulated = []
        self.credentials = object()

    def get_credentials(self):
        return self.credentials

    def get_partition_for_region(self, region):
        return self.real.get_partition_for_region(region)

    def get_available_regions(self, service, partition_name="aws"):
        return self.real.get_available_regions(service, partition_name=partition_name)

    def client(self, service, **_):
        if service not in self.clients:
            self.clients[service] = self.real.client(service)
        client = self.clients[service]
        if service not in self.stubs:
            self.stubs[service] = Stubber(client)
            self.stubs[service].activate()
            if service == "iam":
                # Its answer depends on the question, which a Stubber can't say.
                client.get_paginator = lambda call: self
        return client

    def paginate(self, **asked):
        """Answer as the pages of SimulatePrincipalPolicy."""
        shape = self.client("iam").meta.service_model.operation_model("SimulatePrincipalPolicy").input_shape
        wrong = ParamValidator().validate(asked, shape)
        assert not wrong.has_errors(), wrong.generate_report()
        self.simulated.append(asked)
        decisions = {action: "implicitDeny" if action in self.denied else "allowed" for action in asked["ActionNames"]}
        results = [{"EvalActionName": action, "EvalDecision": decisions[action]} for action in decisions]
        yield {"EvaluationResults": results[:1], "IsTruncated": True}
        yield {"EvaluationResults": results[1:], "IsTruncated": False}

    def answer(self, service, call, response, **params):
        self.client(service)
        self.stubs[service].add_response(call, response, params or None)

    def refuse(self, service, call, code, status=400, message="", headers=None):
        self.client(service)
        meta = {"HTTPHeaders": headers} if headers else {}
        self.stubs[service].add_client_error(call, code, message, status, response_meta=meta)

    def identity(self, arn=USER, skew=0.0):
        date = format_datetime(datetime.now(timezone.utc) - timedelta(seconds=skew), usegmt=False)
        meta = {"HTTPHeaders": {"date": date}, "HTTPStatusCode": 200}
        answer = {"Account": ACCOUNT, "Arn": arn, "UserId": "U", "ResponseMetadata": meta}
        self.answer("sts", "get_caller_identity", answer)

    def bucket(self, region="us-east-1", block=True, algorithm="AES256", **key):
        owned = {"Bucket": f"mlagents-us-east-1-{ACCOUNT}", "ExpectedBucketOwner": ACCOUNT}
        self.answer("s3", "head_bucket", {"BucketRegion": region}, **owned)
        if region != "us-east-1":
            return
        configuration = dict.fromkeys(aws_session.NOT_PUBLIC, block)
        self.answer("s3", "get_public_access_block", {"PublicAccessBlockConfiguration": configuration}, **owned)
        rule = {
            "ApplyServerSideEncryptionByDefault": {
                "SSEAlgorithm": algorithm,
                **key,
            }
        }
        self.answer("s3", "get_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}, **owned)

    def role(self, trust=None, arn=ROLE):
        role = {
            "Path": "/",
            "RoleName": arn.rpartition("/")[2],
            "RoleId": "A" * 16,
            "Arn": arn,
            "CreateDate": datetime(2020, 1, 1),
            "AssumeRolePolicyDocument": json.dumps(aws.TRUST_SAGEMAKER if trust is None else trust),
        }
        self.answer("iam", "get_role", {"Role": role}, RoleName=role["RoleName"])

    def quotas(self, call="list_service_quotas", **values):
        kinds = {"training": "training job", "spot": "spot training job", "pool": "training warm pool"}
        names = {key: f"ml.c5.xlarge for {kind} usage" for key, kind in kinds.items()}
        quotas = [{"QuotaName": names[key], "QuotaCode": f"L-{key}", "Value": v} for key, v in values.items()]
        self.answer("service-quotas", call, {"Quotas": quotas}, ServiceCode="sagemaker")

    def whole(self):
        self.identity()
        self.bucket()
        self.role()
        self.quotas(training=2.0, spot=1.0)
        return self


@pytest.fixture
def account():
    account = Account()
    yield account
    for stub in account.stubs.values():
        stub.deactivate()


@pytest.fixture(autouse=True)
def machine_with_all(monkeypatch):
    """Return a machine with an engine and room, and a registry that holds the image."""

    class Engine:
        def version(self):
            return {"Version": "29.0"}

    monkeypatch.setattr(machine.engine, "connect", Engine)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 50e9}))
    held = image.Image("registry.example", "0123456789abcdef", digest="sha256:1")
    monkeypatch.setattr(machine.image, "read", lambda connection, folder: held)
