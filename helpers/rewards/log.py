"""Curves from the log of `mlagents-learn` 0.11.0, on disk or as CloudWatch gives it."""

import math
import re
from collections.abc import Iterable

import pandas as pd

from helpers.rewards.table import Curve, make

NUMBER = r"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|nan|inf)"
SUMMARY = re.compile(
    r"INFO:mlagents\.trainers: (?P<run>.+?): (?P<brain>.+): Step: (?P<step>[0-9]+)(?:\.[0-9]*)?\. "
    rf"Time Elapsed: (?P<elapsed>{NUMBER}) s Mean Reward: (?P<mean>{NUMBER})\. Std of Reward: (?P<std>{NUMBER})\."
)
# ML-Agents' summary where no episode ended; its step may read 600.0.
NO_EPISODE = re.compile(
    r"INFO:mlagents\.trainers: (?P<run>.+?): (?P<brain>.+): Step: (?P<step>[0-9]+)(?:\.[0-9]*)?\. "
    r"No episode was completed since last summary\."
)
# What container/train writes when it goes on from a checkpoint.
RESUMED = re.compile(r"^train: brain (?P<brain>.+) goes on from step (?P<step>[0-9]+)$")


class LogReader:
    """Reads a log as it grows, each line once."""

    def __init__(self):
        self._curves: dict[str, Curve] = {}

    def feed(self, lines: Iterable[str]) -> None:
        """Read on. Lines that are no summary are skipped; one in which no episode ended has neither reward nor time."""
        for line in lines:
            if found := SUMMARY.search(line):
                values = {"mean_reward": float(found["mean"]), "std_reward": float(found["std"])}
                self._curve(found["brain"]).add(int(found["step"]), float(found["elapsed"]), values)
            elif found := NO_EPISODE.search(line):
                self._curve(found["brain"]).add(int(found["step"]), math.nan, {})
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
        See `helpers.rewards.table`. Empty if there is no summary yet.
    """
    reader = LogReader()
    reader.feed(lines)
    return reader.table()
