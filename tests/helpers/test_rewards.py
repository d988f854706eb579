"""Curves: read rightly from log and events, joined without gap or double, drawn as they are."""

import json
import math

import pytest
from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from helpers import rewards

LOG = """\
INFO:mlagents.trainers:CommandLineOptions(debug=False, num_runs=1)
INFO:mlagents.trainers: run: 3DBall: Step: 1000. Time Elapsed: 12.345 s Mean Reward: -0.953. Std of Reward: 0.400. Training.
INFO:mlagents.trainers: run: 3DBall: Step: 2000.0. Time Elapsed: 24.000 s Mean Reward: 1.250. Std of Reward: 0.750. Training.
INFO:mlagents.trainers: run: 3DBall: Step: 3000. No episode was completed since last summary. Training.
INFO:mlagents.trainers: my-run: Hard Brain: Step: 1000. Time Elapsed: 9.000 s Mean Reward: 100.000. Std of Reward: 0.000. Not Training.
"""


def write_events(folder, points):
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventFileWriter(str(folder), filename_suffix=f".{len(list(folder.iterdir()))}")
    for step, reward in points:
        value = Summary.Value(tag="Environment/Cumulative Reward", simple_value=reward)
        other = Summary.Value(tag="Losses/Policy Loss", simple_value=0.5)
        writer.add_event(Event(step=step, summary=Summary(value=[other, value])))
    writer.close()


def test_read_log():
    curve = rewards.read_log(LOG.splitlines())
    assert curve.to_dict("records") == [
        {"brain": "3DBall", "step": 1000, "mean_reward": -0.953, "std_reward": 0.4, "elapsed": 12.345},
        {"brain": "3DBall", "step": 2000, "mean_reward": 1.25, "std_reward": 0.75, "elapsed": 24.0},
        {"brain": "Hard Brain", "step": 1000, "mean_reward": 100.0, "std_reward": 0.0, "elapsed": 9.0},
    ]


def test_an_empty_log_is_an_empty_curve():
    curve = rewards.read_log([])
    assert list(curve.columns) == rewards.COLUMNS
    assert len(curve) == 0


def test_of_two_values_for_a_step_the_later_counts():
    line = "INFO:mlagents.trainers: run: B: Step: {}. Time Elapsed: {} s Mean Reward: {}. Std of Reward: 0.1. Training."
    lines = [line.format(*point) for point in [(1000, 1.0, 1.5), (2000, 2.0, 2.5), (2000, 1.0, 7.5), (3000, 2.0, 8.5)]]
    curve = rewards.read_log(lines)
    assert list(curve["step"]) == [1000, 2000, 3000]
    assert list(curve["mean_reward"]) == [1.5, 7.5, 8.5]


def test_read_events(tmp_path):
    write_events(tmp_path / "run_3DBall", [(1000, -0.5), (2000, 0.25)])
    write_events(tmp_path / "run_My_Brain", [(1000, 4.0)])
    write_events(tmp_path / "other_3DBall", [(1000, 99.0)])
    curve = rewards.read_events(tmp_path, "run")
    assert list(curve["brain"]) == ["3DBall", "3DBall", "My_Brain"]
    assert list(curve["step"]) == [1000, 2000, 1000]
    assert list(curve["mean_reward"]) == [-0.5, 0.25, 4.0]
    assert curve["std_reward"].isna().all()


def test_events_of_a_resumed_run_are_joined(tmp_path):
    write_events(tmp_path / "run_B", [(1000, 1.0), (2000, 2.0), (3000, 3.0)])
    write_events(tmp_path / "run_B", [(3000, 3.5), (4000, 4.0)])
    assert list(rewards.read_events(tmp_path, "run")["mean_reward"]) == [1.0, 2.0, 3.5, 4.0]


def test_of_a_torn_event_file_the_whole_part_is_read(tmp_path):
    write_events(tmp_path / "run_B", [(1000, 1.0), (2000, 2.0)])
    (file,) = (tmp_path / "run_B").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    assert list(rewards.read_events(tmp_path, "run")["step"]) == [1000]


def test_no_event_file(tmp_path):
    with pytest.raises(rewards.RewardsError, match="run_<brain>/, found none. Has the run started?"):
        rewards.read_events(tmp_path, "run")


def test_events_without_a_reward(tmp_path):
    write_events(tmp_path / "run_B", [])
    with pytest.raises(rewards.RewardsError, match="no episode has ended yet"):
        rewards.read_events(tmp_path, "run")


def test_read_adds_the_deviations_of_the_log(tmp_path):
    write_events(tmp_path / "summaries" / "run_3DBall", [(1000, -0.953), (2000, 1.25), (3000, 2.0)])
    (tmp_path / "training.json").write_text(json.dumps({"run_id": "run"}))
    (tmp_path / "log.txt").write_text(LOG)
    curve = rewards.read(tmp_path)
    assert list(curve["step"]) == [1000, 2000, 3000]
    assert list(curve["std_reward"][:2]) == [0.4, 0.75]
    assert math.isnan(curve["std_reward"][2])


def test_plot_draws_the_curve_and_its_band():
    curve = rewards.read_log(LOG.splitlines())
    figure = rewards.plot({"job": curve})
    assert isinstance(figure, Figure)
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == ["job, 3DBall", "job, Hard Brain"]
    assert list(ax.lines[0].get_xdata()) == [1000, 2000]
    assert list(ax.lines[0].get_ydata()) == [-0.953, 1.25]
    assert len(ax.collections) == 2
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(-1.353)
    assert band[:, 1].max() == pytest.approx(2.0)


def test_plot_of_several_jobs_has_a_line_for_each():
    curve = rewards.read_log(LOG.splitlines()[:3])
    figure = rewards.plot({"one": curve, "two": curve})
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == ["one", "two"]


def test_nothing_to_plot():
    with pytest.raises(rewards.RewardsError, match="found none in job"):
        rewards.plot({"job": rewards.read_log([])})


def test_a_job_that_never_began(tmp_path):
    (tmp_path / "training.json").write_text(json.dumps({"run_id": None, "reason": "Unknown hyperparameter."}))
    with pytest.raises(rewards.RewardsError, match="never began to train: Unknown hyperparameter"):
        rewards.read(tmp_path)


def test_a_folder_without_a_record(tmp_path):
    with pytest.raises(rewards.RewardsError, match=r"Expected training\.json in .*, found none"):
        rewards.read(tmp_path)
