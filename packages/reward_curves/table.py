"""The table of a curve, and the joining of an interrupted run's attempts.

===============  =========  ==================================================================================
column           unit       meaning
===============  =========  ==================================================================================
brain                       the brain that was trained
attempt                     1 at first, one more for each time that the run was resumed after an interruption
step             steps      done by this brain when the summary was written; which steps, `counts` says
elapsed          seconds    training time until then, over all attempts, including work that was lost and repeated
mean_reward      reward     mean cumulative reward of the episodes that ended since the previous summary
std_reward       reward     their standard deviation; only from the log, because ML-Agents writes no event of it
===============  =========  ==================================================================================

ML-Agents counts the environment's steps up to 0.13, and from 0.14 on those of all agents together.
``curve.attrs["counts"]`` says which: ``"environment steps"`` or ``"agent steps"``. `in_agent_steps` converts.

With POCA, `group_cumulative_reward` is the mean of what agents got as a group, which `mean_reward` leaves out, as do
ML-Agents' own curricula. Event files add, if the run has them, `episode_length` (steps), `entropy`, `lesson`,
`learning_rate`, `policy_loss`, `value_loss`, `extrinsic_reward` and `extrinsic_value_estimate` (the same for other
reward signals), and everything else that the trainer writes. Where lessons are those of several parameters, `lesson` is
the sum of their numbers, and ``lesson_<parameter>`` each of them. A missing value is NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from common.contract import DEFAULT_TRAINER, TRAINERS
from common.findings import PLAIN, as_html

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

pd.set_option("display.html.use_mathjax", False)  # in a notebook's tables, text between two $ is not a formula

COLUMNS = ["brain", "attempt", "step", "elapsed", "mean_reward", "std_reward"]
FIELDS = {"Environment/Cumulative Reward": "mean_reward"}  # the only column that is not named after its tag


class RewardsError(RuntimeError):
    """There is no curve where one was expected."""


def name_field(tag: str) -> str:
    """Convert a TensorBoard tag to a column, such as ``Losses/Value Loss`` to ``value_loss``."""
    return FIELDS.get(tag) or re.sub(r"\W+", "_", tag.rpartition("/")[2]).strip("_").lower()


class Curve:
    """The curve of one brain: its rows in the order in which they were written.

    Rows of an interrupted attempt after the step from which the run was resumed are dropped: that work was lost.
    """

    def __init__(self, brain: str):
        self.brain = brain
        self.rows: list[dict[str, object]] = []
        self._attempt = 1
        self._steps = 0  # of the previous summary, kept or not
        self._elapsed = self._before = 0.0  # seconds until it, and of the earlier attempts

    def resume(self, step: int) -> None:
        """Continue from a step, in a new attempt."""
        while self.rows and self.rows[-1]["step"] > step:
            self.rows.pop()
        if self._steps:  # else the attempt has no summary, and does not count
            self._attempt += 1
            self._steps = 0
            self._before = self._elapsed

    def add(self, step: int, elapsed: float, values: Mapping[str, float]) -> None:
        """Add a summary. `elapsed` is in seconds from the start of its attempt; NaN if unknown."""
        if step == self._steps:  # a finished or idle brain repeats its step while others train
            return
        if step < self._steps:  # without a mark, but the run must have been resumed
            self.resume(step - 1)
        elapsed += self._before
        self._steps = step
        self._elapsed = self._elapsed if math.isnan(elapsed) else elapsed
        self.rows.append({"brain": self.brain, "attempt": self._attempt, "step": step, "elapsed": elapsed, **values})


def make(curves: Iterable[Curve], trainer: str = DEFAULT_TRAINER) -> pd.DataFrame:
    """Return the table of all brains, sorted by brain and step; `trainer` is the version of ML-Agents."""
    rows = [row for curve in sorted(curves, key=lambda curve: curve.brain) for row in curve.rows]
    table = pd.DataFrame(rows, columns=COLUMNS + sorted({column for row in rows for column in row} - set(COLUMNS)))
    kinds = {"brain": str, "attempt": int, "step": int}
    table = table.astype({column: kinds.get(column, float) for column in table})
    table.attrs["counts"] = TRAINERS[trainer]["counts"]
    return table


def in_agent_steps(curve: pd.DataFrame, agents: int) -> pd.DataFrame:
    """Return a curve with the steps of all agents together, to compare ML-Agents 0.11.0 with a later version.

    Parameters
    ----------
    curve : pandas.DataFrame
        One that counts agent steps already is returned as it is.
    agents : int
        The number of the brain's agents, which act in each step of the environment.
    """
    counts = TRAINERS[DEFAULT_TRAINER]["counts"]
    if curve.attrs.get("counts", counts) != counts:
        return curve
    converted = curve.assign(step=curve["step"] * agents)
    converted.attrs["counts"] = "agent steps"
    return converted


def show_last(curve: pd.DataFrame, caption: str) -> Styler:
    """Return the last summary of each brain as a table for a notebook: a column for each brain."""
    last = curve.groupby("brain").tail(1).set_index("brain")
    last = last[[column for column in last if column == "mean_reward" or last[column].notna().any()]].T
    shown = last.style.format("{:.4g}", na_rep="").format("{:,.0f}", subset=(["attempt", "step"], slice(None)))
    # A Styler escapes nothing by itself.
    shown = shown.format_index(as_html, axis="index").format_index(as_html, axis="columns")
    return shown.set_caption(as_html(caption)).set_table_attributes(PLAIN)
