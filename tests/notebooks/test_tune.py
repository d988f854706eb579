"""Notebook 9, whose trainings report made-up rewards at once; `make tutorial` runs it with real trainings."""

import pytest

from many_runs import tuning
from sagemaker_local.tuning import sampler
from tools import gallery

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def output(scripted, prepared, run):
    return run(9)


def test_it_searches_by_what_trainings_earned(output, connection):
    tuned, trainings = tuning.find(connection), tuning.table(connection)
    assert str(tuned) in output
    assert tuned.done == tuned.most_trainings > sampler.FIRST_AT_RANDOM + 1  # some are not drawn at random
    assert f"{trainings['seconds'].sum()} s, {trainings['usd'].sum():.6f} USD in all" in output
    assert output.count("<td>Completed</td>") == tuned.counts["Completed"]


def test_its_card_has_a_picture(output, project):
    (executed,) = (project / "executed").glob("09_*.ipynb")
    assert gallery.describe(executed).picture


def test_again_it_launches_nothing(output, run, connection):
    tuned = tuning.find(connection)
    assert str(tuned) in run(9, "again")
    assert str(tuned) in run(9, "named", tuning_name=tuned.name)
    assert tuning.job.list_newest(connection, 100) == [tuned.name]


def test_its_solution_runs(output, solve):
    solve(9)
