"""A tuning job whose trainings are no stand-ins: the sample build, container/train, ML-Agents, the notebook's helpers."""

import json

import matplotlib.pyplot as plt
import pytest

import training_jobs as training
from helpers import aws as connecting
from helpers import volume
from many_runs import tuning
from sample_env import make_sample_build
from training_image import Image

IMAGE = Image("123456789012.dkr.ecr.us-east-1.amazonaws.com", "0123456789abcdef")


def test_tuning_the_sample_environment(own, monkeypatch, tmp_path):
    plt.close("all")  # of tests before this one
    monkeypatch.delenv("EMBEDDED_TRAIN_PROGRAM")
    own.start(EMBEDDED_GRACE_SECONDS="120", EMBEDDED_MAX_JOBS="2")
    connection = connecting.connect("embedded")
    make_sample_build(tmp_path / "unity-volume")
    volume.upload(connection.client("s3"), connection.bucket, tmp_path / "unity-volume", progress=False)
    name = tuning.launch(
        connection,
        volume=volume.locate(connection, tmp_path / "unity-volume"),
        image=IMAGE,
        folder=tmp_path / "unity-volume",
        hyperparameters={"max_steps": 480, "summary_freq": 120, "buffer_size": 512, "seed": 1},
        ranges={"learning_rate": (1e-5, 1e-2), "batch_size": [64, 256]},
        max_trainings=3,
        parallel=2,
        seed=1,
        max_minutes=4,
    )
    job = tuning.follow(connection, name, poll_seconds=0.5)
    table = tuning.table(connection, name)
    best = training.find(connection, job.best)
    place = training.fetch(connection, best, tmp_path / "results")
    read = volume.read(tmp_path / "unity-volume")
    planted = {"Bucket": connection.bucket, "Key": f"unity-volume/{read.digest}/3DBall_Data/evil.so"}
    connection.client("s3").put_object(**planted, Body=b"planted")
    spoilt = training.launch(connection, volume=read.uri(connection.bucket), image=IMAGE, hyperparameters={})
    failed = training.follow(connection, spoilt, poll_seconds=0.5)
    assert (job.status, job.done, job.failed) == ("Completed", 3, 0), table.to_string()
    logs = "".join(file.read_text() for file in tmp_path.rglob("log.txt"))
    assert table["mean_reward"].notna().all() and table["mean_reward"].between(0, 100).all(), table.to_string() + logs
    assert table["mean_reward"][0] == pytest.approx(best.metrics["mean_reward"])
    outcome = json.loads((place / "training.json").read_text())
    assert outcome["brains"]["3DBall"]["mean_reward"] == pytest.approx(best.metrics["mean_reward"], abs=0.001)
    compared = f"the {len(read.files)} files of unity-volume are those of the content hash {read.digest}"
    assert compared in (place / "log.txt").read_text()
    assert failed.status == "Failed" and "added: 3DBall_Data/evil.so. Upload the build again" in failed.failure
    used = (place / "trainer_config.yaml").read_text()
    assert f"learning_rate: {float(best.hyperparameters['learning_rate'])!r}" in used
    assert f"batch_size: {best.hyperparameters['batch_size']}" in used
    figure = tuning.plot(job, table)
    assert len(figure.axes) == 2 and not plt.get_fignums()
