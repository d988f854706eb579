"""Runs that are killed, stopped or extended, and go on from their checkpoints."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import learner_command
import pytest

import reward_curves as rewards
from common import ROOT

CONTAINER = ROOT / "container"
PLAYER = Path(__file__).with_name("player.py")

LESSON = {
    "measure": "progress",
    "thresholds": [0.1, 0.9],
    "min_lesson_length": 1,
    "signal_smoothing": True,
    "parameters": {"size": [1.0, 2.0, 3.0]},
}


@pytest.mark.essential
def test_a_killed_job_resumes_without_loss(job):
    """Kill the trainer, tear the newest checkpoint, and train on: step, lesson and curve are kept."""
    (job.channel / "lessons").mkdir()
    (job.channel / "lessons/Test.json").write_text(json.dumps(LESSON))
    run = {"curriculum": "lessons", "max_steps": 300, "save__freq": 50, "stall__timeout": 20}
    job.start("--pause 0.02", **run)
    job.wait_for(r"Step: 180\.")
    job.process.kill()
    job.process.wait()
    job.wait_until_gone(10)  # they find out within a second
    newest = job.saved_steps()[-1]
    assert newest >= 150
    torn = job.run_folder / f"Test/model-{newest}.cptk.data-00000-of-00001"
    torn.write_bytes(torn.read_bytes()[:-100])
    (job.run_folder / "Test/checkpoint").write_text("")

    assert job.run(**run) == 0
    training = job.training
    assert training["resumed_from"] == {"Test": newest - 50}
    assert training["torn_checkpoints"][0].startswith(f"Test, step {newest}: ")
    assert f"train: the checkpoint of brain Test at step {newest} cannot be read and is left out: " in job.log
    assert "Test goes on in lesson 1" in job.log
    assert training["brains"]["Test"]["steps"] == 300
    assert [step for step, _ in job.curve()] == list(range(20, 301, 20))
    assert job.saved_steps()[-1] == 301  # ML-Agents ends one step after max_steps
    assert len(job.saved_steps()) == 5  # those of both lives are counted by keep-checkpoints


@pytest.mark.essential
def test_sigterm_saves_and_exports(job, tmp_path):
    job.start("--pause 0.02", max_steps=100000, save__freq=100000)
    job.wait_for(r"Step: 20\.")
    job.process.send_signal(signal.SIGTERM)
    job.process.send_signal(signal.SIGTERM)
    job.wait_for("Learning was interrupted")
    job.process.send_signal(signal.SIGTERM)
    assert job.finish(60) == 0
    training = job.training
    assert training["status"] == "stopped"
    step = training["brains"]["Test"]["steps"]
    assert training["reason"] == f"Stopped by SIGTERM after step {step} of Test."
    assert job.saved_steps() == [step]
    assert (job.root / "model/Test.nn").stat().st_size > 0
    assert not (job.root / "output/failure").exists()


def test_a_stop_during_an_update_loses_no_point_of_the_curve(job):
    """The update of a step comes after it was counted, and before its summary would be written."""
    run = {"max_steps": 100, "summary_freq": 1, "save-freq": 100000}
    job.start("--fault nothing --at 40 --idle 0.5", num_epoch=600, buffer_size=64, **run)
    job.wait_for_fault()
    job.process.send_signal(signal.SIGTERM)
    assert job.finish() == 0
    assert job.training["status"] == "stopped"
    [stopped] = job.saved_steps()
    assert job.run(**run) == 0
    assert job.training["resumed_from"] == {"Test": stopped}
    steps = [int(float(step)) for step in re.findall(r"Test: Step: ([0-9.]+)\. ", job.log)]
    assert steps[stopped - 1] == stopped
    assert steps == [*range(1, 101), 100]  # ML-Agents takes one step more, and counts it as the last


def test_the_goal_ends_a_run_and_other_checkpoints_are_refused(job):
    assert job.run(max_steps=100000, stop__at__reward="Test=0.9") == 0
    assert job.training["status"] == "completed"
    assert job.training["reason"] == "The mean reward held 0.9 over 3 summaries."
    saved = job.saved_steps()
    assert 60 <= saved[-1] < 1000

    assert job.run(hidden_units=9) == 1
    assert job.failure == (
        "The checkpoints of brain Test do not fit: hidden units: 8 in the checkpoint, 9 now. Start without "
        "checkpoints, or train with what they were made with."
    )
    assert job.saved_steps() == saved


def stop_while_the_player_starts(job):
    """Go on on another machine, and stop before the player has connected."""
    job.forget()
    logged = len(job.log)
    job.start("--fault never-connect", max_steps=100)
    job.wait_for("CommandLineOptions", since=logged)
    job.process.send_signal(signal.SIGTERM)
    assert job.finish() == 0


def test_a_stop_before_training_keeps_the_earlier_model(job):
    assert job.run() == 0
    stop_while_the_player_starts(job)
    training = job.training
    assert training["reason"] == "Stopped by SIGTERM after no step."
    assert training["model_steps"] == {"Test": 61}
    assert (job.root / "model/Test.nn").read_bytes() == (job.run_folder / "Test.nn").read_bytes()

    (job.run_folder / "exported.json").unlink()  # as where the machine was lost before the first export
    stop_while_the_player_starts(job)
    assert job.training["reason"] == (
        "Stopped by SIGTERM after no step. The checkpoint at step 61 is kept, but no model was exported from it."
    )
    assert not (job.root / "model/Test.nn").exists()


@pytest.mark.slow
def test_a_failure_after_a_restart_keeps_the_earlier_model(job, tmp_path):
    again = {"max_steps": 100000, "max-restarts": 1}
    assert job.run(f"--fault crash --at 30 --then 0 --counter {tmp_path / 'count'}", **again) == 1
    training = job.training
    assert len(training["restarts"]) == 1
    assert list(training["model_steps"]) == ["Test"]
    assert training["model_steps"]["Test"] == job.saved_steps()[-1]
    assert (job.root / "model/Test.nn").stat().st_size > 0


@pytest.mark.parametrize("damage", ["missing", "torn"])
def test_checkpoints_with_a_note_are_preferred(job, damage):
    (job.channel / "lessons").mkdir()
    (job.channel / "lessons/Test.json").write_text(json.dumps(LESSON))
    run = {"curriculum": "lessons"}
    assert job.run(**run) == 0
    *_, before, newest = job.saved_steps()
    lesson = json.loads((job.run_folder / f"Test/model-{before}.json").read_text())["lesson"]
    assert lesson > 0
    note = job.run_folder / f"Test/model-{newest}.json"
    note.unlink() if damage == "missing" else note.write_text("{")
    assert job.run(**run, max_steps=100) == 0
    training = job.training
    assert training["resumed_from"] == {"Test": before}
    assert training["torn_checkpoints"] == [f"Test, step {newest}: its note model-{newest}.json is missing or torn"]
    assert f"Test goes on in lesson {lesson}" in job.log
    assert training["brains"]["Test"]["steps"] == 100


def test_checkpoints_without_notes_are_used_if_there_are_no_others(job):
    """Where no note can be read, the newest weights are taken, and what that costs is said."""
    assert job.run() == 0
    *_, newest = job.saved_steps()
    for note in (job.run_folder / "Test").glob("model-*.json"):
        note.write_text("")
    assert job.run(max_steps=100) == 0
    assert job.training["resumed_from"] == {"Test": newest}
    assert "No checkpoint of Test has its note: a curriculum begins anew, what fits is not checked" in job.log


@pytest.mark.slow
def test_a_run_without_checkpoints_restarts_its_curve(job):
    job.start("--pause 0.02", **{"max_steps": 100, "save-freq": 1000})
    job.wait_for(r"Step: 60\.")
    job.process.kill()
    job.process.wait()
    job.wait_until_gone(10)
    assert job.run(max_steps=100) == 0
    assert job.training["resumed_from"] == {}
    assert [step for step, _ in job.curve()] == [20, 40, 60, 80, 100]


@pytest.mark.slow
def test_a_clock_set_back_loses_no_point_of_the_curve(job):
    assert job.run() == 0
    assert job.run(max_steps=120) == 0
    folder = job.root / "output/data/summaries"
    _, second = sorted((folder / "run_Test").iterdir())
    prefix, time, rest = re.fullmatch(r"(.*tfevents\.)(\d+)(\..*)", second.name).groups()
    second.rename(second.with_name(f"{prefix}{int(time) - 3600}{rest}"))
    assert list(rewards.read_events(folder, "run")["step"]) == [20, 40, 60, 80, 100, 120]


def test_a_run_that_has_already_reached_its_max_steps_reports_it(job):
    """And a run that is stopped as soon as it has found its checkpoints leaves them as they are."""
    assert job.run() == 0
    files = {path: path.read_bytes() for path in job.run_folder.glob("Test/model-*")}
    job.start("--pause 0.5", max_steps=100000)  # so slow that it gets no further than a step or two
    job.wait_for("train: brain Test goes on from step 61")
    job.process.send_signal(signal.SIGTERM)
    assert job.finish() == 0
    assert job.training["status"] == "stopped"
    assert {path: path.read_bytes() for path in files} == files
    assert json.loads((job.run_folder / "Test/model-61.json").read_text())["brains"] == ["Test"]
    assert job.run() == 0
    assert job.training["status"] == "completed"
    assert job.training["reason"] == (
        "Every brain had reached its max_steps already, in the checkpoints: nothing was trained. Raise max_steps to "
        "train further."
    )
    assert (job.root / "model/Test.nn").stat().st_size > 0
    assert [step for step, _ in job.curve()] == [20, 40, 60]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_checkpoints_of_plain_mlagents_are_resumed(job, tmp_path):
    """Train with `mlagents-learn` itself, and go on from what it left."""
    config = tmp_path / "plain.yaml"
    config.write_text(
        (CONTAINER / "trainers/v0_11/trainer_config.yaml").read_text().replace("max_steps: 50000", "max_steps: 60")
    )
    build = tmp_path / "Test.x86_64"
    shutil.copy(PLAYER, build)
    build.chmod(0o755)
    folder = job.root / "checkpoints"
    folder.mkdir()
    (tmp_path / "0").mkdir()
    python = job.trainer.python
    if job.trainer.flavour != "exact":
        pytest.skip("ML-Agents alone needs TensorFlow 1")
    line = f"--run-id run --train --no-graphics --save-freq 20 --base-port {learner_command.free_ports(1)}"
    log = tmp_path / "0" / "Player.log"
    subprocess.run(
        [python.parent / "mlagents-learn", config, "--env", build, *line.split(), "--env-args", "-logFile", log],
        cwd=folder,
        env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"},
        check=True,
    )
    saved = job.saved_steps()
    plain = {"max_steps": 100, "summary_freq": 20, "hidden_units": 128, "num_layers": 2, "buffer_size": 10240}
    assert job.run(**{**plain, "hidden_units": 129}) == 1
    assert job.failure == (
        "The checkpoint of brain Test at step 61 does not fit the network: dense/kernel is 128 x 2 in the checkpoint, "
        "129 x 2 now; extrinsic_value/kernel is 128 x 1 in the checkpoint, 129 x 1 now; main_graph_0/hidden_0/bias is "
        "128 in the checkpoint, 129 now; and 7 more. Start without checkpoints, or train with what they were made with."
    )
    assert job.run("--brains Other", **plain) == 1
    assert job.failure.startswith("The checkpoints hold the brains Test, but this build has the brain Other.")
    assert job.saved_steps() == saved
    assert job.run(**plain) == 0
    assert job.training["resumed_from"] == {"Test": saved[-1]}
    assert job.training["brains"]["Test"]["steps"] == 100


@pytest.mark.slow
def test_checkpoints_of_another_brain_or_environment_are_refused(job):
    assert job.run() == 0
    saved = job.saved_steps()
    assert job.run("--brains Other") == 1
    assert job.failure.startswith("The checkpoints hold the brains Test, but this build has the brain Other.")
    (job.channel / "Test.x86_64").rename(job.channel / "Maze.x86_64")
    assert job.run() == 1
    assert job.failure.startswith("The checkpoints were trained in the environment Test, but this job trains in Maze.")
    assert job.saved_steps() == saved


def test_the_brain_of_a_goal_is_known_before_the_first_summary(job):
    """Also where the training would end before it."""
    goal = {"stop-at-reward": "Tset=1", "summary_freq": 1000}
    assert job.run("--pause 0.02", **goal) == 1
    assert job.failure.splitlines()[0] == "Hyperparameter stop-at-reward names the brain Tset, but the build has Test."
