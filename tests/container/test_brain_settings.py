"""Settings of a brain with which a training would run to its end and learn nothing."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import job_outcome
import pytest
from refusal import RefusalError
from trainers.v0_11 import brain_settings

PLAYER = Path(__file__).with_name("player.py")
CONFIG = {"default": {"trainer": "ppo", "batch_size": 16}, "Ball": {"batch_size": 8}, "Alias": "Ball"}


@pytest.mark.parametrize("brain, batch", [("Ball", 8), ("Alias", 8), ("Other", 16)])
def test_a_brains_own_section_comes_before_the_default(brain, batch):
    assert brain_settings.find(CONFIG, brain) == {"trainer": "ppo", "batch_size": batch}
    assert CONFIG["default"]["batch_size"] == 16


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"trainer": "sac", "max_steps": "5.0e4", "buffer_init_steps": 50000},
            "learn nothing: max_steps is 50000, and its first update comes at buffer_init_steps, which is 50000. Raise",
        ),
        ({"trainer": "ppo", "max_steps": float("inf")}, "train without an end: max_steps is inf. Write a number that"),
        ({"trainer": "sac", "max_steps": "1e999"}, "train without an end: max_steps is inf. Write a number that"),
    ],
)
def test_ineffective_settings_are_refused(settings, message):
    with pytest.raises(RefusalError) as refusal:
        brain_settings.refuse_ineffective_training(settings, "Ball")
    assert str(refusal.value).startswith(f"Brain Ball would {message}")


@pytest.mark.parametrize(
    "settings",
    [
        {"trainer": "ppo", "batch_size": 64, "buffer_size": 32},  # many agents fill it at once
        {"trainer": "ppo", "batch_size": 64},  # ML-Agents names what is missing
        {"trainer": "ppo", "batch_size": "many", "buffer_size": [1]},
        {"trainer": "ppo", "max_steps": 5, "buffer_init_steps": 10},
        {"trainer": "sac", "max_steps": 11, "buffer_init_steps": 10},
    ],
)
def test_effective_settings_are_not_refused(settings):
    brain_settings.refuse_ineffective_training(settings, "Ball")


def test_missing_curricula_and_lessons_are_refused():
    meta = SimpleNamespace(brains_to_curriculums={"Ball": SimpleNamespace(max_lesson_num=2)})
    brain_settings.refuse_curriculum(None, "Ball", 7)  # `train` refuses a lesson without curricula
    brain_settings.refuse_curriculum(meta, "Ball", 2)
    with pytest.raises(
        RefusalError, match="^Hyperparameter lesson is 3, but .* of brain Ball has the lessons 0 to 2.$"
    ):
        brain_settings.refuse_curriculum(meta, "Ball", 3)
    with pytest.raises(RefusalError, match="found none for Cube; the folder has: Ball. Add Cube.json to it.$"):
        brain_settings.refuse_curriculum(meta, "Cube", 0)


def test_a_network_that_was_neither_loaded_nor_updated_is_untrained():
    known = job_outcome.Outcome(resumed_from={"loaded": 5})
    for name in ("loaded", "updated", "neither"):
        known.brains[name] = job_outcome.Brain(updated=name == "updated")
    assert known.untrained() == ["neither"]


NO_UPDATE = (
    "The network of Test was never updated: the run ended before the first update was due (buffer_size, "
    "time_horizon). Raise max_steps, or lower them."
)
NO_EPISODE = (
    "No episode of Test ended, so that there is no mean reward: let its agents call Done(), give them a Max Step, or "
    "train longer."
)
NO_NUMBERS = (
    "Observations of Test were not numbers (NaN or infinite), first from player 0 at its step 31. ML-Agents trained on "
    "others in their place: fix CollectObservations in the scene."
)


@pytest.mark.parametrize(
    "player, settings, remarks",
    [
        ("", {"max_steps": 20, "buffer_size": 1000}, [NO_UPDATE]),
        ("--episode 1000", {"time_horizon": 10}, [NO_EPISODE]),
        pytest.param("--fault nan-observation --at 31", {"speedups": "all"}, [NO_NUMBERS], marks=pytest.mark.essential),
        ("--fault nan-observation --at 31 --episode 1000", {"speedups": "none"}, [NO_NUMBERS, NO_UPDATE, NO_EPISODE]),
    ],
)
def test_a_training_that_learned_nothing_reports_it(job, player, settings, remarks):
    assert job.run(player, **settings) == 0
    assert job.training["remarks"] == remarks
    assert job.training["reason"] == " ".join(["Every brain reached its max_steps.", *remarks])
    assert job.log.splitlines()[-1] == f"train: completed. {job.training['reason']}"


def test_a_demonstration_with_nan_is_reported(job):
    demonstration = job.channel / "demos/test.demo"
    demonstration.parent.mkdir()
    command = [job.trainer.python, PLAYER, "--record", demonstration, "--fault", "nan-observation", "--at", "31"]
    subprocess.run(command, check=True)
    imitation = {"trainer": "offline_bc", "demo_path": "demos/test.demo", "batches_per_epoch": 2}
    assert job.run(**imitation, batch_size=8) == 0
    where = "the demonstration demos/test.demo at its step 31"
    remark = NO_NUMBERS.replace("player 0 at its step 31", where).replace("scene.", "scene, and record it again.")
    assert job.training["remarks"] == [remark]


@pytest.mark.parametrize("speedups", ["all", "none"])
def test_infinite_numbers_end_a_training_and_are_reported(job, speedups):
    assert job.run("--fault inf-observation --at 31", speedups=speedups) == 1
    assert job.failure.startswith(("Losses/", "The trainer failed ")) and f" {NO_NUMBERS}" in job.failure
    assert job.run("--fault inf-reward --at 31", speedups=speedups) == 1
    assert re.match("Player 0 sent a reward that is not a number after step [0-9]+ of Test", job.failure)


def test_ineffective_imitation_is_reported_or_refused(job):
    record = [job.trainer.python, PLAYER, "--record", job.channel / "test.demo"]
    subprocess.run(record, check=True)
    base = {"trainer": "ppo", "beta": 0.01, "epsilon": 0.2, "lambd": 0.9, "learning_rate": 0.001, "memory_size": 8}
    base |= {"normalize": False, "num_epoch": 1, "sequence_length": 8, "time_horizon": 8, "use_recurrent": False}
    signal = {"strength": 0.0, "gamma": 0.9, "demo_path": "test.demo"}
    pretraining = {"demo_path": "test.demo", "steps": 100, "strength": 0.0}
    idle = {"reward_signals": {"gail": signal}, "pretraining": pretraining}
    (job.channel / "trainer_config.yaml").write_text(json.dumps({"default": base | idle}))
    assert job.run() == 0
    assert job.training["remarks"] == [
        "Test did not imitate: pretraining and the reward signal gail had no effect. Look at its strength, how often it "
        "is updated and, in pretraining, its steps.",
        "Test learned from no reward: every strength in reward_signals is 0.",
    ]
    shutil.rmtree(job.root / "checkpoints")
    early = {"pretraining": {**pretraining, "strength": 1.0, "steps": 5}}  # over before the first update
    (job.channel / "trainer_config.yaml").write_text(json.dumps({"default": base | early}))
    assert job.run(**{"reward_signals.extrinsic.strength": 1, "reward_signals.extrinsic.gamma": 0.9}) == 0
    assert job.training["remarks"] == [
        "Test did not imitate: pretraining had no effect. Look at its strength, how often it is updated and, in "
        "pretraining, its steps."
    ]
    few = {"use_recurrent": True, "pretraining": {**pretraining, "strength": 1.0, "samples_per_update": 4}}
    shutil.rmtree(job.root / "checkpoints")
    (job.channel / "trainer_config.yaml").write_text(json.dumps({"default": base | idle | few}))
    assert job.run() == 1
    assert job.failure.startswith("Brain Test would not imitate: its pretraining draws no batch from 80 steps of ")
    (job.channel / "trainer_config.yaml").write_text(
        json.dumps({"default": base | {"reward_signals": {"gail": signal}}})
    )
    assert job.run(batch_size=128, buffer_size=256) == 1
    assert job.failure == (
        "Brain Test would fail at its first update: gail compares batches of 128 steps with only 49 steps of "
        "demonstrations. Lower batch_size to 49 or less, or record more."
    )


def test_a_curriculum_for_a_brain_that_appears_later_is_refused(job):
    (job.channel / "lessons").mkdir()
    lessons = {"measure": "progress", "thresholds": [0.5], "min_lesson_length": 1, "signal_smoothing": False}
    for brain in ("Small", "Big"):
        curriculum = {**lessons, "parameters": {"size": [1.0, 2.0]}}
        (job.channel / f"lessons/{brain}.json").write_text(json.dumps(curriculum))
    assert job.run("--brains Small,Big --late Big --at 15", curriculum="lessons") == 1
    assert job.failure.startswith(
        "The curriculum has Big.json, but after the first step the build has shown the brains Small."
    )
    assert job.run("--brains Small,Big --late Big --at 15", **{"run-id": "without"}) == 0
    assert {name: brain["steps"] for name, brain in job.training["brains"].items()} == {"Small": 60, "Big": 60}


@pytest.mark.slow
def test_the_learner_refuses_ineffective_settings(job):
    assert job.run(batch_size=64, buffer_size=32, max_steps=200) == 1
    assert job.failure.startswith(
        "Brain Test would learn nothing: batch_size is 64 and buffer_size 32, so that no batch"
    )
    shutil.rmtree(job.root / "checkpoints")
    (job.channel / "lessons").mkdir()
    lessons = {"measure": "progress", "thresholds": [0.5], "min_lesson_length": 1, "signal_smoothing": False}
    curriculum = json.dumps({**lessons, "parameters": {"size": [1.0, 2.0]}})
    (job.channel / "lessons/Other.json").write_text(curriculum)
    assert job.run(curriculum="lessons") == 1
    assert job.failure.startswith("Expected a curriculum for each brain, found none for Test; the folder has: Other.")
    (job.channel / "lessons/Other.json").rename(job.channel / "lessons/Test.json")
    assert job.run(curriculum="lessons", lesson=2) == 1
    assert job.failure == "Hyperparameter lesson is 2, but the curriculum of brain Test has the lessons 0 to 1."
    assert job.saved_steps() == []
    assert job.run(curriculum="lessons", lesson=1) == 0


@pytest.mark.parametrize(
    ("brain", "todo"),
    [
        ("Test", "Add Test.json to it."),
        ("A/Red", "No file can be named after it: give it a Behavior Name without slash and dot in Unity."),
        ("v1.2", "No file can be named after it: give it a Behavior Name without slash and dot in Unity."),
    ],
)
def test_a_brain_without_a_curriculum(brain, todo):
    with pytest.raises(RefusalError) as refused:
        brain_settings.refuse_curriculum(SimpleNamespace(brains_to_curriculums={"Red": None}), brain, 0)
    assert (
        str(refused.value)
        == f"Expected a curriculum for each brain, found none for {brain}; the folder has: Red. {todo}"
    )
