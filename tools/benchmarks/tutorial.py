"""Rows about `make tutorial`: the time of each notebook and of its longest cells."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat

from tools import tutorial
from tools.benchmarks.comparison import Comparison, Measurements, Row
from tools.benchmarks.upload import own_embedded

OURS = "make tutorial"
LONG = 2.0
"""A cell that takes this many seconds in the first run has its own row."""


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    return [
        Comparison(
            "tutorial.notebooks",
            {OURS: run},
            (Row("all", "make tutorial", "s", OURS, "", "all"),),
            "There is no alternative, so no ratio. Run in a copy of the project, on its own embedded AWS.",
            find_rows,
        )
    ]


def run(number: int) -> Measurements:
    """Execute every notebook once, as `make tutorial` does; return all times in seconds."""
    times = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, own_embedded(Path(scratch) / "home"):
        project = Path(scratch) / "project"
        tutorial.copy_project(project)
        start = time.monotonic()
        notebooks = sorted((project / "notebooks").glob("[0-9]*.ipynb"))
        for notebook, seconds in tutorial.execute_all(notebooks, project / "executed"):
            name = f"notebook {notebook.stem[:2]}"
            times[name] = seconds
            cells = {f"{name}: {line}": taken for line, taken in cell_seconds(project / "executed" / notebook.name)}
            times[f"{name}: (kernel and papermill)"] = times[name] - sum(cells.values())
            times |= cells
        times["all"] = time.monotonic() - start
    return times


def cell_seconds(executed: Path) -> list[tuple[str, float]]:
    """Return the first line and the seconds of each code cell, as recorded by papermill."""
    cells = nbformat.read(executed, as_version=4).cells
    timed = [cell for cell in cells if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("duration")]
    return [(cell.source.splitlines()[0], cell.metadata.papermill.duration) for cell in timed]


def find_rows(run: Mapping[str, Measurements]) -> tuple[Row, ...]:
    """Return a row for each notebook, and one for each of its long cells."""
    times = run[OURS]
    names = [name for name in times if name != "all" and (":" not in name or times[name] >= LONG)]
    return tuple(Row(name, name[:70], "s", OURS, "", name) for name in sorted(names))
