"""Notebook 7: a spot job that lost its machine and no step, and a model that was trained further."""

import json

import pytest

import reward_curves as rewards
import training_jobs as training
from helpers import interruptions
from tools import gallery

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # the notebook trains twice


@pytest.fixture(scope="module")
def output(prepared, run):
    return run(7)


@pytest.fixture(scope="module")
def jobs(output, connection):
    """Return the interrupted job and the one that trained further."""
    further, first = training.list_newest(connection.client("sagemaker"), 20)
    return training.find(connection, first), training.find(connection, further)


@pytest.fixture(scope="module")
def folders(jobs, project):
    return [project / "results" / job.name for job in jobs]


def test_it_goes_on_where_it_was_interrupted(connection, jobs, folders):
    (job, _), (folder, _) = jobs, folders
    assert (job.status, job.spot, job.interruptions) == ("Completed", True, 1)
    phases = ["Training", "Interrupted", "Restarting", "Downloading", "Training"]
    assert [phase.name for phase in job.phases][2:7] == phases
    record = json.loads((folder / "training.json").read_text())
    step = record["resumed_from"]["3DBall"]
    assert 250 <= step < 600
    assert record["brains"]["3DBall"]["steps"] == 600
    assert list(rewards.read(folder)["step"]) == [250, 500]
    assert interruptions.read_steps(folder) == [step]
    log = training.Log(connection, job.name)
    log.read()
    first_life = "\n".join(log.lines).split("brain 3DBall goes on from step")[0]
    assert f"train: stopped. Stopped by SIGTERM after step {step} of 3DBall." in first_life


def test_it_says_what_spot_saved(output, jobs):
    job, _ = jobs
    saved = job.training_seconds - job.billable_seconds
    assert saved > 0
    assert f"trained {job.training_seconds} s, billed {job.billable_seconds} s" in output
    assert f"saved   {saved} s, {100 * saved / job.training_seconds:.0f} %" in output


def test_it_trains_the_model_further(jobs, folders):
    (first, further), (before, after) = jobs, folders
    assert (further.status, further.spot, further.goes_on_from) == ("Completed", True, f"job {first.name}")
    record = json.loads((after / "training.json").read_text())
    assert record["resumed_from"] == {"3DBall": 601}  # ML-Agents ends one step after max_steps
    assert record["brains"]["3DBall"]["steps"] == 750
    curve = rewards.read(after)
    assert list(curve["step"]) == [250, 500, 750]
    assert list(curve["mean_reward"][:2]) == list(rewards.read(before)["mean_reward"])
    assert (after / "3DBall.nn").read_bytes() != (before / "3DBall.nn").read_bytes()


def test_log_and_events_agree_where_a_run_went_on(folders, agree):
    interrupted, further = map(agree, folders)
    assert list(interrupted["step"]) == [250, 500]
    assert interrupted["elapsed"].equals(interrupted["elapsed_logged"])
    assert interrupted["attempt"].equals(interrupted["attempt_logged"])
    assert list(further["step"]) == [750]  # its log begins where the other job ended
    assert further["attempt"][0] > further["attempt_logged"][0] == 1


def test_it_shows_the_speed_of_the_job_that_trained_further(output, folders):
    (row,) = rewards.read_log((folders[1] / "log.txt").read_text().splitlines()).to_dict("records")
    speed = (750 - 601) / row["elapsed"]
    shown = f"{speed:.0f} steps/s" if speed >= 10 else f"{speed:.1f} steps/s"
    assert f"step 750 of 750 · {shown} · mean reward {row['mean_reward']:.2f}" in output


def test_its_card_has_a_picture(output, project):
    (executed,) = (project / "executed").glob("07_*.ipynb")
    assert gallery.describe(executed).picture


@pytest.mark.parametrize("number", [4, 7])
def test_the_solutions_that_train_run(prepared, solve, number):
    solve(number)
