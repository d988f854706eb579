"""Event files written record by record, with times and tags as a test wants them."""

from types import SimpleNamespace

import pytest
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def summary(step, wall_time=0.0, **values):
    """Make a summary; a name's double underscore stands for the tag's slash, a single one for a blank."""
    tags = {name.replace("__", "/").replace("_", " "): value for name, value in values.items()}
    return Event(
        step=step,
        wall_time=wall_time,
        summary=Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in tags.items()]),
    )


def later_summary(step, wall_time=0.0, **values):
    """Make the events of a summary of ML-Agents 1.1.0: one for each scalar, and one of the rewards' distribution."""
    one_by_one = [summary(step, wall_time, **{name: value}) for name, value in values.items()]
    histogram = HistogramProto(num=3, sum=6.0, bucket_limit=[4.0], bucket=[3.0])
    tag = "Environment/Cumulative Reward_hist"
    return [
        *one_by_one,
        Event(step=step, wall_time=wall_time, summary=Summary(value=[Summary.Value(tag=tag, histo=histogram)])),
    ]


def reward(step, value, wall_time=0.0):
    return summary(step, wall_time, Environment__Cumulative_Reward=value, Environment__Lesson=0)


def resumed(step, wall_time=0.0):
    """Make the mark that container/train writes where a run goes on after `step`."""
    return Event(step=step + 1, wall_time=wall_time, session_log=SessionLog(status=SessionLog.START))


def write(file, events, start=0.0):
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        records = RecordWriter(out)
        records.write(Event(wall_time=start, file_version="brain.Event:2").SerializeToString())
        for event in events:
            records.write(event.SerializeToString())
    return file


@pytest.fixture
def run(tmp_path):
    """Write a run's attempts, one file each: ``run("Brain", [events], [events])``; gives the summaries' folder."""

    def write_run(brain, *attempts, run_id="run"):
        for number, events in enumerate(attempts):
            start = events[0].wall_time if events else 0.0
            name = f"events.out.tfevents.{1_500_000_000 + number}.host"
            write(tmp_path / "summaries" / f"{run_id}_{brain}" / name, events, start)
        return tmp_path / "summaries"

    return write_run


@pytest.fixture
def event():
    """Return what makes events and files (a test module can't import from a conftest)."""
    return SimpleNamespace(summary=summary, later_summary=later_summary, reward=reward, resumed=resumed, write=write)
