"""Measures this project against what a user would otherwise run, side by side: ``make bench``.

`docs/benchmarks.md` says how it measures and how to read its table.
"""

from common import ROOT

HOME = ROOT / "build" / "bench"
"""Where raw numbers and tools for measuring are kept."""
