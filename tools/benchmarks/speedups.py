"""Rows about speedups: what each gives alone, and all of them together, against the same container without any."""

from __future__ import annotations

from dataclasses import replace

from common.contract import DEFAULT_TRAINER, TRAINERS
from tools.benchmarks.comparison import Comparison, Row
from tools.benchmarks.training import train
from tools.benchmarks.training_process import Task, ours

NONE = "speedups none"
STEPS = 1000  # of the environment


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    return [of_trainer(trainer) for trainer in TRAINERS]


def of_trainer(trainer: str) -> Comparison:
    """Return the comparison of one version's speedups."""
    task = Task(steps=STEPS, trainer=trainer)
    if TRAINERS[trainer]["counts"] == "agent steps":
        task = replace(task, steps=STEPS * task.agents)
    rows = {f"speedup {name}": (name, f"steps per second with {name} alone") for name in TRAINERS[trainer]["speedups"]}
    rows["speedups all"] = ("all", "steps per second with all speedups")
    sides = {side: train(ours, task, **{"num-envs": 1, "speedups": speedups}) for side, (speedups, _) in rows.items()}
    return Comparison(
        "speedups.3DBall" if trainer == DEFAULT_TRAINER else f"speedups.{trainer}",
        {NONE: train(ours, task, **{"num-envs": 1, "speedups": "none"}), **sides},
        tuple(
            Row(speedups, title, "steps/s", side, NONE, "steps_per_second", True)
            for side, (speedups, title) in rows.items()
        ),
        f"ML-Agents {trainer}, one player of {task.agents} agents, {task.steps:,} steps, run n with seed n.",
    )
