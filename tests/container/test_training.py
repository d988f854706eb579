"""Real trainings of a few dozen steps, from the hyperparameters to what SageMaker takes up."""

import json
import re
import subprocess
from pathlib import Path

import paths
import psutil
import pytest
import yaml

import reward_curves as rewards
import training_jobs as training
from common import brain_names
from policy_files import model

PLAYER = Path(__file__).with_name("player.py")

ALGORITHMS = """
default: &ppo
  trainer: ppo
  batch_size: 16
  beta: 0.001
  buffer_size: 32
  epsilon: 0.2
  hidden_units: 8
  lambd: 0.95
  learning_rate: 0.0003
  max_steps: 60
  memory_size: 8
  normalize: true
  num_epoch: 1
  num_layers: 1
  time_horizon: 16
  sequence_length: 4
  summary_freq: 20
  use_recurrent: false
  reward_signals: {extrinsic: {strength: 1.0, gamma: 0.99}}
ppo:
  use_recurrent: true
  reward_signals:
    extrinsic: {strength: 1.0, gamma: 0.99}
    curiosity: {strength: 0.02, gamma: 0.99, encoding_size: 8}
gail:
  pretraining: {strength: 0.5, demo_path: demos/test.demo, steps: 100}
  reward_signals: {gail: {strength: 1.0, gamma: 0.99, encoding_size: 8, demo_path: demos/test.demo}}
sac:
  trainer: sac
  buffer_init_steps: 10
  init_entcoef: 0.5
  num_update: 1
  tau: 0.005
  vis_encode_type: simple
  save_replay_buffer: true
bc:
  trainer: offline_bc
  batches_per_epoch: 2
  demo_path: demos/test.demo
"""


def test_only_this_machine_can_reach_the_trainer(job):
    job.start(max_steps=100_000, num__envs=2)
    job.wait_for(r"[\s\S]*Mean Reward")
    sockets = [one for pid in job.processes() for one in psutil.Process(pid).net_connections("inet")]
    listening = [one.laddr for one in sockets if one.status == psutil.CONN_LISTEN]
    job.process.terminate()
    job.finish()
    assert len({address.port for address in listening}) == 2  # one for each player
    assert {address.ip.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}


@pytest.mark.essential
def test_a_training_writes_the_results_that_sagemaker_expects(job):
    assert job.run(**{"reward_signals.extrinsic.gamma": "0.9", "run-id": '"first"', "_tuning_objective": "x"}) == 0
    training = job.training
    assert training["status"] == "completed"
    assert training["reason"] == "Every brain reached its max_steps."
    assert training["brains"]["Test"]["steps"] == 60
    assert round(training["brains"]["Test"]["mean_reward"], 3) == 0.9
    assert training["run_id"] == "first"
    assert training["num_envs"] == 1
    assert training["flavour"] == job.trainer.flavour
    assert training["python"] == job.trainer.version
    assert training["tensorflow"].startswith({"exact": "1.15", "compat": "2.15"}[job.trainer.flavour])
    assert training["mlagents"] == "0.11.0"
    assert (training["restarts"], training["resumed_from"], training["torn_checkpoints"]) == ([], {}, [])

    assert sorted(path.name for path in (job.root / "model").iterdir()) == [
        "Test.nn",
        "trainer_config.yaml",
        "training.json",
    ]
    shared, summaries = (
        {path.name: path.read_bytes() for path in (job.root / folder / "first_Test").iterdir()}
        for folder in ("output/tensorboard", "output/data/summaries")
    )
    assert len(shared) == 1 and shared == summaries
    used = yaml.safe_load((job.root / "model/trainer_config.yaml").read_text())
    assert used["default"]["reward_signals"] == {"extrinsic": {"strength": 1.0, "gamma": 0.9}}
    assert used["default"]["max_steps"] == 60
    assert used["3DBall"]["max_steps"] == 60  # an override reaches the sections that would hide it

    output = job.root / "output/data"
    assert len(list((output / "summaries/first_Test").glob("events.out.tfevents.*"))) == 1
    assert "3DBall" not in job.log
    assert json.loads((output / "timers.json").read_text())["count"] == 1
    assert "reset with" in (output / "players/0/Player.log").read_text()
    assert not (job.root / "output/failure").exists()
    assert (
        " first: Test: Step: 40. Time Elapsed: " in job.log
    )  # the learner's own line, which the job's metrics are read from
    assert "Mean Reward: 0.900. Std of Reward: 0.000. Training." in job.log
    assert job.log.splitlines()[-1] == "train: completed. Every brain reached its max_steps."


def test_a_training_of_a_tuning_job(job):
    tuned = {"learning_rate": "3.2E-4", "batch_size": '"8"', "normalize": "False"}
    tuned["reward_signals.extrinsic.gamma"] = "0.9876543210987654"
    assert job.run(**tuned, _tuning_objective_metric="mean_reward", sagemaker_region="us-east-1") == 0
    used = yaml.safe_load((job.root / "model/trainer_config.yaml").read_text())["default"]
    found = {name: used[name] for name in ("learning_rate", "batch_size", "normalize")}
    assert found == {"learning_rate": 0.00032, "batch_size": 8, "normalize": False}
    assert used["reward_signals"]["extrinsic"]["gamma"] == 0.9876543210987654
    # The objective is the last value that the log holds.
    objectives = re.findall(training.METRICS["mean_reward"], job.log)
    assert float(objectives[-1]) == round(job.training["brains"]["Test"]["mean_reward"], 3)


def test_every_algorithm_trains(job):
    (job.channel / "demos").mkdir()
    brains = ["ppo", "gail", "sac", "bc"]
    player = ["--images", "1", "--agents", "2"]
    demo = job.channel / "demos/test.demo"
    subprocess.run([job.trainer.python, PLAYER, "--record", demo, *player], check=True)
    (job.channel / "trainer_config.yaml").write_text(ALGORITHMS)
    job.start_with({"env-args": [*player, "--brains", ",".join(brains)], "num-envs": "2", "seed": "1"})
    assert job.finish() == 0
    assert {name: brain["steps"] for name, brain in job.training["brains"].items()} == dict.fromkeys(brains, 60)
    assert {path.name for path in (job.root / "model").glob("*.nn")} == {f"{brain}.nn" for brain in brains}
    assert sorted(path.name for path in (job.root / "output/data/players").iterdir()) == ["0", "1"]


ODD_NAMES = {
    "A/Red": "A%2FRed",
    "A": "A",
    "red": "red",
    "Red": "Red",
    "../../up": "%2E%2E%2F%2E%2E%2Fup",
    "A.nn": "A%2Enn",
    "a\"b'c[1]*": "a%22b%27c%5B1%5D%2A",
    "Größe 2?team=0": "Größe 2%3Fteam=0",
}


def test_brains_with_any_name_have_a_model_and_a_curve_and_resume(job):
    """Among them names that are part of one another's path, lead out of the folder or differ in case alone."""
    files = {**ODD_NAMES, "red": "%72%65%64"}  # where the names of all are known, as in the archives
    for steps in (20, 40):
        if job.has_begun:
            job.forget()
        assert job.run(["--brains", ",".join(ODD_NAMES)], max_steps=steps) == 0, job.log
        assert job.training["brains"].keys() == ODD_NAMES.keys()
    assert job.training["resumed_from"].keys() == ODD_NAMES.keys()
    folder = job.root / "model"
    assert sorted(path.name for path in folder.glob("**/*.nn")) == sorted(f"{file}.nn" for file in files.values())
    assert {model.read(path).brain: path.stem for path in folder.glob("*.nn")} == files
    assert {path.name for path in job.run_folder.iterdir() if path.is_dir()} == set(ODD_NAMES.values())
    summaries = job.root / "output/data/summaries"
    assert {path.name.removeprefix("run_") for path in summaries.iterdir()} == set(files.values())
    for place in (summaries, job.root / "output/tensorboard"):
        curve = rewards.read_events(place, "run")
        assert {brain: list(rows["step"]) for brain, rows in curve.groupby("brain")} == {
            brain: [20, 40] for brain in ODD_NAMES
        }
    assert set(rewards.read_log(job.log.splitlines())["brain"]) == set(ODD_NAMES)


@pytest.mark.parametrize(
    ("brain", "file"),
    [
        *ODD_NAMES.items(),
        ("A%2FRed", "A%252FRed"),
        (".hidden", "%2Ehidden"),
        ("exported.json", "exported%2Ejson"),
        ("v1.2", "v1.2"),
        ("<img src=x>", "%3Cimg src=x%3E"),
        ("C:\\a\n\0", "C%3A%5Ca%0A%00"),
        ("e\u0301", "e%CC%81"),
        ("日本", "日本"),
        ("", "%"),
        ("%", "%25"),
    ],
)
def test_a_brains_name_is_restored_from_its_file(brain, file):
    assert paths.brain_file(brain) == file and brain_names.brain_of(file) == brain
    twins = [paths.brain_file(name, ["RED", "REd", "red", "A"]) for name in ("RED", "REd", "red", "A")]
    assert twins == ["RED", "%52%45%64", "%72%65%64", "A"]


@pytest.mark.essential
def test_a_brain_with_a_too_long_name_is_refused(job):
    assert job.run(["--brains", "ü" * 120 + "/"]) == 1
    assert job.failure.partition("\n")[0] == (
        f"Brain {'ü' * 40}… has too long a name: with the run id in front, its folder's name takes 247 bytes, and file "
        "systems take 240. Shorten its Behavior Name in Unity, and build again."
    )


@pytest.mark.essential
def test_discrete_actions_curriculum_and_sampler(job):
    (job.channel / "lessons").mkdir()
    lesson = {
        "measure": "progress",
        "thresholds": [0.3],
        "min_lesson_length": 1,
        "signal_smoothing": False,
        "parameters": {"size": [2.0, 3.0]},
    }
    (job.channel / "lessons/Test.json").write_text(json.dumps(lesson))
    (job.channel / "sampler.yaml").write_text(
        "resampling-interval: 30\nsize: {sampler-type: uniform, min_value: 5, max_value: 5}\n"
    )
    assert job.run("--discrete --actions 3", curriculum="lessons", sampler="sampler.yaml") == 0
    assert "Test lesson changed. Now in lesson 1: size -> 3.0" in job.log
