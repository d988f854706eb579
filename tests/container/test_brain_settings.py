"""Settings of a brain with which a training would run to its end and learn nothing."""

import json
from types import SimpleNamespace

import brain_settings
import job_outcome
import pytest
from refusal import RefusalError

CONFIG = {"default": {"trainer": "ppo", "batch_size": 16}, "Ball": {"batch_size": 8}, "Alias": "Ball"}


@pytest.mark.parametrize("brain, batch", [("Ball", 8), ("Alias", 8), ("Other", 16)])
def test_a_brains_own_section_comes_before_the_default(brain, batch):
    assert brain_settings.find(CONFIG, brain) == {"trainer": "ppo", "batch_size": batch}
    assert CONFIG["default"]["batch_size"] == 16


@pytest.mark.parametrize(
    "settings, told",
    [
        (
            {"trainer": "ppo", "batch_size": 64, "buffer_size": 32},
            "batch_size is 64 and buffer_size 32, so that no batch",
        ),
        (
            {"trainer": "sac", "batch_size": 64, "buffer_size": 32},
            "batch_size is 64 and buffer_size 32, so that no batch",
        ),
        (
            {"trainer": "sac", "max_steps": "5.0e4", "buffer_init_steps": 50000},
            "max_steps is 50000, and its first update comes at buffer_init_steps, which is 50000. Raise the one",
        ),
    ],
)
def test_what_learns_nothing_is_refused(settings, told):
    with pytest.raises(RefusalError) as refusal:
        brain_settings.refuse_what_learns_nothing(settings, "Ball")
    assert str(refusal.value).startswith(f"Brain Ball would learn nothing: {told}")


@pytest.mark.parametrize(
    "settings",
    [
        {"trainer": "ppo", "batch_size": 32, "buffer_size": 32},
        {"trainer": "offline_bc", "batch_size": 64, "buffer_size": 32},
        {"trainer": "ppo", "batch_size": 64},  # ML-Agents names what is missing
        {"trainer": "ppo", "batch_size": "many", "buffer_size": [1]},
        {"trainer": "ppo", "max_steps": 5, "buffer_init_steps": 10},
        {"trainer": "sac", "max_steps": 11, "buffer_init_steps": 10},
    ],
)
def test_what_learns_something_is_not_refused(settings):
    brain_settings.refuse_what_learns_nothing(settings, "Ball")


def test_curricula_and_lessons_that_are_not_there_are_refused():
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


def test_a_training_that_ends_before_its_first_update_says_so(job):
    assert job.run(max_steps=20, buffer_size=1000) == 0
    assert job.training["reason"] == (
        "Every brain reached its max_steps. But the network of Test was never updated: the run ended before the first "
        "update was due (buffer_size). Raise max_steps, or lower buffer_size."
    )
    assert job.log.splitlines()[-1] == f"train: completed. {job.training['reason']}"


@pytest.mark.slow
def test_the_learner_refuses_what_learns_nothing(job):
    assert job.run(batch_size=64, buffer_size=32) == 1
    assert job.failure.startswith("Brain Test would learn nothing: batch_size is 64 and buffer_size 32")
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
