"""``python -m tools.benchmarks``: measure, print the table, keep the raw numbers. ``make bench`` calls it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tools.benchmarks import HOME, machine, table
from tools.benchmarks.comparison import Comparison, Result
from tools.benchmarks.runner import Progress, measure_all

GROUPS = ("training", "speedups", "upload", "image", "tutorial", "growth")
RUNS = 5
QUICK_SECONDS = 270.0


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code: 130 after Ctrl-C, 1 if a measurement failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmarks", description="Measure ours against the other, in turn."
    )
    parser.add_argument(
        "rows",
        nargs="*",
        help="what to measure: " + ", ".join(GROUPS) + ", or the beginning of a "
        "comparison's name, such as growth.jobs (default: all)",
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="how often each side is measured (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="the rows about training, in under five minutes")
    parser.add_argument("--list", action="store_true", help="name the comparisons and measure nothing")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error(f"expected 1 run or more, got {options.runs}")
    if options.quick and options.rows:
        parser.error(f"expected no rows beside --quick, it measures the training alone, got {' '.join(options.rows)}")
    try:
        chosen = choose(["training"] if options.quick else options.rows, options.quick)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print(*(comparison.name for comparison in chosen), sep="\n")
        return 0
    # Whoever ends this with `kill` gets the same as with Ctrl-C: the table so far, and nothing left behind.
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job would pass over the first
        signal.signal(number, signal.default_int_handler)
    return run(chosen, options.runs, QUICK_SECONDS if options.quick else None)


def choose(rows: Iterable[str], quick: bool = False) -> list[Comparison]:
    """Return the comparisons whose names begin with one of these; all where there is none.

    Raises
    ------
    ValueError
        If one of them is no name's beginning.
    """
    rows = tuple(rows)
    groups = [group for group in GROUPS if not rows or any(row.split(".")[0] == group for row in rows)]
    found = [
        comparison
        for group in groups
        for comparison in importlib.import_module(f"tools.benchmarks.{group}").comparisons(quick)
    ]
    names = [comparison.name for comparison in found]
    if unknown := [row for row in rows if not any(name.startswith(row) for name in names)]:
        raise ValueError(
            f"expected rows that begin with one of {', '.join(GROUPS)}, got {' '.join(unknown)}; --list names them"
        )
    return [comparison for comparison in found if not rows or comparison.name.startswith(rows)]


def run(chosen: list[Comparison], runs: int, seconds: float | None = None, home: Path = HOME) -> int:
    """Measure, print, and keep. Gives `main`'s exit code."""
    about, load = machine.describe(), machine.load()
    stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    home.mkdir(parents=True, exist_ok=True)
    raw = home / f"{stamp}.json"
    print(machine.sentence(about), flush=True)
    if load > 0.5:
        print(f"Something else is running: the load before the start was {load:.1f}. Close it for better numbers.")

    def keep(results: list[Result]) -> None:
        write(raw, {"machine": about, "load": load, "started": stamp, "results": [plain(one) for one in results]})

    # What the measured code prints is not the table's; its bars would come between the progress lines.
    with contextlib.redirect_stdout(io.StringIO()):
        results, interrupted = measure_all(chosen, runs, Progress(), keep, seconds)
    print(f"\n{table.render(results)}\n\nraw numbers: {raw}")
    if interrupted:
        print("Interrupted: the table holds what was measured until then.", file=sys.stderr)
        return 130
    return 1 if any(result.failed for result in results) else 0


def plain(result: Result) -> dict[str, object]:
    """Return what is kept of a result: every number as it was measured, and what was made of it."""
    contests = {row.name: result.contest(row) for row in result.rows if row.other}
    return {
        "name": result.comparison.name,
        "rows": [vars(row) for row in result.rows],
        "runs": result.runs,
        "contests": {name: vars(contest) for name, contest in contests.items() if contest},
        "absent": result.absent,
        "failed": result.failed,
    }


def write(file: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(file)


if __name__ == "__main__":
    sys.exit(main())
