"""Rows about training: speed, seconds to a reward, what supervision costs, start and stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.comparison import Comparison, Measurements, Row
from benchmarks.training_process import Task, ours, stock
from helpers.trainer_config.hyperparameters import OPTIONS

DEFAULTS, BARE, SAME, STOCK = "container/train", "one player, levers off", "one player", "stock mlagents-learn"
REWARD = 80.0
FULL = Task(reward=REWARD)
QUICK = replace(FULL, settings={"batch_size": 512, "buffer_size": 6000, "learning_rate": 2.0e-3, "summary_freq": 25})
"""Reaches the reward in a fraction of the time; larger batches make the update a smaller part of it."""

SPEED = ("steps_per_second", "steps/s", True)
ROWS = (
    Row("steps", "training steps per second", "steps/s", DEFAULTS, STOCK, "steps_per_second", True),
    Row("seconds", f"seconds to a mean reward of {REWARD:.0f}", "s", DEFAULTS, STOCK, "seconds"),
    Row("to reward", f"steps to a mean reward of {REWARD:.0f}", "steps", DEFAULTS, STOCK, "steps"),
    Row("same", "steps per second, one player each", "steps/s", SAME, STOCK, "steps_per_second", True),
    Row("bare", "the same with every lever off (supervision alone)", "steps/s", BARE, STOCK, "steps_per_second", True),
    Row("bare cpu", "processor time of that for 1,000 steps", "s", BARE, STOCK, "cpu"),
    Row("start", "process start to first step", "s", DEFAULTS, STOCK, "start"),
    Row("stop", "stop to exit, the model saved", "s", DEFAULTS, STOCK, "stop"),
    Row("memory", "memory of all processes at the end", "MB", DEFAULTS, STOCK, "memory"),
)


def comparisons(quick: bool = False) -> list[Comparison]:
    """Give the comparisons of this group.

    Parameters
    ----------
    quick : bool
        Train with settings that reach the reward sooner.
    """
    task = QUICK if quick else FULL
    sides: dict[str, Callable[[int], Measurements]] = {
        STOCK: train(stock, task),
        DEFAULTS: train(ours, task),
        SAME: train(ours, task, **{"num-envs": 1}),
    }
    rows = ROWS
    if "levers" in OPTIONS:
        sides[BARE] = train(ours, task, **{"num-envs": 1, "levers": "none"})
    else:  # then one player is supervision alone
        rows = tuple(row for row in ROWS if row.ours != BARE)
    return [
        Comparison(
            "training.3DBall",
            sides,
            rows,
            f"{task.agents} agents in each player, run n with seed n. Both were told to stop when a summary had the "
            "reward: container/train by SIGTERM, mlagents-learn by SIGINT, the only signal at which it saves."
            + (" Quick: with settings that learn faster." if quick else ""),
        )
    ]


def train(side: Callable[..., dict[str, float]], task: Task, *arguments: Any, **hyperparameters: Any):
    """Give a side's measurement: this task, with the number of the run as its seed."""

    def measure(run: int) -> Measurements:
        taken = side(replace(task, seed=run), *arguments, **hyperparameters)
        return {**taken, "memory": taken["memory"] / 1e6}

    return measure
