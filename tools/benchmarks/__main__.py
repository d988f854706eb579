"""``python -m tools.benchmarks``: measure, print the table, save the raw numbers. ``make bench`` calls it."""

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
    """Run the command line; return the exit code: 130 after Ctrl-C, 1 if a measurement failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmarks", description="Measure this project against its alternatives, in turn."
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
    # `kill` does the same as Ctrl-C: the table so far is printed, and nothing is left behind.
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored in a shell's background job otherwise
        signal.signal(number, signal.default_int_handler)
    return run(chosen, options.runs, QUICK_SECONDS if options.quick else None)


def choose(rows: Iterable[str], quick: bool = False) -> list[Comparison]:
    """Return the comparisons whose names begin with one of these, or all if there are none.

    Raises
    ------
    ValueError
        If no name begins with one of them.
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
    """Measure, print and save; return the exit code."""
    description, load = machine.describe(), machine.load()
    stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    home.mkdir(parents=True, exist_ok=True)
    raw = home / f"{stamp}.json"
    print(machine.sentence(description), flush=True)
    if load > 0.5:
        print(f"Something else is running: the load before the start was {load:.1f}. Close it for better numbers.")

    def save(results: list[Result]) -> None:
        content = {"machine": description, "load": load, "started": stamp}
        write(raw, {**content, "results": [plain(result) for result in results]})

    # The measured code prints messages and progress bars, which would disturb the progress lines here.
    with contextlib.redirect_stdout(io.StringIO()):
        results, interrupted = measure_all(chosen, runs, Progress(), save, seconds)
    print(f"\n{table.render(results)}\n\nraw numbers: {raw}")
    if interrupted:
        print("Interrupted: the table contains what was measured until then.", file=sys.stderr)
        return 130
    return 1 if any(result.failed for result in results) else 0


def plain(result: Result) -> dict[str, object]:
    """Return what is saved of a result: all measured numbers, and what was computed from them."""
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
    """Write JSON atomically."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(file)


if __name__ == "__main__":
    sys.exit(main())
