"""Curves from the log of `mlagents-learn`, from a file or from CloudWatch."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from common.contract import DEFAULT_TRAINER, RESUMED, SUMMARY_FORMS
from reward_curves.table import Curve, make


class Summary(NamedTuple):
    """A summary line of the log, for one brain; time and rewards are NaN if no episode ended.

    With POCA, `group` is the mean reward that agents got as a group, in the place of the standard deviation.
    """

    brain: str
    step: int
    elapsed: float
    mean: float
    std: float
    group: float
    trainer: str
    """The version of ML-Agents that wrote it."""


def read_summary(line: str) -> Summary | None:
    """Read a summary of any version of ML-Agents; return None for any other line.

    Names may contain anything, so the line is split around them; a single pattern could take quadratic time.
    """
    for trainer, form in SUMMARY_FORMS.items():
        names, _, numbers = line.partition(form.before_names)[2].rpartition(form.before_step)
        brain = names.partition(form.between_names)[2] if form.between_names else names
        if brain and (found := form.numbers.match(numbers)):
            given = found.groupdict()
            values = (float(given.get(name) or "nan") for name in ("elapsed", "mean", "std", "group"))
            return Summary(brain, int(found["step"]), *values, trainer)
    return None


class LogReader:
    """Reads a log as it grows, each line once."""

    def __init__(self):
        self._curves: dict[str, Curve] = {}
        self._trainer = DEFAULT_TRAINER

    def feed(self, lines: Iterable[str]) -> None:
        """Read more lines. Lines that are not summaries are skipped."""
        for line in lines:
            if summary := read_summary(line):
                self._trainer = summary.trainer
                values = {"mean_reward": summary.mean, "std_reward": summary.std}
                if not math.isnan(summary.group):
                    values["group_cumulative_reward"] = summary.group
                self._curve(summary.brain).add(summary.step, summary.elapsed, values)
            elif found := RESUMED.search(line):
                self._curve(found["brain"]).resume(int(found["step"]))

    def table(self) -> pd.DataFrame:
        """Return the curve so far, empty while there is no summary."""
        return make(self._curves.values(), self._trainer)

    def _curve(self, brain: str) -> Curve:
        return self._curves.setdefault(brain, Curve(brain))


def read_log(lines: Iterable[str]) -> pd.DataFrame:
    """Read a curve from a log.

    Parameters
    ----------
    lines : iterable of str
        See `LogReader.feed`.

    Returns
    -------
    pandas.DataFrame
        See `reward_curves.table`. Empty if there is no summary yet.
    """
    reader = LogReader()
    reader.feed(lines)
    return reader.table()
