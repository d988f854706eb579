"""A picture of the parts of a build's size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.findings import as_label
from mlagents_check.unity_build.report import UnityBuild, shown_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(build: UnityBuild) -> Figure:
    """Draw the size of engine, code, scenes and other parts as bars, the largest on top."""
    import matplotlib.pyplot as plt  # takes half a second, which a check does not need

    figure, ax = plt.subplots(figsize=(8, 0.9 + 0.35 * len(build.parts)), dpi=120, layout="constrained")
    plt.close(figure)  # a notebook would show an open figure twice
    names, sizes = zip(*reversed(build.parts), strict=True)
    bars = ax.barh(names, sizes, color="#4477aa")
    ax.bar_label(bars, [shown_size(size) for size in sizes], padding=4)
    ax.set_title(as_label(f"{build.name}: {shown_size(build.size)}"), loc="left")
    ax.set_xticks([])
    ax.margins(x=0.15)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    return figure
