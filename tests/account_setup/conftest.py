"""An embedded AWS in which nothing was made yet."""

import sys

import pytest

import sagemaker_local as embedded
from common import ROOT
from helpers import aws

ACCOUNT = "123456789012"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_HOME", str(tmp_path_factory.mktemp("embedded")))
        with pytest.MonkeyPatch.context() as for_the_server:
            program = ROOT / "tests/sagemaker_local/program.py"
            for_the_server.setenv("EMBEDDED_TRAIN_PROGRAM", f"{sys.executable} -S {program}")
            for_the_server.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")  # builds are only recorded
            embedded.start()
        yield aws.open_embedded(embedded.find())
        embedded.stop()


@pytest.fixture(scope="module")
def cloudformation(session):
    return session.client("cloudformation")


@pytest.fixture(scope="module")
def list_account():
    """Return a function that lists what is in an account, but for log groups of services, which many projects share."""
    return _list_account


def _list_account(session):
    budgets = session.client("budgets").describe_budgets(AccountId=ACCOUNT).get("Budgets", [])
    s3, iam, ecr = (session.client(name) for name in ("s3", "iam", "ecr"))
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    repositories = [each["repositoryName"] for each in ecr.describe_repositories()["repositories"]]
    return {
        "buckets": buckets,
        "objects": [
            (bucket, each["Key"])
            for bucket in buckets
            for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        ],
        "uploads": [
            each["Key"] for bucket in buckets for each in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        ],
        "jobs": [
            each["TrainingJobName"] for each in session.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
        ],
        "roles": sorted(each["RoleName"] for each in iam.list_roles()["Roles"]),
        "projects": session.client("codebuild").list_projects()["projects"],
        "log groups": [
            each["logGroupName"]
            for each in session.client("logs").describe_log_groups(logGroupNamePrefix="/aws/codebuild/")["logGroups"]
        ],
        "policies": [each["PolicyName"] for each in iam.list_policies(Scope="Local")["Policies"]],
        "repositories": repositories,
        "images": [each for name in repositories for each in ecr.list_images(repositoryName=name)["imageIds"]],
        "topics": [each["TopicArn"] for each in session.client("sns").list_topics()["Topics"]],
        "rules": [each["Name"] for each in session.client("events").list_rules()["Rules"]],
        "budgets": [each["BudgetName"] for each in budgets],
        "stacks": [each["StackName"] for each in session.client("cloudformation").describe_stacks()["Stacks"]],
    }
