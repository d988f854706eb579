"""Programs that misbehave, run in a container as the embedded AWS runs a job's."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import threading

import pytest

from common import ROOT
from sagemaker_local import docker_runner, jobs
from training_image import name

TRAIN = """\
#!/usr/bin/env python3
import os, signal, time
exec(os.environ["DO"])
"""
STUBBORN = """
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
print("ready", flush=True)
while True:
    time.sleep(1)
"""


@pytest.fixture(scope="module")
def runner(client, connection, tmp_path_factory):
    """Return the way to run an image whose `train` does what the environment variable DO says."""
    folder = tmp_path_factory.mktemp("misbehaving")
    (folder / "train").write_text(TRAIN)
    (folder / "train").chmod(0o755)
    (folder / "Dockerfile").write_text(f"FROM {os.environ[name.BASE_VARIABLE]}\nCOPY train /usr/local/bin/\n")
    client.images.build(path=str(folder), tag="mlagents-misbehaving:1", rm=True)
    yield docker_runner.find("mlagents-misbehaving:1")
    client.images.remove("mlagents-misbehaving:1", force=True)


@pytest.fixture
def base(tmp_path):
    """Lay out a job's folder, in an embedded AWS's home."""
    base = tmp_path / "jobs" / "job"
    for folder in ("input/config", "model", "output"):
        (base / folder).mkdir(parents=True)
    resources = {"current_instance_type": "ml.m5.large"}
    (base / "input/config/resourceconfig.json").write_text(json.dumps(resources))
    return base


def test_who_does_not_heed_sigterm_is_killed(client, runner, base):
    run = runner.start("job", base, {"DO": STUBBORN})
    assert run.output.readline() == b"ready\n"
    run.terminate()
    assert run.output.readline() == b"asked\n"
    run.kill()
    assert run.wait() == 137
    assert run.output.read() == b""
    assert docker_runner.remove_all(client, base) == 0


def test_a_program_that_takes_too_much_memory_is_reported(runner, base, monkeypatch):
    monkeypatch.setattr(docker_runner, "bounds", lambda *_: docker_runner.Bounds(1, 64 * 2**20))
    run = runner.start("job", base, {"DO": "bytearray(2**30)"})
    assert run.wait() == 137
    assert (base / "output/failure").read_text() == (
        "Out of memory: the job was allowed 1 cores, 0.1 GiB. Take a larger instance type."
    )


def test_what_it_writes_belongs_to_who_runs_it(runner, base, monkeypatch):
    if os.getuid() == 0:  # root would own it in any case: be somebody else
        monkeypatch.setattr(os, "getuid", lambda: 4321)
        monkeypatch.setattr(os, "getgid", lambda: 4321)
        for path in [base, *base.rglob("*")]:
            os.chown(path, 4321, 4321)
    made = "os.makedirs('/opt/ml/model/a'); open('/opt/ml/model/a/b', 'w').close(); assert os.path.isdir('/opt/ml/checkpoints')"
    assert runner.start("job", base, {"DO": made}).wait() == 0
    written = [base / "model/a", base / "model/a/b"]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in written} == {(os.getuid(), os.getgid())}


def test_an_engine_that_goes_away_ends_the_job(client, runner, base, cable):
    through = dataclasses.replace(runner, client=cable.client)
    run = through.start("job", base, {"DO": STUBBORN})
    assert run.output.readline() == b"ready\n"
    waited = []
    waiting = threading.Thread(target=lambda: waited.append(run.wait()), daemon=True)
    waiting.start()
    assert cable.waited_for.wait(60)
    cable.cut()
    waiting.join(60)
    assert waited == [137]
    assert run.output.read() == b""
    run.kill()  # of nothing that it can reach, and no error
    assert re.fullmatch(
        r"The Docker engine went away while the job ran \(.+\)\. Start it, and launch the job again\.",
        (base / "output/failure").read_text(),
    )
    assert docker_runner.remove_all(client, base) == 0  # the engine lives: the container went by another way


def stop(home):
    """Do what `make stop` does for the embedded AWS of a folder."""
    command = [sys.executable, "-m", "sagemaker_local", "stop"]
    environment = {**os.environ, "EMBEDDED_HOME": str(home)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def start_a_server(home):
    jobs.Jobs(home / "jobs", None).load()


@pytest.mark.parametrize("way", [stop, start_a_server])
def test_a_container_that_a_killed_server_left_is_removed(client, runner, base, tmp_path, way):
    """By `make stop`, though no server runs, and by the next start."""
    run = runner.start("job", base, {"DO": STUBBORN})
    assert run.output.readline() == b"ready\n"
    said = way(tmp_path)
    assert run.output.read() == b""
    assert client.containers.list(all=True, filters={"label": f"{docker_runner.LABEL}={base}"}) == []
    assert (base / "output").is_dir()
    if way is stop:
        assert said == "No embedded AWS was running.\nRemoved 1 container(s) left by an earlier one.\n"
