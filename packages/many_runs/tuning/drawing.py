"""A picture of a tuning job: for each key, a panel with the tried values against the metric."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from common.findings import as_label
from many_runs.tuning.job import Tuning
from many_runs.tuning.ranges import Range
from reward_curves.drawing import COLOURS, DPI, LABELS, choose_ticks
from training_jobs import TrainingError

COLUMNS = 3  # panels side by side
MARGIN = 0.05  # at both ends of a range, as a share of it
LOG_RATIO = 100.0  # a range whose ends differ by this factor gets a logarithmic scale


def plot(tuning: Tuning, table: pd.DataFrame) -> Figure:
    """Plot the metric against each key over its range: a dot for each training, a ring for a stopped one.

    The best is a star. Trainings without a value of the metric are crosses at the lower edge.

    Parameters
    ----------
    tuning : Tuning
        The tuning job.
    table : pandas.DataFrame
        Its trainings, as `many_runs.tuning.table` returns them.

    Raises
    ------
    TrainingError
        If no training has a value of the metric.
    """
    if not table[tuning.metric].notna().any():
        reasons = "; ".join(f"{row.job}: {row.note or row.status}" for row in table.itertuples()) or "no training began"
        raise TrainingError(
            f"Expected trainings of {tuning.name} with a {tuning.metric} to plot, found none. {reasons}"
        )
    columns = min(COLUMNS, len(tuning.ranges))
    rows = -(-len(tuning.ranges) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(max(4.2, 2.6 * columns), 2.6 * rows),
        dpi=DPI,
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    plt.close(figure)  # a notebook would show an open figure twice
    panels = grid.ravel()
    for axes, key_range in zip(panels, tuning.ranges, strict=False):
        _draw(axes, key_range, tuning, table)
    for axes in panels[len(tuning.ranges) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel(as_label(LABELS.get(tuning.metric, tuning.metric.replace("_", " "))))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _draw(axes: Axes, key_range: Range, tuning: Tuning, table: pd.DataFrame) -> None:
    positions = _positions(axes, key_range, table)
    values = table[tuning.metric]
    best = table["job"] == tuning.best
    stopped = table["status"].isin(("Stopped", "Stopping")) & values.notna()
    running = (table["status"] == "InProgress") & values.notna()
    lost = values.isna()
    plain = ~(best | stopped | running | lost)
    edge = {"linestyle": "none", "color": COLOURS[0]}
    kinds = (
        (plain, "completed", {**edge, "marker": "o", "markersize": 5}),
        (stopped, "stopped", {**edge, "marker": "o", "markersize": 6, "markerfacecolor": "none"}),
        (running, "running", {**edge, "marker": "D", "markersize": 5, "markerfacecolor": "none"}),
        (best, "best", {**edge, "marker": "*", "markersize": 13, "color": COLOURS[1]}),
    )
    for chosen, label, style in kinds:
        if chosen.any():
            axes.plot(positions[chosen], values[chosen], **style, label=label)
    if lost.any():
        style = {**edge, "marker": "x", "markersize": 6, "color": "#555555", "clip_on": False}
        transform = axes.get_xaxis_transform()  # x in values, y as a share of the panel
        axes.plot(
            positions[lost], np.zeros(lost.sum()), **style, transform=transform, label=as_label(f"no {tuning.metric}")
        )
    axes.set_xlabel(as_label(key_range.name))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _positions(axes: Axes, key_range: Range, table: pd.DataFrame) -> pd.Series:
    """Return the trainings' positions on a panel's axis, and set up the axis."""
    if key_range.kind == "Categorical":
        axes.set_xticks(range(len(key_range.values)), [as_label(value) for value in key_range.values])
        axes.set_xlim(-0.5, len(key_range.values) - 0.5)
        return table[key_range.name].map({value: place for place, value in enumerate(key_range.values)})
    if key_range.scale == "Logarithmic" or (
        key_range.scale == "Auto" and key_range.low > 0 and key_range.high / key_range.low >= LOG_RATIO
    ):
        axes.set_xscale("log")
        margin = (key_range.high / key_range.low) ** MARGIN
        axes.set_xlim(key_range.low / margin, key_range.high * margin)
        if key_range.high / key_range.low >= 10:  # a power of ten has a label, and minor labels would overlap
            axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = (key_range.high - key_range.low) * MARGIN
        axes.set_xlim(key_range.low - margin, key_range.high + margin)
        axes.xaxis.set_major_locator(choose_ticks(4))
    return table[key_range.name]
