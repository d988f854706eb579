"""The table of results, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from tools.benchmarks.comparison import Result, Row

HEADER = ("", "ours", "other", "ours / other", "spread", "runs", "ahead")


def number(value: float, unit: str) -> str:
    """Format a number with three significant digits and its unit."""
    if value and abs(value) < 100:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{value:.{digits}f} {unit}".rstrip()
    return f"{value:,.0f} {unit}".rstrip()


def line(result: Result, row: Row) -> tuple[str, ...]:
    """Return the cells of a row."""
    contest = result.contest(row) if row.other else None
    if contest is None:
        ours = result.values(row.ours, row.measure)
        other = result.values(row.other, row.measure) if row.other else []
        cells = [number(median(values), row.unit) if values else "-" for values in (ours, other)]
        low_high = f"{number(min(ours), row.unit)} to {number(max(ours), row.unit)}" if ours else ""
        return (row.title, *cells, "-", low_high, str(len(ours or other)), "")
    cells = [number(value, row.unit) for value in (contest.ours, contest.other)]
    ahead = {"ours": "ours", "other": row.other, "neither": "neither", "too few": "too few runs"}[contest.winner]
    ratio, spread = (
        ("-", "") if contest.ratio is None else (f"{contest.ratio:.2f}", f"{contest.low:.2f} to {contest.high:.2f}")
    )
    return (row.title, *cells, ratio, spread, str(contest.runs), ahead)


def notes(result: Result) -> list[str]:
    """Return notes for the reader: absent sides, failures, missing numbers and conclusions."""
    lines = [result.comparison.note] if result.comparison.note else []
    lines += [f"{side} is not available: {why}" for side, why in result.absent.items()]
    if result.failed:
        lines.append(f"aborted: {result.failed}")
    for row in result.rows:
        for side in filter(None, (row.ours, row.other)):
            missing = sum(row.measure not in run[side] for run in result.runs if side in run)
            if missing:
                lines.append(f"{row.title}: {side} has no number in {missing} of {len(result.runs)} runs")
    if result.runs and (conclusion := result.comparison.conclude(result)):
        lines.append(conclusion)
    return lines


def render(results: Sequence[Result]) -> str:
    """Return all results as one table in Markdown, with notes below."""
    if not results:
        return "Nothing was measured."
    rows = [HEADER]
    footnotes = []
    for result in results:
        rows += [line(result, row) for row in result.rows]
        footnotes += [f"- {result.comparison.name}: {note}" for note in notes(result)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [
        "| "
        + " | ".join(pad(cell, width, column) for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in rows
    ]
    rule = (
        "|"
        + "|".join(
            "-" * (width + 2) if column in (0, 6) else "-" * (width + 1) + ":" for column, width in enumerate(widths)
        )
        + "|"
    )
    text = "\n".join([lines[0], rule, *lines[1:]])
    return f"{text}\n\n" + "\n".join(footnotes) if footnotes else text


def pad(cell: str, width: int, column: int) -> str:
    """Align text to the left and numbers to the right."""
    return cell.ljust(width) if column in (0, 6) else cell.rjust(width)
