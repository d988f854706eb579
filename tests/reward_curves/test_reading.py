"""Curves: read rightly from log and events, joined without gap or double."""

import html
import itertools
import json
import math
import random
import re
import struct
import time
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.record_writer import masked_crc32c

import reward_curves as rewards
from common.contract import CHOSEN_PLAYERS, ENDED
from helpers import interruptions
from training_jobs import live

LOG = """\
INFO:mlagents.trainers:CommandLineOptions(debug=False, num_runs=1)
INFO:mlagents.trainers: run: 3DBall: Step: 1000. Time Elapsed: 12.345 s Mean Reward: -0.953. Std of Reward: 0.400. Training.
INFO:mlagents.trainers: run: 3DBall: Step: 2000.0. Time Elapsed: 24.000 s Mean Reward: 1.250. Std of Reward: 0.750. Training.
INFO:mlagents.trainers: run: 3DBall: Step: 3000. No episode was completed since last summary. Training.
INFO:mlagents.trainers: my-run: Hard Brain: Step: 1000. Time Elapsed: 9.000 s Mean Reward: 100.000. Std of Reward: 0.000. Not Training.
"""
LINE = "INFO:mlagents.trainers: run: B: Step: {}. Time Elapsed: {} s Mean Reward: {}. Std of Reward: 0.100. Training."


def rows(table, *columns):
    return list(table[list(columns)].itertuples(index=False, name=None))


def plain(table):
    """Return a table's rows, with None where a value is missing."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def test_negative_rewards_are_read():
    curve = rewards.read_log(LOG.splitlines())
    assert plain(curve) == [
        {"brain": "3DBall", "attempt": 1, "step": 1000, "elapsed": 12.345, "mean_reward": -0.953, "std_reward": 0.4},
        {"brain": "3DBall", "attempt": 1, "step": 2000, "elapsed": 24.0, "mean_reward": 1.25, "std_reward": 0.75},
        {"brain": "3DBall", "attempt": 1, "step": 3000, "elapsed": None, "mean_reward": None, "std_reward": None},
        {"brain": "Hard Brain", "attempt": 1, "step": 1000, "elapsed": 9.0, "mean_reward": 100.0, "std_reward": 0.0},
    ]


def test_an_empty_log_is_an_empty_curve():
    curve = rewards.read_log([])
    assert list(curve.columns) == rewards.COLUMNS
    assert len(curve) == 0
    assert numbers(curve) == NUMBERS


ENDLESS = "INFO:mlagents.trainers: run: {}: Step: {}. No episode was completed since last summary. {}"
NUMBERS = {"step": "int64", "attempt": "int64", "elapsed": "float64", "mean_reward": "float64", "std_reward": "float64"}
NO_EPISODE = "No episode of {} ended, so there is no mean reward: train longer, or make episodes shorter"


def numbers(curve):
    return {name: str(curve[name].dtype) for name in NUMBERS}


def endless(step, wall_time):
    """Make a summary as ML-Agents writes it where no episode ended."""
    return Event(
        step=step,
        wall_time=wall_time,
        summary=Summary(
            value=[
                Summary.Value(tag=tag, simple_value=value)
                for tag, value in (("Policy/Entropy", 1.5), ("Losses/Value Loss", 0.5), ("Environment/Lesson", 0.0))
            ]
        ),
    )


@pytest.mark.parametrize("log", ["all", "none", "missing"])
@pytest.mark.parametrize(("without", "message"), [("AB", "A, B"), ("A", "A"), ("", None)])
def test_brains_without_ended_episodes_have_a_curve_without_reward(run, event, tmp_path, without, message, log):
    lines = []
    for brain in "AB":
        make = endless if brain in without else lambda step, time: event.reward(step, step / 1000, time)
        run(brain, [make(1000, 10.0), make(2000, 20.0)])
        for step in (1000, 2000):
            line = ENDLESS.format(brain, step, "Training.")
            lines.append(
                line if brain in without else LINE.replace(" B:", f" {brain}:").format(step, step / 50, step / 1000)
            )
    (tmp_path / "training.json").write_text(json.dumps({"run_id": "run"}))
    if log != "missing":
        (tmp_path / "log.txt").write_text("\n".join(lines if log == "all" else []))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        curve = rewards.read(tmp_path)
    assert [str(one.message).partition(" (")[0] for one in caught] == ([NO_EPISODE.format(message)] if message else [])
    assert numbers(curve) == NUMBERS
    nothing = [(1000, None), (2000, None)]
    for brain in "AB":
        rewards_of = [(row["step"], row["mean_reward"]) for row in plain(curve[curve["brain"] == brain])]
        assert rewards_of == (nothing if brain in without else [(1000, 1.0), (2000, 2.0)])
        timed = log == "all" and brain not in without
        assert list(curve.loc[curve["brain"] == brain, "elapsed"]) == ([20.0, 40.0] if timed else [0.0, 10.0])
    shown = rewards.show_last(curve, "job")
    assert list(shown.data.columns) == ["A", "B"] and "mean_reward" in shown.data.index
    assert rewards.plot({"job": curve})


def test_a_log_without_an_ended_episode_has_steps(event):
    curve = rewards.read_log([ENDLESS.format("B", "40.0", "Training."), ENDLESS.format("B", 80, "Not Training.")])
    assert rows(curve, "brain", "attempt", "step") == [("B", 1, 40), ("B", 1, 80)]
    assert numbers(curve) == NUMBERS and curve["mean_reward"].isna().all()
    lines = [LINE.format(40, "4.0", 1.5), ENDLESS.format("B", 80, "Training."), "train: brain B goes on from step 40"]
    curve = rewards.read_log([*lines, LINE.format(80, "5.0", 2.5)])  # the time before is that of the last that told it
    assert rows(curve, "attempt", "step", "elapsed", "mean_reward") == [(1, 40, 4.0, 1.5), (2, 80, 9.0, 2.5)]


def test_a_brain_that_waits_for_the_others_repeats_its_step(run, event):
    """One that has reached max_steps, and one that was never asked to act."""
    lines = [LINE.format(1000, "1.0", 1.5), LINE.format(1000, "2.0", 2.5), ENDLESS.format("Idle", 0, "Training.")]
    assert rows(rewards.read_log(lines * 2), "brain", "attempt", "step", "mean_reward") == [("B", 1, 1000, 1.5)]
    folder = run("B", [event.reward(1000, 1.5, 1.0), event.reward(1000, 2.5, 2.0)])
    run("Idle", [endless(0, 1.0), endless(0, 2.0)])
    with pytest.warns(UserWarning, match="No summary of Idle: never trained"):
        curve = rewards.read_events(folder, "run")
    assert rows(curve, "brain", "attempt", "step", "mean_reward") == [("B", 1, 1000, 1.5)]


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "a & b", "\x1b[31m", "{0} $x$"])
def test_the_table_of_the_last_summary_shows_names_as_text(name):
    curve = rewards.read_log([LINE.format(1000, "1.0", 1.5).replace(" B:", f" {name}:")])
    page = rewards.show_last(curve, name).to_html()
    texts = re.findall(r"<caption>(.*?)</caption>|col_heading level0 col0\" >(.*?)</th>", page)
    assert [html.unescape("".join(cell)) for cell in texts] == [name.replace("\x1b", r"\x1b")] * 2
    assert "<img" not in page


def test_a_growing_log_gives_the_same_curve():
    reader = rewards.LogReader()
    for line in LOG.splitlines():
        reader.feed([line])
    assert reader.table().equals(rewards.read_log(LOG.splitlines()))


def test_a_resumed_log_has_neither_gaps_nor_duplicates():
    points = [(1000, 1.0, 1.5), (2000, 2.0, 2.5), (3000, 3.0, 3.5), (4000, 4.5, 4.5)]
    again = [(3000, 1.0, 7.5), (4000, 2.0, 8.5)]
    lines = [
        *(LINE.format(*point) for point in points),
        "train: training goes on from step 2000",
        "train: brain B goes on from step 2000",
        *(LINE.format(*point) for point in again),
    ]
    assert rows(rewards.read_log(lines), "attempt", "step", "elapsed", "mean_reward") == [
        (1, 1000, 1.0, 1.5),
        (1, 2000, 2.0, 2.5),
        (2, 3000, 5.5, 7.5),  # 4.5 s of the first attempt, lost steps and all, and 1 s of the second
        (2, 4000, 6.5, 8.5),
    ]


def test_summaries_after_the_checkpoint_are_dropped():
    lines = [LINE.format(*point) for point in [(1000, 1.0, 1.5), (2000, 2.0, 2.5), (3000, 3.0, 3.5)]]
    curve = rewards.read_log([*lines, "train: brain B goes on from step 1000"])
    assert list(curve["step"]) == [1000]


def test_an_unmarked_interruption_is_detected_by_its_step():
    lines = [LINE.format(*point) for point in [(1000, 1.0, 1.5), (2000, 2.0, 2.5), (1000, 1.0, 7.5), (2000, 2.0, 8.5)]]
    curve = rewards.read_log(lines)
    assert rows(curve, "attempt", "step", "mean_reward") == [(2, 1000, 7.5), (2, 2000, 8.5)]


def test_two_interruptions_before_a_summary():
    lines = [LINE.format(*point) for point in [(1000, 1.0, 1.5), (2000, 2.0, 2.5), (3000, 3.0, 3.5)]]
    for step in (2000, 1000):  # the newer checkpoint was torn the second time
        lines.append(f"train: brain B goes on from step {step}")
    lines.append(LINE.format(2000, 1.0, 9.5))
    assert rows(rewards.read_log(lines), "attempt", "step", "mean_reward") == [(1, 1000, 1.5), (2, 2000, 9.5)]


def test_every_scalar_has_its_column(run, event):
    everything = {
        "Environment__Cumulative_Reward": -0.5,
        "Environment__Episode_Length": 99.0,
        "Environment__Lesson": 2.0,
        "Policy__Entropy": 1.25,
        "Policy__Learning_Rate": 0.5,
        "Policy__Extrinsic_Value_Estimate": 3.0,
        "Policy__Extrinsic_Reward": 4.0,
        "Policy__Curiosity_Reward": 0.25,
        "Losses__Value_Loss": 0.75,
        "Losses__Policy_Loss": 8.0,
    }
    folder = run("3DBall", [event.summary(1000, 30.0, **everything)])
    curve = rewards.read_events(folder, "run")
    assert list(curve.columns[:6]) == rewards.COLUMNS
    assert curve.drop(columns="std_reward").to_dict("records") == [
        {
            "brain": "3DBall",
            "attempt": 1,
            "step": 1000,
            "elapsed": 0.0,
            "mean_reward": -0.5,
            "curiosity_reward": 0.25,
            "entropy": 1.25,
            "episode_length": 99.0,
            "extrinsic_reward": 4.0,
            "extrinsic_value_estimate": 3.0,
            "learning_rate": 0.5,
            "lesson": 2.0,
            "policy_loss": 8.0,
            "value_loss": 0.75,
        }
    ]
    assert curve["std_reward"].isna().all()


def test_only_the_brains_of_the_run_are_read(run, event):
    run("My_Brain", [event.reward(1000, 4.0)])
    run("3DBall", [event.reward(1000, 99.0)], run_id="other")
    folder = run("3DBall", [event.reward(1000, -0.5, 7.0), event.reward(2000, 0.25, 9.5)])
    curve = rewards.read_events(folder, "run")
    assert rows(curve, "brain", "step", "elapsed", "mean_reward") == [
        ("3DBall", 1000, 0.0, -0.5),
        ("3DBall", 2000, 2.5, 0.25),
        ("My_Brain", 1000, 0.0, 4.0),
    ]


def test_events_of_a_resumed_run_are_joined(run, event):
    first = [event.reward(step, step / 1000, step / 100) for step in (1000, 2000, 3000, 4000)]
    second = [event.resumed(2000, 990.0), event.reward(3000, 3.5, 1000.0), event.reward(4000, 4.5, 1010.0)]
    curve = rewards.read_events(run("B", first, second), "run")
    assert rows(curve, "attempt", "step", "elapsed", "mean_reward") == [
        (1, 1000, 0.0, 1.0),
        (1, 2000, 10.0, 2.0),
        (2, 3000, 40.0, 3.5),
        (2, 4000, 50.0, 4.5),
    ]


def test_a_summary_without_a_reward_keeps_its_place(run, event):
    folder = run("B", [event.summary(1000, Environment__Lesson=0), event.reward(2000, 1.0)])
    curve = rewards.read_events(folder, "run")
    assert list(curve["step"]) == [1000, 2000]
    assert math.isnan(curve["mean_reward"][0])


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_the_complete_part_of_a_truncated_event_file_is_read(run, event, cut):
    folder = run("B", [event.reward(1000, 1.0), event.reward(2000, 2.0)])
    (file,) = folder.rglob("events*")
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.warns(UserWarning, match="ends after step 1,000"):
        assert list(rewards.read_events(folder, "run")["step"]) == [1000]


def test_a_damaged_event_file_is_read_up_to_the_damage(run, event):
    written = [(step, step / 8) for step in range(1000, 9000, 1000)]
    folder = run("B", [event.reward(*point) for point in written])
    (file,) = folder.rglob("events*")
    whole = file.read_bytes()
    ends, at = [], 0
    while at < len(whole):
        at += 16 + int.from_bytes(whole[at : at + 8], "little")
        ends.append(at)
    assert len(ends) == 9  # the file's version, and 8 summaries
    chance = random.Random(1)
    for _ in range(300):
        place = chance.randrange(len(whole))
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << chance.randrange(8)
        file.write_bytes(spoilt)
        complete = sum(end <= place for end in ends)
        begin = ends[complete - 1] if complete else 0
        message = (
            rf"B/{file.name} ends after step {1000 * max(complete - 1, 0):,}, at byte {begin:,} of {len(whole):,}\."
        )
        with pytest.warns(UserWarning, match=message):
            if complete < 2:
                with pytest.raises(rewards.RewardsError, match="hold no summary"):
                    rewards.read_events(folder, "run")
            else:
                assert rows(rewards.read_events(folder, "run"), "step", "mean_reward") == written[: complete - 1]


def write_records(file, contents, lengths=()):
    """Add records with good checksums, whatever they hold and whatever length they announce."""
    with file.open("ab") as out:
        for content, length in itertools.zip_longest(contents, lengths):
            header = struct.pack("<Q", len(content) if length is None else length)
            out.write(header + struct.pack("<I", masked_crc32c(header)))
            out.write(content + struct.pack("<I", masked_crc32c(content)))


@pytest.mark.parametrize(
    ("content", "length"),
    [(b"\xff" * 9, None), (b"\x0a\x7f", None), (b"", 2**62), (b"", 2**64 - 1), (b"abc", 2**31)],
)
def test_a_record_that_is_not_an_event_ends_reading(run, event, content, length):
    folder = run("B", [event.reward(1000, 1.0)])
    (file,) = folder.rglob("events*")
    whole = file.stat().st_size
    write_records(file, [content], [length])
    write_records(file, [event.reward(2000, 2.0).SerializeToString()])
    message = f"ends after step 1,000, at byte {whole:,} of {file.stat().st_size:,}"
    with pytest.warns(UserWarning, match=message):
        assert rows(rewards.read_events(folder, "run"), "step", "mean_reward") == [(1000, 1.0)]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.binary(max_size=40)
        | st.builds(
            lambda tag, text: Event(
                step=-1,
                wall_time=float("inf"),
                summary=Summary(value=[Summary.Value(tag=tag, simple_value=1.0)]),
                session_log=SessionLog(status=SessionLog.START, msg=text),
            ).SerializeToString(),
            st.sampled_from(["Environment/Step", "Environment/brain", "Environment/", "x"]),
            st.sampled_from(["attempt 2", "attempt \u00b2", "attempt " + "9" * 5000, "attempt"]),
        ),
        max_size=4,
    )
)
def test_event_files_raise_only_their_own_error(run, event, contents):
    folder = run("B", [event.reward(1000, 1.0)], [event.reward(2000, 2.0)])
    for file in folder.rglob("events*"):
        write_records(file, contents)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            curve = rewards.read_events(folder, "run")
        except rewards.RewardsError as error:  # steps below the first take back what was read
            assert "hold no summary" in str(error)
            return
    assert list(curve.columns)[:5] == rewards.COLUMNS[:5] and set(curve["brain"]) == {"B"}


PREFIX = "INFO:mlagents.trainers: "


@pytest.mark.parametrize(
    "line",
    [
        *(PREFIX * 40_000, PREFIX + "a: " * 330_000, PREFIX + "a: b" + ": Step: 1" * 110_000),
        *(PREFIX + ": " * 500_000 + ": Step: 1", PREFIX + "a: b: Step: " + "1" * 10**6),
        PREFIX + "a: b: Step: 1. Time Elapsed: " + "1" * 10**6,
        PREFIX + "a: b: Step: 1. Time Elapsed: 1 s Mean Reward: " + "1." * 500_000,
        *("train: brain " + " goes on from step 1" * 50_000 + "x", "train: brain B goes on from step " + "1" * 5000),
        *("Hyperparameters for the T of brain " * 28_000, "Hyperparameters for the T of brain :" + " " * 10**6 + "x"),
        *("max_steps:" + " " * 10**6 + "x", " " * 10**6 + "x", "max_steps: " + "9" * 10**6, "max_steps:\t1e999"),
        *("max_steps: 1.1.1", "max_steps: e", "train: training with " + "9" * 5000 + " players: auto"),
    ],
    ids=range(18),
)
def test_no_log_line_takes_long_or_raises(line):
    """Seconds of this process; one pattern that goes back over a megabyte takes hours."""
    start, view = time.process_time(), live.View()
    curve = rewards.read_log([line])
    assert len(curve) == 0 and interruptions.find_steps([line]) == []
    view._scan(line)
    assert view._totals == {} and not CHOSEN_PLAYERS.search(line) and not ENDED.search(line)
    assert time.process_time() - start < 2


def test_a_complete_event_file_is_read_without_a_warning(run, event, recwarn):
    rewards.read_events(run("B", [event.reward(1000, 1.0)], [event.resumed(1000), event.reward(2000, 2.0)]), "run")
    assert list(recwarn) == []


def test_a_brain_that_never_trained_is_named(run, event):
    run("Idle", [])
    folder = run("B", [event.reward(1000, 1.0)])
    with pytest.warns(UserWarning, match="No summary of Idle: never trained, or not for summary_freq steps"):
        assert list(rewards.read_events(folder, "run")["brain"]) == ["B"]


def test_no_event_file(tmp_path):
    with pytest.raises(rewards.RewardsError, match="run_<brain>/, found none. Has the run started?"):
        rewards.read_events(tmp_path, "run")


def test_events_before_the_first_summary(run, event):
    text = Summary.Value(tag="run/Hyperparameters", tensor=TensorProto(string_val=[b"trainer"]))
    folder = run("B", [Event(step=0, summary=Summary(value=[text]))])
    with pytest.raises(rewards.RewardsError, match="hold no summary yet: the first comes after summary_freq"):
        rewards.read_events(folder, "run")


def test_events_of_another_program(run, event):
    folder = run("B", [event.summary(1, accuracy=0.5, loss=1.0)])
    with pytest.raises(rewards.RewardsError, match=r"those of another program: accuracy, loss\."):
        rewards.read_events(folder, "run")


def test_read_adds_the_deviations_of_the_log(run, event, tmp_path):
    run("3DBall", [event.reward(1000, -0.953), event.reward(2000, 1.25), event.reward(3000, 2.0)])
    (tmp_path / "training.json").write_text(json.dumps({"run_id": "run"}))
    (tmp_path / "log.txt").write_text(LOG)
    curve = rewards.read(tmp_path)
    assert rows(curve[:2], "step", "std_reward") == [(1000, 0.4), (2000, 0.75)]
    assert math.isnan(curve["std_reward"][2])
    assert list(curve.columns[:6]) == rewards.COLUMNS


def test_read_uses_the_times_of_the_log(run, event, tmp_path):
    """The event file is opened a second after the trainer's start, the second one two seconds after it."""
    first = [
        event.reward(1000, 1.5, 11.0),
        event.summary(2000, 21.0, Environment__Lesson=0),
        event.reward(3000, 2.5, 31.0),
    ]
    second = [event.resumed(2000, 102.0), event.reward(3000, 3.5, 110.0)]
    run("B", [event.summary(0, 1.0), *first], [*second])
    (tmp_path / "training.json").write_text(json.dumps({"run_id": "run"}))
    lines = [LINE.format(1000, "11.0", 1.5), LINE.format(3000, "31.0", 2.5), "train: brain B goes on from step 2000"]
    lines.append(LINE.format(3000, "10.0", 3.5))
    (tmp_path / "log.txt").write_text("\n".join(lines))
    assert rows(rewards.read(tmp_path), "attempt", "step", "elapsed") == [
        (1, 1000, 11.0),
        (1, 2000, 21.0),
        (2, 3000, 41.0),
    ]


def test_read_adds_the_times_of_a_log_that_begins_later(run, event, tmp_path):
    run(
        "B",
        [event.reward(1000, 1.5, 0.0), event.reward(2000, 1.5, 10.0)],
        [event.resumed(2000, 90.0), event.reward(3000, 2.0, 99.0), event.reward(4000, 2.0, 120.0)],
    )
    (tmp_path / "training.json").write_text(json.dumps({"run_id": "run"}))
    lines = ["train: brain B goes on from step 2000", LINE.format(3000, "9.5", 2.0), LINE.format(4000, "30.25", 2.0)]
    (tmp_path / "log.txt").write_text("\n".join(lines))
    assert rows(rewards.read(tmp_path), "attempt", "step", "elapsed") == [
        (1, 1000, 0.0),
        (1, 2000, 10.0),
        (2, 3000, 19.0),
        (2, 4000, 39.75),
    ]


@pytest.mark.parametrize(
    "spoilt",
    [
        *("", "{", "[]", "{}", "3", "\xff", "[" * 100_000, '{"run_id": 3}', '{"run_id": ["run"]}'),
        *('{"run_id": ' + "9" * 5000 + "}", "\xff\xfe{\0}\0"),
        *('{"run_id": "/etc/*"}', '{"run_id": "../run"}', '{"run_id": "\\ud800"}'),
    ],
    ids=range(14),
)
def test_a_damaged_record_is_named(tmp_path, spoilt):
    (tmp_path / "training.json").write_bytes(spoilt.encode("latin-1"))
    with pytest.raises(
        rewards.RewardsError, match=r"Expected the record of a training in .*training\.json, but it cannot"
    ):
        rewards.read(tmp_path)


def test_a_job_that_never_began(tmp_path):
    (tmp_path / "training.json").write_text(json.dumps({"run_id": None, "reason": "Unknown hyperparameter."}))
    with pytest.raises(rewards.RewardsError, match="never began to train: Unknown hyperparameter"):
        rewards.read(tmp_path)


def test_a_folder_without_a_record(tmp_path):
    with pytest.raises(rewards.RewardsError, match=r"Expected training\.json in .*, found none"):
        rewards.read(tmp_path)
