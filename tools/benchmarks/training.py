"""Rows about training: speed, seconds to a reward, the cost of supervision, start and stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from tools.benchmarks.comparison import Comparison, Measurements, Result, Row
from tools.benchmarks.training_process import LATE, Task, decision_time, ours, stock

DEFAULTS, BARE, AUTO, STOCK = "container/train", "speedups off", "num-envs auto", "stock mlagents-learn"
STOCK_TWO = "stock, 2 players"
REWARD = 80.0
FULL = Task(reward=REWARD)
LEARNING = Task(steps=4000)
QUICK = replace(FULL, settings={"batch_size": 512, "buffer_size": 6000, "learning_rate": 2.0e-3, "summary_freq": 25})
"""Reaches the reward in a fraction of the time, in which updates have a smaller share."""

SPEED = "steps_per_second"
ROWS = (
    Row("steps", "training steps per second", "steps/s", DEFAULTS, STOCK, "steps_per_second", True),
    Row("seconds", f"seconds to a mean reward of {REWARD:.0f}", "s", DEFAULTS, STOCK, "seconds"),
    Row("to reward", f"steps to a mean reward of {REWARD:.0f}", "steps", DEFAULTS, STOCK, "steps"),
    Row("bare", "the same without speedups (supervision alone)", "steps/s", BARE, STOCK, "steps_per_second", True),
    Row("bare cpu", "processor time of that for 1,000 steps", "s", BARE, STOCK, "cpu"),
    Row("start", "process start to first step", "s", DEFAULTS, STOCK, "start"),
    Row("stop", "stop to exit, the model saved", "s", DEFAULTS, STOCK, "stop"),
    Row("memory", "memory of all processes at the end", "MB", DEFAULTS, STOCK, "memory"),
)


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group.

    Parameters
    ----------
    quick : bool
        Train with settings that reach the reward sooner.
    """
    task = QUICK if quick else FULL
    sides: dict[str, Callable[[int], Measurements]] = {
        STOCK: train(stock, task),
        DEFAULTS: train(ours, task),
        BARE: train(ours, task, speedups="none"),
    }
    found = [
        Comparison(
            "training.3DBall",
            sides,
            ROWS,
            f"{task.agents} agents in each player, run n with seed n. Both were stopped when a summary had the "
            "reward: container/train by SIGTERM, mlagents-learn by SIGINT, the only signal at which it saves."
            + (" Quick: with settings that learn faster." if quick else ""),
        )
    ]
    return found if quick else [*found, learning(), sample(), *(todays(agents) for agents in (12, 48))]


def todays(agents: int) -> Comparison:
    """Return the comparison with ML-Agents 1.1.0, on the same Python and the same PyTorch."""
    # Its steps are each agent's, so both numbers of agents take as many steps of the environment.
    task = Task(agents=agents, steps=1250 * agents, trainer="1.1.0", settings={"summary_freq": 125 * agents})
    return Comparison(
        f"training.1.1.0-{agents}",
        {STOCK: train(stock, task), DEFAULTS: train(ours, task), BARE: train(ours, task, speedups="none")},
        (
            Row("steps", f"1.1.0, {agents} agents: their steps per second", "steps/s", DEFAULTS, STOCK, SPEED, True),
            Row("bare", "the same without speedups (supervision alone)", "steps/s", BARE, STOCK, SPEED, True),
            Row("reward", "mean reward of the last summary", "", DEFAULTS, STOCK, "reward", True),
            Row("start", "process start to first step", "s", DEFAULTS, STOCK, "start"),
            Row("stop", "stop to exit, the model saved", "s", DEFAULTS, STOCK, "stop"),
            Row("memory", "memory of all processes at the end", "MB", DEFAULTS, STOCK, "memory"),
        ),
        f"One player, {task.steps:,} steps of agents, run n with seed n; both stopped as above.",
    )


def learning() -> Comparison:
    """Return the comparison of rewards after equal steps, and of the number of players that `auto` finds."""
    title = f"mean reward of steps {LEARNING.steps - LATE + 1:,} to {LEARNING.steps:,}"
    return Comparison(
        "training.learning",
        {
            STOCK: train(stock, LEARNING),
            DEFAULTS: train(ours, LEARNING),
            AUTO: train(ours, LEARNING, **{"num-envs": "auto"}),
            STOCK_TWO: train(stock, LEARNING, num_envs=2),
        },
        (
            Row("reward", title, "", DEFAULTS, STOCK, "reward", True),
            Row("auto", "steps per second with num-envs auto, trial and all", "steps/s", AUTO, DEFAULTS, SPEED, True),
            Row("players", "players that auto keeps", "", AUTO, "", "players", True),
            Row("auto reward", f"{title} with num-envs auto", "", AUTO, STOCK_TWO, "reward", True),
            Row("stock reward", f"{title}, stock with 2 players against 1", "", STOCK_TWO, STOCK, "reward", True),
        ),
        f"{LEARNING.agents} agents in each player, run n with seed n.",
        conclude=compare_rewards,
    )


def sample() -> Comparison:
    """Return the comparison of the sample environment's own time, with few agents and with many."""
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
    """Return a measurement of a training and of a decision without a trainer (``decision``, in us)."""
    measure = train(ours, task)

    def measure_both(run: int) -> Measurements:
        measurements, decision = measure(run), decision_time(task.agents)
        # A step of training is one decision of every agent.
        share = decision * measurements["steps_per_second"] / 1e4
        return {**measurements, "decision": decision, "decision_share": share}

    return measure_both


def compare_rewards(result: Result) -> str:
    """Say whether each side's mean reward lies in the confidence interval of stock with as many players."""
    parts = []
    for other, side in ((STOCK, DEFAULTS), (STOCK_TWO, AUTO)):
        expected, values = result.values(other, "reward"), result.values(side, "reward")
        if len(expected) < 2 or not values:
            continue
        mean, error, ours = float(np.mean(expected)), float(stats.sem(expected)), float(np.mean(values))
        low, high = stats.t.interval(0.95, len(expected) - 1, mean, error) if error else (mean, mean)
        position = "inside" if low <= ours <= high else "above" if ours > high else "below"
        parts.append(
            f"{side} {ours:.1f} ({len(values)} seeds), {position} the 95 % interval of the mean of {other}, "
            f"{mean:.1f} ({low:.1f} to {high:.1f}; {len(expected)} seeds)"
        )
    return f"mean reward: {'; '.join(parts)}" if parts else ""


def train(side: Callable[..., dict[str, float]], task: Task, *arguments: Any, **hyperparameters: Any):
    """Return the measurement of a side: this task, with the number of the run as its seed."""

    def measure(run: int) -> Measurements:
        measurements = side(replace(task, seed=run), *arguments, **hyperparameters)
        return {**measurements, "memory": measurements["memory"] / 1e6}

    return measure
