"""What a build's size is made of, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.findings import as_label
from mlagents_check.unity_build.report import UnityBuild, shown_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(build: UnityBuild) -> Figure:
    """Draw how much of the build is engine, code, scenes and so on, as bars, the largest on top."""
    import matplotlib.pyplot as plt  # half a second that a check alone need not wait for

    figure, ax = plt.subplots(figsize=(8, 0.9 + 0.35 * len(build.parts)), dpi=120, layout="constrained")
    plt.close(figure)  # a notebook would show an open figure a second time
    names, sizes = zip(*reversed(build.parts), strict=True)
    bars = ax.barh(names, sizes, color="#4477aa")
    ax.bar_label(bars, [shown_size(size) for size in sizes], padding=4)
    ax.set_title(as_label(f"{build.name}: {shown_size(build.size)}"), loc="left")
    ax.set_xticks([])
    ax.margins(x=0.15)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    return figure
