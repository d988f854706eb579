"""What `make` does itself, before any program of the project runs."""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from common import ROOT

GIVEN_BY_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in GIVEN_BY_MAKE}


@pytest.mark.parametrize("windows", ["requirements.lock", "container/train"])
def test_line_ends_of_windows_are_named_before_anything_is_installed(tmp_path, windows):
    (tmp_path / "container").mkdir()
    for name in ("Makefile", "requirements.lock", "container/train"):
        lines = (ROOT / name).read_text().splitlines()
        (tmp_path / name).write_text(("\r\n" if name in ("Makefile", windows) else "\n").join(lines) + "\n")
    made = subprocess.run(["make", "setup"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert made.stderr.splitlines()[0] == (
        "Expected Unix line ends (LF), found those of Windows (CRLF) in requirements.lock or container/train: clone the "
        "project again, with git inside Linux."
    )
    assert made.returncode
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("given", [[], ["TRAINER=1.1.0"]], ids=["default", "1.1.0"])
def test_setup_makes_the_environment_of_the_trainer_that_is_named(given):
    command = ["make", "-n", "setup", *given]
    dry = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    options = ["--trainer", "1.1.0"] if given else []
    assert dry.stdout.splitlines()[-1].split() == [".venv/bin/python", "-m", "common.trainer_env", *options]


def test_lab_starts_for_root_too_with_the_options_given_and_asks_nobody_for_news(tmp_path):
    arguments = "--no-browser --ServerApp.port=0"
    dry = subprocess.run(
        ["make", "-n", "lab", f"ARGS={arguments}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    _, found, line = dry.stdout.partition(".venv/bin/jupyter lab")
    environment = {**ENVIRONMENT, "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        environment[name] = str(tmp_path / name)
    with (tmp_path / "log").open("wb") as log:
        lab = subprocess.Popen(f"exec {found}{line}", shell=True, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        page = read_page(lab, tmp_path)
    finally:
        lab.terminate()
        lab.wait(20)
    assert '"news": {"disabled": true}' in page


def read_page(lab, folder, seconds=60):
    """Return JupyterLab's page as soon as its server, which says first where it is, answers; no event tells of it."""
    end = time.monotonic() + seconds
    while True:
        for file in folder.glob("runtime/jpserver-*.json"):
            with contextlib.suppress(ValueError, urllib.error.URLError):  # it is being written; not there yet
                state = json.loads(file.read_text())
                with urllib.request.urlopen(f"{state['url']}lab?token={state['token']}") as response:
                    return response.read().decode()
        assert lab.poll() is None and time.monotonic() < end, (folder / "log").read_text()
        time.sleep(0.1)
