"""The command that opens TensorBoard: on what was fetched, and on a job that runs."""

import os
import shlex
import subprocess
from types import SimpleNamespace

from helpers import ROOT, tensorboard

PROGRAM = ".venv/bin/tensorboard"


def test_fetched_jobs_are_runs_of_their_own(tmp_path):
    (tmp_path / "a job").mkdir()
    words = shlex.split(tensorboard.command(ROOT / "results" / "one", tmp_path / "a job"))
    assert words == [PROGRAM, "--logdir_spec", f"one:results/one/summaries,a job:{tmp_path}/a job/summaries"]


def test_on_aws_it_uses_the_readers_own_keys():
    told = tensorboard.command_while_running(SimpleNamespace(endpoint=None), SimpleNamespace(tensorboard="s3://b/t"))
    assert told == f"{PROGRAM} --logdir s3://b/t"


def test_it_finds_the_summaries_of_a_job_in_the_embedded_s3(connection, tmp_path):
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
    *settings, program, option, place = shlex.split(tensorboard.command_while_running(connection, job))
    assert (program, option, place) == (PROGRAM, "--logdir", job.tensorboard)
    # The same reader without the web page: what `tensorboard --inspect` finds is what it would show.
    environment = {"PATH": os.environ["PATH"], **dict(setting.split("=", 1) for setting in settings)}
    done = subprocess.run(
        [ROOT / program, "--inspect", option, place], env=environment, capture_output=True, text=True, check=False
    )
    assert "run_3DBall" in done.stdout, done.stderr
    assert "Losses/Value Loss" in done.stdout
