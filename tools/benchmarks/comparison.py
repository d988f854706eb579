"""What is compared: sides that take turns, and the rows that their measurements make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tools.benchmarks import spread

Measurements = Mapping[str, float]
"""What one run of one side gave: a number for each measure."""


class AbsentError(Exception):
    """A side isn't there, such as a program that is not installed; the message says what is missing."""


@dataclass(frozen=True)
class Row:
    """One line of the table, as it is declared.

    Attributes
    ----------
    name : str
        Below its comparison's, such as ``"steps"``.
    title : str
        What is measured, in the reader's words.
    unit : str
    ours, other : str
        The sides that it sets against each other; `other` is empty where nothing else does this.
    measure : str
        Which number of theirs.
    more_is_better : bool
        As with steps per second; else less is, as with seconds.
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
        Its group and its own name, such as ``"upload.120"``: one word.
    sides : mapping of str to callable
        Each measures once, and is told the number of the run, from 1. One that isn't there raises `AbsentError`.
    rows : tuple of Row
    note : str
        What the reader should know of all rows.
    find_rows : callable, optional
        Gives further rows, from what the first run measured: for parts that nobody knows before.
    conclude : callable, optional
        Gives a sentence that takes several rows together, such as how a time grows.
    """

    name: str
    sides: Mapping[str, Callable[[int], Measurements]]
    rows: tuple[Row, ...]
    note: str = ""
    find_rows: Callable[[Mapping[str, Measurements]], tuple[Row, ...]] = lambda run: ()
    conclude: Callable[[Result], str] = lambda result: ""


@dataclass
class Result:
    """What was measured of one comparison so far.

    Attributes
    ----------
    comparison : Comparison
    runs : list of mapping
        Each complete run: the measurements of every side that was there.
    absent : dict of str to str
        Why a side isn't there.
    failed : str
        Why it was broken off; else empty.
    """

    comparison: Comparison
    runs: list[Mapping[str, Measurements]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failed: str = ""

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, those included that were found by measuring."""
        return self.comparison.rows + (self.comparison.find_rows(self.runs[0]) if self.runs else ())

    def values(self, side: str, measure: str) -> list[float]:
        """Return a side's numbers in the order of the runs."""
        return [run[side][measure] for run in self.runs if measure in run.get(side, {})]

    def contest(self, row: Row) -> spread.Contest | None:
        """Set the two sides of a row against each other; None where one of them has no numbers."""
        pairs = [
            (run[row.ours][row.measure], run[row.other][row.measure])
            for run in self.runs
            if row.measure in run.get(row.ours, {}) and row.measure in run.get(row.other, {})
        ]
        return spread.contest(pairs, row.more_is_better) if pairs else None
