"""What goes wrong while training, and what comes out of it. The whole matrix is in `test_matrix.py`."""

import re
import signal

import failure_causes
import job_outcome
import pytest


def test_a_crash_causes_only_a_restart(job, tmp_path):
    crash = f"--fault crash --at 25 --times 1 --counter {tmp_path / 'count'}"
    assert job.run(crash) == 0
    training = job.training
    assert training["status"] == "completed"
    assert len(training["restarts"]) == 1
    assert training["restarts"][0].startswith("Player 0 was killed (SIGSEGV) after step 2")
    assert training["brains"]["Test"]["steps"] == 60
    assert [step for step, _ in job.curve()] == [20, 40, 60]


def test_a_hang_of_one_player_is_detected(job):
    hang = "--fault hang --at 10 --player 1"
    assert job.run(hang, num__envs=2, max__restarts=0, stall__timeout=2, max_steps=100000) == 1
    first, *rest = job.failure.splitlines()
    assert first.startswith("Player 1 hangs: no answer for 2 s, after step ")
    assert rest[0] == "The last lines of its log:"
    assert rest[-1].startswith("about to hang")
    assert (job.root / "model/Test.nn").exists()
    assert job.training["status"] == "failed"
    assert job.training["reason"] == first


def test_recurring_faults_cause_no_restart(job):
    assert job.run("--fault exit-early") == 1
    assert job.failure.splitlines()[0] == "Player 0 exited (code 3) after no step."
    assert job.training["restarts"] == []


@pytest.mark.essential
def test_a_player_that_is_not_a_program_is_not_mistaken_for_the_editor(job):
    player = job.channel / "Test.x86_64"
    player.chmod(0o644)
    player.write_bytes(b"\x7fELF and nothing more")
    assert job.run() == 1
    assert re.match(r"Player 0 could not be driven after no step: OSError: .*Exec format error", job.failure)


@pytest.mark.essential
def test_an_error_of_the_trainer_is_a_failure(job):
    (job.channel / "trainer_config.yaml").write_text("default: {trainer: ppo, reward_signals: {extrinsic: {}}}")
    assert job.run() == 1
    assert job.failure.startswith(
        "The trainer failed after no step with UnityTrainerException: The hyper-parameter beta"
    )
    assert "Traceback (most recent call last)" in job.log


def test_a_nan_loss_is_not_saved(job):
    assert job.run("--fault infinite --at 30", max_steps=100000, save__freq=10) == 1
    assert "became " in job.failure and "Loss" in job.failure, job.failure
    assert job.training["restarts"] == []


@pytest.mark.parametrize(
    "code, message",
    [
        (
            -signal.SIGILL,
            "The learner was killed (SIGILL) after no step, before it reached max_steps. TensorFlow needs AVX, which "
            "this processor, or its emulation, lacks.",
        ),
        (-signal.SIGSEGV, "The learner was killed (SIGSEGV) after no step, before it reached max_steps."),
        (None, "The learner ended after no step, before it reached max_steps."),
        (1, "The learner exited (code 1) after no step, before it reached max_steps."),
    ],
)
def test_a_learner_that_ends_immediately_is_explained(code, message):
    assert failure_causes.Fault({"kind": "learner_exit", "code": code}).reason("no step") == message


@pytest.mark.parametrize(
    "rewards, named, held",
    [
        ({"A": [1, 2, 3], "B": [1, 1, 1]}, None, True),
        ({"A": [1, 2, 3], "B": [1, 0.9, 1]}, None, False),
        ({"A": [1, 2, 3], "B": [1, 1]}, None, False),
        ({"A": [1, 2, 3], "B": [0]}, "A", True),
        ({"A": [1, 2, 3], "B": [0]}, "B", False),
        ({"A": [0, 1, 2, 3]}, None, True),  # the last three
        ({}, None, False),
    ],
)
def test_a_goal_is_held_by_every_brain_or_the_named_one(rewards, named, held):
    known = job_outcome.Outcome()
    for name, values in rewards.items():
        known.brains[name] = job_outcome.Brain()
        known.brains[name].recent.extend(values)
    assert known.holds(1, named) is held
