"""A smoke start in the image: the same questions, asked where a job would run."""

import os

import pytest

from helpers import image, sample_env, unity_build
from helpers.image import running


@pytest.fixture
def build(tmp_path):
    executable = sample_env.make_sample_build(tmp_path / "unity-volume")
    executable.chmod(0o644)
    return unity_build.check(tmp_path / "unity-volume").build


def test_the_sample_says_who_it_is_in_the_image(client, pushed, build):
    before = {container.id for container in client.containers.list(all=True)}
    report = unity_build.smoke_start(build, image=pushed.image.local, env_args=["--agents", "5"], seconds=0.3)
    assert report.ok, report.log
    [brain] = report.brains
    assert (brain.name, brain.observations, brain.actions, brain.action_sizes) == ("3DBall", 8, "continuous", (2,))
    assert brain.agents == 5
    assert "Python 3.7" in report.log  # the image's
    assert report.steps_per_second > 0
    assert {container.id for container in client.containers.list(all=True)} == before
    assert build.executable.stat().st_mode & 0o111 == 0
    assert {path.stat().st_uid for path in build.executable.parent.rglob("*")} == {os.getuid()}


def test_a_player_that_never_connects_is_told_and_removed(client, pushed, build):
    before = {container.id for container in client.containers.list(all=True)}
    build.executable.write_text("#!/usr/bin/env python3\nimport time\nprint('hm', flush=True)\ntime.sleep(600)\n")
    report = unity_build.smoke_start(build, image=pushed.image.local, timeout=1)
    [finding] = report.errors
    assert finding.what == "The player ran, but did not connect within 1 s."
    assert "hm" in report.log
    assert {container.id for container in client.containers.list(all=True)} == before


def test_an_image_that_is_not_there(client, build):
    with pytest.raises(image.ImageError, match="No such image: no-such-image"):
        unity_build.smoke_start(build, image="no-such-image:1")


def test_a_program_whose_time_is_up_is_removed(client, pushed, tmp_path):
    before = {container.id for container in client.containers.list(all=True)}
    log = tmp_path / "log"
    says = "print('here', flush=True); import time; time.sleep(600)"
    options = {"reads": tmp_path, "writes": tmp_path, "log": log, "seconds": 3}
    assert running.run(pushed.image.local, ["python", "-c", says], **options) is None
    assert log.read_text() == "here\n"
    assert {container.id for container in client.containers.list(all=True)} == before
