"""Curves of ML-Agents 1.1.0: what it really wrote, in the columns of 0.11.0, with the steps of all agents together."""

import json
import shutil
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import reward_curves as rewards
from reward_curves.log import read_summary

RECORDED = Path(__file__).parent / "recorded/1.1.0.tfevents"  # of the sample Warehouse, three summaries of its Seeker
LOG = """\
[INFO] Seeker. Step: 600. Time Elapsed: 6.695 s. Mean Reward: 0.335. Std of Reward: 0.708. Training.
[INFO] Seeker. Step: 1200. Time Elapsed: 10.864 s. Mean Reward: 0.251. Std of Reward: 0.683. Training.
[INFO] Seeker. Step: 1800. Time Elapsed: 14.499 s. Mean Reward: 0.002. Std of Reward: 0.681. Training.
"""
COLUMNS = {
    "mean_reward": "Environment/Cumulative Reward",
    "episode_length": "Environment/Episode Length",
    "lesson_goal_distance": "Environment/Lesson Number/goal_distance",
    "entropy": "Policy/Entropy",
    "extrinsic_reward": "Policy/Extrinsic Reward",
    "extrinsic_value_estimate": "Policy/Extrinsic Value Estimate",
}
ENVIRONMENT = (
    "INFO:mlagents.trainers: run: B: Step: {}. Time Elapsed: 1.0 s Mean Reward: 1.0. Std of Reward: 0.1. Training."
)


@pytest.fixture
def folder(tmp_path):
    """Return the results of a job as `fetch` leaves them."""
    events = tmp_path / "summaries/run_Seeker/events.out.tfevents.1.host.2.0"
    events.parent.mkdir(parents=True)
    shutil.copyfile(RECORDED, events)
    (tmp_path / "training.json").write_text(json.dumps({"run_id": "run", "mlagents": "1.1.0"}))
    (tmp_path / "log.txt").write_text(LOG)
    return tmp_path


def test_each_summary_is_a_row_with_what_tensorboard_reads(folder):
    curve = rewards.read(folder)
    reader = EventAccumulator(str(RECORDED)).Reload()
    assert list(curve["step"]) == [600, 1200, 1800]
    for column, tag in COLUMNS.items():
        assert [scalar.value for scalar in reader.Scalars(tag)] == list(curve[column]), tag
    assert not [column for column in curve if "hist" in column]
    assert [f"{value:.3f}" for value in curve["mean_reward"]] == ["0.335", "0.251", "0.002"]
    assert list(curve["std_reward"]) == [0.708, 0.683, 0.681]
    assert list(curve["elapsed"]) == [6.695, 10.864, 14.499]
    assert curve.attrs["counts"] == "agent steps"


def test_a_new_lesson_of_any_parameter_is_a_new_lesson(run, event):
    names = [f"Environment__Lesson_Number__{name}" for name in ("wind", "goal")]
    lessons = [(0, 0), (1, 0), (1, 2)]
    both = [
        each
        for number, values in enumerate(lessons, 1)
        for each in event.later_summary(
            1000 * number, Environment__Cumulative_Reward=5.0, **dict(zip(names, values, strict=True))
        )
    ]
    curve = rewards.read_events(run("B", both), "run", "1.1.0")
    assert list(curve["lesson"]) == [0, 1, 3]
    assert list(curve["lesson_goal"]) == [0, 0, 2]
    one = event.later_summary(1000, Environment__Cumulative_Reward=5.0, **{names[0]: 1})
    assert "lesson_wind" not in rewards.read_events(run("B", one), "run", "1.1.0")


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (
            "[INFO] 3DBall. Step: 60.0. Time Elapsed: 1.5 s. Mean Reward: -0.5. Std of Reward: 0.25. Training.",
            (-0.5, 0.25, None),
        ),
        ("[INFO] A. Step: 60. Time Elapsed: 1.5 s. No episode was completed since last summary. Training.", None),
        (
            "[INFO] A. Step: 1. Step: 60. Time Elapsed: 1.5 s. Mean Reward: 2.0. Mean Group Reward: 4.0. Training.",
            (2.0, None, 4.0),
        ),
    ],
)
def test_its_log_lines_are_read(line, read):
    summary = read_summary(line)
    assert (summary.step, summary.elapsed, summary.trainer) == (60, 1.5, "1.1.0")
    for value, wanted in zip((summary.mean, summary.std, summary.group), read or (None,) * 3, strict=True):
        assert value == wanted or (wanted is None and value != value)
    curve = rewards.read_log([line])
    assert list(curve.get("group_cumulative_reward", [])) == ([4.0] if "Group" in line else [])
    assert summary.brain == line.removeprefix("[INFO] ").partition(". Step: 60")[0]


def test_steps_say_what_they_count_and_are_converted():
    earlier = rewards.read_log([ENVIRONMENT.format(step) for step in (50, 100, 150)])
    later = rewards.read_log(LOG.splitlines())
    assert earlier.attrs["counts"] == "environment steps"
    assert [rewards.plot({"job": curve}).axes[0].get_xlabel() for curve in (earlier, later)] == [
        "environment steps",
        "agent steps",
    ]
    later["brain"] = "B"
    with pytest.raises(rewards.RewardsError, match="found some in agent steps and some in environment steps"):
        rewards.plot({"0.11.0": earlier, "1.1.0": later})
    assert rewards.plot({"0.11.0": earlier, "1.1.0": later}, x="time")
    converted = {name: rewards.in_agent_steps(curve, 12) for name, curve in (("0.11.0", earlier), ("1.1.0", later))}
    assert [list(curve["step"]) for curve in converted.values()] == [[600, 1200, 1800], [600, 1200, 1800]]
    assert rewards.plot(converted).axes[0].get_xlabel() == "agent steps"
    assert list(earlier["step"]) == [50, 100, 150]
