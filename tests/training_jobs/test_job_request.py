"""Arguments of a launch that cannot be meant, and hyperparameters on their way to the container."""

import json

import pytest

from training_image import Image
from training_jobs import job_request

GOOD = {
    "volume": "s3://bucket/unity-volume/abc/",
    "image": Image("123456789012.dkr.ecr.us-east-1.amazonaws.com", "0123456789abcdef"),
    "hyperparameters": {"max_steps": 100, "env-args": ["--agents", 48]},
    "instance_type": "ml.c5.xlarge",
    "max_minutes": 60,
    "spot": False,
    "max_wait_minutes": 0,
    "checkpoints": "",
    "start_from": "",
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"max_minutes": 1.5},
        {"max_minutes": 40320},
        {"spot": True, "max_wait_minutes": 60},
        {"max_wait_minutes": 5},  # says nothing without spot
        {"hyperparameters": {}},
        {"hyperparameters": {"n" * 256: "x" * 2500}},
    ],
)
def test_what_can_be_meant(change):
    assert job_request.find_problems(**{**GOOD, **change}) == []


ROUND: list = []
ROUND.append(ROUND)
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]
TEXTLESS = [
    ({1, 2}, "{1, 2}"),
    (frozenset(), "frozenset()"),
    (b"x", "b'x'"),
    (ROUND, "[[...]]"),
    ({(1,): 2}, "{(1,): 2}"),
]
TEXTLESS += [(DEEP, "one of type list that can't be shown"), (10**5000, "one of type int that can't be shown")]


@pytest.mark.parametrize(("value", "shown"), TEXTLESS, ids=range(len(TEXTLESS)))
def test_values_that_have_no_text(value, shown):
    told = f"Expected the hyperparameter x to be text, a number, True or False, found {shown}."
    assert job_request.find_problems(**{**GOOD, "hyperparameters": {"x": value}}) == [told]


@pytest.mark.parametrize("value", [0, -1, 0.5, 40321, "10", "ten", float("nan"), True, None])
def test_minutes(value):
    """0 would become SageMaker's default, a day; "10" would be said sixty times."""
    told = f"Expected max_minutes to be a number from 1 to 40320 (28 days), found {value!r}."
    assert job_request.find_problems(**{**GOOD, "max_minutes": value}) == [told]


@pytest.mark.parametrize(
    "change, told",
    [
        ({"volume": "unity-volume"}, "Expected volume to be the S3 URI that volume.locate(connection, folder) gives, "),
        ({"volume": "s3://"}, "Expected volume to be the S3 URI that "),
        ({"volume": None}, "Expected volume to be the S3 URI that "),
        ({"image": "mlagents:latest"}, "Expected image to be what image.locate(connection) gives, found 'mlagents:lat"),
        ({"instance_type": "c5.xlarge"}, 'Expected instance_type to be the name of one, such as "ml.c5.xlarge", found'),
        ({"instance_type": None}, 'Expected instance_type to be the name of one, such as "ml.c5.xlarge", found None.'),
        ({"max_minutes": 10**400}, "Expected max_minutes to be a number from 1 to 40320 (28 days), found 10000000"),
        ({"spot": "False"}, "Expected spot to be True or False, found 'False'."),
        ({"spot": True, "max_wait_minutes": -1}, "Expected max_wait_minutes to be 0 or a number from 1 to 40320 "),
        ({"spot": True, "max_wait_minutes": "x"}, "Expected max_wait_minutes to be 0 or a number from 1 to 40320 "),
        ({"spot": True, "max_wait_minutes": 59}, "Expected max_wait_minutes of max_minutes (60) or more, because the "),
        ({"checkpoints": None}, "Expected checkpoints to be the name of a run, or empty, found None."),
        ({"start_from": 5}, "Expected start_from to be a job or its name, or empty, found 5."),
        ({"checkpoints": "a", "start_from": "b"}, "Expected checkpoints or start_from, found both. Leave start_from "),
        ({"hyperparameters": None}, "Expected hyperparameters to be names and values, such as "),
        ({"hyperparameters": {1: 2}}, "Expected hyperparameters with names of 1 to 256 letters, found 1."),
        ({"hyperparameters": {"": 2}}, "Expected hyperparameters with names of 1 to 256 letters, found ''."),
        ({"hyperparameters": {"n" * 257: 2}}, "Expected hyperparameters with names of 1 to 256 letters, found 'nnn"),
        ({"hyperparameters": {"a": None}}, "Expected a value for the hyperparameter a, found None. Leave it out to "),
        ({"hyperparameters": {"a": "x" * 2501}}, "Expected at most 2500 characters in the hyperparameter a, which is "),
        (
            {"hyperparameters": {str(n): n for n in range(101)}},
            "Expected at most 100 hyperparameters, which is all that SageMaker takes, found 101.",
        ),
    ],
)
def test_what_cannot_be_meant(change, told):
    (problem,) = job_request.find_problems(**{**GOOD, **change})
    assert problem.startswith(told)
    assert len(problem) < 300


def test_every_problem_is_told_at_once():
    bad = {**GOOD, "volume": "", "spot": 1, "hyperparameters": {"a": None, "b": None}}
    assert len(job_request.find_problems(**bad)) == 4


def test_the_container_reads_what_was_given():
    given = {"a": True, "b": ["--x", 1], "c": {"d": None}, "e": 1e-3, "f": "007", "g": ("--name", "a b")}
    told = job_request.encode(given)
    assert told == {
        "a": "true",
        "b": '["--x", 1]',
        "c": '{"d": null}',
        "e": "0.001",
        "f": "007",
        "g": '["--name", "a b"]',
    }
    assert json.loads(told["b"]) == ["--x", 1]
