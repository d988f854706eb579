"""The sample's second scene learns: two brains, discrete actions, three lessons."""

import shutil

import pytest

import evaluation
import reward_curves as rewards
from sample_env import make_sample_build


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_warehouse_advances_through_its_lessons(job):
    shutil.rmtree(job.channel)
    make_sample_build(job.channel, "Warehouse")
    job.start_with({"curriculum": "curriculum", "seed": 1, "env-args": "--agents 32"})
    assert job.finish(500) == 0
    curve = rewards.read_events(job.root / "output/data/summaries", "run")
    for brain, earned in {"Seeker": 0.85, "Carrier": 0.6}.items():
        rows = curve[curve["brain"] == brain]
        assert list(rows["step"]) == list(range(100, 3001, 100))
        assert rows["lesson"].iloc[0] == 0 and rows["lesson"].iloc[-1] == 2
        assert rows["lesson"].is_monotonic_increasing
        assert rows["mean_reward"].iloc[-5:].mean() > earned
    figure = rewards.plot({"warehouse": curve})
    assert "new lesson" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    # The models alone, on the last lesson's distances, which are the scene's own.
    scores = evaluation.evaluate(sorted((job.root / "model").glob("*.nn")), job.channel, episodes=200).scores
    assert scores["Seeker"].interval[0] > 0.8 and scores["Carrier"].interval[0] > 0.5
    figure.savefig(job.root / "rewards.png")
