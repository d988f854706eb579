"""Training from the Unity Editor, which the test player or the sample environment plays; and when it is not wanted."""

import json
import os
import signal
import subprocess

import editor
import learner_command
import player_build
import pytest
from refusal import RefusalError

from sample_env import make_sample_build

OPTIONS = {"num-envs": 1, "env-args": ()}


@pytest.fixture
def channel(tmp_path, monkeypatch):
    """Return an empty channel outside SageMaker."""
    folder = tmp_path / "input/data/unity-volume"
    folder.mkdir(parents=True)
    monkeypatch.setattr(editor.paths, "BASE", str(tmp_path))
    monkeypatch.setattr(editor.paths, "CHANNEL", str(folder))
    monkeypatch.delenv("TRAINING_JOB_NAME", raising=False)
    return folder


def test_the_editor_plays_if_there_is_no_build(channel, monkeypatch):
    (channel / "trainer_config.yaml").touch()
    (channel / "._Ball.x86_64").touch()
    assert editor.plays({"max_steps": "5"})
    assert not editor.plays({"env": "Ball"})
    monkeypatch.setenv("TRAINING_JOB_NAME", "job")
    assert not editor.plays({})


@pytest.mark.parametrize(
    "trace", ["Ball.x86_64", "sub/Ball_Data/boot.config", "Ball.exe", "Ball.app/Contents/Info.plist"]
)
def test_an_incomplete_build_does_not_select_the_editor(channel, trace):
    (channel / trace).parent.mkdir(parents=True, exist_ok=True)
    (channel / trace).touch()
    assert not editor.plays({})


def test_the_parts_of_an_incomplete_build_are_named(channel):
    (channel / "Ball_Data").mkdir()
    with pytest.raises(RefusalError, match=r"found none but Ball_Data\. Build for Linux"):
        player_build.find(str(channel), None)


def test_a_misnamed_channel_does_not_select_the_editor(channel):
    channel.rmdir()
    assert editor.plays({})
    channel.with_name("training").mkdir()
    assert not editor.plays({})


@pytest.mark.parametrize(("routes", "plays"), [(1, False), (3, True)])
def test_no_editor_reaches_a_container_without_a_network(channel, monkeypatch, routes, plays):
    route_file = channel.parent / "route"
    route_file.write_text("Iface\tDestination\n" * routes)
    monkeypatch.setattr(editor.paths, "BASE", "/opt/ml")
    monkeypatch.setattr(editor, "ROUTES", str(route_file))
    assert editor.plays({}) is plays


@pytest.mark.parametrize("option", [{"num-envs": 2}, {"env-args": ("--agents", "3")}])
def test_options_that_do_not_apply_to_an_editor_are_refused(option):
    editor.check({**OPTIONS, "num-envs": None})
    with pytest.raises(RefusalError, match="the Unity Editor plays, which is one player and takes no arguments"):
        editor.check({**OPTIONS, **option})


@pytest.fixture
def free_port():
    return learner_command.free_ports(1)


@pytest.fixture
def bare(job, monkeypatch):
    """Return a job without a build, outside SageMaker."""
    monkeypatch.delenv("TRAINING_JOB_NAME", raising=False)
    (job.channel / "Test.x86_64").rename(job.root / "Test.x86_64")
    (job.channel / "Test_Data").rmdir()
    return job


def press_play(job, *command):
    """Be the Editor, once ML-Agents asks for it."""
    job.wait_for("Start training by pressing the Play button in the Unity Editor")
    path = f"{job.trainer.python.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen([job.trainer.python, *command], env={**os.environ, "PATH": path})


def test_the_sample_environment_instead_of_the_editor(bare, tmp_path, free_port):
    bare.start(**{"base-port": free_port})
    player = press_play(bare, make_sample_build(tmp_path / "sample"), "--port", str(free_port))
    assert bare.finish() == 0
    assert player.wait(60) == 0
    first = bare.log.splitlines()[0]
    assert first.startswith(f"train: no hyperparameter env and no build in {bare.channel}: the Unity Editor plays.")
    assert f"It connects to port {free_port}; press Play within 300 s" in first
    training = bare.training
    assert (training["status"], training["reason"]) == ("completed", "Every brain reached its max_steps.")
    assert training["brains"]["3DBall"]["steps"] == 60
    assert (bare.root / "model/3DBall.nn").stat().st_size > 1000
    note = json.loads((bare.run_folder / "3DBall/model-60.json").read_text())
    assert note["environment"] == "Editor"


def test_stopping_the_editor_ends_the_training_regularly(bare, tmp_path, free_port):
    bare.start(max_steps=100000, **{"base-port": free_port})
    fault = ["--fault", "say-goodbye", "--at", "45", "--brains", "Test"]
    log = tmp_path / "0/Player.log"
    log.parent.mkdir()
    press_play(bare, bare.root / "Test.x86_64", "--port", str(free_port), "-logFile", log, *fault).wait(60)
    assert bare.finish(60) == 0
    training = bare.training
    assert training["status"] == "stopped"
    assert (
        training["reason"] == f"Stopped by the Unity Editor after step {training['brains']['Test']['steps']} of Test."
    )
    assert training["restarts"] == []
    assert bare.model.stat().st_size > 0


@pytest.mark.slow
def test_play_is_not_pressed(bare, free_port):
    assert bare.run(stall__timeout=1, **{"base-port": free_port}) == 1
    assert bare.failure.splitlines()[0] == (
        f"The Unity Editor did not connect to port {free_port} within 1 s. Run this once more and press Play when "
        "ML-Agents asks for it; docker run must publish the port. To train a build, put it into the channel unity-volume."
    )


@pytest.mark.slow
def test_a_stop_before_play_is_pressed(bare, free_port):
    bare.start(**{"base-port": free_port})
    bare.wait_for("Start training by pressing the Play button")
    bare.process.send_signal(signal.SIGTERM)
    assert bare.finish(60) == 0
    assert bare.training["reason"] == "Stopped by SIGTERM after no step."


def test_on_sagemaker_a_missing_build_is_an_error(bare, monkeypatch):
    monkeypatch.setenv("TRAINING_JOB_NAME", "job")
    assert bare.run() == 1
    assert bare.failure.startswith("Expected one *.x86_64 in the channel unity-volume, found none. Build for Linux")
