"""Curves from the log of `mlagents-learn` 0.11.0, from a file or from CloudWatch."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from common.contract import BEFORE_NAMES, BEFORE_STEP, RESUMED, SUMMARY_NUMBERS
from reward_curves.table import Curve, make


class Summary(NamedTuple):
    """A summary line of the log, for one brain; time and rewards are NaN if no episode ended."""

    brain: str
    step: int
    elapsed: float
    mean: float
    std: float


def read_summary(line: str) -> Summary | None:
    """Read a summary of ML-Agents; return None for any other line.

    Names may contain anything, so the line is split around them; a single pattern could take quadratic time.
    """
    names, _, numbers = line.partition(BEFORE_NAMES)[2].rpartition(BEFORE_STEP)
    brain, found = names.partition(": ")[2], SUMMARY_NUMBERS.match(numbers)
    if not found or not brain:
        return None
    return Summary(brain, int(found["step"]), *(float(found[name] or "nan") for name in ("elapsed", "mean", "std")))


class LogReader:
    """Reads a log as it grows, each line once."""

    def __init__(self):
        self._curves: dict[str, Curve] = {}

    def feed(self, lines: Iterable[str]) -> None:
        """Read more lines. Lines that are not summaries are skipped."""
        for line in lines:
            if summary := read_summary(line):
                values = {"mean_reward": summary.mean, "std_reward": summary.std}
                self._curve(summary.brain).add(summary.step, summary.elapsed, values)
            elif found := RESUMED.search(line):
                self._curve(found["brain"]).resume(int(found["step"]))

    def table(self) -> pd.DataFrame:
        """Return the curve so far, empty while there is no summary."""
        return make(self._curves.values())

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
