"""All lessons that train, with the sample for ML-Agents 1.1.0; what they show is held against what really was."""

import json

import pytest

import evaluation
import reward_curves as rewards
import training_jobs as training
from common import trainer_env
from many_runs import experiment, tuning
from policy_files import model

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]  # the first test runs ten notebooks
VERSION = "1.1.0"


@pytest.fixture(scope="module")
def road(run, v1_trainer):
    return {number: run(number, trainer=VERSION) for number in range(1, 11)}


@pytest.fixture(scope="module")
def jobs(road, connection):
    """Return the jobs of lessons 4 and 7, oldest first."""
    names = [name for name in training.list_newest(connection.client("sagemaker"), 50) if name.count("-") == 3]
    return [training.find(connection, name) for name in reversed(names)][:3]


@pytest.fixture(scope="module")
def folders(jobs, project):
    return [project / "results" / job.name for job in jobs]


def test_1_finds_the_version_and_leaves_the_readers_folder_alone(road, project):
    assert "ML-Agents 1.1.0 trains this build. It counts agent steps" in road[1]
    assert "8 observations; 2 continuous actions; 12 agents" in road[1]
    assert [path.name for path in (project / "unity-volume").iterdir()] == ["README.md"]
    assert (project / "build/1.1.0/sample/3DBall.x86_64").is_file()


def test_3_names_its_image_and_environment(road):
    assert "/mlagents-1.1.0:" in road[3] or "/mlagents-1.1.0@" in road[3]
    assert str(trainer_env.find(VERSION)) in road[3]


def test_4_trains_as_many_steps_of_the_environment(road, jobs):
    job = jobs[0]
    given = {"max_steps": "24000", "seed": "1", "env-args": "--agents 48", "no-graphics": "true"}
    assert (job.status, job.trainer, job.hyperparameters) == ("Completed", VERSION, given)
    assert job.metrics["step"] == 24000.0
    assert 'value="24000" max="24000"' in road[4]
    assert "agent steps a second" in road[4] and "for a million agent steps" in road[4]


def test_5_has_curve_model_and_what_it_takes_to_train_again(road, jobs, folders, agree):
    assert list(agree(folders[0])["step"]) == [12000, 24000]
    assert rewards.read(folders[0]).attrs["counts"] == "agent steps"
    assert f"{folders[0].name}/3DBall.onnx" in road[5]
    readme = (folders[0] / "README.md").read_text()
    assert "| trainer | ML-Agents 1.1.0, PyTorch " in readme and "trainer='1.1.0'" in readme
    assert f"{jobs[0].metrics['mean_reward']:.4g}" in road[5]


def test_6_measures_what_the_model_earns(road, project, folders):
    found = model.read(folders[0] / "3DBall.onnx")
    assert all(value in road[6] for _, value in found.facts)
    score = evaluation.evaluate([found], project / "build/1.1.0/sample", episodes=50).scores["3DBall"]
    assert str(score) in road[6]
    assert (folders[0] / "watch.gif").is_file()


def test_7_goes_on_where_the_machine_was_lost_and_trains_further(jobs, folders):
    _, interrupted, further = jobs
    assert (interrupted.status, interrupted.interruptions) == ("Completed", 1)
    record = json.loads((folders[1] / "training.json").read_text())
    assert 6000 <= record["resumed_from"]["3DBall"] < 14400 <= record["model_steps"]["3DBall"]
    assert (further.status, further.goes_on_from) == ("Completed", f"job {interrupted.name}")
    again = json.loads((folders[2] / "training.json").read_text())
    assert again["resumed_from"] == record["model_steps"]
    assert again["model_steps"]["3DBall"] >= 18000
    assert [rewards.read(folder)["step"].tolist() for folder in folders[1:]] == [[12000], [12000]]


def test_8_and_9_train_every_run_and_search(road, connection):
    repeated, tuned = experiment.find(connection), tuning.find(connection)
    assert str(repeated) == f"{repeated.name}: 4 runs (4 Completed)" in road[8]
    assert {run.job.hyperparameters["summary_freq"] for run in repeated.runs} == {"6000"}
    assert str(tuned) in road[9]
    assert (tuned.status, tuned.done, tuned.failed) == ("Completed", 5, 0)


def test_10_learns_more_from_the_demonstration(road):
    assert "behavioral_cloning.demo_path" in road[10]  # what it asserts itself: twice the reward
