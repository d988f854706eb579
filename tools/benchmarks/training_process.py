"""One training, ours or stock's, started, watched by its log, and stopped; nothing of it is left behind."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil
import yaml

from common import ROOT, trainer_env
from reward_curves.log import read_summary
from sample_env import make_sample_build
from tools.benchmarks import processes
from tools.benchmarks.comparison import AbsentError

CONFIG = Path(__file__).with_name("3dball.yaml")
FIRST = re.compile(r"^\d+ (\S+ \S+) INFO First decision$", re.MULTILINE)
LATE = 1000
"""A mean reward is that of so many last steps: one summary alone holds few episodes once they are long."""
PLAYER_LOGS = ["output/data/players/*/Player.log"]
"""Where `container/train` leaves the logs of its players."""
LONGEST = 900.0  # seconds until a training is given up
STOPPING = 60.0  # seconds until one that was told to stop is


class TrainingFailedError(Exception):
    """A training ended, or took too long, before it came to what was to be measured."""


@dataclass(frozen=True)
class Task:
    """What both sides train.

    Attributes
    ----------
    agents : int
        In each player.
    reward : float or None
        Stop when a summary has this mean reward.
    steps : int or None
        Stop at a summary with so many steps, or more.
    settings : mapping
        Keys of the trainer configuration that replace those of `CONFIG`.
    seed : int
    """

    agents: int = 48
    reward: float | None = None
    steps: int | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    seed: int = 1

    def config(self) -> dict[str, object]:
        """Return the trainer configuration."""
        config = yaml.safe_load(CONFIG.read_text())
        config["3DBall"].update(self.settings)
        return config

    def done(self, step: int, reward: float | None) -> bool:
        """Return whether a summary is the last one wanted."""
        far_enough = self.steps is not None and step >= self.steps
        return far_enough or (self.reward is not None and reward is not None and reward >= self.reward)


def stock(task: Task, num_envs: int = 1) -> dict[str, float]:
    """Train with `mlagents-learn` of the trainer environment, at its defaults. See `watch`."""
    trainer = find_trainer()
    if trainer.flavour != "exact":
        raise AbsentError(f"stock mlagents-learn 0.11.0 needs TensorFlow 1.15; the trainer here is {trainer}.")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        place = Path(scratch)
        build = make_sample_build(place / "build")
        (place / "config.yaml").write_text(yaml.safe_dump(task.config()))
        command = [trainer.python.with_name("mlagents-learn"), "config.yaml", "--train", "--no-graphics"]
        command += ["--env", build, "--run-id", "run", "--num-envs", num_envs, "--seed", task.seed]
        command += ["--base-port", free_port(num_envs)]
        command += ["--env-args", "--agents", task.agents, "-logFile", place / "player.log"]
        # A SIGINT that comes while TensorFlow takes a lock makes stock wait for that lock for ever.
        return watch(command, {}, place, ["player.log"], task, signal.SIGINT, may_hang=True)


def ours(task: Task, **hyperparameters: object) -> dict[str, float]:
    """Train with `container/train` as SageMaker starts it, with these hyperparameters on top. See `watch`."""
    trainer = find_trainer()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        place = Path(scratch)
        lay_out(place, task, hyperparameters)
        environment = {"SAGEMAKER_BASE_DIR": str(place)}
        command = [trainer.python, ROOT / "container" / "train"]
        return watch(command, environment, place, PLAYER_LOGS, task, signal.SIGTERM)


def lay_out(place: Path, task: Task, hyperparameters: Mapping[str, object]) -> None:
    """Write what SageMaker gives a job: its channel with the build, and its hyperparameters."""
    given = {"seed": task.seed, "env-args": f"--agents {task.agents}", **hyperparameters}
    channel = place / "input" / "data" / "unity-volume"
    make_sample_build(channel)
    (channel / "trainer_config.yaml").write_text(yaml.safe_dump(task.config()))
    (place / "input" / "config").mkdir()
    strings = {name: str(value) for name, value in given.items()}
    (place / "input" / "config" / "hyperparameters.json").write_text(json.dumps(strings))


def decision_time(agents: int) -> float:
    """Return the microseconds that a decision costs the sample environment; see `tools/benchmarks/decision_time.py`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        build = make_sample_build(scratch)
        command = [find_trainer().python, Path(__file__).with_name("decision_time.py"), str(agents)]
        data = build.with_name("3DBall_Data")
        return float(subprocess.run(command, cwd=data, capture_output=True, text=True, check=True).stdout)


def find_trainer() -> trainer_env.TrainerEnv:
    """Return the trainer environment. Raises `AbsentError`."""
    try:
        return trainer_env.find()
    except trainer_env.TrainerEnvError as error:
        raise AbsentError(str(error)) from error


def free_port(count: int) -> int:
    """Return the first of some free ports in a row, as `container/train` finds them."""
    code = f"import learner_command; print(learner_command.free_ports({count}))"
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, cwd=ROOT / "container", capture_output=True, text=True, check=True).stdout)


def watch(
    command: list[object],
    environment: dict[str, str],
    place: Path,
    logs: list[str],
    task: Task,
    stop: signal.Signals,
    may_hang: bool = False,
) -> dict[str, float]:
    """Run a training until its task is done, stop it, and say how it went.

    Returns
    -------
    dict of str to float
        ``start`` (seconds from the process's start to the first step), ``steps_per_second`` and ``cpu`` (processor
        seconds for 1,000 steps), ``player`` (microseconds of processor time that the players took for a step),
        ``player_share`` (the same in per cent of the time that passed; all these between the first and the last
        summary), ``seconds`` (from the process's start to the last summary), ``steps`` (until then), ``memory`` (bytes
        then, in all processes), ``players`` (how many there were then), ``reward`` (the mean of the summaries of the
        last `LATE` steps, if an episode ended in them) and ``stop`` (seconds from the signal until no process is left;
        left out of one that hangs where it may).

    Raises
    ------
    TrainingFailedError
    """
    mark = processes.new_mark()
    # Players are scripts for python3, and are to run on the trainer's.
    path = os.pathsep.join([str(Path(str(command[0])).parent), os.environ.get("PATH", "")])
    variables = {**os.environ, "PATH": path, **mark, **environment}
    lines: queue.SimpleQueue[tuple[float, str | None]] = queue.SimpleQueue()
    with processes.none_left(mark):
        wall, began = time.time(), time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=place,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the one who measures, who then ends this
        )
        threading.Thread(target=stamp, args=(process.stdout, lines), daemon=True).start()
        summaries, rewards, family, players, spent, played = [], [], [], [], 0.0, 0.0
        for at, step, reward in follow(lines, began + LONGEST):
            summaries.append((at, step))
            rewards += [] if reward is None else [(step, reward)]
            if len(summaries) == 1:
                family = processes.find(mark)
                players = [one for one in family if "--port" in processes.command(one)]
                spent, played = processes.cpu_seconds(family), processes.cpu_seconds(players)
            if task.done(step, reward) and len(summaries) > 1:
                break
        spent, played = processes.cpu_seconds(family) - spent, processes.cpu_seconds(players) - played
        now = processes.find(mark)  # with num-envs auto, more than at the first summary
        held, playing = processes.memory(now), sum("--port" in processes.command(one) for one in now)
        asked = time.monotonic()
        process.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING)
        hangs = process.poll() is None
        psutil.wait_procs(now, timeout=0 if hangs else 10)
        stopped = time.monotonic()
        ended = process.returncode == 0 and not processes.find(mark) and any(place.rglob("3DBall.nn"))
        if not ended and not (hangs and may_hang):
            raise TrainingFailedError(f"it did not save its model and end within {STOPPING + 10:.0f} s of {stop.name}")
    (first_at, first_step), (last_at, last_step) = summaries[0], summaries[-1]
    steps = last_step - first_step
    return {
        "start": first_step_at(place, logs) - wall,
        "steps_per_second": steps / (last_at - first_at),
        "cpu": spent / steps * 1000,
        "player": played / steps * 1e6,
        "player_share": 100 * played / (last_at - first_at),
        "seconds": last_at - began,
        "steps": float(last_step),
        **late_mean(rewards, last_step),
        "memory": held,
        "players": float(playing),
        **({"stop": stopped - asked} if ended else {}),
    }


def late_mean(rewards: list[tuple[int, float]], last_step: int) -> dict[str, float]:
    """Return the mean ``reward`` of the summaries, each with its step, of the last `LATE` steps; empty without any."""
    late = [reward for step, reward in rewards if step > last_step - LATE]
    return {"reward": sum(late) / len(late)} if late else {}


def stamp(stream, lines: queue.SimpleQueue) -> None:
    """Note when each line came; None at the end."""
    for line in stream:
        lines.put((time.monotonic(), line))
    lines.put((time.monotonic(), None))


def follow(lines: queue.SimpleQueue, deadline: float):
    """Yield (time, step, mean reward or None) of each summary. Raises `TrainingFailedError` at an early end."""
    told: list[str] = []
    while True:
        try:
            at, line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TrainingFailedError(f"not done after {LONGEST:.0f} s; it said last: {told[-1:]}") from None
        if line is None:
            raise TrainingFailedError("it ended early:\n" + "".join(told[-15:]))
        told.append(line)
        if summary := read_summary(line):
            yield at, summary.step, None if math.isnan(summary.mean) else summary.mean


def first_step_at(place: Path, logs: list[str]) -> float:
    """Return the time of day of the first step of all players, as the first of them logged it."""
    found = [time for log in logs for file in place.glob(log) for time in FIRST.findall(file.read_text())]
    if not found:
        raise TrainingFailedError("no player logged its first decision")
    return min(datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").timestamp() for text in found)
