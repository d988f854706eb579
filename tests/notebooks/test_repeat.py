"""Notebook 8, whose jobs report made-up rewards at once; `make tutorial` runs it with real trainings."""

import html
import json
import re

import pytest

from many_runs import experiment
from tools import gallery, tutorial

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def output(scripted, prepared, run):
    return run(8, keep_alive=3600)


@pytest.fixture(scope="module")
def repeated(output, connection):
    return experiment.find(connection)


def test_it_trains_each_setting_with_each_seed(output, repeated):
    wanted = [("buffer 4800", 1), ("buffer 4800", 2), ("buffer 2400", 1), ("buffer 2400", 2)]
    assert [run.label for run in repeated.runs] == wanted
    assert str(repeated) == f"{repeated.name}: 4 runs (4 Completed)"
    assert str(repeated) in output
    assert [run.job.hyperparameters["buffer_size"] for run in repeated.runs] == ["4800", "4800", "2400", "2400"]
    assert [run.job.metrics["mean_reward"] for run in repeated.runs] == [2.375, 2.5, 2.625, 2.75]


def test_it_compares_what_was_trained(output, repeated, connection):
    curves = experiment.read_curves(connection, repeated)
    assert {len(curve) for runs in curves.groups.values() for curve in runs.values()} == {2}
    compared = experiment.compare(curves.score())
    assert compared.difference == pytest.approx(0.25)
    assert "<td>+0.25</td>" in output
    assert html.escape(compared.verdict) in output
    assert "2 and 2 runs are few" in output


def test_it_counts_the_cost_of_everything(output, repeated, connection):
    billed = sum(run.job.billable_seconds for run in repeated.runs)
    usd = sum(experiment.tabulate(connection, repeated)["usd"])
    assert re.search(rf"<th>in all</th>\s*<td>{billed}</td>\s*<td>{usd:.6f}</td>", output)


def test_it_finds_its_jobs_by_search(output, repeated):
    assert all(re.search(rf"<th>{run.name}</th>\s*<td>(?:Reused|Available)</td>", output) for run in repeated.runs)


def test_its_card_has_a_picture(output, project):
    (executed,) = (project / "executed").glob("08_*.ipynb")
    assert gallery.describe(executed).picture


def test_with_an_experiments_name_it_launches_no_more_than_is_new(project, repeated, connection):
    (notebook,) = (project / "notebooks").glob("08_*.ipynb")
    content = json.loads(notebook.read_text())
    (cell,) = (cell for cell in content["cells"] if cell["source"][0] == "settings = {\n")
    cell["source"].insert(1, '    "buffer 1200": {"buffer_size": 1200, "batch_size": 240},\n')
    changed = project / "notebooks" / "18_changed.ipynb"
    changed.write_text(json.dumps(content))
    given = {**tutorial.SHORT[notebook.stem], "experiment_name": repeated.name}
    executed = tutorial.execute(changed, given, project / "changed")
    assert "Not compared: buffer 1200." in executed.read_text()
    assert [run.label for run in experiment.find(connection).runs][4:] == [("buffer 1200", 1), ("buffer 1200", 2)]
    assert len(connection.client("sagemaker").list_training_jobs(MaxResults=100)["TrainingJobSummaries"]) == 6


def test_its_solution_runs(output, solve):
    solve(8)
