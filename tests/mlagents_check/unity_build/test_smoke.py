"""A smoke start describes a player, or says why it does not respond, and leaves no process behind."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import sample_env
from common import ROOT
from common.contract import DEFAULT_TRAINER
from mlagents_check import trainer_config, unity_build
from mlagents_check.unity_build import UnityBuild, smoke
from tests.conftest import find_trainer

on_linux = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="runs a Linux x86-64 program"
)


@pytest.fixture(scope="session")
def trainer():
    return find_trainer(DEFAULT_TRAINER).python


@pytest.fixture
def player(tmp_path):
    """Make a build from a program, usually a Python script."""

    def make(program, name="Game"):
        folder = tmp_path / "unity-volume"
        (folder / f"{name}_Data").mkdir(parents=True)
        path = folder / f"{name}.x86_64"
        path.write_bytes(program if isinstance(program, bytes) else f"#!/usr/bin/env python3\n{program}".encode())
        return UnityBuild(name, path, folder / f"{name}_Data", "API-11", "Mono", None, None, 0, 0, None, ())

    return make


def test_sample_describes_itself(trainer, tmp_path):
    executable = sample_env.make_sample_build(tmp_path / "unity-volume")
    executable.chmod(0o644)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    build = unity_build.check(tmp_path / "unity-volume").build
    report = unity_build.smoke_start(build, trainer, env_args=["--agents", "5"], seconds=0.3)
    assert report.ok, report.log
    (brain,) = report.brains
    assert (brain.name, brain.observations, brain.actions, brain.action_sizes) == ("3DBall", 8, "continuous", (2,))
    assert (brain.stacked, brain.cameras, brain.agents) == (1, (), 5)
    assert set(report.reset_parameters) == {"mass", "gravity", "scale"}
    assert report.steps_per_second > 0 and 0 < report.seconds_to_connect < 60
    assert "steps a second" in str(report) and "8 observations" in report._repr_html_()
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert executable.stat().st_mode & 0o111 == 0  # the reader's folder is left as it was


def test_sample_of_the_package_describes_itself(tmp_path, v1_trainer):
    python = v1_trainer.python
    sample_env.make_sample_build(tmp_path, trainer="1.1.0")
    build = unity_build.check(tmp_path).build
    assert build.trainer == "1.1.0"
    report = unity_build.smoke_start(build, python, env_args=["--agents", "5"], seconds=0.3)
    assert report.ok, report.log
    assert report.brains == (unity_build.Brain("3DBall", 8, 1, (), "continuous", (2,), 5, sensors=((8,),)),)
    assert report.reset_parameters is None and report.steps_per_second > 0
    report = unity_build.smoke_start(build, python, env_args=["--agents", "none"], seconds=0.3)
    assert report.errors[0].what == "The player ended with exit code 2 before it was asked to."


def test_brain_that_appears_later(trainer, player, tmp_path):
    build = player((ROOT / "tests/container/player.py").read_bytes())
    arguments = ["--brains", "Small,Big", "--late", "Big", "--at", "15"]
    report = unity_build.smoke_start(build, trainer, env_args=arguments)
    assert {brain.name: brain.late for brain in report.brains} == {"Small": False, "Big": True}, report.log
    assert str(report.brains[1]).endswith("2 agents, none at the start")
    (tmp_path / "lessons").mkdir()
    for brain in report.brains:
        lesson = {"measure": "progress", "thresholds": [], "min_lesson_length": 1, "signal_smoothing": False}
        (tmp_path / f"lessons/{brain.name}.json").write_text(json.dumps({**lesson, "parameters": {}}))
    checked = trainer_config.check_folder(tmp_path, report.brains, {"curriculum": "lessons"})
    assert [(f.what, f.path) for f in checked.warnings] == [
        ("Brain Big has no agent at the start.", "lessons/Big.json")
    ]


@on_linux
def test_program_that_ends_immediately(trainer, player, formats):
    build = player(formats.elf(needs=("libc.so.6",)))
    (finding,) = unity_build.smoke_start(build, trainer).errors
    assert finding.what == f"The player ended with exit code {formats.EXIT_CODE} before it was asked to."


@on_linux
def test_missing_system_library(trainer, player, formats):
    build = player(formats.elf(needs=("libabsent.so.3",)))
    report = unity_build.smoke_start(build, trainer)
    assert report.errors[0].what == "The player needs the system library libabsent.so.3, which is not installed."
    assert "libabsent.so.3: cannot open shared object file" in report.log


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("Desktop is 0 x 0 @ 0 Hz", "The player found no display (Desktop is 0 x 0)."),
        (
            "DllNotFoundException: grpc_csharp_ext.x64 assembly",
            "The native library grpc_csharp_ext could not be loaded.",
        ),
        ("./Game: version `GLIBC_2.99' not found (required by ./Game)", "The player needs GLIBC_2.99, newer than"),
        ("Failed to load mono", "The Mono runtime could not be loaded."),
    ],
)
def test_known_causes(trainer, player, output, message):
    build = player(f"import sys\nprint({output!r})\nsys.exit(1)")
    assert unity_build.smoke_start(build, trainer).errors[0].what.startswith(message)


def test_cause_in_the_players_own_log(trainer, player):
    program = "import sys\nopen(sys.argv[sys.argv.index('-logFile') + 1], 'w').write('Unable to open display')"
    report = unity_build.smoke_start(player(program), trainer)
    assert report.errors[0].what == "The player found no display (Unable to open display)."


def test_crash_is_named(trainer, player):
    build = player("import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)")
    (finding,) = unity_build.smoke_start(build, trainer).errors
    assert finding.what == "The player crashed (SIGSEGV)." and "last words" in finding.todo


def lives(process):
    """Return whether a process runs; a zombie does not."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_player_that_never_connects_is_cleaned_up(trainer, player, tmp_path):
    """It starts a child in a separate session and ends; both must have ended."""
    pids = tmp_path / "pids"
    program = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "time.sleep(600)\n"
    )
    (finding,) = unity_build.smoke_start(player(program), trainer, timeout=2).errors
    assert finding.what == "The player ran, but did not connect within 2 s."
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 2
    assert not any(lives(process) for process in started)


WRONG_VERSION = """
import sys, grpc
from mlagents.envs.communicator_objects.unity_message_pb2 import UnityMessageProto
from mlagents.envs.communicator_objects.unity_to_external_pb2_grpc import UnityToExternalProtoStub
message = UnityMessageProto()
message.header.status = 200
message.unity_output.rl_initialization_output.name = "Academy"
message.unity_output.rl_initialization_output.version = "API-12"
channel = grpc.insecure_channel("localhost:" + sys.argv[sys.argv.index("--port") + 1])
UnityToExternalProtoStub(channel).Exchange(message, wait_for_ready=True)
UnityToExternalProtoStub(channel).Exchange(UnityMessageProto())
"""


def test_wrong_protocol_version(trainer, player):
    (finding,) = unity_build.smoke_start(player(WRONG_VERSION), trainer).errors
    assert finding.what == "The player speaks API-12, the trainer API-11."


def test_no_trainer_environment(player, tmp_path):
    build = player("")
    (finding,) = unity_build.smoke_start(build, tmp_path / "python").errors
    assert finding.what.startswith("The trainer environment can't be started.") and "make setup" in finding.todo


def test_environment_without_mlagents(player):
    (finding,) = unity_build.smoke_start(player(""), Path(sys.executable)).errors
    assert finding.what.startswith("The trainer environment lacks ML-Agents.") and "make setup" in finding.todo


TWO_TEAMS = """
import json, sys
import numpy as np
import stepped_player

request = {"file_name": sys.argv[1], "port": int(sys.argv[2]), "no_graphics": True}
request["args"] = ["--brains", "Play?team=0,Play?team=1", "--images", "1", "-logFile", sys.argv[3]]
player = stepped_player.Player(None, request)
taken, give = {}, player._env.set_actions
player._env.set_actions = lambda full, actions: (taken.update({full: actions.continuous.tolist()}), give(full, actions))
seen = []
for step in range(12):  # an episode has 10
    agents = player.agents["Play"]
    seen.append([agents.names, list(agents.vector.shape), [list(one.shape) for one in agents.pictures], sum(agents.done)])
    player.step({"Play": np.arange(2.0 * len(agents.names)).reshape(-1, 2)})
print(json.dumps([list(player.brains), seen, taken], default=int), flush=True)
player.close()
"""


def test_one_network_plays_all_teams_of_a_behavior(tmp_path, v1_trainer):
    python = v1_trainer.python
    build = tmp_path / "Test.x86_64"
    build.write_bytes((ROOT / "tests/container/player.py").read_bytes())
    build.chmod(0o755)
    (tmp_path / "Test_Data").mkdir()
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(smoke.DRIVER)}
    command = [python, "-c", TWO_TEAMS, build, str(smoke.free_port()), tmp_path / "0" / "Player.log"]
    (tmp_path / "0").mkdir()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    brains, seen, taken = json.loads(done.stdout.splitlines()[-1])
    assert brains == ["Play"]
    names = ["0.0", "0.1", "1.0", "1.1"]
    assert {json.dumps(step[:3]) for step in seen} == {json.dumps([names, [4, 4], [[4, 3, 24, 24]]])}
    assert [step[3] for step in seen].count(4) == 1
    assert taken == {"Play?team=0": [[0.0, 1.0], [2.0, 3.0]], "Play?team=1": [[4.0, 5.0], [6.0, 7.0]]}
