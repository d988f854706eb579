"""The table: numbers, who is ahead, and notes about missing numbers."""

from dataclasses import replace

import pytest

from tools.benchmarks import table
from tools.benchmarks.comparison import Result, Row


def result(make, ours=(1.0, 1.2, 1.1), other=(2.0, 2.0, 2.2), **more):
    comparison = make(ours=ours, other=other, **more)
    runs = [{"ours": {"time": a}, "other": {"time": b}} for a, b in zip(ours, other, strict=True)]
    return Result(comparison, runs)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1234567.0, "1,234,567 s"),
        (123.4, "123 s"),
        (99.96, "100.0 s"),
        (12.34, "12.3 s"),
        (1.234, "1.23 s"),
        (0.01234, "0.0123 s"),
        (0.0, "0 s"),
    ],
)
def test_three_significant_digits(value, written):
    assert table.number(value, "s") == written


def test_a_row(make):
    found = result(make)
    assert table.line(found, found.rows[0]) == (
        *("a thing done", "1.10 s", "2.00 s", "0.55", "0.50 to 0.60", "3", "ours"),
    )


def test_a_row_that_the_other_wins_says_so(make):
    found = result(make, more=True)
    assert table.line(found, found.rows[0])[-1] == "other"


def test_a_row_within_the_noise(make):
    found = result(make, ours=(1.0, 3.0, 2.0), other=(2.0, 2.0, 2.0))
    assert table.line(found, found.rows[0])[3:] == ("1.00", "0.50 to 1.50", "3", "neither")


def test_a_row_of_rewards_below_zero_has_no_ratio(make):
    found = result(make, ours=(-1.0, -1.2, 1.1), other=(-2.0, -2.0, -2.2), more=True)
    assert table.line(found, found.rows[0])[1:] == ("-1.00 s", "-2.00 s", "-", "", "3", "ours")


def test_a_number_missing_in_one_run_is_left_out_and_reported(make):
    found = result(make, ours=(1.0, 1.0, 9.0, 9.0), other=(2.0, 2.0, 2.0, 2.0))
    del found.runs[3]["other"]["time"]
    assert table.line(found, found.rows[0])[1:6] == ("1.00 s", "2.00 s", "0.50", "0.50 to 4.50", "3")
    assert "a thing done: other has no number in 1 of 4 runs" in table.notes(found)
    assert len(table.notes(found)) == 1


def test_a_row_without_the_other_side(make):
    found = result(make)
    found.runs = [{"ours": run["ours"]} for run in found.runs]
    found.absent["other"] = "not installed"
    assert table.line(found, found.rows[0]) == ("a thing done", "1.10 s", "-", "-", "1.00 s to 1.20 s", "3", "")
    assert "- group.name: other is not available: not installed" in table.render([found])


def test_a_row_that_was_not_measured(make):
    found = Result(make(ours=[], other=[]), failed="ours, run 1: RuntimeError: no")
    assert table.line(found, found.rows[0]) == ("a thing done", "-", "-", "-", "", "0", "")
    assert "- group.name: aborted: ours, run 1: RuntimeError: no" in table.render([found])


def test_rows_found_by_measuring(make):
    found = result(make)
    more = lambda run: tuple(Row(side, f"{side} alone", "s", side, "", "time") for side in run)  # noqa: E731
    found.comparison = replace(found.comparison, find_rows=more)
    assert [row.title for row in found.rows] == ["a thing done", "ours alone", "other alone"]
    assert table.line(found, found.rows[1]) == ("ours alone", "1.10 s", "-", "-", "1.00 s to 1.20 s", "3", "")


def test_the_table_is_markdown_with_notes_below(make):
    comparison = make(ours=[1.0], other=[2.0])
    comparison = replace(comparison, note="on a fast disk.", conclude=lambda result: f"{len(result.runs)} in all")
    written = table.render([Result(comparison, [{"ours": {"time": 1.0}, "other": {"time": 2.0}}])])
    assert written.splitlines() == [
        "|              |   ours |  other | ours / other |       spread | runs | ahead        |",
        "|--------------|-------:|-------:|-------------:|-------------:|-----:|--------------|",
        "| a thing done | 1.00 s | 2.00 s |         0.50 | 0.50 to 0.50 |    1 | too few runs |",
        "",
        "- group.name: on a fast disk.",
        "- group.name: 1 in all",
    ]


def test_no_conclusion_without_runs(make):
    comparison = replace(make(ours=[1.0]), conclude=lambda result: result.runs[0]["ours"])
    assert table.notes(Result(comparison)) == []


def test_nothing_measured():
    assert table.render([]) == "Nothing was measured."
