"""Comparisons of made-up sides, which give numbers out of a list in the place of measuring."""

import io

import pytest

from tools.benchmarks.comparison import Comparison, Row
from tools.benchmarks.runner import Progress


class Terminal(io.StringIO):
    """Pretends to be a terminal."""

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
    """Return a maker of comparisons: lists of numbers by side, or callables that take the number of the run."""

    def make_comparison(more=False, rows=None, name="group.name", **sides):
        def side(given):
            return given if callable(given) else lambda run: {"time": given[run - 1]}

        rows = rows or (Row("row", "a thing done", "s", "ours", "other", "time", more),)
        return Comparison(name, {key: side(given) for key, given in sides.items()}, rows)

    return make_comparison
