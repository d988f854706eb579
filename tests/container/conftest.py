"""Training jobs as processes, each below a folder of its own in the place of /opt/ml."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import ROOT, trainer_env
from common.contract import DEFAULT_TRAINER, TRAINERS

CONTAINER = ROOT / "container"
PLAYER = Path(__file__).with_name("player.py")
SCRIPTED = Path(__file__).with_name("scripted_training.py")
sys.path.insert(0, str(CONTAINER))  # its modules import one another by plain name

VERSION = os.environ.get("TRAINER") or DEFAULT_TRAINER
"""The trainer version that `job` runs; `make faults TRAINER=1.1.0` sets it."""
FAULT_COLUMNS = [
    *("fault", "when", "players", "status", "exit code", "reason", "seconds until seen", "seconds until gone"),
    *("processes left", "model kept", "restarts", "went on from step", "steps lost"),
]
FAULT_TIMES = ["start", "mid-run", "in an update", "in a save", "throughout"]  # the rows' order; others follow
SMALL = {
    "max_steps": 60,
    "summary_freq": 20,
    "save-freq": 20,
    "buffer_size": 32,
    "batch_size": 16,
    "hidden_units": 8,
    "num_layers": 1,
    "seed": 1,
}
OF_VERSION = {
    "0.11.0": {"small": {}, "run": "models/run-0", "checkpoints": "model-*.index", "begins": "CommandLineOptions"},
    "1.1.0": {
        "small": {"time_horizon": 5},  # experiences count when they are handed over, all agents together
        "run": "results/run",
        "checkpoints": "{brain}-*.pt",
        "begins": " Version information",
    },
}
"""What differs between versions in a job: its small settings, its files, and the first line of the learner's log."""


JOBS = {"job", "make_job", "v1_job", "train", "quick", "bare"}
"""Fixtures by which a test starts the real trainer."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what starts the real trainer as long, but for one test of each kind, which are marked `essential`."""
    for item in items:
        starts = JOBS & set(getattr(item, "fixturenames", ()))
        if item.path.parent == Path(__file__).parent and starts and not item.get_closest_marker("essential"):
            item.add_marker(pytest.mark.long)


def faults_page(version):
    """Return the page of a version's fault matrix."""
    return ROOT / "docs" / ("faults.md" if version == DEFAULT_TRAINER else f"faults-{version}.md")


@pytest.fixture(scope="session")
def trainer():
    """Return the trainer environment; TRAINER_HOME and TRAINER choose it."""
    return trainer_env.find(VERSION)


@pytest.fixture
def make_job(trainer):
    """Return a function that lays a job below a folder."""
    return lambda root: Job(root, trainer)


@pytest.fixture
def v1_job(tmp_path, v1_trainer):
    """Return a job for ML-Agents 1.1.0 with the test player; afterwards nothing of it may be running."""
    yield from leaving_nothing(Job(tmp_path / "opt-ml", v1_trainer, "1.1.0"))


@pytest.fixture
def job(tmp_path, make_job):
    """Return a job with the test player in its channel; afterwards nothing of it may be running."""
    yield from leaving_nothing(make_job(tmp_path / "opt-ml"))


def leaving_nothing(job):
    """Yield a job; afterwards nothing of it may be running."""
    yield job
    remaining = job.processes()
    for pid in remaining:
        os.kill(pid, signal.SIGKILL)
    assert remaining == []


@pytest.fixture
def tell(record_property):
    """Return a function that puts a row into the table that `make faults` prints, from its cells by their columns."""

    def put(**cells):
        row = {**dict.fromkeys(FAULT_COLUMNS, ""), "players": 1, "restarts": 0, "processes left": 0}
        row |= {name.replace("_", " "): cell for name, cell in cells.items()}
        assert list(row) == FAULT_COLUMNS
        record_property("fault", row)

    return put


class Job:
    """One training job's folder, and its process."""

    def __init__(self, root, trainer, version=VERSION):
        self.root, self.trainer, self.version, self.own = root, trainer, version, OF_VERSION[version]
        self.model = root / ("model/Test" + TRAINERS[version]["model_suffix"])
        self.channel = root / "input/data/unity-volume"
        (self.channel / "Test_Data").mkdir(parents=True)
        shutil.copy(PLAYER, self.channel / "Test.x86_64")
        (self.channel / "Test.x86_64").chmod(0o444)  # S3 keeps no permission bits
        (root / "input/config").mkdir()

    def start(self, player="", before=None, **hyperparameters):
        """Start `train` with small hyperparameters, these on top, and arguments for the player."""
        settings = {
            **SMALL,
            **self.own["small"],
            **{name.replace("__", "-"): value for name, value in hyperparameters.items()},
        }
        if player:
            settings["env-args"] = player
        self.start_with(settings, before)

    def start_with(self, hyperparameters, before=None):
        """Start `train` with just these hyperparameters, given to it as SageMaker does: every value a string."""
        strings = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in hyperparameters.items()
        }
        (self.root / "input/config/hyperparameters.json").write_text(json.dumps(strings))
        environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(self.root)}
        with (Path(os.devnull) if before else self.root / "log.txt").open("ab") as log:
            command = [self.trainer.python, CONTAINER / "train"]
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, preexec_fn=before
            )

    def forget(self):
        """Leave nothing but the checkpoints, as where a job goes on on another machine."""
        for name in ("model", "output"):
            shutil.rmtree(self.root / name)

    def finish(self, seconds=240):
        """Wait for the end and return the exit code."""
        return self.process.wait(seconds)

    def run(self, player="", **hyperparameters):
        """Start, wait, and return the exit code."""
        self.start(player, **hyperparameters)
        code = self.finish()
        print(self.log[-8000:])  # shown where a test fails
        return code

    def wait_for(self, pattern, since=0, seconds=240):
        """Wait until a line of the log begins with a pattern; `since` so many characters. Return when it was seen."""
        give_up = time.monotonic() + seconds
        while not re.search(pattern, self.log[since:]):
            assert self.process.poll() is None or re.search(pattern, self.log[since:]), self.log
            assert time.monotonic() < give_up, f"no {pattern!r} in:\n{self.log}"
            time.sleep(0.02)
        return time.time()

    def wait_until_gone(self, seconds):
        """Wait until nothing of this job runs any more."""
        give_up = time.monotonic() + seconds
        while self.processes():
            assert time.monotonic() < give_up, self.processes()
            time.sleep(0.05)

    def wait_for_fault(self, seconds=240):
        """Wait until the test player makes its planned fault."""
        give_up = time.monotonic() + seconds
        while self.fault_began() is None:
            assert self.process.poll() is None and time.monotonic() < give_up, self.log
            time.sleep(0.02)

    def fault_began(self):
        """Return when the test player first made its planned fault; None if it was told nothing."""
        logs = "".join(path.read_text() for path in self.root.glob("output/data/players/*/Player.log"))
        return min(map(float, re.findall(r"^about to .* at (.*)$", logs, re.M)), default=None)

    @property
    def has_begun(self):
        """Whether it was ever started."""
        return (self.root / "log.txt").exists()

    @property
    def log(self):
        return (self.root / "log.txt").read_text()

    @property
    def failure(self):
        return (self.root / "output/failure").read_text()

    @property
    def training(self):
        return json.loads((self.root / "model/training.json").read_text())

    @property
    def run_folder(self):
        return self.root / "checkpoints" / self.own["run"]

    def saved_steps(self, brain="Test"):
        """Return the steps of a brain's checkpoints."""
        files = (self.run_folder / brain).glob(self.own["checkpoints"].format(brain=brain))
        return sorted(int(path.name.split("-")[1].split(".")[0]) for path in files)

    def curve(self, brain="Test"):
        """Return the steps and mean rewards of the summaries, as TensorBoard shows them."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(self.root / f"output/data/summaries/run_{brain}"))
        events.Reload()
        points = events.Scalars("Environment/Cumulative Reward")
        return [(point.step, round(point.value, 3)) for point in points]

    def processes(self):
        """Return the processes that run for this job."""
        mark = f"SAGEMAKER_BASE_DIR={self.root}".encode()
        return [
            int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in _read(path).split(b"\0")
        ]

    def process_ids(self, role):
        """Return the processes that play a role: learner, worker or player."""
        found = {"learner": [], "worker": [], "player": []}
        for pid in self.processes():
            command = _read(Path(f"/proc/{pid}/cmdline"))
            parent = int(_read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[1])
            if re.search(rb"\.x86_64\0(-nographics|--(mlagents-)?port)", command):
                found["player"].append(pid)
            elif b"learner.py" in command:
                found["learner" if parent == self.process.pid else "worker"].append(pid)
        return sorted(found[role])


def _read(path):
    try:
        return path.read_bytes()
    except OSError:  # ended meanwhile
        return b""


def pytest_terminal_summary(terminalreporter):
    """Print the fault matrix, as a table in Markdown, and keep it in build/, named as its page in docs/ is."""
    reports = [report for state in ("passed", "failed") for report in terminalreporter.stats.get(state, [])]
    rows = [value for report in reports for name, value in report.user_properties if name == "fault"]
    if not rows:
        return
    times = {time: number for number, time in enumerate(FAULT_TIMES)}
    rows.sort(key=lambda row: (times.get(row["when"], len(times)), row["fault"], row["players"]))
    table = [FAULT_COLUMNS, ["---"] * len(FAULT_COLUMNS)]
    table += [[str(cell) for cell in row.values()] for row in rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    terminalreporter.section("fault matrix")
    terminalreporter.write_line("\n".join(lines))
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / faults_page(VERSION).name).write_text("\n".join(lines) + "\n")
