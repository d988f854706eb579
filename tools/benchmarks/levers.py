"""Rows about levers: what each gives alone, and all of them together, against the same container without any."""

from __future__ import annotations

from common.contract import SPEEDUPS
from tools.benchmarks.comparison import Comparison, Row
from tools.benchmarks.training import train
from tools.benchmarks.training_process import Task, ours

NONE = "levers none"
TASK = Task(steps=1000)


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    rows = {f"lever {name}": (name, f"steps per second with {name} alone") for name in SPEEDUPS}
    rows["levers all"] = ("all", "steps per second with all levers")
    sides = {side: train(ours, TASK, **{"num-envs": 1, "levers": levers}) for side, (levers, _) in rows.items()}
    return [
        Comparison(
            "levers.3DBall",
            {NONE: train(ours, TASK, **{"num-envs": 1, "levers": "none"}), **sides},
            tuple(
                Row(levers, title, "steps/s", side, NONE, "steps_per_second", True)
                for side, (levers, title) in rows.items()
            ),
            f"One player of {TASK.agents} agents, {TASK.steps:,} steps, run n with seed n.",
        )
    ]
