"""What is written beside a model, so that it can be trained again."""

import json
from datetime import datetime, timezone

import pandas as pd
import pytest

from helpers import reproduction, rewards
from helpers.training import Job

RECORD = {
    "reason": "Every brain reached its max_steps.",
    "mlagents": "0.11.0",
    "tensorflow": "1.15.5",
    "python": "3.7.16",
    "restarts": [],
    "brains": {
        "3DBall": {"steps": 4500, "mean_reward": 88.25},
        "Idle": {"steps": 0, "mean_reward": None},
        "Slow": {"steps": 500, "mean_reward": None},
    },
}
JOB = Job(
    name="mlagents-1",
    status="Completed",
    phase="Completed",
    message="",
    failure="",
    hyperparameters={"max_steps": "4500", "env-args": "--agents 48"},
    volume="s3://bucket/unity-volume/0123abcd/",
    image="registry/mlagents-0.11.0@sha256:77",
    output="s3://bucket/training/mlagents-1/output",
    created=datetime(2026, 1, 31, 12, 0, tzinfo=timezone.utc),
    training_seconds=180,
    billable_seconds=60,
    metrics={},
    instance_type="ml.c5.xlarge",
)


@pytest.fixture
def written(tmp_path):
    (tmp_path / "training.json").write_text(json.dumps(RECORD))
    (tmp_path / "3DBall.nn").write_bytes(b"x")
    rows = [("3DBall", 1, 4500, 170.0, 88.25, 3.5), ("Slow", 1, 500, 20.0, float("nan"), float("nan"))]
    curve = pd.DataFrame(rows, columns=rewards.COLUMNS)
    return reproduction.write_readme(JOB, tmp_path, curve)


def test_it_names_what_made_the_model(written):
    told = written.read_text()
    for row in (
        "| build | content hash 0123abcd |",
        "| image | registry/mlagents-0.11.0@sha256:77 |",
        "| instance | ml.c5.xlarge, 180 s of training, 60 s billed |",
        "| trainer | ML-Agents 0.11.0, TensorFlow 1.15.5, Python 3.7.16 |",
        "| created | 2026-01-31 12:00 UTC |",
        "| went on from | nothing |",
        "| max_steps | 4500 |",
        "| 3DBall | 4,500 | 88.250 |",
        "| Idle | 0 | never trained |",
        "| Slow | 500 | no episode ended |",
        "| 3DBall.nn | the model, for Unity's Model field |",
    ):
        assert row in told.splitlines()


def test_its_code_is_code_with_the_jobs_own_values(written):
    code = written.read_text().partition("```python\n")[2].partition("```")[0]
    called = {}
    names = {"training": type("T", (), {"launch": staticmethod(lambda c, **given: called.update(given))})}
    names |= {"image": type("I", (), {"read": staticmethod(lambda c: "image")}), "connection": None}
    exec(code, names)  # what the reader would run
    assert called == {
        "volume": JOB.volume,
        "image": "image",
        "hyperparameters": JOB.hyperparameters,
        "instance_type": "ml.c5.xlarge",
    }


def test_the_curve_is_kept_to_the_last_digit(written):
    read = pd.read_csv(written.with_name("curve.csv"))
    assert list(read.columns) == rewards.COLUMNS
    assert read["mean_reward"][0] == 88.25
    assert read["mean_reward"].isna()[1]
