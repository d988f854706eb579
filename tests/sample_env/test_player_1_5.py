"""The sample for ML-Agents 1.1.0, with the wheel's own reader and mlagents-learn on the other end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sample_env import SampleEnvError, make_sample_build, record_demonstrations
from sample_env.player import side_channels
from sample_env.player.ball3d import Ball3D
from sample_env.player.scene import Sampler, Scene
from sample_env.player.scenes import SCENES

BALL = "3DBall?team=0"
REPORTED = ("observations", "rewards", "agents", "ended", "last_observations", "last_rewards", "max_reached")


@pytest.fixture(scope="session")
def python(v1_trainer):
    return v1_trainer.python


@pytest.fixture
def variables(python, tmp_path):
    return {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "Player.log"


@pytest.fixture
def play(python, variables, tmp_path, log):
    """Play a scene of `trainer_side_1_5.py` with a player; give what it reports."""

    def play(name, scene="3DBall", *, args=(), **more):
        if scene:
            executable = make_sample_build(tmp_path / "build", scene, "1.1.0")
            more = {"build": str(executable.with_suffix("")), "args": [*args, "-logFile", str(log)], **more}
        script = Path(__file__).with_name("trainer_side_1_5.py")
        command = [python, script, json.dumps({"scene": name, **more})]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return play


def expected(scene, actions):
    """Return what the wheel should read while a scene carries out actions: exact values, as 32-bit floats."""
    ids = {group.behaviour.name: list(range(1, 1 + group.agents)) for group in scene.groups}
    free = 1
    for listed in ids.values():
        listed[:] = range(free, free + len(listed))
        free += len(listed)
    for step in [None, *actions]:
        seen = {}
        for group in scene.groups:
            name = group.behaviour.name
            if step:
                group.step(np.array(step[name + "?team=0"], np.float64))
            ended = np.flatnonzero(group.done).tolist()
            gone = [ids[name][agent] for agent in ended]
            for agent in ended:
                ids[name][agent] = free
                free += 1
            values = (
                np.float32(group.observe()).tolist(),
                np.float32(np.where(group.done, 0, group.rewards)).tolist(),
                list(ids[name]),
                gone,
                np.float32(group.last_observations[ended]).tolist(),
                np.float32(group.rewards[ended]).tolist(),
                group.max_step_reached[ended].tolist(),
            )
            seen[name + "?team=0"] = dict(zip(REPORTED, values, strict=True))
        yield seen


def test_the_wheel_reads_what_the_warehouse_computes(play):
    scene, random = Scene(SCENES["Warehouse"], 20, seed=5), np.random.RandomState(2)
    scene.reset({})
    actions = [
        {
            "Seeker?team=0": random.randint(5, size=(20, 1)).tolist(),
            "Carrier?team=0": random.randint([5, 2], size=(20, 2)).tolist(),
        }
        for _ in range(60)
    ]
    report = play("run", "Warehouse", args=["--agents", "20"], seed=5, actions=actions)
    assert report["specs"] == {
        "Seeker?team=0": {"observations": [["VectorSensor_size4", [4]]], "continuous": 0, "discrete": [5]},
        "Carrier?team=0": {"observations": [["VectorSensor_size7", [7]]], "continuous": 0, "discrete": [5, 2]},
    }
    computed = list(expected(scene, actions))
    for number, (seen, wanted) in enumerate(zip(report["seen"], computed, strict=True)):
        assert seen == wanted, number
    ends = {
        name: [reached for seen in computed for reached in seen[f"{name}?team=0"]["max_reached"]]
        for name in ("Seeker", "Carrier")
    }
    assert {True, False} == set(ends["Seeker"])
    assert report["stats"] == {
        "Seeker/Arrived": [float(not reached) for reached in ends["Seeker"]],
        "Carrier/Delivered": [float(not reached) for reached in ends["Carrier"]],
    }
    assert report["exit_code"] == 0


def test_both_players_see_and_earn_the_same_bit_for_bit(play, trainer_side, log):
    agents, random = 5, np.random.RandomState(1)
    actions = random.uniform(-1.5, 1.5, (300, agents, 2)).astype(np.float32)
    actions[100:] *= 0.05  # long episodes, too
    arguments = {"args": ["--agents", str(agents)], "seed": -7}
    old = trainer_side("stock_run", actions=actions.tolist(), parameters={}, **arguments)["seen"][: len(actions) + 1]
    new = play("run", actions=[{BALL: action} for action in actions.tolist()], **arguments)
    assert new["specs"][BALL] == {"observations": [["VectorSensor_size8", [8]]], "continuous": 2, "discrete": []}
    earned = 0
    for number, (was, now) in enumerate(zip(old, [seen[BALL] for seen in new["seen"]], strict=True)):
        assert now["observations"] == was["observations"], number
        rewards = np.array(now["rewards"])
        rewards[was["done"]] = now["last_rewards"]
        assert rewards.tolist() == np.float32(was["rewards"]).tolist(), number
        assert now["max_reached"] == np.array(was["max_reached"])[was["done"]].tolist()
        earned += len(now["ended"])
    assert earned == len(new["stats"]["3DBall/Dropped"]) > 10
    lines = [line.split(" INFO ")[1] for line in log.read_text().splitlines()]
    assert "Connected; 5 agents, seed -7" in lines
    assert lines[-1] == "Ends: the trainer closed the connection (status 400)"


def test_parameters_hold_from_the_next_episode_on(play):
    """Balls of 8 m, whose centres are 4 m above the cubes' at the start, are pushed up by the cubes; small ones fall."""
    still = {BALL: [[0, 0]] * 3}
    report = play("parameters", args=["--agents", "3"], before={"scale": 8.0}, sent={"gravity": 20}, actions=[still])
    scene = Scene(SCENES["3DBall"], 3, seed=0)
    scene.reset({"scale": 8.0})
    assert report["first"][BALL]["observations"] == np.float32(scene.groups[0].observe()).tolist()
    scene.change({"gravity": 20.0})
    scene.groups[0].step(np.zeros((3, 2)))
    assert report["seen"][0][BALL]["observations"] == np.float32(scene.groups[0].observe()).tolist()
    assert report["exit_code"] == 0


SAMPLERS = {
    "uniform": (["uniform", 2.0, 4.0, 11], Sampler("uniform", [2, 4], 11)),
    "gaussian": (["gaussian", 5.0, 0.5, 12], Sampler("gaussian", [5, 0.5], 12)),
    "multirange": (["multirange", [[1, 2], [10, 13]], 13], Sampler("multirange_uniform", [1, 2, 10, 13], 13)),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_each_episode_draws_from_the_trainers_samplers(play, log, kind):
    sent, sampler = SAMPLERS[kind]
    report = play(
        "parameters", args=["--agents", "50"], before={"scale": sent}, sent={}, actions=[{BALL: [[0, 0]] * 50}]
    )
    scene = Ball3D(50, seed=0)
    scene.reset({"scale": sampler})
    scene.step(np.zeros((50, 2)))
    assert len(set(scene.radius)) == 50
    assert report["seen"][0][BALL]["observations"] == np.float32(scene.observe()).tolist()
    assert f"'scale': {sampler}" in log.read_text()


def test_samplers_keep_to_their_ranges_and_count_them_by_their_width():
    drawn = Sampler("multirange_uniform", [1, 2, 10, 13], 0).draw(4000)
    first = (drawn >= 1) & (drawn <= 2)
    assert (first | ((drawn >= 10) & (drawn <= 13))).all()
    assert first.mean() == pytest.approx(0.25, abs=0.03)
    assert Sampler("gaussian", [5, 0.5], 0).draw(4000).std() == pytest.approx(0.5, abs=0.03)
    uniform = Sampler("uniform", [-2, 4], -1).draw(4000)
    assert (uniform.min(), uniform.max()) == pytest.approx((-2, 4), abs=0.02)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (
            {"scale": -1},
            "Expected the reset parameter scale above 0, got -1. Correct the curriculum or sampler that sets it.",
        ),
        ({"scale": ["uniform", -2, -1, 0]}, "Expected the reset parameter scale above 0, got -1"),
    ],
    ids=["fixed", "drawn"],
)
def test_an_invalid_parameter_ends_the_player_with_the_reason(play, log, sent, reason):
    fall = {BALL: [[1, 1]] * 3}
    report = play("parameters", args=["--agents", "3"], before={}, sent=sent, actions=[fall] * 60)
    assert (report["error"], report["exit_code"]) == ("stopped", 1)
    assert f"ERROR {reason}" in log.read_text()


def test_an_unknown_parameter_is_ignored_as_in_unity_and_logged_once(play, log):
    still = {BALL: [[0, 0]]}
    report = play("parameters", args=["--agents", "1"], before={"wind": 2}, sent={"wind": 3}, actions=[still])
    assert report["exit_code"] == 0
    warning = "Ignores the environment parameter wind: this scene has gravity, mass, scale"
    assert log.read_text().count(warning) == 1


@pytest.mark.parametrize(
    ("settings", "pace"),
    [
        ((1.0, -1, 0), 1.0),
        ((20.0, -1, 0), 0.05),
        ((20.0, -1, 60), 0.0),
        ((20.0, 30, 60), 0.1),
    ],
    ids=["Unity's defaults", "by the clock", "mlagents-learn's", "frames in a second limited"],
)
def test_the_engines_settings_set_the_pace(settings, pace):
    engine = side_channels.Engine()
    engine.time_scale, engine.target_frame_rate, engine.capture_frame_rate = settings
    assert engine.pace == pytest.approx(pace)


def test_the_player_follows_the_clock_where_the_engine_does(play):
    assert (
        play("timed", args=["--agents", "1"], engine={"time_scale": 2, "quality_level": 1}, decisions=6)["seconds"]
        >= 0.25
    )


def test_a_cut_off_side_channel_is_refused():
    with pytest.raises(ValueError, match="Expected a side channel with 24 bytes or more, got 22"):
        side_channels.read(side_channels.ENGINE + b"\4\0\0\0\2\0", side_channels.Engine())


def test_the_wheel_loads_a_recorded_demonstration(play, python, tmp_path):
    for scene in SCENES:
        make_sample_build(tmp_path / scene, scene, "1.1.0")
    (ball,) = record_demonstrations(tmp_path / "3DBall", steps=120)
    read = play("demonstration", None, file=str(ball))
    assert (read["spec"], read["steps"], read["ends"]) == ([2, []], [120, 120], [50, 101])
    assert read["rewards"] == pytest.approx(0.1 * (119 - 2))  # an episode's first observation earns nothing
    group = Ball3D(1, 0)
    for seen, actions in zip(read["observations"], read["continuous"], strict=True):
        assert seen == np.float32(group.observe()[0]).tolist()
        assert actions == np.float32(group.heuristic()[0]).tolist()
        group.step(group.heuristic())
    files = record_demonstrations(tmp_path / "Warehouse", python, steps=60)
    assert [file.name for file in files] == ["Seeker.demo", "Carrier.demo"]
    carrier = play("demonstration", None, file=str(files[1]))
    assert carrier["spec"] == [0, [5, 2]] and len(carrier["discrete"][0]) == 2


def test_a_sample_for_another_trainer_takes_the_place_of_one_with_its_files(tmp_path):
    def files():
        return {
            path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
        }

    make_sample_build(tmp_path, "Warehouse")
    old = files()
    make_sample_build(tmp_path, "Warehouse", "1.1.0")
    assert b"default_settings:" in files()["trainer_config.yaml"] and "curriculum/Seeker.json" not in files()
    marker = json.loads(files()["Warehouse_Data/sample_env.json"])
    assert marker == {"scene": "Warehouse", "trainer": "1.1.0", "protocol": "1.5.0", "brains": ["Seeker", "Carrier"]}
    make_sample_build(tmp_path, "Warehouse")
    assert files() == old
    (tmp_path / "trainer_config.yaml").write_text("mine")
    make_sample_build(tmp_path, "Warehouse", "1.1.0")
    assert files()["trainer_config.yaml"] == b"mine"
    with pytest.raises(SampleEnvError, match=r"Expected a trainer out of 0\.11\.0, 1\.1\.0, got '1\.0\.0'"):
        make_sample_build(tmp_path, "Warehouse", "1.0.0")


def test_the_wrong_python_is_reported(tmp_path):
    executable = make_sample_build(tmp_path / "build", trainer="1.1.0")
    (tmp_path / "python3").symlink_to(Path(sys.executable))
    environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": ""}
    done = subprocess.run([executable, "--mlagents-port", "9"], env=environment, capture_output=True, text=True)
    assert done.stderr.startswith("Expected the trainer's Python (NumPy, grpcio, mlagents_envs 1.1.0), found ")


CONFIG = """
behaviors:
  3DBall:
    trainer_type: ppo
    hyperparameters: {batch_size: 64, buffer_size: 12000, learning_rate: 0.0003, beta: 0.001, num_epoch: 3}
    network_settings: {normalize: true, hidden_units: 128, num_layers: 2}
    reward_signals: {extrinsic: {gamma: 0.99, strength: 1.0}}
    time_horizon: 1000
    max_steps: 48000
    summary_freq: 12000
"""


LEARN = """
import functools, torch
from mlagents.trainers import learn
torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)  # what PyTorch took before 2.9; the other needs onnxscript
learn.main()
"""


def learn(python, variables, folder, executable, config, base_port, *more):
    """Train with the stock mlagents-learn; give its log's rewards by behaviour, in order."""
    command = [python, "-c", LEARN, config, "--env", executable, "--run-id", "test", "--seed", "1"]
    command += ["--no-graphics", "--base-port", base_port, *more]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    rewards = {}
    for line in (done.stdout + done.stderr).splitlines():
        if "Mean Reward: " in line:
            name = line.partition("] ")[2].partition(". ")[0]
            rewards.setdefault(name, []).append(float(line.partition("Mean Reward: ")[2].partition(". ")[0]))
    return rewards, done.stdout + done.stderr


@pytest.mark.long
def test_mlagents_learn_trains_3dball_with_two_players_of_several_agents(python, variables, tmp_path, base_port):
    executable = make_sample_build(tmp_path / "build", trainer="1.1.0")
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    rewards, _ = learn(
        python, variables, tmp_path, executable, config, base_port, "--num-envs", "2", "--env-args", "--agents", "24"
    )
    assert len(rewards["3DBall"]) == 4 and rewards["3DBall"][-1] > 1.5 * rewards["3DBall"][0] > 1
    assert (tmp_path / "results/test/3DBall.onnx").stat().st_size > 1000
    logs = [(tmp_path / f"results/test/run_logs/Player-{number}.log").read_text() for number in range(2)]
    assert ["Connected; 24 agents, seed 1" in logs[0], "Connected; 24 agents, seed 2" in logs[1]] == [True, True]


@pytest.mark.long
def test_mlagents_learn_goes_through_the_warehouses_lessons(python, variables, tmp_path, base_port):
    executable = make_sample_build(tmp_path / "build", "Warehouse", "1.1.0")
    config = tmp_path / "config.yaml"
    config.write_text(
        (tmp_path / "build/trainer_config.yaml").read_text().replace("36000", "6000").replace("0.9", "0.3")
    )
    rewards, said = learn(python, variables, tmp_path, executable, config, base_port)
    assert rewards.keys() == {"Seeker", "Carrier"}
    assert "Parameter 'goal_distance' is in lesson 'Half'" in said
    assert "'goal_distance': 6.0" in (tmp_path / "results/test/run_logs/Player-0.log").read_text()
