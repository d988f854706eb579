"""Training from the Unity Editor, played by the sample environment outside the container."""

import json
import os
import subprocess
import time

import pytest
from docker.errors import ContainerError

from helpers import trainer_env
from helpers.sample_env import make_sample_build

SHORT = ["max_steps=200", "summary_freq=100", "buffer_size=64", "batch_size=32", "hidden_units=16", "seed=1"]
LISTENS = "import socket; socket.create_connection(('localhost', 5004), 1)"


def wait_until_it_listens(container, seconds=120):
    """Wait until ML-Agents waits for the Editor; from outside Docker's proxy answers before it does."""
    end = time.monotonic() + seconds
    while container.exec_run(["python", "-c", LISTENS]).exit_code:
        assert time.monotonic() < end, container.logs().decode()
        time.sleep(0.2)


def test_the_editor_trains_through_the_published_port(client, pushed, tmp_path):
    folder = tmp_path / "opt-ml"
    (folder / "model").mkdir(parents=True)
    container = client.containers.run(
        pushed.image.local,
        ["train-from-editor", *SHORT],
        ports={"5004/tcp": ("127.0.0.1", None)},
        volumes={str(folder): {"bind": "/opt/ml", "mode": "rw"}},
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"HOME": "/tmp"},
        detach=True,
    )
    try:
        wait_until_it_listens(container)
        container.reload()
        port = container.ports["5004/tcp"][0]["HostPort"]
        python = trainer_env.find().python
        player = subprocess.Popen(
            [make_sample_build(tmp_path / "build"), "--port", port],
            env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"},
        )
        code = container.wait()["StatusCode"]
        said = container.logs().decode()
        assert code == 0, said
        assert player.wait(60) == 0
    finally:
        container.remove(force=True)
    assert "train: waiting for the Unity Editor on port 5004" in said
    assert json.loads((folder / "model/training.json").read_text())["status"] == "completed"
    assert (folder / "model/3DBall.nn").stat().st_size > 1000


def test_it_is_refused_on_sagemaker(client, pushed):
    with pytest.raises(ContainerError) as refused:
        client.containers.run(
            pushed.image.local, ["train-from-editor"], environment={"TRAINING_JOB_NAME": "job"}, remove=True
        )
    assert refused.value.exit_status == 1
    assert b"which no Unity Editor can reach" in refused.value.stderr
