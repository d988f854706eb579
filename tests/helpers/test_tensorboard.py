"""The command that opens TensorBoard on a running job, and the curve of such a job."""

import os
import shlex
import subprocess
from types import SimpleNamespace

import pytest

import reward_curves as rewards
import training_jobs as training
from common import ROOT
from helpers import tensorboard

PROGRAM = ".venv/bin/tensorboard"


def test_the_command_on_aws_uses_the_readers_keys():
    command = tensorboard.command_while_running(SimpleNamespace(endpoint=None), SimpleNamespace(tensorboard="s3://b/t"))
    assert command == f"{PROGRAM} --logdir s3://b/t"


def test_a_job_without_tensorboard_output():
    job = SimpleNamespace(name="mlagents-1", tensorboard="")
    command = tensorboard.command_while_running(SimpleNamespace(endpoint=None), job)
    assert command.startswith("# mlagents-1 copies no summaries to S3 while it runs")  # a shell does nothing with it


def running(**places):
    attributes = {
        "name": "mlagents-1",
        "checkpoints": "",
        "tensorboard": "",
        "hyperparameters": {},
        "trainer": "0.11.0",
        **places,
    }
    return SimpleNamespace(**attributes)


def put_events(connection, tmp_path, prefix, **scalars):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder = tmp_path / prefix.replace("/", "-")
    writer = EventFileWriter(str(folder))
    values = [Summary.Value(tag=f"Environment/{name}", simple_value=value) for name, value in scalars.items()]
    writer.add_event(Event(step=250, summary=Summary(value=values)))
    writer.close()
    (file,) = folder.iterdir()
    connection.client("s3").upload_file(str(file), connection.bucket, f"{prefix}/{file.name}")
    return f"s3://{connection.bucket}/{prefix}".rpartition("/")[0]


def test_the_curve_of_a_running_job_comes_from_its_checkpoints(connection, tmp_path):
    place = put_events(connection, tmp_path, "checkpoints/a/summaries/run_3DBall", Lesson=2.0).removesuffix("summaries")
    put_events(connection, tmp_path, "training/a/tensorboard-output/run_3DBall", Lesson=1.0)
    board = f"s3://{connection.bucket}/training/a/tensorboard-output"
    curve = training.read_running(connection, running(checkpoints=place, tensorboard=board))
    assert curve[["brain", "step", "lesson"]].to_dict("records") == [{"brain": "3DBall", "step": 250, "lesson": 2.0}]
    curve = training.read_running(connection, running(tensorboard=board))
    assert list(curve["lesson"]) == [1.0]


def test_a_run_id_is_respected(connection, tmp_path):
    board = put_events(connection, tmp_path, "training/b/tensorboard-output/mine_3DBall", Lesson=3.0)
    curve = training.read_running(connection, running(tensorboard=board, hyperparameters={"run-id": "mine"}))
    assert list(curve["lesson"]) == [3.0]


def test_a_running_job_without_events(connection):
    with pytest.raises(rewards.RewardsError, match="mlagents-1 in S3. It has no checkpoints and no TensorBoard output"):
        training.read_running(connection, running())
    place = f"s3://{connection.bucket}/checkpoints/none/"
    with pytest.raises(rewards.RewardsError, match=rf"event files in {place}summaries/run_<brain>/, found none"):
        training.read_running(connection, running(checkpoints=place))


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("run_x/../../../a.tfevents.1", "a name that leads out of its folder"),
        ("run_x/a\\b.tfevents.1", "a name with a backslash"),
        ("run_x/a.tfevents.1/b.tfevents.2", "File exists|Not a directory"),
    ],
)
def test_an_unsafe_key_is_refused(connection, tmp_path, monkeypatch, key, problem):
    board = put_events(connection, tmp_path, f"training/{len(key)}/board/run_x", Lesson=1.0)
    s3 = connection.client("s3")
    for each in (key.replace("..", "up"), "run_x/a.tfevents.1"):
        s3.put_object(Bucket=connection.bucket, Key=f"training/{len(key)}/board/{each}", Body=b"x")

    def list_up(parsed, **_):  # AWS lists such keys, which the embedded AWS does not take
        for item in parsed["Contents"]:
            item["Key"] = item["Key"].replace("up", "..")

    s3.meta.events.register("after-call.s3.ListObjectsV2", list_up)
    monkeypatch.setattr(type(connection), "client", lambda *_: s3)
    with pytest.raises(rewards.RewardsError, match=f"Expected event files at {board}, found .*{problem}.*Remove it"):
        training.read_running(connection, running(tensorboard=board))


def test_event_files_are_limited(connection, tmp_path, monkeypatch):
    board = put_events(connection, tmp_path, "training/bounded/board/run_x", Lesson=1.0)
    monkeypatch.setattr(training.running_rewards, "MAX_BYTES", 10)
    with pytest.raises(
        rewards.RewardsError, match="Expected at most 10,000 event files and 10 bytes at .*, found 1 and"
    ):
        training.read_running(connection, running(tensorboard=board))


def test_tensorboard_finds_summaries_in_the_embedded_s3(connection, tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path))
    writer.add_event(Event(step=250, summary=Summary(value=[Summary.Value(tag="Losses/Value Loss", simple_value=0.5)])))
    writer.close()
    (file,) = tmp_path.iterdir()
    key = f"training/job/tensorboard-output/run_3DBall/{file.name}"
    connection.client("s3").upload_file(str(file), connection.bucket, key)
    job = SimpleNamespace(tensorboard=f"s3://{connection.bucket}/training/job/tensorboard-output")
    *prefix, program, option, place = shlex.split(tensorboard.command_while_running(connection, job))
    assert prefix == [".venv/bin/python", "-m", "sagemaker_local", "run"]
    assert (program, option, place) == (PROGRAM, "--logdir", job.tensorboard)
    # The same reader without the web page: what `tensorboard --inspect` finds is what it would show.
    environment = {name: os.environ[name] for name in ("PATH", "EMBEDDED_HOME")} | {"AWS_ACCESS_KEY_ID": "of-a-reader"}
    command = [*prefix, program, "--inspect", option, place]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "run_3DBall" in process.stdout, process.stderr
    assert "Losses/Value Loss" in process.stdout
