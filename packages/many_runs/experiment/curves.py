"""The curves of an experiment's runs, read from their logs."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import reward_curves as rewards
from common.aws_session import Connection
from common.findings import as_label
from many_runs.experiment.comparison import Comparison, compare
from many_runs.experiment.runs import PATIENT, Experiment, Run, in_words
from training_jobs.job import TrainingError
from training_jobs.log import Log

AT_ONCE = 8  # logs that are read at a time


@dataclass(frozen=True)
class Curves:
    """The curves of the runs that completed, and what was left out.

    Attributes
    ----------
    groups : mapping of str to mapping of int to pandas.DataFrame
        Settings, then seed, to the curve. See `reward_curves.table`.
    left_out : tuple of str
        A sentence for each run that is in no mean, and why.
    """

    groups: Mapping[str, Mapping[int, pd.DataFrame]]
    left_out: tuple[str, ...]

    def plot(self) -> Figure:
        """Plot each run thin, the mean of each setting thick, and its 95 % interval as a band.

        What was left out stands below.
        """
        figure = rewards.plot_seeds({settings: list(runs.values()) for settings, runs in self.groups.items()})
        if self.left_out:
            shown = [*self.left_out[:4], *([f"and {len(self.left_out) - 4} more"] if len(self.left_out) > 4 else [])]
            figure.supxlabel(as_label("Left out: " + "\n".join(shown)), fontsize=8, x=0.01, ha="left", color="#a33")
        return figure

    def score(self, last: int = 3) -> dict[str, dict[int, float]]:
        """Return a number for each run: the mean of its last summaries' mean rewards.

        One summary is of few episodes, so several make a steadier number.
        """
        return {
            settings: {seed: float(curve["mean_reward"].dropna().tail(last).mean()) for seed, curve in runs.items()}
            for settings, runs in self.groups.items()
        }

    def compare(self, baseline: str = "", other: str = "", *, last: int = 3) -> Comparison:
        """Compare the scores of two settings, the first and the second unless they are named; see `comparison`."""
        return compare(self.score(last), baseline, other, left_out=self.left_out)


def read_curves(connection: Connection, experiment: Experiment) -> Curves:
    """Read the curves of an experiment's completed runs.

    A run that failed, was stopped or is in progress is in no mean, and neither is one without a summary; each is told
    of in `Curves.left_out`.

    Raises
    ------
    TrainingError
        If no run is left, or the target does not answer.
    """
    left_out = [f"{run}: {_why(run)}" for run in experiment.runs if run.job.status != "Completed"]
    logs = connection.client("logs", PATIENT)
    groups: dict[str, dict[int, pd.DataFrame]] = {}
    with in_words(connection), ThreadPoolExecutor(AT_ONCE) as pool:
        for run, (curve, lacks) in zip(
            experiment.completed, pool.map(partial(_read, connection, logs), experiment.completed), strict=True
        ):
            if lacks:
                left_out.append(f"{run}: {lacks}")
            else:
                groups.setdefault(run.settings, {})[run.seed] = curve
    if not groups:
        raise TrainingError(
            f"Expected completed runs of {experiment.name!r} with a mean reward, found none.\n" + "\n".join(left_out)
        )
    return Curves(groups, tuple(left_out))


def _read(connection: Connection, logs: Any, run: Run) -> tuple[pd.DataFrame, str]:
    """Return a run's curve, and what it lacks where it has no mean reward."""
    log = Log(connection, run.name, logs)
    log.read()
    curve = rewards.read_log(log.lines)
    if curve["mean_reward"].notna().any():
        return curve, ""
    return curve, "no episode ended before its last summary" if len(curve) else "it wrote no summary"


def _why(run: Run) -> str:
    first = run.job.failure.partition("\n")[0]
    return f"{run.job.status}{', ' * bool(first)}{first[:100]}"
