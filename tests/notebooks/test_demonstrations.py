"""Notebook 10, which clones a demonstration of the sample's controller, and what it shows against what really was."""

import json

import pytest

from mlagents_check.trainer_config.demonstrations import read_demonstration
from training_jobs import find, list_newest

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def output(prepared, run):
    return run(10)


@pytest.fixture(scope="module")
def records(output, prepared):
    """Return what the two jobs say of themselves, by their trainer."""
    found = {}
    for place in (prepared / "results").glob("*/training.json"):
        config = (place.parent / "trainer_config.yaml").read_text()
        found["offline_bc" if "trainer: offline_bc" in config else "ppo"] = json.loads(place.read_text())
    return found


def test_it_records_uploads_and_clones(output, prepared, connection):
    demonstration = read_demonstration(prepared / "build/imitation/3DBall.demo")
    assert (demonstration.name, demonstration.steps, sum(demonstration.ends)) == ("3DBall", 3000, 59)
    assert not list((prepared / "unity-volume").glob("*.demo"))
    jobs = [find(connection, name) for name in list_newest(connection.client("sagemaker"), 2)]
    common = {"max_steps": "500", "seed": "1", "env-args": "--agents 48"}
    cloning = {"trainer": "offline_bc", "demo_path": "3DBall.demo", "batch_size": "64", "batches_per_epoch": "3"}
    assert sorted((job.hyperparameters for job in jobs), key=len) == [common, {**common, **cloning}]


def test_it_shows_the_head_start_that_the_jobs_had(output, records):
    assert {name: record["status"] for name, record in records.items()} == {
        "offline_bc": "completed",
        "ppo": "completed",
    }
    assert records["offline_bc"]["remarks"] == []
    first = records["ppo"]["brains"]["3DBall"]["mean_reward"]
    assert f"{first:.6f}"[:6] in output
    assert "from demonstration" in output and "from nothing" in output


def test_its_solution_runs(output, solve):
    solve(10)
