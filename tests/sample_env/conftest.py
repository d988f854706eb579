"""Fixtures: a sample build, and the trainer's side of the protocol, which runs in the trainer's environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import trainer_env
from sample_env import make_sample_build

CONTAINER = Path(__file__).parents[2] / "container"


@pytest.fixture(scope="session")
def trainer_python():
    return trainer_env.find().python


@pytest.fixture
def base_port():
    """Return the first of two free ports in a row, as a training job chooses them."""
    code = "import learner_command; print(learner_command.free_ports(2))"
    return subprocess.check_output([sys.executable, "-c", code], cwd=CONTAINER, text=True).strip()


@pytest.fixture
def executable(tmp_path):
    return make_sample_build(tmp_path / "build")


@pytest.fixture
def environment(trainer_python, tmp_path):
    """Return the environment variables for a player: its Python first on PATH, a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    return {**os.environ, "PATH": f"{trainer_python.parent}:{os.environ['PATH']}", "HOME": str(home)}


@pytest.fixture
def player_log(environment):
    return Path(environment["HOME"]) / ".config/unity3d/DefaultCompany/3DBall/Player.log"


@pytest.fixture
def trainer_side(trainer_python, executable, environment):
    """Play a scene of `trainer_side.py` with a player; give what it reports."""

    def play(name, *, args=(), **parameters):
        request = {"scene": name, "build": str(executable.with_suffix("")), "args": args, **parameters}
        script = Path(__file__).with_name("trainer_side.py")
        done = subprocess.run(
            [trainer_python, script, json.dumps(request)], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return {"stderr": done.stderr, **json.loads(done.stdout.splitlines()[-1])}

    return play
