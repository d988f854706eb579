"""Benchmarks of this project against what users would otherwise run: ``make bench``.

`docs/benchmarks.md` describes the method and how to read the table.
"""

from common import ROOT

HOME = ROOT / "build" / "bench"
"""The folder for raw numbers and for tools that are measured against."""
