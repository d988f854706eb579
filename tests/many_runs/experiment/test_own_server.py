"""Experiments on an embedded AWS that is short of room, refuses calls, or goes and comes back."""

import pytest

import sagemaker_local as embedded
from helpers import training
from many_runs import experiment
from many_runs.experiment import following, launching

pytestmark = pytest.mark.long


def test_no_experiment_exists_yet(tmp_path, many):
    with many.serve(tmp_path) as connection:
        for ask in (experiment.find, training.follow_many):
            with pytest.raises(
                training.TrainingError, match="Expected an experiment on embedded, found none. Run notebook 08"
            ):
                ask(connection)
            with pytest.raises(training.TrainingError, match="Experiments there: none"):
                ask(connection, "lost")


def test_launching_waits_if_the_quota_is_reached(tmp_path, launch, many, monkeypatch, capsys):
    monkeypatch.setattr(launching, "FIRST_PAUSE", 0.2)
    with many.serve(tmp_path, EMBEDDED_JOBS_QUOTA="2") as connection:
        launch("quota", {"A": many.say(1.0, then="wait 0.3")}, range(4), on=connection, at_once=4)
        assert "ResourceLimitExceeded: next try in" in capsys.readouterr().out
        assert len(many.follow(connection, "quota").completed) == 4


def test_launching_does_not_wait_for_a_quota_of_zero(tmp_path, launch, many):
    with many.serve(tmp_path, EMBEDDED_JOBS_QUOTA="0") as connection:
        with pytest.raises(training.TrainingError) as caught:
            launch("nothing", {"A": many.say(1.0)}, on=connection)
        assert "your account may not run a ml.c5.xlarge at all. Notebook 2 shows how to request it." in str(
            caught.value
        )


def test_an_experiment_is_found_by_another_process_and_after_a_restart(tmp_path, launch, many):
    settings = {"A": many.say(1.0)}
    with many.serve(tmp_path) as connection:
        before = launch("restart", settings, [1, 2], on=connection)
        many.follow(connection, "restart")
    with many.serve(tmp_path) as connection:
        found = experiment.find(connection, "restart")
        assert {run.name for run in found.runs} == {run.name for run in before.runs}
        assert len(launch("restart", settings, [1, 2, 3], on=connection).runs) == 3
        many.follow(connection, "restart")
        curves = experiment.read_curves(connection, experiment.find(connection, "restart"))
        assert list(curves.groups["A"]) == [1, 2, 3]


def test_a_lost_target_is_reported(tmp_path, launch, many):
    with many.serve(tmp_path) as connection:
        launch("gone", {"A": many.say(1.0, then="term;wait")}, on=connection)
        watch = following.Watch(connection, "gone")
        embedded.stop()
        view = following.View(connection, watch, 0.1)
        with pytest.raises(
            training.TrainingError, match="no longer answers: it was stopped, and what ran there with it"
        ):
            view.follower.until(lambda: watch.look())
        view.close()
