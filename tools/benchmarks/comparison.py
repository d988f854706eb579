"""Comparisons: sides that are measured in turn, and the rows of the table that result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tools.benchmarks import spread

Measurements = Mapping[str, float]
"""The result of one run of one side: a number for each measure."""


class AbsentError(Exception):
    """A side cannot be measured, such as a program that is not installed; the message says what is missing."""


@dataclass(frozen=True)
class Row:
    """The definition of one line of the table.

    Attributes
    ----------
    name : str
        Unique in its comparison, such as ``"steps"``.
    title : str
        What is measured, for readers of the table.
    unit : str
    ours, other : str
        The sides that it compares; `other` is empty if there is no alternative.
    measure : str
        The number of theirs that is compared.
    more_is_better : bool
        As for steps per second; False as for seconds.
    """

    name: str
    title: str
    unit: str
    ours: str
    other: str
    measure: str
    more_is_better: bool = False


@dataclass(frozen=True)
class Comparison:
    """Sides that are measured in turn, all of them in every run.

    Attributes
    ----------
    name : str
        The group and its own name, such as ``"upload.120"``, without spaces.
    sides : mapping of str to callable
        Each measures once, given the number of the run, from 1. One that cannot be measured raises `AbsentError`.
    rows : tuple of Row
    note : str
        Applies to all rows.
    find_rows : callable, optional
        Returns further rows, from the measurements of the first run: for parts that are not known before.
    conclude : callable, optional
        Returns a sentence about several rows together, such as how a time grows.
    """

    name: str
    sides: Mapping[str, Callable[[int], Measurements]]
    rows: tuple[Row, ...]
    note: str = ""
    find_rows: Callable[[Mapping[str, Measurements]], tuple[Row, ...]] = lambda run: ()
    conclude: Callable[[Result], str] = lambda result: ""


@dataclass
class Result:
    """The measurements of one comparison so far.

    Attributes
    ----------
    comparison : Comparison
    runs : list of mapping
        Each complete run: the measurements of every side that could be measured.
    absent : dict of str to str
        By side: why it cannot be measured.
    failed : str
        Why it was aborted; else empty.
    """

    comparison: Comparison
    runs: list[Mapping[str, Measurements]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failed: str = ""

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, including those that depend on the measurements."""
        return self.comparison.rows + (self.comparison.find_rows(self.runs[0]) if self.runs else ())

    def values(self, side: str, measure: str) -> list[float]:
        """Return the numbers of a side in the order of the runs."""
        return [run[side][measure] for run in self.runs if measure in run.get(side, {})]

    def contest(self, row: Row) -> spread.Contest | None:
        """Compare the two sides of a row; None if one of them has no numbers."""
        pairs = [
            (run[row.ours][row.measure], run[row.other][row.measure])
            for run in self.runs
            if row.measure in run.get(row.ours, {}) and row.measure in run.get(row.other, {})
        ]
        return spread.contest(pairs, row.more_is_better) if pairs else None
