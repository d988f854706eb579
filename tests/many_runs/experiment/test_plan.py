"""What an experiment consists of, and its jobs' names."""

import re

import numpy as np
import pytest

from many_runs.experiment import plan

JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # SageMaker's


def problems(**changes):
    arguments = {"experiment": "x", "settings": {"a": {}}, "seeds": [1], "hyperparameters": {}, **changes}
    return list(plan.find_problems(**arguments))


def test_every_setting_is_trained_with_every_seed():
    runs = plan.make("x", {"a": {"batch_size": 64}, "b": {"batch_size": 128}}, [1, 2], {"max_steps": 10, "flag": True})
    assert [run.label for run in runs] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert runs[3].hyperparameters == {"max_steps": "10", "flag": "true", "batch_size": "128", "seed": "2"}
    assert runs[3].labels == {"experiment": "x", "settings": "b", "seed": "2"}


def test_a_name_is_derived_from_experiment_settings_and_seed():
    run = plan.Planned("Big batch?", "a", 1, {"max_steps": "10"})
    assert run.name == plan.Planned("Big batch?", "a", 1, {"max_steps": "10"}).name
    assert re.fullmatch(r"mlagents-big-batch-[0-9a-f]{6}-a-s1-[0-9a-f]{8}", run.name)
    others = [
        plan.Planned("Big batch!", "a", 1, {"max_steps": "10"}),
        plan.Planned("Big batch?", "A", 1, {"max_steps": "10"}),
        plan.Planned("Big batch?", "a", 2, {"max_steps": "10"}),
        plan.Planned("Big batch?", "a", 1, {"max_steps": "11"}),
        plan.Planned("Big batch?", "a", 1, {"max_steps": "10"}, attempt=2),
    ]
    assert len({run.name, *(other.name for other in others)}) == 6


@pytest.mark.parametrize(
    "one, other",
    [("buffer", "buffer 2"), ("learning rate search one", "learning rate search two"), ("Big", "big"), ("a b", "a-b")],
)
def test_job_name_prefixes_of_experiments_are_unique(one, other):
    name = plan.Planned(one, "2", 1, {}).name
    assert name.startswith(plan.prefix(one))
    assert not name.startswith(plan.prefix(other))
    assert not plan.Planned(other, "2", 1, {}).name.startswith(plan.prefix(one))


def test_the_name_of_an_unnamed_experiment_is_derived_from_its_inputs():
    def make(volume="s3://b/v/", image="i:1", settings=None, hyperparameters=None):
        return plan.make_name(volume, image, settings or {"a": {"x": 1}}, hyperparameters or {"y": 2})

    assert make() == make(volume="s3://b/v", settings={"a": {"x": "1"}})
    assert problems(experiment=make()) == []
    assert make() == make(settings={"a": {"x": 1, "y": 2}})
    changed = [
        make(volume="s3://b/w/"),
        make(image="i:2"),
        make(settings={"b": {"x": 1}}),
        make(hyperparameters={"y": 3}),
    ]
    assert len({make(), *changed}) == 5


@pytest.mark.parametrize("experiment", ["x", "e" * 48, "a - b", "1.5_x-"])
@pytest.mark.parametrize("settings", ["y", "s" * 48, "learning rate 0.001"])
@pytest.mark.parametrize("seed", [0, plan.MAX_SEED])
def test_names_are_valid_in_sagemaker(experiment, settings, seed):
    assert problems(experiment=experiment, settings={settings: {}}, seeds=[seed]) == []
    (run,) = plan.make(experiment, {settings: {}}, [seed], {})
    assert JOB_NAME.fullmatch(run.name), run.name
    assert run.name.startswith(plan.prefix(experiment))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"experiment": " "}, "Expected experiment to be empty, or a name of 1 to 48 letters"),
        ({"experiment": "a/b"}, "Expected experiment to be empty, or a name of"),
        ({"experiment": "ends in a space "}, "Expected experiment to be empty, or a name of"),
        ({"experiment": None}, "Expected experiment to be empty, or a name of"),
        ({"settings": {}}, "Expected settings to be names and hyperparameters"),
        ({"settings": [{"batch_size": 64}]}, "Expected settings to be names and hyperparameters"),
        ({"settings": {"": {}}}, "Expected the settings to have names of"),
        ({"settings": {"a": 64}}, "Expected the settings 'a' to be hyperparameters, found 64."),
        (
            {"settings": {"a": {"seed": 1}}},
            "Expected the seed only in seeds, found one in the hyperparameters of 'a', too.",
        ),
        ({"hyperparameters": {"seed": 1}}, "Expected the seed only in seeds"),
        ({"hyperparameters": 5}, "Expected hyperparameters to be names and values, found 5."),
        (
            {"settings": {"a": {"x": 1}, "b": {"x": "1"}}},
            "Expected settings that differ, found 'a' and 'b' with the same",
        ),
        ({"seeds": []}, "Expected seeds to be whole numbers, such as [1, 2, 3], found []."),
        ({"seeds": 3}, "Expected seeds to be whole numbers, such as [1, 2, 3], found 3."),
        ({"seeds": "123"}, "Expected seeds to be whole numbers"),
        ({"seeds": [1, -1]}, "Expected each seed to be a whole number from 0 to 2147483647, found -1."),
        ({"seeds": [True]}, "Expected each seed to be a whole number"),
        ({"seeds": [1.5]}, "Expected each seed to be a whole number"),
        ({"seeds": [[1]]}, "Expected each seed to be a whole number from 0 to 2147483647, found [1]."),
        ({"seeds": [1, 2, 1]}, "Expected each seed once, found [1, 2, 1]"),
    ],
)
def test_invalid_plans(change, message):
    (problem,) = problems(**change)
    assert problem.startswith(message)


def test_numpys_whole_numbers_are_whole_numbers():
    assert problems(seeds=list(np.arange(3))) == []
    (run,) = plan.make("x", {"a": {}}, [np.int64(7)], {})
    assert run == plan.make("x", {"a": {}}, [7], {})[0]
    assert type(run.seed) is int


def test_invalid_hyperparameter_names_are_left_to_the_check_of_a_job():
    assert problems(settings={"a": {5: 1, "x": 1}, "b": {5: 2}}) == []


def test_all_problems_are_reported_together():
    assert len(problems(experiment="/", settings={"": {}, "b": 1}, seeds=[-1])) == 4
