"""Runs one training, ours or stock, follows its log and stops it; leaves nothing behind."""

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
from common.contract import DEFAULT_TRAINER, TRAINERS
from reward_curves.log import read_summary
from sample_env import make_sample_build
from tools.benchmarks import processes
from tools.benchmarks.comparison import AbsentError

FOLDER = Path(__file__).parent
CONFIGS = {"0.11.0": FOLDER / "3dball.yaml", "1.1.0": FOLDER / "3dball-1.1.0.yaml"}
FIRST = re.compile(r"^\d+ (\S+ \S+) INFO First decision$", re.MULTILINE)
LATE = 1000
"""The number of last steps for a mean reward: one summary contains few episodes once they are long."""
PLAYER_LOGS = ["output/data/players/*/Player.log"]
"""The logs of the players of `container/train`."""
TIMEOUT = 900.0  # seconds for a training
STOP_TIMEOUT = 60.0  # seconds until a training has stopped
# Without the switch PyTorch would export with onnxscript, which ML-Agents 1.1.0 does not bring.
STOCK_1_1_0 = """
import functools, torch
from mlagents.trainers import learn
torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)
learn.main()
"""


class TrainingFailedError(Exception):
    """A training ended or took too long before its measurement was complete."""


@dataclass(frozen=True)
class Task:
    """The training of both sides.

    Attributes
    ----------
    agents : int
        In each player.
    reward : float or None
        Stop when a summary has this mean reward.
    steps : int or None
        Stop at a summary with at least this many steps, as the trainer counts them.
    settings : mapping
        Keys of the trainer configuration that replace those of its file.
    seed : int
    trainer : str
        The version of ML-Agents.
    """

    agents: int = 48
    reward: float | None = None
    steps: int | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    seed: int = 1
    trainer: str = DEFAULT_TRAINER

    def config(self) -> dict[str, object]:
        """Return the trainer configuration."""
        config = yaml.safe_load(CONFIGS[self.trainer].read_text())
        config.get("behaviors", config)["3DBall"].update(self.settings)
        return config

    def done(self, step: int, reward: float | None) -> bool:
        """Return whether a summary is the last one needed."""
        far_enough = self.steps is not None and step >= self.steps
        return far_enough or (self.reward is not None and reward is not None and reward >= self.reward)


def stock(task: Task, num_envs: int = 1) -> dict[str, float]:
    """Train with the trainer environment's `mlagents-learn` at its defaults. See `run`."""
    trainer = find_trainer(task.trainer)
    if trainer.flavour == "compat":
        raise AbsentError(f"stock mlagents-learn 0.11.0 needs TensorFlow 1.15; the trainer here is {trainer}.")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        build = make_sample_build(folder / "build", trainer=task.trainer)
        (folder / "config.yaml").write_text(yaml.safe_dump(task.config()))
        command: list[object] = [trainer.python.with_name("mlagents-learn"), "config.yaml", "--train"]
        if trainer.flavour == "cpu":
            command = [trainer.python, "-c", STOCK_1_1_0, "config.yaml"]
        command += ["--env", build, "--run-id", "run", "--num-envs", num_envs, "--seed", task.seed, "--no-graphics"]
        command += ["--base-port", free_port(num_envs)]
        command += ["--env-args", "--agents", task.agents, "-logFile", folder / "player.log"]
        # A SIGINT while TensorFlow acquires a lock makes stock wait for that lock for ever.
        return run(command, {}, folder, ["player.log"], task, signal.SIGINT, may_hang=True)


def ours(task: Task, **hyperparameters: object) -> dict[str, float]:
    """Train with `container/train` as SageMaker starts it, with these additional hyperparameters. See `run`."""
    trainer = find_trainer(task.trainer)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        write_job_inputs(folder, task, hyperparameters)
        environment = {"SAGEMAKER_BASE_DIR": str(folder)}
        command = [trainer.python, ROOT / "container" / "train"]
        return run(command, environment, folder, PLAYER_LOGS, task, signal.SIGTERM)


def write_job_inputs(folder: Path, task: Task, hyperparameters: Mapping[str, object]) -> None:
    """Write a job's inputs as SageMaker does: the channel with the build, and the hyperparameters."""
    hyperparameters = {"seed": task.seed, "env-args": f"--agents {task.agents}", **hyperparameters}
    channel = folder / "input" / "data" / "unity-volume"
    make_sample_build(channel, trainer=task.trainer)
    (channel / "trainer_config.yaml").write_text(yaml.safe_dump(task.config()))
    (folder / "input" / "config").mkdir()
    strings = {name: str(value) for name, value in hyperparameters.items()}
    (folder / "input" / "config" / "hyperparameters.json").write_text(json.dumps(strings))


def decision_time(agents: int) -> float:
    """Return the microseconds of a decision of the sample environment; see `tools/benchmarks/decision_time.py`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        build = make_sample_build(scratch)
        command = [find_trainer().python, Path(__file__).with_name("decision_time.py"), str(agents)]
        data = build.with_name("3DBall_Data")
        return float(subprocess.run(command, cwd=data, capture_output=True, text=True, check=True).stdout)


def find_trainer(version: str = DEFAULT_TRAINER) -> trainer_env.TrainerEnv:
    """Return the environment of a version of ML-Agents. Raises `AbsentError`."""
    try:
        return trainer_env.find(version)
    except trainer_env.TrainerEnvError as error:
        raise AbsentError(str(error)) from error


def free_port(count: int) -> int:
    """Return the first of `count` consecutive free ports, as `container/train` finds them."""
    code = f"import learner_command; print(learner_command.free_ports({count}))"
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, cwd=ROOT / "container", capture_output=True, text=True, check=True).stdout)


def run(
    command: list[object],
    environment: dict[str, str],
    folder: Path,
    logs: list[str],
    task: Task,
    stop: signal.Signals,
    may_hang: bool = False,
) -> dict[str, float]:
    """Run a training until its task is done, stop it, and return the measurements.

    Returns
    -------
    dict of str to float
        ``start`` (seconds from the start of the process to the first step), ``steps_per_second`` and ``cpu`` (processor
        seconds for 1,000 steps), ``player`` (microseconds of the players' processor time for a step), ``player_share``
        (the same in percent of the elapsed time; all these between the first and the last summary), ``seconds`` (from
        the start of the process to the last summary), ``steps`` (until then), ``memory`` (bytes then, in all
        processes), ``players`` (their number then), ``reward`` (the mean of the summaries of the last `LATE` steps, if
        an episode ended in them) and ``stop`` (seconds from the signal until no process is left; missing if it hangs
        and `may_hang` is set).

    Raises
    ------
    TrainingFailedError
    """
    mark, model = processes.new_mark(), "3DBall" + TRAINERS[task.trainer]["model_suffix"]
    # Players are scripts for python3, and need the trainer's.
    path = os.pathsep.join([str(Path(str(command[0])).parent), os.environ.get("PATH", "")])
    variables = {**os.environ, "PATH": path, **mark, **environment}
    lines: queue.SimpleQueue[tuple[float, str | None]] = queue.SimpleQueue()
    with processes.none_left(mark):
        wall, started = time.time(), time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C stops the benchmark, which then ends this process
        )
        threading.Thread(target=stamp, args=(process.stdout, lines), daemon=True).start()
        summaries, rewards, all_processes, players, cpu, player_cpu = [], [], [], [], 0.0, 0.0
        for at, step, reward in follow(lines, started + TIMEOUT):
            summaries.append((at, step))
            rewards += [] if reward is None else [(step, reward)]
            if len(summaries) == 1:
                all_processes = processes.find(mark)
                players = [one for one in all_processes if is_player(one)]
                cpu, player_cpu = processes.cpu_seconds(all_processes), processes.cpu_seconds(players)
            if task.done(step, reward) and len(summaries) > 1:
                break
        cpu, player_cpu = processes.cpu_seconds(all_processes) - cpu, processes.cpu_seconds(players) - player_cpu
        now = processes.find(mark)  # with num-envs auto, more than at the first summary
        memory, player_count = processes.memory(now), sum(map(is_player, now))
        signalled = time.monotonic()
        process.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
        hangs = process.poll() is None
        psutil.wait_procs(now, timeout=0 if hangs else 10)
        stopped = time.monotonic()
        ended = process.returncode == 0 and not processes.find(mark) and any(folder.rglob(model))
        if not ended and not (hangs and may_hang):
            raise TrainingFailedError(
                f"it did not save its model and end within {STOP_TIMEOUT + 10:.0f} s of {stop.name}"
            )
    (first_at, first_step), (last_at, last_step) = summaries[0], summaries[-1]
    steps = last_step - first_step
    return {
        "start": first_step_at(folder, logs) - wall,
        "steps_per_second": steps / (last_at - first_at),
        "cpu": cpu / steps * 1000,
        "player": player_cpu / steps * 1e6,
        "player_share": 100 * player_cpu / (last_at - first_at),
        "seconds": last_at - started,
        "steps": float(last_step),
        **late_mean(rewards, last_step),
        "memory": memory,
        "players": float(player_count),
        **({"stop": stopped - signalled} if ended else {}),
    }


def is_player(process: psutil.Process) -> bool:
    """Return whether this process is a player, of either protocol."""
    return bool({"--port", "--mlagents-port"} & set(processes.command(process)))


def late_mean(rewards: list[tuple[int, float]], last_step: int) -> dict[str, float]:
    """Return the mean ``reward`` of the (step, reward) of the last `LATE` steps; empty if there are none."""
    late = [reward for step, reward in rewards if step > last_step - LATE]
    return {"reward": sum(late) / len(late)} if late else {}


def stamp(stream, lines: queue.SimpleQueue) -> None:
    """Put each line into the queue with its time; None at the end."""
    for line in stream:
        lines.put((time.monotonic(), line))
    lines.put((time.monotonic(), None))


def follow(lines: queue.SimpleQueue, deadline: float):
    """Yield (time, step, mean reward or None) of each summary. Raises `TrainingFailedError` at an early end."""
    output: list[str] = []
    while True:
        try:
            at, line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TrainingFailedError(f"not done after {TIMEOUT:.0f} s; last output: {output[-1:]}") from None
        if line is None:
            raise TrainingFailedError("it ended early:\n" + "".join(output[-15:]))
        output.append(line)
        if summary := read_summary(line):
            yield at, summary.step, None if math.isnan(summary.mean) else summary.mean


def first_step_at(folder: Path, logs: list[str]) -> float:
    """Return the time of the first step of any player, from the players' logs."""
    found = [time for log in logs for file in folder.glob(log) for time in FIRST.findall(file.read_text())]
    if not found:
        raise TrainingFailedError("no player logged its first decision")
    return min(datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").timestamp() for text in found)
