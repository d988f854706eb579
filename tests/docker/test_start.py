"""How soon a training takes its first step in the container, beside the bare process."""

import json
import os
import re
import shutil
import subprocess
import time

import pytest

from helpers import ROOT, trainer_env

MOST = 1.5  # times the bare process
ASKED = {"max_steps": "100", "num_layers": "1", "hidden_units": "8", "max-restarts": "0"}


def lay_out(folder):
    """Lay out a job whose player notes the time of its first step, and ends there."""
    channel = folder / "input/data/unity-volume"
    (channel / "Test_Data").mkdir(parents=True)
    shutil.copy(ROOT / "tests/container/player.py", channel / "Test.x86_64")
    (folder / "input/config").mkdir()
    asked = {**ASKED, "env-args": "--fault exit --at 1"}
    (folder / "input/config/hyperparameters.json").write_text(json.dumps(asked))
    return folder


def first_step(folder):
    return float(
        re.search(r"^about to exit at (.*)$", (folder / "output/data/players/0/Player.log").read_text(), re.M)[1]
    )


def in_container(client, name, folder):
    lay_out(folder)
    began = time.time()
    container = client.containers.create(
        name,
        "train",
        network_mode="none",
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"HOME": "/tmp"},
        volumes={str(folder): {"bind": "/opt/ml", "mode": "rw"}},
    )
    try:
        container.start()
        assert container.wait(timeout=300)["StatusCode"] == 1, container.logs().decode()
    finally:
        container.remove(force=True)
    return first_step(folder) - began


def as_process(python, folder):
    lay_out(folder)
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(folder)}
    began = time.time()
    done = subprocess.run([python, ROOT / "container/train"], env=environment, capture_output=True, timeout=300)
    assert done.returncode == 1, done.stderr
    return first_step(folder) - began


def test_the_container_starts_about_as_fast_as_the_process(client, pushed, tmp_path):
    trainer = trainer_env.find()
    if trainer.flavour != "exact":
        pytest.skip("the trainer here has another TensorFlow than the image, and starts at its own speed")
    pairs = [
        (in_container(client, pushed.image.local, tmp_path / f"in{i}"), as_process(trainer.python, tmp_path / f"as{i}"))
        for i in range(3)
    ]
    inside, outside = map(min, zip(*pairs, strict=True))  # others on this machine only ever make it slower
    print(
        f"first step after {inside:.1f} s in the container, {outside:.1f} s as a process ({inside / outside:.2f} times)"
    )
    assert inside <= MOST * outside, pairs
