"""The sample's player as a process, with stock ML-Agents or a script on the other end."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common import trainer_env
from sample_env.player.ball3d import Ball3D

STEP, RESET, QUIT = 0, 1, 2


def start(executable, environment, *arguments, timeout=120):
    return subprocess.run(
        [executable, *arguments], env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def test_stock_ml_agents_sees_what_the_scene_computes(trainer_side, player_log):
    agents, seed = 3, 7
    actions = np.random.RandomState(1).uniform(-1.5, 1.5, (30, agents, 2)).astype(np.float32)
    parameters = {"mass": 2.0, "gravity": 5.0, "scale": 3.0}
    report = trainer_side(
        "stock_run", args=["--agents", "3"], seed=seed, actions=actions.tolist(), parameters=parameters
    )

    scene = Ball3D(agents, seed)
    scene.reset({})
    expected = []

    def note():
        expected.append(
            {
                "observations": pytest.approx(scene.observe(), abs=1e-4),
                "rewards": pytest.approx(scene.rewards, abs=1e-6),
                "done": scene.done.tolist(),
                "max_reached": scene.max_step_reached.tolist(),
                "agents": ["$0-0", "$0-1", "$0-2"],
                "previous_actions": pytest.approx(scene.actions),
            }
        )

    note()
    for action in actions:
        scene.step(action)
        note()
    assert scene.episodes > 0
    scene.reset(parameters)
    note()

    for number, (seen, computed) in enumerate(zip(report["seen"], expected, strict=True)):
        assert {
            key: np.array(value) if key in ("observations", "previous_actions") else value
            for key, value in seen.items()
        } == computed, number
    assert report["brains_before_reset"] == 0
    assert report["brain"] == {
        "brain_name": "3DBall",
        "vector_observation_space_size": 8,
        "num_stacked_vector_observations": 1,
        "number_visual_observations": 0,
        "camera_resolutions": [],
        "vector_action_space_size": [2],
        "vector_action_descriptions": [],
        "vector_action_space_type": "continuous",
    }
    assert report["reset_parameters"] == parameters
    assert report["log_path"] == str(player_log)
    assert report["exit_code"] == 0
    lines = player_log.read_text().splitlines()
    assert [line.split(" INFO ")[1].split(",")[0] for line in lines] == [
        "3DBall",
        "Connected; 3 agents",
        "Reset; {'mass': 1.0",
        "First decision",
        "Reset; {'mass': 2.0",
        "30 decisions of each agent",
        lines[-1].split(" INFO ")[1],
    ]
    assert "Ends: " in lines[-1]
    assert "Connected; 3 agents, seed 7" in lines[1]


def test_running_a_player_writes_nothing_into_its_build(trainer_side, executable):
    def files():
        return {path: path.stat().st_mtime_ns for path in executable.parent.rglob("*")}

    before = files()
    assert trainer_side("scripted", answers=[{"command": RESET}])["exit_code"] == 0
    assert files() == before


def test_without_train_mode_it_runs_in_real_time(trainer_side):
    report = trainer_side("stock_real_time", args=["--agents", "1"], decisions=4)
    assert report["seconds"] >= 0.3


def test_quit_ends_the_player(trainer_side, player_log):
    report = trainer_side("scripted", args=["--agents", "2"], answers=[{"command": RESET}, {"command": QUIT}])
    assert report["exit_code"] == 0
    assert [messages["actions"] for messages in report["said"]] == [None, None, [[0, 0], [0, 0]]]
    assert "Ends: the trainer quits" in player_log.read_text()


def test_a_status_other_than_200_ends_the_player(trainer_side, player_log):
    report = trainer_side("scripted", answers=[])
    assert (report["exit_code"], len(report["said"])) == (0, 2)
    assert "Ends: the trainer closed the connection (status 400)" in player_log.read_text()


def test_without_new_actions_the_last_ones_are_repeated(trainer_side):
    report = trainer_side(
        "scripted",
        args=["--agents", "1"],
        answers=[
            {"command": RESET},
            {"command": STEP},
            {"command": STEP, "actions": [[0.5, -0.25]]},
            {"command": STEP},
            {"command": RESET},
            {"command": STEP},
        ],
    )
    messages = [messages["actions"] for messages in report["said"][2:]]
    assert messages == [[[0, 0]], [[0, 0]], [[0.5, -0.25]], [[0.5, -0.25]], [[0, 0]], [[0, 0]]]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (
            {"command": STEP, "actions": [[0.5, 0.5]]},
            "Expected 4 action values for brain 3DBall (2 agents, 2 each), got 2. Is the model trained for another brain?",
        ),
        (
            {"command": RESET, "parameters": {"scale": 0}},
            "Expected the reset parameter scale above 0, got 0. Correct the curriculum or sampler that sets it.",
        ),
        (
            {"command": RESET, "parameters": {"wind": 1}},
            "Expected reset parameters out of mass, gravity, scale, got wind. Take it out of the curriculum or sampler.",
        ),
    ],
    ids=["actions", "scale", "wind"],
)
def test_invalid_requests_of_the_trainer_are_reported_to_it(trainer_side, player_log, response, reason):
    report = trainer_side("scripted", args=["--agents", "2"], answers=[{"command": RESET}, response])
    last = report["said"][-1]
    assert (last["status"], last["message"]) == (500, reason)
    assert report["exit_code"] == 1
    assert reason in report["stderr"]
    assert f"ERROR {reason}" in player_log.read_text()


def test_the_player_ends_when_the_connection_breaks(trainer_side, player_log):
    assert trainer_side("server_vanishes")["exit_code"] == 0
    assert "Ends: the connection broke" in player_log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")
def test_the_player_ends_when_the_trainer_is_killed_but_not_its_worker(trainer_side, player_log):
    assert trainer_side("trainer_killed")["player_gone"]
    assert "Ends: the trainer's process is gone" in player_log.read_text()


@pytest.fixture
def lonely(trainer_python, executable, environment):
    """Run the player's program without a trainer, waiting for one only briefly."""
    hurry = (
        "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv.pop(1))\n"
        "from player import api_11, communicator, main\n"
        "communicator.CONNECT_SECONDS = 0.1\n"
        "sys.exit(main.main('3DBall', api_11, ['--port', '9', *sys.argv[1:]]))"
    )

    def run(*arguments, **variables):
        data = executable.with_name("3DBall_Data")
        return start(trainer_python, {**environment, **variables}, "-c", hurry, data, *arguments)

    return run


def test_a_missing_trainer_is_reported(lonely):
    done = lonely()
    assert done.returncode == 1
    assert done.stderr == (
        "Expected a trainer on port 9, found none within 0.1 s. "
        "Let mlagents-learn start the player (--env), or start the trainer first.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "9", "--agent", "3"], "unrecognized arguments: --agent 3"),
        (["--port", "9", "--agents", "0"], "argument --agents: expected 1 or more, got 0"),
        (["--port", "9", "--agents", "few"], "argument --agents: invalid"),
        ([], "one of the arguments --port --record is required"),
        (["--port", "9", "-logFile", "/dev/null/Player.log"], "cannot write the log: "),
    ],
)
def test_a_wrong_command_line_is_refused(executable, environment, arguments, message):
    done = start(executable, environment, *arguments)
    assert done.returncode == 2
    assert f"3DBall.x86_64: error: {message}" in done.stderr


def test_the_log_is_written_to_the_given_file(trainer_side, tmp_path, player_log):
    file = tmp_path / "logs" / "Player.log"
    for _ in range(2):
        trainer_side("scripted", args=["-logFile", str(file), "--seed", "5"], answers=[{"command": QUIT}])
    assert not player_log.exists()
    assert file.read_text().count("12 agents, seed 5") == 2


@pytest.mark.parametrize(
    ("arguments", "home"), [(["-logFile", "-"], None), ([], "/dev/null")], ids=["asked", "no home"]
)
def test_the_log_goes_to_standard_output(lonely, environment, arguments, home):
    done = lonely(*arguments, HOME=home or environment["HOME"])
    assert "INFO 3DBall, sample player, process" in done.stdout
    assert "ERROR Expected a trainer on port 9" in done.stdout


def test_the_wrong_python_is_reported(executable, environment, tmp_path):
    (tmp_path / "python3").symlink_to(Path(sys.executable))
    done = start(executable, {**environment, "PATH": str(tmp_path), "PYTHONPATH": ""})
    assert done.returncode == 1
    assert done.stderr.startswith("Expected the trainer's Python (NumPy, grpcio, mlagents_envs 0.11.0), found ")
    assert done.stderr.endswith("Put the bin folder of the trainer's environment first on PATH.\n")


def test_a_build_without_its_data_is_reported(executable, environment):
    executable.rename(executable.with_name("Other.x86_64"))
    done = start(executable.with_name("Other.x86_64"), environment)
    assert done.returncode == 1
    assert done.stderr.startswith("Expected Other_Data/ beside Other.x86_64, found none in ")


def test_mlagents_learn_trains_with_it(trainer_python, executable, environment, tmp_path, base_port):
    if trainer_env.find().flavour != "exact":
        pytest.skip("mlagents-learn runs by itself in the exact flavour only")
    config = tmp_path / "trainer_config.yaml"
    config.write_text(
        "default: {trainer: ppo, batch_size: 16, beta: 0.001, buffer_size: 64, epsilon: 0.2, hidden_units: 8,"
        " lambd: 0.95, learning_rate: 3.0e-4, learning_rate_schedule: linear, max_steps: 60, memory_size: 8,"
        " normalize: true, num_epoch: 1, num_layers: 1, time_horizon: 16, sequence_length: 8, summary_freq: 30,"
        " use_recurrent: false, vis_encode_type: simple, reward_signals: {extrinsic: {strength: 1.0, gamma: 0.99}}}"
    )
    command = [trainer_python.with_name("mlagents-learn"), config, "--env", executable, "--train", "--run-id", "test"]
    command += ["--seed", "1", "--no-graphics", "--base-port", base_port, "--env-args", "-logFile", "Player.log"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "3DBall: Step: 60." in done.stderr
    assert "Mean Reward: " in done.stderr
    assert "Environment shut down with return code 0." in done.stderr
    assert (tmp_path / "models/test-0/3DBall.nn").stat().st_size > 1000
    assert "61 decisions of each agent" in (tmp_path / "Player.log").read_text()
