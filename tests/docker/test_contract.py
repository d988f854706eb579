"""The contract tests of the entrypoint, the same ones as outside it, in the image."""

import os
import re
import subprocess
import sys
from pathlib import Path

from common import ROOT, trainer_env

SAME = [
    "tests/container/test_training.py",
    "tests/container/test_preparation.py",
    "tests/container/test_failure_causes.py",
    "tests/container/test_resume.py",
    # Looks for sockets in this side's network; a job's container has none but loopback, see test_jobs.py.
    "--deselect=tests/container/test_training.py::test_only_this_machine_can_reach_the_trainer",
    "-m=not long and not slow",  # outside the image all of them run
]
STAND_IN = Path(__file__).with_name("python_in_image.py")


def test_the_entrypoint_keeps_its_contract_in_the_image(client, pushed, tmp_path):
    """Training, discrete actions, curriculum, failures, restarts, signals: see tests/container."""
    trainer = trainer_env.find()
    home = tmp_path / "trainer"
    (home / "bin").mkdir(parents=True)
    (home / "stamp").touch()
    say = ["python", "-c", "import platform; print(platform.python_version())"]
    version = client.containers.run(pushed.local, say, remove=True).decode().strip()
    (home / "pyvenv.cfg").write_text(f"version_info = {version}\n")
    for program in ("python", "mlagents-learn"):
        path = home / "bin" / program
        path.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
        path.chmod(0o755)
    environment = {
        **os.environ,
        "TRAINER_HOME": str(home),
        "CONTRACT_IMAGE": pushed.local,
        "CONTRACT_TRAINER": str(trainer.python),
    }
    outside = run_pytest("--collect-only", *SAME)
    done = run_pytest("-n", "2", f"--basetemp={tmp_path / 'jobs'}", *SAME, env=environment)
    assert done.returncode == 0, done.stdout[-6000:]
    count = outside.stdout.count("::")
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) == count
    assert "skipped" not in done.stdout


def run_pytest(*arguments, **options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)
