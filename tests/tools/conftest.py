"""Comparisons of fake sides, which return listed numbers instead of measurements."""

import io

import pytest

from tools.benchmarks.comparison import Comparison, Row
from tools.benchmarks.runner import Progress


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def progress():
    return Progress(io.StringIO())


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def make():
    """Return a factory of comparisons: lists of numbers by side, or callables that take the number of the run."""

    def make_comparison(more=False, rows=None, name="group.name", **sides):
        def side(measure):
            return measure if callable(measure) else lambda run: {"time": measure[run - 1]}

        rows = rows or (Row("row", "a thing done", "s", "ours", "other", "time", more),)
        return Comparison(name, {key: side(measure) for key, measure in sides.items()}, rows)

    return make_comparison
