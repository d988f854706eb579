"""The program that starts an engine for `make test-docker`, with stand-ins for what it calls."""

import os
import subprocess

import pytest

from common import ROOT

ROOT_USER = {"id": "echo 0", "apt-get": 'echo "apt-get $@" >> called', "dpkg-query": "echo install ok installed"}
ANSWERS = 'case "$1" in version) exit 0;; esac\n'
PUBLIC = "public.ecr.aws/docker/library/python:3.7.17-slim-bookworm"
STAND_IN = "mlagents-stand-in-base:python-3.7"
NO_DEBOOTSTRAP = 'case "$*" in *debootstrap*) exit 1;; esac\necho install ok installed'


@pytest.fixture
def with_engine(tmp_path):
    """Return a function that runs `with_engine make tests` among some programs, each given as a line of shell."""
    (tmp_path / "temporary").mkdir()

    def run(**programs):
        for name, line in {"docker": "exit 1", "make": "echo ran >> called", **ROOT_USER, **programs}.items():
            path = tmp_path / "bin" / name.replace("_", "-")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{line}\n")
            path.chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
            "TMPDIR": str(tmp_path / "temporary"),
            "TRAINING_BASE_IMAGE": "",
        }
        command = [ROOT / "tests/docker/with_engine", "make", "tests"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert list((tmp_path / "temporary").iterdir()) == []
        called = tmp_path / "called"
        return done, called.read_text().splitlines() if called.exists() else []

    return run


def test_an_engine_that_does_not_start_is_an_error(with_engine):
    done, called = with_engine(dockerd="echo no space left on device; exit 3")
    assert done.returncode == 1
    assert done.stderr == (
        "no space left on device\n\n!! dockerd did not start; above are the last lines of its log.\n"
    )
    assert called == []


def test_an_engine_that_may_not_be_started_is_reported(with_engine):
    done, called = with_engine(id="echo 1000")
    assert done.returncode == 0
    assert done.stderr == (
        "\n!! NOT RUN: make tests\n!! no Docker engine answers, and none may be started here. Nothing of it was tested.\n\n"
    )
    assert called == []


def test_an_engine_that_cannot_be_installed_is_reported(with_engine):
    done, called = with_engine(dpkg_query="exit 1", **{"apt-get": "exit 100"})
    assert done.returncode == 0
    assert "!! apt-get could not install docker-registry skopeo. Nothing of it was tested." in done.stderr
    assert called == []


@pytest.mark.parametrize("found", [f"pull --quiet --platform linux/amd64 {PUBLIC}", f"image inspect {STAND_IN}"])
def test_nothing_is_made_where_a_base_image_is_there(with_engine, found):
    done, called = with_engine(docker=f'{ANSWERS}[ "$*" = "{found}" ]', dpkg_query=NO_DEBOOTSTRAP)
    assert (done.returncode, done.stderr) == (0, "")
    assert called == ["ran"]


def test_tools_for_the_base_image_are_installed_on_demand(with_engine):
    done, called = with_engine(docker=f"{ANSWERS}exit 1", dpkg_query=NO_DEBOOTSTRAP)
    assert (done.returncode, done.stderr) == (0, "")
    assert called == [
        "apt-get update --quiet=2",
        "apt-get install --quiet=2 --yes --no-install-recommends debootstrap",
        "ran",
    ]
