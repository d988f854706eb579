"""Lessons 0 and 99: an account is set up, used, and emptied on a copy; nothing of the reader's own is lost."""

import sys

import pytest

import sagemaker_local as embedded
from account_setup import find
from common import ROOT
from helpers import aws, volume

pytestmark = pytest.mark.long

BUCKET = "mlagents-us-east-1-123456789012"


@pytest.fixture(scope="module")
def program():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_TRAIN_PROGRAM", f"{sys.executable} -S {ROOT / 'tests/sagemaker_local/program.py'}")
        yield


@pytest.fixture(scope="module")
def lessons(program, project, run):
    """Run lesson 0, leave what a training leaves, and run the last lesson."""
    first = run(0)
    again = run(0, "again")
    connection = aws.connect("embedded")
    (project / "unity-volume/3DBall.x86_64").write_bytes(b"player")
    volume.upload(connection.client("s3"), connection.bucket, project / "unity-volume", progress=False)
    connection.client("sagemaker").create_training_job(
        TrainingJobName="mlagents-1",
        RoleArn=connection.role,
        AlgorithmSpecification={"TrainingImage": "trainer:test", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/training"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        HyperParameters={"do": "model trained"},
        Tags=[{"Key": "project", "Value": "mlagents"}],
    )
    connection.client("sagemaker").get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="mlagents-1", WaiterConfig={"Delay": 0.2, "MaxAttempts": 300}
    )
    before = find(connection.session)
    return first, again, run(99), before, connection


def test_lesson_0_shows_what_it_changes_before_it_does(lessons):
    first, again, *_ = lessons
    assert "mlagents: 11 to add" in first
    for name in (
        "Bucket",
        "Repository",
        "Role",
        "BuildProject",
        "UserPolicy",
        "JobEnded",
        "JobEndedPolicy",
        "JobEndedRule",
        "TuningEndedRule",
    ):
        assert f"<td>{name}</td>" in first
    assert "abort-unfinished-uploads: Enabled" in first
    assert "sagemaker.amazonaws.com" in first
    assert "Nothing to change: the stack mlagents is as the template and your settings want it." in again


def test_the_connection_takes_what_the_stack_made(lessons):
    *_, connection = lessons
    assert (connection.bucket, connection.role) == (BUCKET, "arn:aws:iam::123456789012:role/mlagents-training")


def test_lesson_99_deletes_everything_in_the_copy(lessons):
    _, _, last, before, _ = lessons
    assert {item.kind for item in before.items} == {"builds", "results", "logs", "records", "stack"}
    assert f"Deleted {before}." in last
    assert "Nothing of this project is left in us-east-1. Other regions were not looked at." in last


def test_lesson_99_leaves_the_original_as_it_was(lessons, project):
    *_, before, connection = lessons
    assert {(item.kind, item.name) for item in find(connection.session).items} == {
        (item.kind, item.name) for item in before.items
    }
    assert connection.client("s3").list_buckets()["Buckets"][0]["Name"] == BUCKET
    assert len(connection.client("s3").list_buckets()["Buckets"]) == 1
    assert embedded.find(project / ".embedded/practice") is None


def test_the_mail_that_would_have_come_is_shown(lessons):
    _, _, last, *_ = lessons
    assert "you@example.com" in last
    assert "Training job mlagents-1: Completed." in last


@pytest.mark.parametrize("number", [0, 99])
def test_its_solution_runs(lessons, solve, number):
    solve(number)
