"""Training jobs in the image, launched through the SDK as notebook 04 launches them."""

import io
import json
import os
import tarfile
import time

import pytest

import sagemaker_local as embedded
import training_jobs as training
from sagemaker_local import docker_runner

SHORT = {"max_steps": 300, "summary_freq": 100, "buffer_size": 64, "batch_size": 32, "hidden_units": 16, "seed": 1}


@pytest.fixture(scope="session")
def launch(make_trainer):
    """Return a function that launches a job in the image and returns its name."""

    def launch_job(connection, volume, pushed, **hyperparameters):
        given = {**SHORT, **hyperparameters}
        made = make_trainer(connection, volume, given, image=pushed.uri, max_minutes=10)
        return training.launch(connection, *made, folder=None).name

    return launch_job


def folder_of(name):
    return embedded.find().home / "jobs" / name


def describe_job(connection, name):
    return connection.client("sagemaker").describe_training_job(TrainingJobName=name)


def wait_for_log(name, texts, seconds=240):
    """Wait until a job's log says something; there is no event for that."""
    log = folder_of(name) / "log.txt"
    end = time.monotonic() + seconds
    while not (log.exists() and texts in log.read_text()):
        assert time.monotonic() < end, f"{texts!r} is not in {log.read_text() if log.exists() else 'no log'}"
        time.sleep(0.2)


def model_of(connection, name):
    """Fetch a job's model.tar.gz and return its files."""
    bucket, _, key = (
        describe_job(connection, name)["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    )
    body = connection.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return {item.name: archive.extractfile(item).read() for item in archive if item.isfile()}


@pytest.fixture(scope="module")
def completed(connection, sample, pushed, launch):
    name = launch(connection, sample, pushed)
    return training.follow(connection, name, poll_seconds=0.5)


def test_a_job_trains_in_its_image(connection, sample, pushed, completed):
    assert completed.failure == ""
    assert completed.status == "Completed"
    assert completed.image == pushed.uri
    assert completed.metrics["step"] == 300.0
    digest = sample.rstrip("/").rpartition("/")[2]
    log = (folder_of(completed.name) / "log.txt").read_text()
    assert f"of unity-volume are those of the content hash {digest}\n" in log
    messages = [
        step.get("StatusMessage", "") for step in describe_job(connection, completed.name)["SecondaryStatusTransitions"]
    ]
    assert f"in a container of {pushed.uri} without a network" in " ".join(messages)


def test_its_model_is_whole(connection, completed):
    model = model_of(connection, completed.name)
    assert {"3DBall.nn", "trainer_config.yaml", "training.json"} <= set(model)
    training_json = json.loads(model["training.json"])
    assert training_json["status"] == "completed"
    assert training_json["flavour"] == "exact"
    assert training_json["python"].startswith("3.7.")
    assert training_json["tensorflow"] == "1.15.5"
    # Barracuda's form: a version of 64 bits, then the names of inputs and outputs.
    assert int.from_bytes(model["3DBall.nn"][:8], "little") in range(10, 30)
    for names in (b"vector_observation", b"action", b"is_continuous_control"):
        assert names in model["3DBall.nn"]


def test_its_files_belong_to_the_caller_and_no_container_stays(client, completed):
    folder = folder_of(completed.name)
    assert {path.stat().st_uid for path in folder.rglob("*")} == {os.getuid()}
    assert docker_runner.remove_all(client, folder) == 0


def test_a_job_that_fails_says_why(connection, sample, pushed, launch):
    name = launch(connection, sample, pushed, max_stepps=5)
    job = training.follow(connection, name, poll_seconds=0.2)
    assert job.status == "Failed"
    assert "max_stepps" in job.failure
    assert "max_steps" in job.failure


def test_a_file_planted_beside_the_build_fails_the_job(connection, sample, pushed, launch):
    bucket, _, prefix = sample.removeprefix("s3://").partition("/")
    planted = {"Bucket": bucket, "Key": f"{prefix}3DBall_Data/Managed/planted.dll"}
    s3 = connection.client("s3")
    s3.put_object(**planted, Body=b"MZ")
    try:
        job = training.follow(connection, launch(connection, sample, pushed, seed=3), poll_seconds=0.2)
    finally:
        s3.delete_object(**planted)
    assert job.status == "Failed"
    digest = prefix.rstrip("/").rpartition("/")[2]
    assert (
        f"The channel unity-volume does not hold what the job was launched with (content hash {digest}): added: "
        "3DBall_Data/Managed/planted.dll. Upload the build again with notebook 2"
    ) in job.failure


def test_a_job_that_is_stopped_leaves_its_model(connection, client, sample, pushed, launch):
    name = launch(connection, sample, pushed, max_steps=1_000_000)
    wait_for_log(name, "Mean Reward")
    connection.client("sagemaker").stop_training_job(TrainingJobName=name)
    job = training.follow(connection, name, poll_seconds=0.2)
    assert job.status == "Stopped"
    model = model_of(connection, name)
    assert len(model["3DBall.nn"]) > 1000
    assert json.loads(model["training.json"])["status"] == "stopped"
    assert docker_runner.remove_all(client, folder_of(name)) == 0


PLAYER = """\
#!/usr/bin/env python3
import os, socket, sys
print("interfaces", sorted(os.listdir("/sys/class/net")), flush=True)
for address in [("192.0.2.1", 80), ("127.0.0.1", PORT)]:
    try:
        socket.create_connection(address, timeout=5)
        print("reached", address, flush=True)
    except OSError as error:
        print("refused", address[0], error.strerror, flush=True)
"""


def test_a_job_reaches_no_network(connection, pushed, launch):
    port = int(pushed.registry.rpartition(":")[2])  # listens on this machine's loopback, not on the container's
    s3 = connection.client("s3")
    s3.put_object(
        Bucket=connection.bucket, Key="network/3DBall.x86_64", Body=PLAYER.replace("PORT", str(port)).encode()
    )
    s3.put_object(Bucket=connection.bucket, Key="network/3DBall_Data/boot.config", Body=b"x")
    name = launch(connection, f"s3://{connection.bucket}/network/", pushed, **{"max-restarts": 0})
    job = training.follow(connection, name, poll_seconds=0.2)
    assert job.status == "Failed"
    said = "".join(path.read_text(errors="replace") for path in (folder_of(name) / "output" / "data").rglob("*.log"))
    assert "interfaces ['lo']" in said
    assert "refused 192.0.2.1 Network is unreachable" in said
    assert "refused 127.0.0.1 Connection refused" in said
    assert "reached" not in said


def test_memory_and_cores_are_bounded(connection, client, sample, pushed, launch):
    name = launch(connection, sample, pushed, max_steps=1_000_000, seed=2)
    wait_for_log(name, "Step: 100")
    [container] = client.containers.list(filters={"label": f"{docker_runner.LABEL}={folder_of(name)}"})
    host, machine = container.attrs["HostConfig"], client.info()
    limits = docker_runner.bounds("ml.c5.xlarge", machine["NCPU"], machine["MemTotal"])
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (
        limits.cores * 10**9,
        limits.memory,
        limits.memory,
    )
    assert host["NetworkMode"] == "none"
    training.stop(connection, name)
    assert training.follow(connection, name, poll_seconds=0.2).status == "Stopped"


SHORT_1_1_0 = {"max_steps": 2400, "summary_freq": 1200, "buffer_size": 512, "env-args": "--agents 12"}


@pytest.mark.slow
def test_1_1_0_trains_in_its_image(connection, client, upload_sample, pushed_1_1_0, launch):
    sample = upload_sample("1.1.0")
    name = launch(connection, sample, pushed_1_1_0, **SHORT_1_1_0)
    job = training.follow(connection, name, poll_seconds=0.5)
    assert (job.status, job.failure) == ("Completed", "")
    assert job.metrics["step"] >= 2400
    assert (job.trainer, job.image) == ("1.1.0", pushed_1_1_0.uri)
    messages = [step.get("StatusMessage", "") for step in describe_job(connection, name)["SecondaryStatusTransitions"]]
    assert f"in a container of {pushed_1_1_0.uri} without a network" in " ".join(messages)
    assert_whole_1_1_0(model_of(connection, name), "completed")

    name = launch(connection, sample, pushed_1_1_0, **{**SHORT_1_1_0, "max_steps": 1_000_000})
    wait_for_log(name, "Mean Reward")
    training.stop(connection, name)  # with SIGTERM
    assert training.follow(connection, name, poll_seconds=0.2).status == "Stopped"
    assert_whole_1_1_0(model_of(connection, name), "stopped")
    assert docker_runner.remove_all(client, folder_of(name)) == 0


def assert_whole_1_1_0(model, status):
    """Assert that what a job left has a model that Unity can load, of the version that the image holds."""
    assert {"3DBall.onnx", "trainer_config.yaml", "training.json"} <= set(model)
    import onnx

    graph = onnx.load_from_string(model["3DBall.onnx"])
    onnx.checker.check_model(graph)
    assert [found.name for found in graph.graph.input] == ["obs_0"]
    assert {"continuous_actions", "deterministic_continuous_actions"} <= {found.name for found in graph.graph.output}
    facts = json.loads(model["training.json"])
    expected = {"status": status, "flavour": "cpu", "mlagents": "1.1.0", "tensorflow": None, "torch": "2.13.0+cpu"}
    assert {key: facts[key] for key in expected} == expected
    assert facts["python"].startswith(("3.10.", "3.11."))
