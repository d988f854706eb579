"""Rows about speedups: what each gives alone, and all of them together, against the same container without any."""

from __future__ import annotations

from common.contract import SPEEDUPS
from tools.benchmarks.comparison import Comparison, Row
from tools.benchmarks.training import train
from tools.benchmarks.training_process import Task, ours

NONE = "speedups none"
TASK = Task(steps=1000)


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    rows = {f"speedup {name}": (name, f"steps per second with {name} alone") for name in SPEEDUPS}
    rows["speedups all"] = ("all", "steps per second with all speedups")
    sides = {side: train(ours, TASK, **{"num-envs": 1, "speedups": speedups}) for side, (speedups, _) in rows.items()}
    return [
        Comparison(
            "speedups.3DBall",
            {NONE: train(ours, TASK, **{"num-envs": 1, "speedups": "none"}), **sides},
            tuple(
                Row(speedups, title, "steps/s", side, NONE, "steps_per_second", True)
                for side, (speedups, title) in rows.items()
            ),
            f"One player of {TASK.agents} agents, {TASK.steps:,} steps, run n with seed n.",
        )
    ]
