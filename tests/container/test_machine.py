"""What the machine does to a training: a port that is taken, a folder that may not be written."""

import ctypes
import socket
from types import SimpleNamespace

import failure_causes
import pytest
import supervisor


def test_a_curve_that_cannot_be_written_is_a_failure(job):
    """TensorFlow warns of it and goes on; the network and its checkpoints are still saved."""
    assert job.run() == 0
    job.forget()
    folder = job.root / "checkpoints/summaries/run_Test"
    folder.chmod(0o555)
    try:
        assert job.run("--pause 0.02", before=write_as_others_do, max_steps=100) == 1
    finally:
        folder.chmod(0o755)
    reason = job.training["reason"]
    assert reason == (
        "The reward curve could not be added to in summaries/run_Test at step 80. What was saved is whole: make room "
        "there, or make it writable, and train on."
    )
    assert (job.root / "model/Test.nn").exists()
    assert job.saved_steps()[-1] >= 80


def write_as_others_do():
    """Return up what lets root write every file, for all that is started from here."""
    pr_capbset_drop, cap_dac_override = 24, 1  # linux/prctl.h, linux/capability.h
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0)


def test_a_port_that_another_program_uses(job):
    with socket.socket() as other:
        other.bind(("localhost", 0))
        port = other.getsockname()[1]
        other.listen()
        assert job.run(**{"base-port": port, "max-restarts": 0}) == 1
    assert job.failure.splitlines()[0] == (
        f"Player 0 could not be given port {port}: another program on this machine uses it. Leave base-port out, and "
        "free ports are found."
    )


@pytest.mark.parametrize(
    ("base_port", "most", "status", "attempts"),
    [(None, 3, "completed", 3), (None, 1, "failed", 2), (None, 0, "failed", 1), (5005, 3, "failed", 1)],
)
def test_a_free_port_that_another_program_took_first(monkeypatch, tmp_path, base_port, most, status, attempts):
    made = []

    class Attempt:
        """An attempt that loses its port, the third but for that."""

        def __init__(self, command, options, stop, inbox, outcome):
            made.append(self)
            self.outcome, lost = outcome, {"kind": "port_taken", "player": 0, "port": 50000}
            self.fault = failure_causes.Fault(lost) if len(made) < 3 else None

        def run(self):
            pass

        def conclude(self):
            self.outcome.status = "failed" if self.fault else "completed"

    monkeypatch.setattr(supervisor, "Attempt", Attempt)
    monkeypatch.setenv(supervisor.events.SETTINGS, "")
    command = SimpleNamespace(try_players=False, num_envs=1, run_folder="none", environment="Test", executable="Test")
    options = {"num-envs": 1, "stall-timeout": 9, "speedups": (), "max-restarts": most, "base-port": base_port}
    outcome = supervisor.train(command, options, SimpleNamespace(signal_name=""), str(tmp_path))
    assert (outcome.status, len(made), len(outcome.restarts)) == (status, attempts, attempts - 1)
