"""Detection of exhausted memory from the counters of the control group."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import failure_causes
import memory
import pytest
import supervisor

# What the kernel writes into these files, version 2 and version 1.
EVENTS = "low 0\nhigh 0\nmax 318\noom 2\noom_kill {}\noom_group_kill 0\n"
OOM_CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Return a function that writes a control group's file, in the place of /sys/fs/cgroup."""
    monkeypatch.setattr(memory, "CONTROL_GROUPS", str(tmp_path))
    monkeypatch.setattr(memory, "OWN_GROUPS", str(tmp_path / "own"))

    def write(name, content):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    return write


def test_without_counters(groups):
    assert (memory.kills(), memory.limit()) == (None, None)
    groups("memory.events", "oom_kill many\n")
    groups("own", "0::/\n")
    assert memory.kills() is None


def test_version_2(groups):
    groups("memory.events", EVENTS.format(3))
    groups("memory.max", "536870912\n")
    assert (memory.kills(), memory.limit()) == (3, 536870912)
    groups("memory.max", "max\n")
    assert memory.limit() is None


def test_version_1(groups):
    groups("memory/memory.oom_control", OOM_CONTROL.format(4))
    groups("memory/memory.limit_in_bytes", "1073741824\n")
    assert (memory.kills(), memory.limit()) == (4, 1073741824)
    groups("memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert memory.limit() is None


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return the machine 8 GB of memory, 6 of them available."""
    (tmp_path / "meminfo").write_text("MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 6000000 kB\n")
    monkeypatch.setattr(memory, "MACHINE", str(tmp_path / "meminfo"))


def test_memory_without_a_limit(groups, machine):
    assert (memory.total(), memory.available()) == (8_192_000_000, 6_144_000_000)
    groups("memory.max", "max\n")
    groups("memory.current", "1000\n")
    assert (memory.total(), memory.available()) == (8_192_000_000, 6_144_000_000)


def test_memory_within_a_limit(groups, machine):
    """Files that were read stay in memory, and are dropped for whoever needs it."""
    groups("memory.max", "1000000000\n")
    groups("memory.current", "700000000\n")
    assert (memory.total(), memory.available()) == (1_000_000_000, 300_000_000)
    groups("memory.stat", "anon 1\ninactive_file 200000000\nactive_file 9\n")
    assert memory.available() == 500_000_000
    groups("memory.current", "1300000000\n")
    assert memory.available() == 0


def test_memory_within_a_limit_of_version_1(groups, machine):
    groups("memory/memory.limit_in_bytes", "1000000000\n")
    groups("memory/memory.usage_in_bytes", "700000000\n")
    groups("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100000000\n")
    assert (memory.total(), memory.available()) == (1_000_000_000, 400_000_000)


def test_memory_is_unknown_without_proc(tmp_path, groups, monkeypatch):
    monkeypatch.setattr(memory, "MACHINE", str(tmp_path / "none"))
    assert (memory.total(), memory.available()) == (None, None)
    assert memory.used_by([1 << 22]) == 0


def test_the_memory_of_a_process_is_counted():
    child = subprocess.Popen(
        [sys.executable, "-c", "held = b'x' * 50_000_000; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    assert 50_000_000 <= memory.used_by([child.pid]) < 100_000_000
    child.communicate(b"\n")


def test_the_own_group_comes_before_the_root(groups):
    groups("own", "9:name=systemd:/\n4:memory:/jobs/a\n0::/jobs/b\n")
    groups("memory/memory.oom_control", OOM_CONTROL.format(4))
    assert memory.kills() == 4  # in a container /proc names the host's path, which is not there
    groups("memory/jobs/a/memory.oom_control", OOM_CONTROL.format(7))
    assert memory.kills() == 7


@pytest.mark.parametrize(
    "event, message",
    [
        (
            {"kind": "player_exit", "player": 1, "code": -9},
            "Player 1 was killed because memory ran out (SIGKILL: all processes of this job may have 537 MB) after x.",
        ),
        (
            {"kind": "worker_exit", "player": 1, "code": -9},
            "The process that drives player 1 was killed because memory ran out (SIGKILL: all processes of this job "
            "may have 537 MB) after x.",
        ),
        (
            {"kind": "learner_exit", "code": -9},
            "The learner was killed because memory ran out (SIGKILL: all processes of this job may have 537 MB) after "
            "x, before it reached max_steps.",
        ),
        ({"kind": "player_exit", "player": 1, "code": -11}, "Player 1 was killed (SIGSEGV) after x."),
        ({"kind": "player_exit", "player": 1, "code": 9}, "Player 1 exited (code 9) after x."),
    ],
)
def test_a_kill_is_reported_according_to_the_counter(groups, event, message):
    groups("memory.max", "536870912\n")
    attempt = SimpleNamespace(memory_kills=2)
    groups("memory.events", EVENTS.format(3))
    assert failure_causes.Fault(supervisor.Attempt._explain(attempt, event)).reason("x") == message


@pytest.mark.parametrize("before, now", [(3, 3), (None, 3), (3, None)])
def test_a_kill_without_a_counter_is_not_attributed_to_memory(groups, before, now):
    if now is not None:
        groups("memory.events", EVENTS.format(now))
    event = {"kind": "player_exit", "player": 0, "code": -signal.SIGKILL}
    message = failure_causes.Fault(supervisor.Attempt._explain(SimpleNamespace(memory_kills=before), event)).reason("x")
    assert message == "Player 0 was killed (SIGKILL, as Linux does when memory runs out) after x."


@pytest.fixture
def group():
    """Return a control group of this machine with a limit of 1.5 GB; skip where none can be made."""
    for folder, version in memory._folders():
        place = Path(folder, f"mlagents-{uuid.uuid4().hex[:8]}")
        limit = "memory.max" if version == 2 else "memory.limit_in_bytes"
        try:
            place.mkdir()
        except OSError:
            continue
        try:
            (place / limit).write_text("1500000000")
        except OSError:  # no controller of memory there
            place.rmdir()
            continue
        break
    else:
        pytest.skip("no control group can be made here")
    yield place
    end = time.monotonic() + 10
    while (place / "cgroup.procs").read_text() and time.monotonic() < end:
        time.sleep(0.05)
    place.rmdir()


@pytest.mark.slow
def test_memory_that_really_runs_out(job, group, tell):
    """Run in a group of its own, in which the player takes more and more until the kernel kills it."""
    job.start(
        "--fault hog --at 30",
        before=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
        **{"max_steps": 100000, "max-restarts": 0},
    )
    assert job.finish() == 1
    began = job.fault_began()
    ended = time.time()
    reason = job.training["reason"]
    assert re.fullmatch(
        r"Player 0 was killed because memory ran out \(SIGKILL: all processes of this job may have 1500 MB\) after "
        r"step \d+ of Test\.",
        reason,
    )
    assert job.failure.splitlines()[0] == reason
    assert job.model.exists()
    assert job.processes() == []
    tell(
        fault="player out of memory (killed by the kernel)",
        when="mid-run",
        status="failed",
        exit_code=1,
        reason=reason,
        seconds_until_gone=f"{ended - began:.1f}",
        model_kept="yes",
    )
