"""Rows about training: speed, seconds to a reward, what supervision costs, start and stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.comparison import Comparison, Measurements, Result, Row
from benchmarks.training_process import Task, decision_time, ours, stock

DEFAULTS, BARE, AUTO, STOCK = "container/train", "levers off", "num-envs auto", "stock mlagents-learn"
REWARD = 80.0
FULL = Task(reward=REWARD)
LEARNING = Task(steps=4000)
QUICK = replace(FULL, settings={"batch_size": 512, "buffer_size": 6000, "learning_rate": 2.0e-3, "summary_freq": 25})
"""Reaches the reward in a fraction of the time; larger batches make the update a smaller part of it."""

SPEED = "steps_per_second"
ROWS = (
    Row("steps", "training steps per second", "steps/s", DEFAULTS, STOCK, "steps_per_second", True),
    Row("seconds", f"seconds to a mean reward of {REWARD:.0f}", "s", DEFAULTS, STOCK, "seconds"),
    Row("to reward", f"steps to a mean reward of {REWARD:.0f}", "steps", DEFAULTS, STOCK, "steps"),
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
        BARE: train(ours, task, levers="none"),
    }
    found = [
        Comparison(
            "training.3DBall",
            sides,
            ROWS,
            f"{task.agents} agents in each player, run n with seed n. Both were told to stop when a summary had the "
            "reward: container/train by SIGTERM, mlagents-learn by SIGINT, the only signal at which it saves."
            + (" Quick: with settings that learn faster." if quick else ""),
        )
    ]
    return found if quick else [*found, learning(), sample()]


def learning() -> Comparison:
    """Give the comparison of what is learned in equal steps, and of the number of players that `auto` finds."""
    title = f"mean reward at step {LEARNING.steps:,}"
    return Comparison(
        "training.learning",
        {
            STOCK: train(stock, LEARNING),
            DEFAULTS: train(ours, LEARNING),
            AUTO: train(ours, LEARNING, **{"num-envs": "auto"}),
        },
        (
            Row("reward", title, "", DEFAULTS, STOCK, "reward", True),
            Row("auto", "steps per second with num-envs auto, trial and all", "steps/s", AUTO, DEFAULTS, SPEED, True),
            Row("auto reward", f"{title} with num-envs auto", "", AUTO, STOCK, "reward", True),
        ),
        f"{LEARNING.agents} agents in each player, run n with seed n.",
        conclude=compare_rewards,
    )


def sample() -> Comparison:
    """Give the comparison of what the sample environment itself takes, with few agents and with many."""
    few, many = 12, 64
    sides = {f"{agents} agents": sampled(Task(agents=agents, steps=2000)) for agents in (many, few)}
    one = f"{few} agents"
    return Comparison(
        "training.sample",
        sides,
        (
            Row("decision", "the sample environment's time for a decision", "us", *sides, "decision"),
            Row("share", f"the same in per cent of a training step, {one}", "%", one, "", "decision_share"),
            Row("process", "its whole process's time, gRPC included", "us", *sides, "player"),
            Row("process share", f"the same in per cent, {one}", "%", one, "", "player_share"),
        ),
        f"container/train at its defaults, processor time; ours is {many} agents, other {few}.",
    )


def sampled(task: Task) -> Callable[[int], Measurements]:
    """Give a training's measurement, with what a decision takes where nobody trains (``decision``, in us) beside it."""
    measure = train(ours, task)

    def measure_both(run: int) -> Measurements:
        taken, decision = measure(run), decision_time(task.agents)
        # A step of training is one decision of every agent.
        return {**taken, "decision": decision, "decision_share": decision * taken["steps_per_second"] / 1e4}

    return measure_both


def compare_rewards(result: Result) -> str:
    """Say whether each side's mean reward over the runs lies within the interval of stock's."""
    known = result.values(STOCK, "reward")
    if len(known) < 2:
        return ""
    mean, error = float(np.mean(known)), float(stats.sem(known))
    low, high = stats.t.interval(0.95, len(known) - 1, mean, error) if error else (mean, mean)
    told = [f"{STOCK} {mean:.1f} (95 % interval of the mean by Student's t: {low:.1f} to {high:.1f})"]
    for side in (DEFAULTS, AUTO):
        if values := result.values(side, "reward"):
            ours = float(np.mean(values))
            place = "inside it" if low <= ours <= high else "above it" if ours > high else "below it"
            told.append(f"{side} {ours:.1f}, {place}")
    return f"mean reward over {len(known)} seeds: {'; '.join(told)}"


def train(side: Callable[..., dict[str, float]], task: Task, *arguments: Any, **hyperparameters: Any):
    """Give a side's measurement: this task, with the number of the run as its seed."""

    def measure(run: int) -> Measurements:
        taken = side(replace(task, seed=run), *arguments, **hyperparameters)
        return {**taken, "memory": taken["memory"] / 1e6}

    return measure
