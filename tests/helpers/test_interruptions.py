"""Steps that a job went on from, and the picture of an interrupted job."""

from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest

import reward_curves as rewards
from helpers import interruptions
from training_jobs import Job, Phase

BEGIN = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "lines, steps",
    [
        ([], []),
        (["train: brain A goes on from step 20"], [20]),
        (["train: brain A goes on from step 20", "train: brain B goes on from step 21"], [21]),  # one start
        (["train: brain A goes on from step 20", "x", "train: brain A goes on from step 20"], [20, 20]),
        (["train: brain Big Ball goes on from step 7", "INFO: brain A goes on from step 9"], [7]),
    ],
)
def test_steps_are_read_from_the_log(lines, steps):
    assert interruptions.find_steps(lines) == steps


@pytest.fixture
def job():
    seconds = [0, 2, 4, 14, 19, 20, 21, 31, 32]
    names = ["Starting", "Downloading", "Training", "Interrupted", "Restarting", "Downloading", "Training", "Uploading"]
    moments = [BEGIN + timedelta(seconds=second) for second in seconds]
    phases = [Phase(name, *moments[number : number + 2]) for number, name in enumerate(names)]
    phases.append(Phase("Completed", moments[-1], moments[-1]))
    return Job(
        *("job", "Completed", "Completed", "", "", {}, "s3://b/v", "image", "s3://b/o", BEGIN, 20, 6, {}),
        spot=True,
        phases=tuple(phases),
    )


def test_savings_of_spot(job):
    assert (job.interruptions, job.saved_seconds, job.saved_percent) == (1, 14, 70.0)
    assert str(job) == "job: Completed after 20 s of training, 6 s billed (spot saved 70 %), interrupted once"


def test_the_figure_shows_steps_and_phases(job, tmp_path, monkeypatch):
    (tmp_path / "log.txt").write_text("train: brain 3DBall goes on from step 120\nlast line\n")
    rows = [("3DBall", attempt, 100 * attempt, 1.0, 0.5, 0.1) for attempt in (1, 2)]
    monkeypatch.setattr(rewards, "read", lambda folder: pd.DataFrame(rows, columns=rewards.COLUMNS))
    above, below = interruptions.plot(job, tmp_path).axes
    assert [line.get_xdata()[0] for line in above.lines if line.get_linestyle() == "--"] == [120]
    assert above.get_legend().get_texts()[-1].get_text() == "goes on from step 120"
    bars = [(bar.get_x(), bar.get_width()) for bar in below.patches]
    assert bars == [(0, 2), (2, 2), (4, 10), (14, 5), (19, 1), (20, 1), (21, 10), (31, 1), (32, 0)]
    kinds = [text.get_text() for text in below.get_legend().get_texts()]
    assert kinds == ["Waiting", "Downloading, Uploading", "Training", "Interrupted"]
