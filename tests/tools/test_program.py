"""The program: chosen rows, output, saved numbers, interruption, and the trainings that it starts."""

import json
import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import ROOT
from tools.benchmarks import __main__ as program
from tools.benchmarks import growth, processes, training, training_process, tutorial, upload
from tools.benchmarks.comparison import Result

MACHINE = {"processor": "abacus", "cores": 2, "memory_gb": 8.0, "system": "s", "python": "3", "trainer": "none"}


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(program.machine, "describe", lambda: MACHINE)
    monkeypatch.setattr(program.machine, "load", lambda: 0.1)


def test_groups_are_chosen_by_the_beginning_of_a_name():
    assert {found.name.split(".")[0] for found in program.choose([])} == set(program.GROUPS)
    assert [found.name for found in program.choose(["upload.3", "tutorial"])] == [
        "upload.3000",
        "tutorial.notebooks",
    ]


def test_every_row_names_sides_that_are_measured():
    for found in program.choose([]):
        for row in found.rows:
            assert row.ours in found.sides
            assert row.other in ("", *found.sides)
        assert len({row.name for row in found.rows}) == len(found.rows)


def test_names_are_single_words():
    names = [found.name for found in program.choose([])]
    assert [name for name in names if len(name.split()) != 1] == []
    assert len(set(names)) == len(names)
    assert [found.name for found in program.choose(["growth.2x"])] == [f"growth.2x{n}" for n in (1, 4, 16, 64)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["uplaod"], "one of training, speedups, upload, image, tutorial, growth, got uplaod; --list names them"),
        (["upload", "uplaod"], "got uplaod; --list names them"),
        (["growth.jbos", "uploads", "training"], "got growth.jbos uploads; --list names them"),
        (["--runs", "0"], "expected 1 run or more, got 0"),
        (["--quick", "upload"], "expected no rows beside --quick, it measures the training alone, got upload"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_table_is_printed_and_numbers_are_saved(make, machine, tmp_path, capsys):
    def chatty(run):
        print("a bar")
        return {"time": 2.0}

    assert program.run([make(ours=[1.0, 3.0], other=chatty)], 2, home=tmp_path) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("abacus, 2 cores, 8.0 GB; s; Python 3; trainer none\n\n| ")
    assert "a bar" not in printed
    assert "| a thing done | 2.00 s | 2.00 s |         1.00 | 0.50 to 1.50 |    2 | too few runs |" in printed
    (raw,) = tmp_path.glob("*.json")
    assert printed.endswith(f"raw numbers: {raw}\n")
    saved = json.loads(raw.read_text())
    assert saved["machine"] == MACHINE
    (result,) = saved["results"]
    assert result["runs"] == [
        {"ours": {"time": 1.0}, "other": {"time": 2.0}},
        {"ours": {"time": 3.0}, "other": {"time": 2.0}},
    ]
    assert result["contests"]["row"]["ratio"] == 1.0
    assert (result["absent"], result["failed"]) == ({}, "")


def test_a_failure_is_reported(make, machine, tmp_path, capsys):
    def fails(run):
        raise RuntimeError("no")

    assert program.run([make(ours=fails)], 5, home=tmp_path) == 1
    assert "aborted: ours, run 1: RuntimeError: no" in capsys.readouterr().out


def test_a_busy_machine_is_reported(make, machine, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(program.machine, "load", lambda: 1.7)
    program.run([make(ours=[1.0])], 1, home=tmp_path)
    assert "Something else is running: the load before the start was 1.7." in capsys.readouterr().out


INTERRUPTED = """
import signal, subprocess, sys
from pathlib import Path
from tools.benchmarks import __main__ as program, processes
from tools.benchmarks.comparison import Comparison, Row

def side(run):
    if run == 1:
        return {"time": 1.0}
    mark = processes.new_mark()
    import os
    with processes.none_left(mark):
        child = subprocess.Popen(["sleep", "600"], env={**os.environ, **mark}, start_new_session=True)
        Path(sys.argv[1], "child").write_text(str(child.pid))
        print("waiting", file=sys.stderr, flush=True)
        child.wait()

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler)
comparison = Comparison("group.name", {"ours": side}, (Row("row", "a thing", "s", "ours", "", "time"),))
sys.exit(program.run([comparison], 3, home=Path(sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_measurements_and_leaves_no_process(tmp_path, number):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while "waiting" not in running.stderr.readline():
            assert running.poll() is None
        child = int((tmp_path / "child").read_text())
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "| a thing | 1.00 s |" in out
    assert "Interrupted: the table contains what was measured until then." in err
    (raw,) = tmp_path.glob("*.json")
    assert json.loads(raw.read_text())["results"][0]["runs"] == [{"ours": {"time": 1.0}}]
    assert not Path(f"/proc/{child}").exists()


@pytest.fixture
def lines():
    """Return a queue with a trainer's lines in it, and the end."""

    def fill(*texts):
        found = queue.SimpleQueue()
        for at, text in enumerate(texts):
            found.put((float(at), text))
        found.put((float(len(texts)), None))
        return found

    return fill


FIRST = "INFO:mlagents.trainers: run: 3DBall: Step: 100. Time Elapsed: 3.5 s Mean Reward: -0.5. Std of Reward: 0.1. Training.\n"
EMPTY = "INFO:mlagents.trainers: run: 3DBall: Step: 200. No episode was completed since last summary. Training.\n"


def test_summaries_are_followed(lines):
    found = training_process.follow(
        lines("hello\n", FIRST, "Step: 7. of something else\n", EMPTY), time.monotonic() + 5
    )
    assert next(found) == (1.0, 100, -0.5)
    assert next(found) == (3.0, 200, None)
    with pytest.raises(training_process.TrainingFailedError, match="it ended early:\nhello"):
        next(found)


def test_a_training_that_takes_too_long():
    with pytest.raises(training_process.TrainingFailedError, match="not done after 900 s"):
        next(training_process.follow(queue.SimpleQueue(), time.monotonic()))


def test_a_training_that_hangs_on_stopping(tmp_path, monkeypatch):
    monkeypatch.setattr(training_process, "STOP_TIMEOUT", 0.2)
    summary = (
        "INFO:mlagents.trainers: run: 3DBall: Step: {}. Time Elapsed: 1.0 s Mean Reward: {}.000. Std of Reward: 0.1."
    )
    code = f"""
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
print({summary.format(100, 50)!r}, {summary.format(1200, 70)!r}, sep="\\n", flush=True)
signal.pause()
"""
    (tmp_path / "player.log").write_text("5005 2026-01-01 10:00:00,250 INFO First decision\n")
    task, command = training_process.Task(steps=1200), [sys.executable, "-c", code]

    def run(may_hang):
        return training_process.run(command, {}, tmp_path, ["player.log"], task, signal.SIGINT, may_hang)

    measurements = run(True)
    assert "stop" not in measurements
    assert (measurements["steps"], measurements["reward"], measurements["players"]) == (1200.0, 70.0, 0.0)
    with pytest.raises(
        training_process.TrainingFailedError, match="did not save its model and end within 10 s of SIGINT"
    ):
        run(False)


def test_a_task_is_done_at_its_reward_or_its_steps():
    to_reward, to_steps = training_process.Task(reward=80), training_process.Task(steps=300)
    assert [to_reward.done(9999, reward) for reward in (None, 79.9, 80.0)] == [False, False, True]
    assert [to_steps.done(step, 99.0) for step in (299, 300)] == [False, True]


def test_both_sides_train_the_same_settings():
    config = training_process.Task(settings={"buffer_size": 7}).config()
    assert config["3DBall"]["buffer_size"] == 7
    assert (config["3DBall"]["batch_size"], config["3DBall"]["lambd"], config["default"]["trainer"]) == (
        64,
        0.99,
        "ppo",
    )


def test_the_first_step_is_the_first_of_all_players(tmp_path):
    for player, seconds in enumerate(("02,500", "01,250")):
        (tmp_path / str(player)).mkdir()
        (tmp_path / str(player) / "log").write_text(
            f"5005 2026-01-01 00:00:00,000 INFO Connected\n5005 2026-01-01 00:00:{seconds} INFO First decision\n"
        )
    at = training_process.first_step_at(tmp_path, ["*/log"])
    assert time.strftime("%S", time.localtime(at)) == "01"
    assert at % 1 == pytest.approx(0.25)
    with pytest.raises(training_process.TrainingFailedError, match="no player logged its first decision"):
        training_process.first_step_at(tmp_path, ["nothing"])


def test_the_cost_of_supervision_is_measured_without_speedups():
    found, *_ = training.comparisons()
    assert [row.ours for row in found.rows if row.name.startswith("bare")] == [training.BARE] * 2
    assert [one.name for one in training.comparisons(quick=True)] == ["training.3DBall"]


def test_a_decision_is_compared_with_its_training_step(monkeypatch):
    monkeypatch.setattr(training, "ours", lambda task: {"steps_per_second": 250.0, "memory": 1e6})
    monkeypatch.setattr(training, "decision_time", lambda agents: 10.0 * agents)
    measurements = training.sampled(training.Task(agents=12))(1)
    # 120 us of the 4,000 that a step takes
    assert measurements == {"steps_per_second": 250.0, "memory": 1.0, "decision": 120.0, "decision_share": 3.0}


def test_the_sample_environment_decides_without_a_trainer():
    assert training_process.decision_time(1) > 0


def test_a_mean_reward_covers_the_last_steps():
    rewards = [(3000, 10.0), (3100, 60.0), (3500, 80.0), (4000, 100.0)]
    assert training_process.late_mean(rewards, 4000) == {"reward": 80.0}
    assert training_process.late_mean(rewards, 9000) == {}


def test_rewards_are_compared_with_the_confidence_interval_of_stock():
    known = {
        training.STOCK: [78.0, 80.0, 82.0],
        training.DEFAULTS: [79.0, 79.5, 80.5],
        training.AUTO: [90.0] * 3,
        training.STOCK_TWO: [70.0] * 3,
    }
    result = Result(training.learning())
    assert training.compare_rewards(result) == ""
    for run in range(3):
        result.runs.append({side: {"reward": values[run]} for side, values in known.items()})
    # t of 2 degrees of freedom is 4.303, the standard error 2 / sqrt(3)
    assert training.compare_rewards(result) == (
        "mean reward: container/train 79.7 (3 seeds), inside the 95 % interval of the mean of stock mlagents-learn, "
        "80.0 (75.0 to 85.0; 3 seeds); num-envs auto 90.0 (3 seeds), above the 95 % interval of the mean of stock, "
        "2 players, 70.0 (70.0 to 70.0; 3 seeds)"
    )
    del result.runs[0][training.DEFAULTS]["reward"]
    conclusion = training.compare_rewards(result)
    assert conclusion.startswith("mean reward: container/train 80.0 (2 seeds), inside")


def test_marked_processes_are_found_and_ended():
    mark = processes.new_mark()
    with processes.none_left(mark):
        child = subprocess.Popen(["sleep", "600"], env={**os.environ, **mark}, start_new_session=True)
        assert [found.pid for found in processes.find(mark)] == [child.pid]
        assert processes.memory(processes.find(mark)) > 0
    assert child.wait(10) == -signal.SIGKILL
    assert processes.find(mark) == []


def test_files_to_upload_are_the_same_each_time(tmp_path):
    for name in "ab":
        upload.fill(tmp_path / name, 50, 100_000)
    contents = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.assets")}
        for name in "ab"
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 50
    assert sum(map(len, contents[0].values())) == pytest.approx(100_000, rel=0.01)


def test_both_readers_read_every_point(tmp_path):
    growth.write_events(tmp_path, 321)
    assert growth.read_ours(tmp_path) == growth.read_accumulated(tmp_path) == 321


def test_growth_is_described(make):
    measurements = {"10": 1.0, "100": 10.0, "1000": 1000.0, "10000": 100_000.0}
    result = Result(make(ours=[]), [{"ours": measurements}])
    assert growth.growth_of(result, "ours", "", "ours") == (
        "ours grows with the size to the power of 2.00, worse than linear"
    )
    assert growth.growth_of(result, "other", "", "other") == ""


def test_long_cells_of_a_notebook_have_rows():
    run = {"make tutorial": {"all": 9.0, "notebook 01": 5.0, "notebook 01: x = 1": 0.1, "notebook 01: train()": 4.0}}
    assert [row.measure for row in tutorial.find_rows(run)] == ["notebook 01", "notebook 01: train()"]


def test_cells_and_their_seconds(tmp_path):
    import nbformat.v4 as v4

    cell = v4.new_code_cell("first = 1\nsecond = 2", metadata={"papermill": {"duration": 1.5}})
    book = v4.new_notebook(cells=[v4.new_markdown_cell("# heading"), cell, v4.new_code_cell("never run")])
    (tmp_path / "book.ipynb").write_text(json.dumps(book))
    assert tutorial.cell_seconds(tmp_path / "book.ipynb") == [("first = 1", 1.5)]
