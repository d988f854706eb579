"""Training from the Unity Editor, played by the sample environment outside the container."""

import json
import os
import subprocess
import time

import pytest
from docker.errors import ContainerError

from common import trainer_env
from sample_env import make_sample_build

SHORT = ["max_steps=200", "summary_freq=100", "buffer_size=64", "batch_size=32", "hidden_units=16", "seed=1"]
LISTENS = "import socket; socket.create_connection(('localhost', 5004), 1)"


def wait_until_it_listens(container, seconds=120):
    """Wait until ML-Agents waits for the Editor; from outside Docker's proxy answers before it does."""
    end = time.monotonic() + seconds
    while container.exec_run(["python", "-c", LISTENS]).exit_code:
        assert time.monotonic() < end, container.logs().decode()
        time.sleep(0.2)


def test_the_editor_trains_through_the_published_port(client, pushed, tmp_path):
    """What notebook 03 prints, but for the port on this side, which may be taken."""
    folder = tmp_path / "opt-ml"
    folder.mkdir()
    container = client.containers.run(
        pushed.local,
        ["train", *SHORT],
        ports={"5004/tcp": ("127.0.0.1", None)},
        volumes={str(folder): {"bind": "/opt/ml", "mode": "rw"}},
        user=f"{os.getuid()}:{os.getgid()}",
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
    assert said.splitlines()[0] == (
        "train: no hyperparameter env and no build in /opt/ml/input/data/unity-volume: the Unity Editor plays. It "
        "connects to port 5004; press Play within 300 s once ML-Agents asks for it"
    )
    assert "Start training by pressing the Play button in the Unity Editor." in said
    assert json.loads((folder / "model/training.json").read_text())["status"] == "completed"
    assert (folder / "model/3DBall.nn").stat().st_size > 1000
    assert {path.stat().st_uid for path in folder.rglob("*")} == {os.getuid()}


@pytest.mark.parametrize("where", [{"environment": {"TRAINING_JOB_NAME": "job"}}, {"network_mode": "none"}])
def test_it_is_refused_where_no_editor_can_come(client, pushed, where):
    with pytest.raises(ContainerError) as refused:
        client.containers.run(pushed.local, "train", remove=True, **where)
    assert refused.value.exit_status == 1
    assert b"Expected a channel unity-volume at /opt/ml/input/data/unity-volume, found none." in refused.value.stderr
