"""Training jobs as processes, each below a folder of its own in the place of /opt/ml."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import ROOT, trainer_env

CONTAINER = ROOT / "container"
PLAYER = Path(__file__).with_name("player.py")
sys.path.insert(0, str(CONTAINER))  # its modules import one another by plain name

SMALL = {
    "max_steps": 60,
    "summary_freq": 20,
    "save-freq": 20,
    "buffer_size": 32,
    "batch_size": 16,
    "hidden_units": 8,
    "num_layers": 1,
    "seed": 1,
}


@pytest.fixture(scope="session")
def trainer():
    """Give the trainer environment; TRAINER_HOME chooses it."""
    return trainer_env.find()


@pytest.fixture
def job(tmp_path, trainer):
    """Give a job with the test player in its channel; afterwards nothing of it may be running."""
    job = Job(tmp_path / "opt-ml", trainer)
    yield job
    left = job.processes()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


class Job:
    """One training job's folder, and its process."""

    def __init__(self, root, trainer):
        self.root, self.trainer = root, trainer
        self.channel = root / "input/data/unity-volume"
        (self.channel / "Test_Data").mkdir(parents=True)
        shutil.copy(PLAYER, self.channel / "Test.x86_64")
        (self.channel / "Test.x86_64").chmod(0o444)  # S3 keeps no permission bits
        (root / "input/config").mkdir()

    def start(self, player="", **hyperparameters):
        """Start `train` with small hyperparameters, these on top, and arguments for the player."""
        settings = {**SMALL, **{name.replace("__", "-"): value for name, value in hyperparameters.items()}}
        if player:
            settings["env-args"] = player
        self.start_with(settings)

    def start_with(self, hyperparameters):
        """Start `train` with just these hyperparameters, given to it as SageMaker does: every value a string."""
        strings = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in hyperparameters.items()
        }
        (self.root / "input/config/hyperparameters.json").write_text(json.dumps(strings))
        environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(self.root)}
        with (self.root / "log.txt").open("ab") as log:
            command = [self.trainer.python, CONTAINER / "train"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def finish(self, seconds=240):
        """Wait for the end and return the exit code."""
        return self.process.wait(seconds)

    def run(self, player="", **hyperparameters):
        """Start, wait, and return the exit code."""
        self.start(player, **hyperparameters)
        return self.finish()

    def wait_for(self, text, seconds=120):
        """Wait until the log holds a text."""
        give_up = time.monotonic() + seconds
        while text not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < give_up, f"no {text!r} in:\n{self.log}"
            time.sleep(0.02)

    @property
    def log(self):
        return (self.root / "log.txt").read_text()

    @property
    def failure(self):
        return (self.root / "output/failure").read_text()

    @property
    def training(self):
        return json.loads((self.root / "model/training.json").read_text())

    @property
    def run_folder(self):
        return self.root / "checkpoints/models/run-0"

    def saved_steps(self, brain="Test"):
        """Return the steps of a brain's checkpoints."""
        return sorted(int(path.name.split("-")[1].split(".")[0]) for path in self.run_folder.glob(f"{brain}/*.index"))

    def curve(self, brain="Test"):
        """Return the steps and mean rewards of the summaries, as TensorBoard shows them."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self.root / f"output/data/summaries/run_{brain}"))
        events.Reload()
        points = events.Scalars("Environment/Cumulative Reward")
        return [(point.step, round(point.value, 3)) for point in points]

    def processes(self):
        """Return the processes that run for this job."""
        mark = f"SAGEMAKER_BASE_DIR={self.root}".encode()
        return [
            int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in _read(path).split(b"\0")
        ]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:  # ended meanwhile
        return b""
