"""ML-Agents 1.1.0: its configuration, and what its learner does under supervision. The matrix is in `test_matrix.py`."""

import json
import os
import re
import shutil
import signal
import subprocess
import zipfile

import learner_command
import pytest
import yaml
from refusal import RefusalError
from trainers import v1

from common import ROOT
from tests.container.conftest import CONTAINER, PLAYER

OPTIONS = {"save-freq": None, "keep-checkpoints": None, "seed": -1, "slow": False, "no-graphics": True, "debug": False}
CURRICULUM = {
    "default_settings": {"trainer_type": "ppo"},
    "environment_parameters": {
        "size": {
            "curriculum": [
                {
                    "name": name,
                    "value": value,
                    "completion_criteria": {"behavior": "Test", "measure": "progress", "threshold": threshold},
                }
                for name, value, threshold in (("small", 1.0, 0.1), ("middle", 2.0, 0.9))
            ]
            + [{"name": "large", "value": 3.0}]
        }
    },
}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a configuration and returns it as the job reads it."""

    def load(content):
        path = tmp_path / "trainer_config.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return v1.load(str(path))

    return load


def test_overrides_reach_every_behavior_at_their_place(write):
    config = write(
        {"default_settings": {"max_steps": 5}, "behaviors": {"A": {"hyperparameters": {"beta": 1.0}}, "B": {}}}
    )
    v1.override(config, {"batch_size": 16, "hidden_units": 8, "max_steps": 9, "reward_signals.gail.strength": 0.5})
    common = {
        "network_settings": {"hidden_units": 8},
        "max_steps": 9,
        "reward_signals": {"gail": {"strength": 0.5}},
    }
    assert config["behaviors"]["A"] == {**common, "hyperparameters": {"beta": 1.0, "batch_size": 16}}
    assert config["behaviors"]["B"] == config["default_settings"] == {**common, "hyperparameters": {"batch_size": 16}}


def test_two_checkpoints_are_kept_at_least_and_graphics_are_the_jobs_own(write):
    config = write(
        {"engine_settings": {"no_graphics": True, "time_scale": 5}, "behaviors": {"A": {"keep_checkpoints": 1}}}
    )
    assert v1.prepare(OPTIONS, config) == []
    assert config["engine_settings"] == {"time_scale": 5}
    assert config["behaviors"]["A"]["keep_checkpoints"] == 2


def test_the_job_decides_what_is_saved_and_where(write):
    sections = {"env_settings": {"num_envs": 8, "num_areas": 2}, "checkpoint_settings": {"resume": True}}
    behaviors = {"A": {"checkpoint_interval": 300}, "B": {"hyperparameters": {}}, "C": {"even_checkpoints": True}}
    config = write({**sections, "behaviors": behaviors})
    assert v1.prepare(OPTIONS, config) == []
    assert config == {
        "env_settings": {"num_areas": 2},
        "behaviors": {
            "A": {"checkpoint_interval": 300},
            "B": {"hyperparameters": {}, "trainer_type": "ppo", "checkpoint_interval": 50000},
            "C": {"even_checkpoints": True},
        },
    }
    v1.prepare({**OPTIONS, "save-freq": 7, "keep-checkpoints": 3}, config)
    for section in config["behaviors"].values():
        assert (section["checkpoint_interval"], section["even_checkpoints"], section["keep_checkpoints"]) == (
            7,
            False,
            3,
        )


@pytest.mark.parametrize(
    "content, message",
    [
        ({"default": {"trainer": "ppo"}}, "has default. It is in the format of ML-Agents 0.11: notebook 1 shows it as"),
        ("- a", "should have a section `behaviors:` with the settings of each behavior, but has no sections."),
        ({"behaviors": [1]}, "section behaviors should hold keys and values, but holds [1]."),
        ("a: [", "trainer_config.yaml should be YAML, but cannot be read: "),
    ],
)
def test_a_configuration_of_another_form_is_refused(write, content, message):
    with pytest.raises(RefusalError, match=re.escape(message)):
        write(content)


@pytest.mark.parametrize(
    "installed, flavour", [({"torch": "2.13.0+cpu"}, "cpu"), ({"torch": "2.13.0", "nvidia-cuda-runtime": "13"}, "cuda")]
)
def test_pytorch_with_cuda_is_told_by_its_libraries(installed, flavour):
    assert v1.versions(installed) == {"flavour": flavour, "tensorflow": None, "torch": installed["torch"]}


def test_the_learners_arguments():
    common = ["--results-dir", "results", "--seed", "-1", "--max-lifetime-restarts", "0"]
    assert v1.arguments(OPTIONS, False) == [*common, "--force", "--no-graphics"]
    options = {**OPTIONS, "slow": True, "debug": True, "no-graphics": False}
    assert v1.arguments(options, True) == [*common, "--resume", "--time-scale", "1", "--debug"]


@pytest.mark.essential
def test_a_run_leaves_what_a_job_of_the_default_version_leaves(v1_job):
    """Model, curve, facts: the same files and fields."""
    assert v1_job.run(trainer__version="1.1.0") == 0
    training = v1_job.training
    assert {name: training[name] for name in ("status", "reason", "remarks", "flavour", "mlagents", "restarts")} == {
        "status": "completed",
        "reason": "Every brain reached its max_steps.",
        "remarks": [],
        "flavour": "cpu",
        "mlagents": "1.1.0",
        "restarts": [],
    }
    assert training["brains"] == {"Test": {"steps": 60, "mean_reward": pytest.approx(1.0)}}
    assert training["model_steps"] == {"Test": v1_job.saved_steps()[-1]}
    assert v1_job.model.read_bytes() == (v1_job.run_folder / "Test.onnx").read_bytes()
    assert v1_job.curve() == [(20, 1.0), (40, 1.0), (60, 1.0)]
    assert (v1_job.root / "output/data/timers.json").exists()
    used = yaml.safe_load((v1_job.root / "model/trainer_config.yaml").read_text())["default_settings"]
    assert (used["hyperparameters"]["batch_size"], used["network_settings"]["hidden_units"]) == (16, 8)
    assert used["checkpoint_interval"] == 20


@pytest.mark.essential
def test_a_killed_job_resumes_without_loss(v1_job):
    """Kill the trainer, tear the newest checkpoint, and train on: step, lesson and curve are kept."""
    (v1_job.channel / "trainer_config.yaml").write_text(yaml.safe_dump(CURRICULUM))
    run = {"max_steps": 300, "save-freq": 50, "stall-timeout": 20}
    v1_job.start("--pause 0.02", **run)
    v1_job.wait_for(r"Step: 180\.")
    v1_job.process.kill()
    v1_job.process.wait()
    v1_job.wait_until_gone(10)
    *_, before, newest = v1_job.saved_steps()
    assert newest >= 140
    torn = v1_job.run_folder / f"Test/Test-{newest}.pt"
    torn.write_bytes(torn.read_bytes()[:-100])
    (v1_job.run_folder / "Test/checkpoint.pt").write_bytes(b"")
    (v1_job.run_folder / "run_logs/training_status.json").write_text("{")

    assert v1_job.run(**run) == 0
    training = v1_job.training
    assert training["resumed_from"] == {"Test": before}
    assert training["torn_checkpoints"] == [f"Test, step {newest}: File is not a zip file"]
    assert "size goes on in lesson 1" in v1_job.log
    assert "reset with {'size': 2.0}" in (v1_job.root / "output/data/players/0/Player.log").read_text()
    assert training["brains"]["Test"]["steps"] == 300
    assert [step for step, _ in v1_job.curve()] == list(range(20, 301, 20))
    assert len(v1_job.saved_steps()) == 5  # those of both lives are counted by keep-checkpoints
    assert json.loads((v1_job.run_folder / "run_logs/training_status.json").read_text())["size"] == {"lesson_num": 2}


@pytest.mark.essential
def test_a_stop_saves_and_a_network_that_does_not_fit_is_refused(v1_job):
    v1_job.start("--pause 0.02", max_steps=100000, save__freq=100000)
    v1_job.wait_for(r"Step: 20\.")
    v1_job.process.send_signal(signal.SIGTERM)
    assert v1_job.finish(60) == 0
    step = v1_job.training["brains"]["Test"]["steps"]
    assert v1_job.training["reason"] == f"Stopped by SIGTERM after step {step} of Test."
    assert v1_job.saved_steps() == [step]
    assert v1_job.model.stat().st_size > 0

    files = {path: path.read_bytes() for path in v1_job.run_folder.glob("Test/*")}
    assert v1_job.run(hidden_units=9) == 1
    assert v1_job.failure == (
        "The checkpoints of brain Test do not fit: hidden units: 8 in the checkpoint, 9 now. Start without "
        "checkpoints, or train with what they were made with."
    )
    (v1_job.run_folder / f"Test/Test-{step}.json").unlink()  # as plain mlagents-learn leaves it
    assert v1_job.run(hidden_units=9) == 1
    assert v1_job.failure.startswith("The checkpoint checkpoint.pt of brain Test does not fit the network: ")
    assert {path: path.read_bytes() for path in v1_job.run_folder.glob("Test/*")} == {
        path: content for path, content in files.items() if path.suffix != ".json"
    }


@pytest.mark.parametrize(
    "player, settings, cause",
    [
        (
            "--fault wrong-version --version API-11",
            {},
            r"Player 0 speaks protocol version 'API-11', this trainer '1.5.0'",
        ),
        ("--fault nan-reward --at 10", {}, r"Player 0 sent a reward that is not a number .*NaN"),
        ("--fault nan-observation --at 10", {}, r"Player 0 sent an observation that is not a number .*NaN"),
        ("--fault infinite --at 10", {}, r"Losses/Value Loss of brain Test became inf after step \d+"),
        (
            "",
            {"batch_size": 64},
            r"Brain Test would learn nothing: batch_size is 64 and buffer_size 32, so that no batch",
        ),
        (
            "",
            {"lesson": 1},
            r"Hyperparameter lesson is of ML-Agents 0\.11\.0, but 1\.1\.0 is installed here\. Leave it out",
        ),
    ],
)
def test_what_stock_hangs_on_or_hides_is_a_failure(v1_job, player, settings, cause):
    assert v1_job.run(player, **{"max_steps": 100000, **settings}) == 1
    assert re.match(cause, v1_job.failure), v1_job.failure


def test_several_players_of_several_brains_are_tried(v1_job):
    """With the number of players left to the job, a brain's name that no file can have, and images."""
    player = "--brains A/Red,Blue --images 1"
    assert v1_job.run(player, num__envs="auto", max_steps=200) == 0
    training = v1_job.training
    assert set(training["model_steps"]) == {"A/Red", "Blue"}
    assert {path.name for path in v1_job.model.parent.glob("*.onnx")} == {"A%2FRed.onnx", "Blue.onnx"}
    assert v1_job.saved_steps("A%2FRed")
    assert [step for step, _ in v1_job.curve("A%2FRed")][:2] == [20, 40]


ALGORITHMS = {
    "Sac": {"trainer_type": "sac", "hyperparameters": {"buffer_init_steps": 20, "save_replay_buffer": True}},
    "Poca": {"trainer_type": "poca"},
    "Memory": {"network_settings": {"memory": {"sequence_length": 4, "memory_size": 8}}},
    "Thread": {"threaded": True},
    "Curious": {"reward_signals": {name: {"strength": 0.1} for name in ("extrinsic", "curiosity", "rnd")}},
    "Play": {"self_play": {"save_steps": 20, "team_change": 50, "swap_steps": 10, "window": 2}},
}


def test_every_algorithm_trains_and_resumes(v1_job):
    (v1_job.channel / "trainer_config.yaml").write_text(yaml.safe_dump({"behaviors": ALGORITHMS}))
    player = "--brains Sac,Poca,Memory,Thread,Curious,Play?team=0,Play?team=1"
    run = {"buffer_size": 40, "summary_freq": 50, "save-freq": 50}
    assert v1_job.run(player, max_steps=100, **run) == 0
    assert v1_job.training["remarks"] == []
    first = v1_job.training["model_steps"]
    assert set(first) == set(ALGORITHMS)
    assert v1_job.run(player, max_steps=200, **run) == 0
    assert v1_job.training["resumed_from"] == first
    assert v1_job.training["torn_checkpoints"] == []
    for brain in ALGORITHMS:
        assert [step for step, _ in v1_job.curve(brain)][:4] == [50, 100, 150, 200]
        assert (v1_job.root / f"model/{brain}.onnx").exists()


def test_a_goal_ends_a_run(v1_job):
    assert v1_job.run(max_steps=100000, stop__at__reward="Test=0.9") == 0
    assert v1_job.training["reason"] == "The mean reward held 0.9 over 3 summaries."
    assert 60 <= v1_job.saved_steps()[-1] < 1000


def test_a_network_to_start_from_must_fit(v1_job):
    """A checkpoint in the channel, as of an earlier job, from which the steps begin anew."""
    assert v1_job.run() == 0
    (v1_job.channel / "earlier.pt").write_bytes((v1_job.run_folder / "Test/checkpoint.pt").read_bytes())
    (v1_job.root / "checkpoints/results").rename(v1_job.root / "earlier")
    config = {"default_settings": {"init_path": "earlier.pt", "network_settings": {"normalize": True}}}
    (v1_job.channel / "trainer_config.yaml").write_text(yaml.safe_dump(config))
    assert v1_job.run(hidden_units=9) == 1
    assert v1_job.failure.startswith("The checkpoint earlier.pt of brain Test does not fit the network: Policy.")
    assert v1_job.saved_steps() == []
    assert v1_job.run() == 0
    assert "Initializing from " in v1_job.log
    assert v1_job.training["resumed_from"] == {}
    assert v1_job.run(max_steps=100) == 0  # and goes on from its own checkpoints
    assert list(v1_job.training["resumed_from"]) == ["Test"]


def network(job):
    """Return the contents of the last checkpoint, by their names in it."""
    with zipfile.ZipFile(job.run_folder / "Test/checkpoint.pt") as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.mark.parametrize("player, behavior", [("--agents 6", {}), ("--discrete --images 1", ALGORITHMS["Memory"])])
def test_speedups_change_nothing(tmp_path, v1_job, player, behavior):
    """The same seed gives the same summaries, digit for digit, and the same network."""
    other = type(v1_job)(tmp_path / "other", v1_job.trainer, v1_job.version)
    found = []
    for job, speedups in ((v1_job, "none"), (other, "all")):
        (job.channel / "trainer_config.yaml").write_text(yaml.safe_dump({"default_settings": behavior}))
        assert job.run(player, speedups=speedups, max_steps=600, buffer_size=100, batch_size=30) == 0
        lines = re.findall(r"(Test\. Step: \d+).*?(Mean .*)", job.log)
        found.append((lines, job.curve(), network(job)))
    assert len(found[0][0]) == 30
    assert found[0] == found[1]


PLAIN = """
import functools, torch
torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)
from mlagents.trainers import learn
learn.main()
"""


def test_plain_mlagents_learns_the_same_and_its_run_goes_on(v1_job, tmp_path):
    """The same summaries, digit for digit; its checkpoints, which have no notes, are resumed if they fit."""
    settings = {"max_steps": 300, "buffer_size": 100, "batch_size": 30}
    assert v1_job.run(**settings) == 0
    lines = re.findall(r"Test\. Step: \d+|Mean .*", v1_job.log)
    shutil.rmtree(v1_job.root / "checkpoints/results")
    shutil.rmtree(v1_job.root / "checkpoints/summaries")
    build = tmp_path / "Test.x86_64"
    shutil.copy(PLAYER, build)
    build.chmod(0o755)
    arguments = f"--results-dir results --run-id run --seed 1 --no-graphics --base-port {learner_command.free_ports(1)}"
    (tmp_path / "0").mkdir()
    python = v1_job.trainer.python
    plain = subprocess.run(
        [
            *(python, "-c", PLAIN, v1_job.root / "model/trainer_config.yaml", "--env", build, *arguments.split()),
            *("--env-args", "-logFile", tmp_path / "0/Player.log"),
        ],
        cwd=v1_job.root / "checkpoints",
        env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.findall(r"Test\. Step: \d+|Mean .*", plain.stdout) == lines
    newest = v1_job.saved_steps()[-1]
    v1_job.forget()
    assert v1_job.run(**settings, hidden_units=9) == 1
    assert "does not fit the network" in v1_job.failure
    assert v1_job.run(**{**settings, "max_steps": 400}) == 0
    assert v1_job.training["resumed_from"] == {"Test": newest}


def test_the_shipped_configuration_is_read_by_the_wheel():
    config = v1.load(str(ROOT / "container" / v1.ROW["trainer_config"]))
    assert set(config["behaviors"]) == {"3DBall"}


STATUS = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from mlagents.trainers.training_status import GlobalTrainingStatus, StatusType
from trainers.v1 import saved_state

saved_state.guard_status()
sys.setswitchinterval(1e-5)
enough = threading.Event()

def change():
    number = 0
    while not enough.is_set():
        GlobalTrainingStatus.set_parameter_state("lesson %d" % (number % 1000), StatusType.LESSON_NUM, number)
        number += 1
        if number % 1000 == 0:
            GlobalTrainingStatus.set_parameter_state("brain %d" % number, StatusType.ELO, 1.0)

changing = threading.Thread(target=change)
changing.start()
try:
    for _ in range(50):
        saved_state.write_status(sys.argv[2])
finally:
    enough.set()
"""


@pytest.mark.long
def test_lessons_may_change_while_a_thread_saves(tmp_path, v1_trainer):
    path = tmp_path / "training_status.json"
    command = [v1_trainer.python, "-c", STATUS, str(CONTAINER), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text())["lesson 999"]["lesson_num"] >= 999
