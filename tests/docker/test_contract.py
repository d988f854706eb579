"""The contract tests of the entrypoint, the same ones as outside it, in the image."""

import os
import re
import subprocess
import sys
from pathlib import Path

from helpers import ROOT, trainer_env

SAME = [
    "tests/container/test_training.py",
    "tests/container/test_preparation.py",
    "tests/container/test_faults.py",
    "tests/container/test_going_on.py::test_sigterm_saves_and_exports",
    "tests/container/test_going_on.py::test_the_goal_ends_a_run_and_other_checkpoints_are_refused",
]
STAND_IN = Path(__file__).with_name("python_in_image.py")


def test_the_entrypoint_keeps_its_contract_in_the_image(client, pushed, tmp_path):
    """PPO, SAC, BC, curiosity, GAIL, recurrent and visual, failures, signals: see tests/container."""
    trainer = trainer_env.find()
    home = tmp_path / "trainer"
    (home / "bin").mkdir(parents=True)
    (home / "stamp").touch()
    say = ["python", "-c", "import platform; print(platform.python_version())"]
    version = client.containers.run(pushed.image.local, say, remove=True).decode().strip()
    (home / "pyvenv.cfg").write_text(f"version_info = {version}\n")
    python = home / "bin" / "python"
    python.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
    python.chmod(0o755)
    environment = {
        **os.environ,
        "TRAINER_HOME": str(home),
        "CONTRACT_IMAGE": pushed.image.local,
        "CONTRACT_TRAINER": str(trainer.python),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'jobs'}", *SAME]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 15
    assert "skipped" not in done.stdout
