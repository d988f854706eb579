"""A job that takes more memory than its container may have."""

import json
import os
import shutil

from common import ROOT

SMALL = {"buffer_size": 32, "batch_size": 16, "hidden_units": 8, "num_layers": 1, "summary_freq": 20, "save-freq": 20}


def test_a_player_that_takes_all_memory_is_reported(client, pushed, tmp_path):
    channel = tmp_path / "input/data/unity-volume"
    (channel / "Test_Data").mkdir(parents=True)
    shutil.copy(ROOT / "tests/container/player.py", channel / "Test.x86_64")
    (tmp_path / "input/config").mkdir()
    hyperparameters = {**SMALL, "max_steps": 100000, "max-restarts": 0, "env-args": "--fault hog --at 30"}
    strings = {name: str(value) for name, value in hyperparameters.items()}
    (tmp_path / "input/config/hyperparameters.json").write_text(json.dumps(strings))
    container = client.containers.create(
        pushed.local,
        "train",
        network_mode="none",
        mem_limit=1_500_000_000,
        memswap_limit=1_500_000_000,
        user=f"{os.getuid()}:{os.getgid()}",
        environment={"HOME": "/tmp"},
        volumes={str(tmp_path): {"bind": "/opt/ml", "mode": "rw"}},
    )
    try:
        container.start()
        code = container.wait(timeout=300)["StatusCode"]
        log = container.logs().decode()
    finally:
        container.remove(force=True)
    assert code == 1, log
    failure = (tmp_path / "output/failure").read_text()
    assert failure.startswith("Player 0 was killed because memory ran out (SIGKILL: all processes of this job may ha")
    assert (tmp_path / "model/Test.nn").stat().st_size > 0
