"""Curves of an experiment: which runs are in them, which are not, and how they are drawn."""

import time

import pytest

from helpers import training
from many_runs import experiment


def test_partly_failed(connection, launch, many):
    settings = {
        "A": many.say(1.0, 2.0, 3.0, 4.0),
        "B": many.say(2.0, 4.0, 6.0, 8.0),
        "cut": many.say(9.0, then="term;wait"),
        "bad": many.say(9.0, then="failure no memory;exit 1"),
        "mute": {"do": "say nothing at all"},
        "slow": {
            "do": "say INFO:mlagents.trainers: run: 3DBall: Step: 9. No episode was completed since last summary."
        },
    }
    launch("curves", settings, [1, 2], at_once=12)
    for run in experiment.find(connection, "curves").runs:
        if run.settings == "cut":
            training.stop(connection, run.name)
    found = many.follow(connection, "curves")
    curves = experiment.read_curves(connection, found)
    assert {settings: list(runs) for settings, runs in curves.groups.items()} == {"A": [1, 2], "B": [1, 2]}
    assert list(curves.groups["B"][2]["mean_reward"]) == [2.0, 4.0, 6.0, 8.0]
    assert list(curves.groups["B"][2]["step"]) == [1000, 2000, 3000, 4000]
    assert sorted(curves.left_out) == [
        "bad, seed 1: Failed, AlgorithmError: no memory, exit code: 1",
        "bad, seed 2: Failed, AlgorithmError: no memory, exit code: 1",
        "cut, seed 1: Stopped",
        "cut, seed 2: Stopped",
        "mute, seed 1: it wrote no summary",
        "mute, seed 2: it wrote no summary",
        "slow, seed 1: no episode ended before its last summary",
        "slow, seed 2: no episode ended before its last summary",
    ]
    assert curves.score() == {"A": {1: 3.0, 2: 3.0}, "B": {1: 6.0, 2: 6.0}}
    assert curves.score(last=1) == {"A": {1: 4.0, 2: 4.0}, "B": {1: 8.0, 2: 8.0}}
    compared = experiment.compare(curves.score(), left_out=curves.left_out)
    assert compared.difference == 3.0
    assert "Left out: cut, seed 1: Stopped" in str(compared)
    figure = curves.plot()
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["A, mean of 2 runs", "B, mean of 2 runs"]
    label = figure.get_supxlabel()
    assert label.startswith("Left out: ")
    assert label.endswith("and 4 more")
    table = experiment.tabulate(connection, found)
    assert dict(table["status"].value_counts()) == {"Completed": 8, "Failed": 2, "Stopped": 2}


def test_nothing_completed(connection, launch, many):
    launch("lost", {"A": {"do": "exit 1"}})
    found = many.follow(connection, "lost")
    with pytest.raises(training.TrainingError) as caught:
        experiment.read_curves(connection, found)
    assert str(caught.value).startswith(
        "Expected completed runs of 'lost' with a mean reward, found none.\nA, seed 1: Failed"
    )


def test_runs_in_progress_are_listed_as_left_out(connection, launch, many):
    launch("early", {"A": many.say(1.0), "B": many.say(2.0, then="term;wait")}, at_once=2)
    end = time.monotonic() + 30
    while not (found := experiment.find(connection, "early")).completed:
        assert time.monotonic() < end
        time.sleep(0.1)  # there is no event to wait for
    curves = experiment.read_curves(connection, found)
    assert list(curves.groups) == ["A"]
    assert curves.left_out == ("B, seed 1: InProgress",)
    training.stop_many(connection, "early")
    many.follow(connection, "early")
