"""The fault matrix: what goes wrong, when and where, and what must come out of it within how many seconds.

Slow; `make faults` runs it and prints the table. Seconds count from the event: until the cause stands in the log, and
until every process is gone.
"""

import contextlib
import ctypes
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.container.conftest import OF_VERSION, VERSION, faults_page

pytestmark = pytest.mark.timeout(600)

STALL = 3  # seconds
LONG = {"max_steps": 100000, "save-freq": 100000, "stall-timeout": STALL, "max-restarts": 0}
LONG_UPDATE = {"num_epoch": 600, "buffer_size": 64}  # some 3 s on two cores; a step takes milliseconds


@dataclass
class Case:
    """One row."""

    fault: str
    when: str
    cause: str  # regular expression: the first line of the failure, or the reason
    player: str = ""
    players: int = 1
    status: str = "failed"
    model: bool = True
    seconds: float = 10  # at most, from the event until the cause is seen
    gone: float = 10  # at most, from the event until all is saved and no process is left
    restarts: int = 0
    signal: tuple = ()  # role and signal
    wait_for: str = r"Step: 20\."  # when it is sent: at this line of the log, or (empty) when the player says so
    hyperparameters: dict = field(default_factory=dict)


HANG = STALL + 2
HANG_GONE = STALL + 15
AT = r"after step \d+ of Test"
CASES = [
    Case("player exits", "start", r"Player 0 exited \(code 3\) after no step\.", "--fault exit-early", model=False),
    Case(
        "player exits", "start", r"Player 2 exited \(code 3\) after ", "--fault exit-early --player 2", 3, model=False
    ),
    Case("player crashes", "start", r"Player 0 was killed \(SIGSEGV\) after no step\.", "--fault crash", model=False),
    Case(
        "player crashes", "start", r"Player 1 was killed \(SIGSEGV\) after ", "--fault crash --player 1", 3, model=False
    ),
    Case(
        "player hangs",
        "start",
        r"Player 0 hangs: no answer for 3 s, after no step",
        "--fault hang",
        model=False,
        seconds=HANG,
        gone=HANG_GONE,
    ),
    Case(
        "player never connects",
        "start",
        r"Player 0 started but did not connect within 30 s",
        "--fault never-connect",
        model=False,
        seconds=32,
        gone=45,
    ),
    Case(
        "player refuses -nographics",
        "start",
        r"Player 0 exited \(code 1\) after no step",
        "--fault refuse-graphics",
        model=False,
    ),
    Case(
        "wrong protocol version",
        "start",
        r"Player 0 speaks protocol version 'API-10'",
        "--fault wrong-version",
        model=False,
    ),
    Case("player crashes", "mid-run", rf"Player 0 was killed \(SIGSEGV\) {AT}", "--fault crash --at 30"),
    Case("player crashes", "mid-run", rf"Player 2 was killed \(SIGSEGV\) {AT}", "--fault crash --at 30 --player 2", 3),
    Case("player exits with 0", "mid-run", rf"Player 0 exited \(code 0\) {AT}", "--fault exit --at 30"),
    Case("player out of memory", "mid-run", rf"Player 0 was killed \(SIGABRT\) {AT}", "--fault memory --at 30"),
    Case(
        "player killed (SIGKILL)",
        "mid-run",
        rf"Player 1 was killed \(SIGKILL, .*memory.*\) {AT}",
        "--fault kill --at 30 --player 1",
        3,
    ),
    Case(
        "player hangs",
        "mid-run",
        rf"Player 0 hangs: no answer for 3 s, {AT}",
        "--fault hang --at 30",
        seconds=HANG,
        gone=HANG_GONE,
    ),
    Case(
        "player hangs",
        "mid-run",
        rf"Player 1 hangs: no answer for 3 s, {AT}",
        "--fault hang --at 30 --player 1",
        3,
        seconds=HANG,
        gone=HANG_GONE,
    ),
    Case(
        "player stopped (SIGSTOP)",
        "mid-run",
        rf"Player 0 hangs: no answer for 3 s, {AT}",
        "--pause 0.02",
        seconds=HANG,
        gone=HANG_GONE,
        signal=("player", signal.SIGSTOP),
    ),
    Case(
        "player crashes",
        "in an update",
        rf"Player 0 was killed \(SIGSEGV\) {AT}",
        "--fault crash --at 40 --idle 0.5",
        hyperparameters=LONG_UPDATE,
    ),
    Case(
        "player hangs",
        "in an update",
        rf"Player 0 hangs: no answer for 3 s, {AT}",
        "--fault hang --at 40 --idle 0.5",
        seconds=120,
        gone=120,
        hyperparameters=LONG_UPDATE,
    ),
    Case(
        "player crashes",
        "in a save",
        rf"Player 0 was killed \(SIGSEGV\) {AT}",
        "--fault crash --at 10 --saving {run}/Test",
        hyperparameters={"save-freq": 1},
    ),
    Case(
        "player crashes",
        "in an update",
        rf"Player 2 was killed \(SIGSEGV\) {AT}",
        "--fault crash --at 40 --idle 0.5 --player 2",
        3,
        hyperparameters=LONG_UPDATE,
    ),
    Case(
        "player hangs",
        "in a save",
        rf"Player 0 hangs: no answer for 3 s, {AT}",
        "--fault hang --at 10 --saving {run}/Test",
        seconds=HANG,
        gone=HANG_GONE,
        hyperparameters={"save-freq": 1},
    ),
    Case(
        "player crashes",
        "in a save",
        rf"Player 1 was killed \(SIGSEGV\) {AT}",
        "--fault crash --at 10 --saving {run}/Test --player 1",
        3,
        hyperparameters={"save-freq": 1},
    ),
    Case("NaN reward", "mid-run", rf"Player 0 sent a reward that is not a number {AT}", "--fault nan-reward --at 30"),
    Case(
        "infinite loss",
        "mid-run",
        r"Losses/\w+ Loss of brain Test became (nan|inf)",
        "--fault infinite --at 30",
        model=False,
        seconds=30,
        gone=30,
    ),
    Case(
        "NaN reward",
        "mid-run",
        rf"Player 2 sent a reward that is not a number {AT}",
        "--fault nan-reward --at 30 --player 2",
        3,
    ),
    Case(
        "none: a slow player",
        "throughout",
        r"Every brain reached its max_steps",
        "--pause 1",
        3,
        status="completed",
        hyperparameters={"max_steps": 10, "stall-timeout": 2},
    ),
    Case(
        "none: a slow player",
        "throughout",
        r"Every brain reached its max_steps",
        "--pause 1",
        status="completed",
        hyperparameters={"max_steps": 10, "stall-timeout": 2},
    ),
    Case(
        "none: a long update",
        "in an update",
        r"Every brain reached its max_steps\.$",
        status="completed",
        hyperparameters={**LONG_UPDATE, "max_steps": 40, "stall-timeout": 1},
    ),
    Case(
        "none: a long update",
        "in an update",
        r"Every brain reached its max_steps\.$",
        players=3,
        status="completed",
        hyperparameters={**LONG_UPDATE, "max_steps": 150, "stall-timeout": 1},
    ),
    Case(
        "player crashes once",
        "mid-run",
        r"Every brain reached its max_steps",
        "--fault crash --at 30 --times 1",
        restarts=1,
        status="completed",
        hyperparameters={"max_steps": 60, "max-restarts": 3},
    ),
    Case(
        "player hangs once",
        "mid-run",
        r"Every brain reached its max_steps",
        "--fault hang --at 30 --times 1",
        restarts=1,
        status="completed",
        hyperparameters={"max_steps": 60, "max-restarts": 3},
        seconds=HANG,
        gone=HANG_GONE,
    ),
    Case(
        "player crashes again and again",
        "every 15 steps",
        r"Every brain reached its max_steps",
        "--fault crash --at 15",
        restarts=3,
        status="completed",
        hyperparameters={"max_steps": 50, "max-restarts": 1},
    ),
    Case(
        "player crashes after a start",
        "start of the 2nd life",
        r"Player 0 was killed \(SIGSEGV\)",
        "--fault crash --at 30 --then 0",
        restarts=2,
        hyperparameters={"max-restarts": 2},
    ),
    Case(
        "learner killed (SIGKILL)",
        "mid-run",
        rf"The learner was killed \(SIGKILL, .*\) {AT}",
        "--pause 0.02",
        model=False,
        signal=("learner", signal.SIGKILL),
    ),
    Case(
        "learner stopped (SIGSTOP)",
        "mid-run",
        rf"No sign of life from the learner for \d+ s, {AT}",
        "--pause 0.02",
        model=False,
        seconds=STALL + 12,
        gone=HANG_GONE,
        signal=("learner", signal.SIGSTOP),
    ),
    Case(
        "worker killed (SIGKILL)",
        "mid-run",
        rf"The process that drives player 0 was killed \(SIGKILL, .*\) {AT}",
        "--pause 0.02",
        signal=("worker", signal.SIGKILL),
    ),
    Case(
        "worker stopped (SIGSTOP)",
        "mid-run",
        rf"No sign of life from the driver of player 0 for \d+ s, {AT}",
        "--pause 0.02",
        seconds=STALL + 12,
        gone=HANG_GONE,
        signal=("worker", signal.SIGSTOP),
    ),
    Case(
        "job stopped (SIGTERM)",
        "mid-run",
        rf"Stopped by SIGTERM {AT}",
        "--pause 0.02",
        status="stopped",
        signal=("train", signal.SIGTERM),
    ),
    Case(
        "job stopped (SIGTERM)",
        "mid-run",
        rf"Stopped by SIGTERM {AT}",
        "--pause 0.02",
        3,
        status="stopped",
        signal=("train", signal.SIGTERM),
    ),
    Case(
        "job stopped (SIGTERM)",
        "start",
        r"Stopped by SIGTERM after no step",
        status="stopped",
        model=False,
        signal=("train", signal.SIGTERM),
        wait_for=OF_VERSION[VERSION]["begins"],
    ),
    Case(
        "job stopped (SIGTERM)",
        "in an update",
        rf"Stopped by SIGTERM {AT}",
        "--fault nothing --at 40 --idle 0.5",
        status="stopped",
        signal=("train", signal.SIGTERM),
        wait_for="",
        hyperparameters=LONG_UPDATE,
    ),
    Case(
        "job stopped (SIGTERM)",
        "in a save",
        rf"Stopped by SIGTERM {AT}",
        "--fault nothing --at 10 --saving {run}/Test",
        status="stopped",
        signal=("train", signal.SIGTERM),
        wait_for="",
        hyperparameters={"save-freq": 1},
    ),
    Case(
        "job stopped, player will not leave",
        "mid-run",
        rf"Stopped by SIGTERM {AT}",
        "--fault stay --pause 0.02",
        status="stopped",
        signal=("train", signal.SIGTERM),
    ),
]
OTHER_IN = {
    "1.1.0": {
        ("player never connects", "start"): {
            "cause": r"Player 0 started but did not connect within 60 s",
            "seconds": 62,
            "gone": 75,
        },
        ("wrong protocol version", "start"): {"cause": r"Player 0 speaks protocol version '2\.0\.0'"},
        ("none: a long update", "in an update"): {
            "hyperparameters": {**LONG_UPDATE, "max_steps": 150, "stall-timeout": 1},
        },
        # Twenty steps in a life: what is handed over before the crash.
        ("player crashes again and again", "every 15 steps"): {"hyperparameters": {"max_steps": 70, "max-restarts": 1}},
    }
}
"""Where another version of the trainer differs, by fault and time."""
FURTHER_IN = {
    "1.1.0": [
        Case(
            "a build of ML-Agents 0.11",
            "start",
            r"Player 0 speaks protocol version 'API-11', this trainer '1\.5\.0'\. Build it with com\.unity\.ml-agents",
            "--fault wrong-version --version API-11",
            model=False,
        ),
        Case(
            "player ends the connection",
            "mid-run",
            rf"Player 0 (exited \(code 0\)|ended the connection) {AT}",
            "--fault say-goodbye --at 30",
        ),
    ]
}


def cases(version):
    """Return the rows of a version of the trainer."""
    other = OTHER_IN.get(version, {})
    return [replace(case, **other.get((case.fault, case.when), {})) for case in CASES] + FURTHER_IN.get(version, [])


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(VERSION), ids=lambda case: f"{case.fault}, {case.when}, {case.players}")
def test_fault(job, case, tmp_path, tell):
    counted = "--times" in case.player or "--then" in case.player
    player = case.player + (f" --counter {tmp_path / 'count'}" if counted else "")
    player = player.format(run=job.run_folder)
    job.start(player, **{**LONG, "num-envs": case.players, **case.hyperparameters})
    began, seen = None, None
    if case.signal:
        job.wait_for(case.wait_for) if case.wait_for else job.wait_for_fault()
        role, number = case.signal
        target = job.process.pid if role == "train" else job.process_ids(role)[0]
        began = time.time()
        os.kill(target, number)
    if case.status == "stopped":
        seen = job.wait_for("train: SIGTERM")
    elif case.status == "failed" or case.restarts:
        seen = job.wait_for("train: ")
    code = job.finish()
    ended = time.time()
    began = began or job.fault_began()
    remaining = job.processes()
    training = job.training

    assert re.match(case.cause, training["reason"]), training["reason"]
    assert training["status"] == case.status
    assert code == (1 if case.status == "failed" else 0)
    assert (job.root / "output/failure").exists() == (case.status == "failed")
    assert job.model.exists() == case.model
    assert len(training["restarts"]) == case.restarts
    lost = max(0, step_in(training["reason"]) - max(job.saved_steps(), default=0))
    if case.status == "completed" and case.restarts:
        lost = max(0, step_in(training["restarts"][0]) - training["resumed_from"]["Test"])
    assert lost == 0 or not case.model, lost
    assert remaining == []
    if seen is not None:
        assert seen - began <= case.seconds
    if case.status != "completed":
        assert ended - began <= case.gone
    tell(
        fault=case.fault,
        when=case.when,
        players=case.players,
        status=training["status"],
        exit_code=code,
        reason=training["reason"],
        seconds_until_seen="" if seen is None else f"{max(0, seen - began):.1f}",
        seconds_until_gone="" if case.status == "completed" else f"{ended - began:.1f}",
        processes_left=len(remaining),
        model_kept="yes" if case.model else "no",
        restarts=case.restarts,
        went_on_from_step=training["resumed_from"].get("Test", ""),
        steps_lost=lost,
    )


@pytest.mark.parametrize("version", OF_VERSION)
def test_the_page_matches_the_tests(version):
    """Its page in docs/ has each row, as it must come out, and no other; `make faults` prints them anew."""
    lines = [line for line in faults_page(version).read_text().splitlines() if line.startswith("| ")]
    columns, *rows = [line[2:-2].split(" | ") for line in lines if not line.startswith("| ---")]
    by_case = {}
    for cells in rows:
        row = dict(zip(columns, map(str.strip, cells), strict=True))
        by_case[row["fault"], row["when"], int(row["players"])] = row
    assert len(by_case) == len(rows)
    for case in cases(version):
        row = by_case.pop((case.fault, case.when, case.players))
        assert re.match(case.cause, row["reason"]), row
        assert row["status"] == case.status, row
        assert row["exit code"] == ("1" if case.status == "failed" else "0"), row
        assert row["model kept"] == ("yes" if case.model else "no"), row
        assert row["restarts"] == str(case.restarts), row
        assert row["processes left"] == "0", row
        assert float(row["seconds until seen"] or 0) <= case.seconds, row
    other_tests = "".join((Path(__file__).parent / name).read_text() for name in ("test_matrix.py", "test_memory.py"))
    assert sorted(fault for fault, _, _ in by_case) == sorted(re.findall(r'\bfault="([^"]+)"', other_tests))


def step_in(reason):
    """Return the step that a reason tells, 0 if none."""
    match = re.search(r"after step (\d+) of Test", reason)
    return int(match[1]) if match else 0


@pytest.mark.slow
def test_twenty_kills_each_lose_at_most_a_save_interval(job, tell):
    """Kill the whole job at random moments and train on, until it ends at max_steps."""
    rng = random.Random(4)
    interval, total = 20, 2000
    run = {"max_steps": total, "save-freq": interval}
    saved, lost = 0, []
    for _ in range(20):
        logged = len(job.log) if job.has_begun else 0
        job.start("--pause 0.01", **run)
        if rng.random() < 0.8:
            job.wait_for(r"Test[:.] Step: ", since=logged)
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.process.wait(rng.uniform(0, 3))
        job.process.kill()
        job.process.wait()
        job.wait_until_gone(10)
        steps = [int(float(step)) for step in re.findall(r"Test[:.] Step: ([0-9.]+)\. ", job.log[logged:])]
        resumed = re.search(r"brain Test goes on from step (\d+)", job.log[logged:])
        if resumed:
            lost.append(saved - int(resumed.group(1)))
        saved = max([saved, *steps])
    assert job.run(**run) == 0
    assert job.training["brains"]["Test"]["steps"] == total
    assert [step for step, _ in job.curve()] == list(range(20, total + 1, 20))
    assert max(lost) <= interval, lost
    reason = f"Ended at max_steps, with a save every {interval} steps."
    tell(
        fault="whole job killed 20 times (SIGKILL)",
        when="random",
        status="completed",
        exit_code=0,
        reason=reason,
        model_kept="yes",
        steps_lost=f"{max(0, *lost)} at most each",
    )


@pytest.mark.slow
def test_twenty_stops_lose_nothing(job, tell):
    """Stop the whole job at random moments, while it starts, too, and train on until it ends at max_steps."""
    rng = random.Random(4)
    run = {"max_steps": 1000, "save-freq": 100000}
    done, longest = 0, 0.0
    for _ in range(20):
        logged = len(job.log) if job.has_begun else 0
        job.start("--pause 0.01", **run)
        job.wait_for(job.own["begins"], since=logged)  # Python has started, and heeds signals
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.process.wait(rng.uniform(0, 3))
        stopped_at = time.monotonic()
        job.process.send_signal(signal.SIGTERM)
        assert job.finish() == 0, job.log[logged:]
        longest = max(longest, time.monotonic() - stopped_at)
        assert job.training["status"] in ("stopped", "completed")
        assert job.processes() == []
        assert job.training["resumed_from"].get("Test", done) == done
        done = max([done, *job.saved_steps()])
        steps = [int(float(step)) for step in re.findall(r"Test[:.] Step: ([0-9.]+)\. ", job.log[logged:])]
        assert max(steps, default=0) <= done
    assert job.run(**run) == 0
    assert job.training["brains"]["Test"]["steps"] == 1000
    assert [step for step, _ in job.curve()] == list(range(20, 1001, 20))
    tell(
        fault="whole job stopped 20 times (SIGTERM)",
        when="random",
        status="completed",
        exit_code=0,
        reason="Ended at max_steps; each stop exited with 0 and saved what there was.",
        seconds_until_gone=f"{longest:.1f} at most",
        model_kept="yes",
        steps_lost=0,
    )


NOT_SAVED = (
    rf"The checkpoint could not be saved in {OF_VERSION[VERSION]['run']}/Test at step \d+: {{}}\. What was saved before is whole: make "
    r"room, or keep fewer checkpoints \(keep-checkpoints\), and train on from there\."
)


@pytest.fixture
def small_disk(tmp_path):
    """Return a disk of 1 MB; skip where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)  # lazily: a failed test may leave a process in it


@pytest.mark.slow
def test_a_full_disk_is_the_failure(small_disk, make_job, tell):
    """SageMaker has all of /opt/ml on one disk: where a checkpoint finds no room, the failure must find some."""
    job = make_job(small_disk / "opt-ml")
    assert job.run("--pause 0.02", hidden_units=64, num_layers=2, max_steps=1000) == 1
    reason = job.failure
    assert re.fullmatch(NOT_SAVED.format("No space left on device"), reason), reason
    assert job.training["reason"] == reason
    job.wait_until_gone(0)
    tell(
        fault="disk full",
        when="in a save",
        status="failed",
        exit_code=1,
        reason=reason,
        model_kept="no",
    )


@pytest.mark.slow
def test_a_disk_that_fills_up_loses_no_checkpoint(job, tell):
    network = {"hidden_units": 200, "num_layers": 2}
    assert job.run(**network) == 0
    saved = job.saved_steps()
    job.forget()
    files = {path: path.read_bytes() for path in job.run_folder.glob("Test/*-[0-9]*.*")}
    smallest = min(len(files[path]) for path in files if re.search(r"\.data|\.pt$", path.name))

    def fill_up():
        resource.setrlimit(resource.RLIMIT_FSIZE, (smallest // 2, smallest // 2))

    assert job.run(before=fill_up, **network, max_steps=100) == 1
    reason = job.failure.splitlines()[0]
    assert re.fullmatch(NOT_SAVED.format("File too large"), reason), reason
    assert {path: path.read_bytes() for path in files} == files
    assert job.model.exists()
    assert job.run(**network, max_steps=100) == 0
    assert job.training["resumed_from"] == {"Test": saved[-1]}
    tell(
        fault="no room for the checkpoint",
        when="in a save",
        status="failed",
        exit_code=1,
        reason=reason,
        model_kept="yes",
    )


@pytest.mark.slow
def test_unreadable_checkpoints_are_not_skipped(job, tell):
    assert job.run() == 0
    saved = job.saved_steps()
    newest = next(path for path in job.run_folder.glob(f"Test/*-{saved[-1]}.*") if path.suffix in (".index", ".pt"))
    newest.chmod(0)
    job.forget()
    assert job.run(before=read_as_others_do, max_steps=100) == 1
    reason = job.failure.splitlines()[0]
    assert (
        reason == f"The checkpoint {Path(job.own['run'], 'Test', newest.name)} may not be read. Change its permissions."
    )
    assert job.saved_steps() == saved
    newest.chmod(0o644)
    assert job.model.exists()
    assert job.run(max_steps=100) == 0
    assert job.training["resumed_from"] == {"Test": saved[-1]}
    tell(
        fault="a checkpoint that may not be read",
        when="start",
        status="failed",
        exit_code=1,
        reason=reason,
        model_kept="yes",
    )


def read_as_others_do():
    """Return up what lets root read every file, for all that is started from here."""
    pr_capbset_drop, cap_dac_override, cap_dac_read_search = 24, 1, 2  # linux/prctl.h, linux/capability.h
    for capability in (cap_dac_override, cap_dac_read_search):
        ctypes.CDLL(None).prctl(pr_capbset_drop, capability, 0, 0, 0)


@pytest.mark.slow
def test_a_job_that_is_paused_for_longer_than_a_stall_loses_nothing(job, tell):
    """A laptop that sleeps, `docker pause`: everything stands still, and nobody hangs."""
    run = {"max_steps": 100, "stall-timeout": 1}
    job.start("--pause 0.02", **run)
    job.wait_for(r"Step: 40\.")
    paused = job.processes()
    for pid in paused:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(15)  # longer than stall-timeout and all that comes on top; there is no event of nothing
    for pid in paused:
        os.kill(pid, signal.SIGCONT)
    assert job.finish() == 0
    assert job.training["restarts"] == []
    assert [step for step, _ in job.curve()] == [20, 40, 60, 80, 100]
    tell(
        fault="none: the whole job paused for 15 s",
        when="mid-run",
        status="completed",
        exit_code=0,
        reason=job.training["reason"],
        model_kept="yes",
    )
