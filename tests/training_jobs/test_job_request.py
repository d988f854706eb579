"""What is wrong with a request or its hyperparameters, and hyperparameters on their way to the container."""

import copy
import json

import pytest

from helpers import mlagents
from mlagents_check.unity_build import UnityBuildError
from sample_env import make_sample_build
from sample_env.player import scenes
from training_jobs import job_request

REQUEST = {
    "TrainingJobName": "mlagents-1",
    "RoleArn": "arn:aws:iam::123456789012:role/role",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "InputDataConfig": [
        {
            "ChannelName": "unity-volume",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/v/"}},
        }
    ],
    "OutputDataConfig": {"S3OutputPath": "s3://b/training"},
    "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
}


def find_problems(connection, **change):
    request = {**copy.deepcopy(REQUEST), **change}
    return list(job_request.find_problems(connection, "CreateTrainingJob", request))


def limits(runtime, wait=None, spot=True):
    limits = {"MaxRuntimeInSeconds": runtime, "MaxWaitTimeInSeconds": wait}
    limits = {name: value for name, value in limits.items() if value is not None}
    return {"StoppingCondition": limits, "EnableManagedSpotTraining": spot}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        (limits(60, spot=False), ""),
        (limits(28 * 24 * 3600, spot=False), ""),
        (limits(3600, 3600), ""),
        (limits(3600, 60, spot=False), ""),  # says nothing without spot
        (limits(59, spot=False), "Expected max_runtime_in_seconds from 60 to 2419200 (28 days), found 59."),
        (limits(28 * 24 * 3600 + 1), "Expected max_runtime_in_seconds from 60 to 2419200 (28 days), found 2419201."),
        (limits(None, 60), "Expected max_runtime_in_seconds from 60 to 2419200 (28 days), found None."),  # a day
        (
            limits(3600),
            "Expected max_wait_time_in_seconds from max_runtime_in_seconds (3600), because the training counts in it, "
            "to 2419200 (28 days), found None.",
        ),
        (limits(3600, 3599), "Expected max_wait_time_in_seconds from max_runtime_in_seconds (3600), because the "),
        (
            {"InputDataConfig": []},
            "Expected a request that AWS accepts, found: Invalid length for parameter InputDataCo",
        ),
        (
            {"InputDataConfig": [{**REQUEST["InputDataConfig"][0], "ChannelName": "training"}]},
            "Expected a channel unity-volume with the S3 URI that volume.locate(connection, folder) gives, found "
            "{'training': 's3://b/v/'}.",
        ),
        (
            {"ResourceConfig": {**REQUEST["ResourceConfig"], "InstanceType": "c5.xlarge"}},
            "Expected an instance_type such as \"ml.c5.xlarge\", found 'c5.xlarge'.",
        ),
        (
            {"ResourceConfig": {**REQUEST["ResourceConfig"], "InstanceCount": 2}},
            "Expected instance_count to be 1, because ML-Agents cannot spread a training over several machines, ",
        ),
        ({"RoleArn": 5}, "Expected a request that AWS accepts, found: Invalid type for parameter RoleArn, value: 5"),
    ],
)
def test_a_request_is_checked_before_it_is_sent(connection, change, problem):
    found = find_problems(connection, **change)
    assert len(found) == bool(problem)
    assert not problem or found[0].startswith(problem)


ROUND: list = []
ROUND.append(ROUND)
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]
NO_TEXT = "Expected the hyperparameter x to be text, a number, True or False, found "


@pytest.mark.parametrize(
    ("hyperparameters", "problem"),
    [
        ({}, ""),
        ({"n" * 256: "x" * 2500}, ""),
        (None, "Expected hyperparameters to be names and values, such as "),
        ({1: 2}, "Expected hyperparameters with names of 1 to 256 characters, found 1."),
        ({"": 2}, "Expected hyperparameters with names of 1 to 256 characters, found ''."),
        ({"n" * 257: 2}, "Expected hyperparameters with names of 1 to 256 characters, found 'nnn"),
        ({"a": None}, "Expected a value for the hyperparameter a, found None. Leave it out to have its default."),
        ({"a": "x" * 2501}, "Expected at most 2500 characters in the hyperparameter a, which is SageMaker's limit, "),
        ({str(n): n for n in range(101)}, "Expected at most 100 hyperparameters, which is SageMaker's limit, "),
        ({"x": {1, 2}}, NO_TEXT + "{1, 2}."),
        ({"x": frozenset()}, NO_TEXT + "frozenset()."),
        ({"x": b"x"}, NO_TEXT + "b'x'."),
        ({"x": ROUND}, NO_TEXT + "[[...]]."),
        ({"x": {(1,): 2}}, NO_TEXT + "{(1,): 2}."),
        ({"x": DEEP}, NO_TEXT + "one of type list that can't be shown."),
        ({"x": 10**5000}, NO_TEXT + "one of type int that can't be shown."),
    ],
    ids=range(16),
)
def test_hyperparameters_are_names_and_values(hyperparameters, problem):
    found = list(job_request.find_problems_of_hyperparameters(hyperparameters))
    assert len(found) == bool(problem)
    assert not problem or (found[0].startswith(problem) and len(found[0]) < 300)


def test_the_container_decodes_the_same_hyperparameters():
    hyperparameters = {"a": True, "b": ["--x", 1], "c": {"d": None}, "e": 1e-3, "f": "007", "g": ("--name", "a b")}
    encoded = job_request.encode(hyperparameters)
    assert encoded == {
        "a": "true",
        "b": '["--x", 1]',
        "c": '{"d": null}',
        "e": "0.001",
        "f": "007",
        "g": '["--name", "a b"]',
    }
    assert json.loads(encoded["b"]) == ["--x", 1]


@pytest.mark.parametrize("trainer", ["0.11.0", "1.1.0"])
def test_the_image_must_hold_the_trainer_of_the_build(tmp_path, trainer):
    assert list(job_request.find_misfit(tmp_path, trainer)) == []  # without a build there is nothing to fit
    make_sample_build(tmp_path, trainer=trainer)
    (other,) = {"0.11.0", "1.1.0"} - {trainer}
    assert list(job_request.find_misfit(tmp_path, trainer)) == []
    assert list(job_request.find_misfit(tmp_path, other)) == [
        f"Expected the image of ML-Agents {trainer}, which trains 3DBall in {tmp_path}, found that of {other}. Run "
        "notebook 3 for this folder, and build the trainer with the image that it names."
    ]


def test_hyperparameters_are_those_of_the_trainer(tmp_path):
    assert job_request.find_conflicts(tmp_path, {"network_settings.memory": 1, "beta_schedule": "linear"})
    assert job_request.find_conflicts(tmp_path, {"beta_schedule": "linear", "max_steps": 20000}, trainer="1.1.0") == []
    assert job_request.find_conflicts(tmp_path, {"max_steps": 20000, "trainer-version": "0.11.0"}, trainer="1.1.0") == [
        "Expected trainer-version 1.1.0, which is in the image, found 0.11.0. Leave it out."
    ]


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("1.dkr.ecr.us-east-1.amazonaws.com/mlagents-1.1.0@sha256:77", "1.1.0"),
        ("1.dkr.ecr.us-east-1.amazonaws.com/mlagents-0.11.0:0123", "0.11.0"),
        ("registry:5000/my-own:1.1.0", "1.1.0"),  # whose name does not say: as the build wants it
    ],
)
def test_the_version_is_that_of_the_image_or_the_build(tmp_path, image, version):
    request = {"AlgorithmSpecification": {"TrainingImage": image}}
    make_sample_build(tmp_path, trainer="1.1.0")
    assert job_request.choose_trainer(tmp_path, request) == version


@pytest.mark.parametrize("protocol", ["0.15.0", "API-14", "2.0.0"])
def test_a_build_that_no_trainer_speaks_to_is_not_launched(tmp_path, monkeypatch, protocol):
    monkeypatch.setitem(scenes.PROTOCOLS, "1.1.0", protocol)
    make_sample_build(tmp_path, trainer="1.1.0")
    for trainer in ("0.11.0", "1.1.0"):
        (problem,) = job_request.find_misfit(tmp_path, trainer)
        assert protocol in problem and problem.startswith("The build speaks")
    with pytest.raises(UnityBuildError, match=protocol):
        mlagents.find(tmp_path)
