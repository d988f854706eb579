"""One picture of a tuning job: for each key a panel of the values tried against the metric."""

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
MARGIN = 0.05  # room at both ends of a range, as a share of it
SPANS = 100.0  # ends of a range that differ by this factor are drawn on a logarithmic scale


def plot(tuning: Tuning, table: pd.DataFrame) -> Figure:
    """Plot every key over its range against the metric: a dot for each training, a ring for one that was stopped.

    The best is a star. Trainings without a value of the metric are crosses at the lower edge, so that none is missing.

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
        told = "; ".join(f"{row.job}: {row.note or row.status}" for row in table.itertuples()) or "no training began"
        raise TrainingError(f"Expected trainings of {tuning.name} with a {tuning.metric} to plot, found none. {told}")
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
    plt.close(figure)  # a notebook would show an open figure a second time
    panels = grid.ravel()
    for axes, one in zip(panels, tuning.ranges, strict=False):
        _draw(axes, one, tuning, table)
    for axes in panels[len(tuning.ranges) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel(as_label(LABELS.get(tuning.metric, tuning.metric.replace("_", " "))))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _draw(axes: Axes, one: Range, tuning: Tuning, table: pd.DataFrame) -> None:
    along = _along(axes, one, table)
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
            axes.plot(along[chosen], values[chosen], **style, label=label)
    if lost.any():
        style = {**edge, "marker": "x", "markersize": 6, "color": "#555555", "clip_on": False}
        transform = axes.get_xaxis_transform()  # across by value, up by share of the panel
        axes.plot(
            along[lost], np.zeros(lost.sum()), **style, transform=transform, label=as_label(f"no {tuning.metric}")
        )
    axes.set_xlabel(as_label(one.name))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _along(axes: Axes, one: Range, table: pd.DataFrame) -> pd.Series:
    """Return where the trainings stand along a panel, and lay its axis out."""
    if one.kind == "Categorical":
        axes.set_xticks(range(len(one.values)), [as_label(value) for value in one.values])
        axes.set_xlim(-0.5, len(one.values) - 0.5)
        return table[one.name].map({value: place for place, value in enumerate(one.values)})
    if one.scale == "Logarithmic" or (one.scale == "Auto" and one.low > 0 and one.high / one.low >= SPANS):
        axes.set_xscale("log")
        room = (one.high / one.low) ** MARGIN
        axes.set_xlim(one.low / room, one.high * room)
        if one.high / one.low >= 10:  # there is a power of ten to read, and the ticks between would overlap
            axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = (one.high - one.low) * MARGIN
        axes.set_xlim(one.low - room, one.high + room)
        axes.xaxis.set_major_locator(choose_ticks(4))
    return table[one.name]
