"""Rows about `make tutorial`: each notebook's time, and the cells in which it goes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat

from common import ROOT
from tools import tutorial
from tools.benchmarks.comparison import Comparison, Measurements, Row
from tools.benchmarks.upload import own_embedded

OURS = "make tutorial"
LONG = 2.0
"""A cell that takes so many seconds in the first run has a row of its own."""


def comparisons(quick: bool = False) -> list[Comparison]:
    """Return the comparisons of this group."""
    return [
        Comparison(
            "tutorial.notebooks",
            {OURS: run},
            (Row("all", "make tutorial", "s", OURS, "", "all"),),
            "Nothing else does this: there is no ratio. Run in a copy of the project, on an embedded AWS of its own.",
            find_rows,
        )
    ]


def run(number: int) -> Measurements:
    """Execute every notebook once, in their order, with their own defaults; return all times in seconds."""
    times = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, own_embedded(Path(scratch) / "home"):
        project = Path(scratch) / "project"
        copy_project(project)
        start = time.monotonic()
        for notebook in sorted((project / "notebooks").glob("[0-9]*.ipynb")):
            name, begun = f"notebook {notebook.stem[:2]}", time.monotonic()
            executed = tutorial.execute(notebook, {}, project / "executed")
            times[name] = time.monotonic() - begun
            cells = {f"{name}: {line}": seconds for line, seconds in cell_seconds(executed)}
            times[f"{name}: (kernel and papermill)"] = times[name] - sum(cells.values())
            times |= cells
        times["all"] = time.monotonic() - start
    return times


def copy_project(project: Path) -> None:
    """Lay out what the notebooks need beside them, as after a clone; the reader's own folders stay untouched."""
    project.mkdir()
    shutil.copytree(ROOT / "notebooks", project / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (project / "container").symlink_to(ROOT / "container")
    (project / "unity-volume").mkdir()
    shutil.copy(ROOT / "unity-volume" / "README.md", project / "unity-volume")


def cell_seconds(executed: Path) -> list[tuple[str, float]]:
    """Return the first line and the seconds of each code cell, as papermill noted them."""
    cells = nbformat.read(executed, as_version=4).cells
    timed = [cell for cell in cells if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("duration")]
    return [(cell.source.splitlines()[0], cell.metadata.papermill.duration) for cell in timed]


def find_rows(run: Mapping[str, Measurements]) -> tuple[Row, ...]:
    """Return a row for each notebook, and one for each of its parts that takes long."""
    times = run[OURS]
    names = [name for name in times if name != "all" and (":" not in name or times[name] >= LONG)]
    return tuple(Row(name, name[:70], "s", OURS, "", name) for name in sorted(names))
