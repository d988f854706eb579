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
from many_runs.experiment.runs import RETRYING, Experiment, Run, in_words
from training_jobs.job import TrainingError
from training_jobs.log import Log

PARALLEL_READS = 8


@dataclass(frozen=True)
class Curves:
    """The curves of the completed runs, and the runs that were left out.

    Attributes
    ----------
    groups : mapping of str to mapping of int to pandas.DataFrame
        Curves by settings and seed; see `reward_curves.table`.
    left_out : tuple of str
        A message for each run that is not included, with the reason.
    """

    groups: Mapping[str, Mapping[int, pd.DataFrame]]
    left_out: tuple[str, ...]

    def plot(self) -> Figure:
        """Plot each run as a thin line, the mean of each setting as a thick one, and its 95 % interval as a band.

        Runs that were left out are listed below.
        """
        figure = rewards.plot_seeds({settings: list(runs.values()) for settings, runs in self.groups.items()})
        if self.left_out:
            shown = [*self.left_out[:4], *([f"and {len(self.left_out) - 4} more"] if len(self.left_out) > 4 else [])]
            figure.supxlabel(as_label("Left out: " + "\n".join(shown)), fontsize=8, x=0.01, ha="left", color="#a33")
        return figure

    def score(self, last: int = 3) -> dict[str, dict[int, float]]:
        """Return a score for each run: the mean of the mean rewards in its last summaries.

        One summary covers few episodes, so the mean of several is more stable.
        """
        return {
            settings: {seed: float(curve["mean_reward"].dropna().tail(last).mean()) for seed, curve in runs.items()}
            for settings, runs in self.groups.items()
        }

    def compare(self, baseline: str = "", other: str = "", *, last: int = 3) -> Comparison:
        """Compare the scores of two settings, by default the first and the second; see `comparison`."""
        return compare(self.score(last), baseline, other, left_out=self.left_out)


def read_curves(connection: Connection, experiment: Experiment) -> Curves:
    """Read the curves of an experiment's completed runs.

    Runs that failed, were stopped or are in progress are left out, and so are runs without a summary; each is listed in
    `Curves.left_out`.

    Raises
    ------
    TrainingError
        If no run remains, or the target does not respond.
    """
    left_out = [f"{run}: {_why(run)}" for run in experiment.runs if run.job.status != "Completed"]
    logs = connection.client("logs", RETRYING)
    groups: dict[str, dict[int, pd.DataFrame]] = {}
    with in_words(connection), ThreadPoolExecutor(PARALLEL_READS) as pool:
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
    """Return a run's curve, and why it has no mean reward, if it has none."""
    log = Log(connection, run.name, logs)
    log.read()
    curve = rewards.read_log(log.lines)
    if curve["mean_reward"].notna().any():
        return curve, ""
    return curve, "no episode ended before its last summary" if len(curve) else "it wrote no summary"


def _why(run: Run) -> str:
    first = run.job.failure.partition("\n")[0]
    return f"{run.job.status}{', ' * bool(first)}{first[:100]}"
