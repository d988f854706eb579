"""Plot curves: of one or several jobs, of several seeds, and every scalar of one training."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import Locator, MaxNLocator

from common.findings import as_label
from reward_curves.table import RewardsError

# Okabe and Ito's colours, which colour-blind readers can distinguish: https://jfly.uni-koeln.de/color/
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
# These are distinct in grey, too: five dashes and seven colours make 35 different lines.
DASHES = ["solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (10, 3))]
LABELS = {
    "mean_reward": "mean cumulative reward",
    "episode_length": "episode length, steps",
    "entropy": "entropy, nats",
    "policy_loss": "policy loss",
    "value_loss": "value loss",
    "learning_rate": "learning rate",
    "extrinsic_value_estimate": "value estimate, reward",
}
AXES = {
    "step": ("steps", 1.0),  # of the environment or of all agents, which the curves say
    "time": ("training time, minutes", 1 / 60),
    "cost": ("cost, USD", 1 / 3600),  # times the price of an hour
}
RESAMPLES = 2000
MAX_POINTS = 250
"""Limit for a mean over runs, with its interval."""
RESAMPLING_BATCH = 5_000_000
"""Numbers in memory while resampling."""
INDEX = ("brain", "attempt", "step", "elapsed", "std_reward")
"""Columns that have no panel."""
MAX_ABOVE = 3
"""Entries of a legend above the axes; a longer legend is placed beside them."""
MAX_LETTERS = 55
"""Limit for all entries of a legend together, to fit on one line."""
NO_EPISODE = "No episode has ended, so there is no mean reward: train longer, or make episodes shorter."
BAND = {"alpha": 0.18, "linewidth": 0}
DPI = 150
"""Pixels of an inch; with figures this small, text is readable where a page is as narrow as a telephone."""
NOTHING = Line2D([], [], linestyle="none")
"""The handle of a note in a legend."""


def plot(
    curves: Mapping[str, pd.DataFrame],
    *,
    y: str = "mean_reward",
    x: str = "step",
    smooth: int = 1,
    usd_per_hour: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Plot curves against steps, training time or cost; mean rewards with one standard deviation as a band.

    A diamond marks the first summary of a new lesson, a cross the first after the run resumed from a checkpoint. The
    legend names each job or brain without data, with the reason; if none has data, the axes are empty and say why.

    Parameters
    ----------
    curves : mapping of str to pandas.DataFrame
        Curves by label, such as a job's name; see `reward_curves.table`.
    y : str
        The column to draw.
    x : str
        ``"step"``, ``"time"`` (minutes) or ``"cost"`` (US dollars).
    smooth : int
        Number of summaries in a moving mean; with more than 1, it is drawn over the raw line.
    usd_per_hour : float, optional
        The instance's price, for ``x="cost"``.
    ax : matplotlib.axes.Axes, optional
        Draw here instead of in a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RewardsError
        If there is no summary, or the curves cannot be compared in one picture.
    """
    if x not in AXES or (x == "cost" and usd_per_hour is None):
        expected = f"x to be one of {', '.join(AXES)}" if x not in AXES else 'usd_per_hour with x="cost"'
        raise RewardsError(f"Expected {expected}, found x={x!r}.")
    if not isinstance(smooth, (int, np.integer)) or smooth < 1:
        raise RewardsError(f"Expected smooth to be a whole number of summaries, 1 or more, found {smooth!r}.")
    lines, left_out = _lines(curves, y)
    axes = ax or _new_axes()
    handles = _draw(axes, lines, y, x, smooth, usd_per_hour)
    if not lines:
        _say_why(axes, y)
    _place_legend(axes, handles, left_out)
    return axes.figure


def _draw(
    axes: Axes, lines: Sequence[tuple[int, str, pd.DataFrame]], y: str, x: str, smooth: int, usd_per_hour: float | None
) -> dict[str, Line2D]:
    """Draw lines, and return the legend's entries."""
    handles: dict[str, Line2D] = {}
    marks: dict[str, Line2D] = {}
    for number, label, rows in lines:
        style = _style(number)
        along, values = _along(rows, x, usd_per_hour), rows[y]
        if smooth > 1:
            raw = axes.plot(along, values, **style, linewidth=0.9, alpha=0.45, label=f"{label}, each summary")
            if len(lines) == 1:
                handles[f"{label}, each summary"] = raw[0]
            else:
                marks["thin: each summary"] = Line2D([], [], color="#555555", linewidth=0.9, alpha=0.45)
            values = values.rolling(smooth, min_periods=1).mean()
            label = f"{label}, mean of {smooth} summaries"
        elif y == "mean_reward" and rows["std_reward"].notna().any():
            low, high = values - rows["std_reward"], values + rows["std_reward"]
            axes.fill_between(along, low, high, color=style["color"], **BAND)
        dots = {"marker": "o", "markersize": 3} if len(rows) <= 60 and smooth == 1 else {}
        (handles[label],) = axes.plot(along, values, **style, **dots, linewidth=1.8, label=label)
        _mark(axes, rows, along, values, style["color"], marks)
    _finish(axes, x, y, " ± 1 std" if axes.collections else "", [rows for _, _, rows in lines])
    return handles | marks


def plot_seeds(
    groups: Mapping[str, Sequence[pd.DataFrame]], *, y: str = "mean_reward", ax: Axes | None = None
) -> Figure:
    """Plot runs that differ only in their seed: each as a thin line, their mean as a thick one with its 95 % interval.

    The interval is a percentile bootstrap over runs. Runs with summaries at different steps are interpolated linearly;
    the mean ends where the shortest run ends.

    Parameters
    ----------
    groups : mapping of str to sequence of pandas.DataFrame
        The curves of runs, of one brain each, by label, such as the setting.
    y, ax
        As for `plot`.

    Raises
    ------
    RewardsError
        If there is no summary, or the runs are of different environments.
    """
    runs = {
        f"{label}, run {number}": curve for label, curves in groups.items() for number, curve in enumerate(curves, 1)
    }
    lines, _ = _lines(runs, y)
    if any(curve["brain"].nunique() > 1 for curve in runs.values()):
        raise RewardsError("Expected curves of one brain each, found one of several. Choose rows by their brain.")
    axes = ax or _new_axes()
    handles, left_out, drawn = {}, [], {label for _, label, _ in lines}
    for number, (label, curves) in enumerate(groups.items()):
        style = _style(number)
        drawn_runs = [curve[curve[y].notna()] for run, curve in enumerate(curves, 1) if f"{label}, run {run}" in drawn]
        if not drawn_runs:
            left_out.append(f"{label}: {_why(y) if curves else 'no runs'}")
            continue
        if len(drawn_runs) < len(curves):
            left_out.append(f"{label}: {len(curves) - len(drawn_runs)} of {len(curves)} runs left out, {_why(y)}")
        for rows in drawn_runs:
            axes.plot(rows["step"], rows[y], color=style["color"], linewidth=0.7, alpha=0.5)
        steps, low, mean, high = mean_interval([(rows["step"], rows[y]) for rows in drawn_runs])
        count = f"{label}, mean of {len(drawn_runs)} runs" if len(drawn_runs) > 1 else f"{label}, 1 run"
        (handles[count],) = axes.plot(steps, mean, **style, linewidth=2.2, label=count)
        if len(drawn_runs) > 1:
            axes.fill_between(steps, low, high, color=style["color"], **BAND)
    _finish(axes, "step", y, ", 95 % interval" if axes.collections else "", [rows for _, _, rows in lines])
    if not lines:
        _say_why(axes, y)
    _place_legend(axes, handles, left_out)
    return axes.figure


def mean_interval(runs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[np.ndarray, ...]:
    """Return the steps that several runs share, and there the mean with its 95 % bootstrap interval.

    Parameters
    ----------
    runs : sequence of (steps, values)
        Both of the same length, steps increasing.

    Returns
    -------
    steps, low, mean, high : numpy.ndarray
        All of the same length, at most `MAX_POINTS`. With one run the interval is that run.

    Raises
    ------
    RewardsError
        If the runs share no step.
    """
    first, last = max(min(steps) for steps, _ in runs), min(max(steps) for steps, _ in runs)
    common = np.unique(np.concatenate([np.asarray(steps) for steps, _ in runs]))
    common = common[(common >= first) & (common <= last)]
    if len(common) > MAX_POINTS:  # more would fall on the same pixels, and take long to resample
        common = common[np.linspace(0, len(common) - 1, MAX_POINTS).round().astype(int)]
    if not len(common):
        raise RewardsError(f"Expected runs that share steps, found that one begins at {first} when another ended.")
    values = np.stack([np.interp(common, steps, of_run) for steps, of_run in runs])
    if len(runs) == 1:
        return common, values[0], values[0], values[0]
    # SciPy's statistics take a second to import, so only several runs pay for it.
    from scipy.stats import bootstrap

    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, RESAMPLING_BATCH // values.size),
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = interval.confidence_interval
    return common, low, values.mean(axis=0), high


def plot_training(curve: pd.DataFrame) -> Figure:
    """Plot every scalar of a training, one panel for each column of its curve.

    Raises
    ------
    RewardsError
        If there is nothing to draw.
    """
    columns = [*LABELS, *(column for column in curve if column not in LABELS and column not in INDEX)]
    found = [column for column in columns if column in curve and curve[column].notna().any()]
    lessons = [column for column in found if column.startswith("lesson")]
    found = [column for column in found if column not in lessons or curve[column].nunique() > 1]  # else no curriculum
    if not found:
        raise RewardsError("Expected summaries to plot, found none.")
    across = min(3, len(found))
    down = -(-len(found) // across)
    figure, grid = plt.subplots(down, across, figsize=(2.5 * across, 2 * down), dpi=DPI, layout="constrained")
    plt.close(figure)
    panels = np.ravel(grid)
    handles: dict[str, Line2D] = {}
    for axes, column in zip(panels, found, strict=False):
        lines, left_out = _lines({"": curve}, column)
        drawn = _draw(axes, lines, column, "step", 1, None)
        handles |= {label: handle for label, handle in drawn.items() if label not in handles}
        axes.xaxis.set_major_locator(choose_ticks(3))
        axes.set_ylabel(textwrap.fill(axes.get_ylabel(), 22), size=9)  # else the longest is higher than its panel
        if column == "mean_reward":
            handles |= dict.fromkeys(left_out, NOTHING)
    if "mean_reward" not in found:
        handles[NO_EPISODE] = NOTHING
    for axes in panels[len(found) :]:
        axes.remove()
    if len(handles) > 1:
        figure.legend(handles.values(), map(as_label, handles), loc="outside upper left", ncols=across, frameon=False)
    return figure


def _lines(curves: Mapping[str, pd.DataFrame], y: str) -> tuple[list[tuple[int, str, pd.DataFrame]], list[str]]:
    """Return number, label and rows of each line, and a note for each that has no rows.

    The number counts jobs and brains, drawn or not. Raise `RewardsError` if the picture would be empty or wrong.
    """
    if not any(len(curve) for curve in curves.values()):
        raise RewardsError("Expected summaries to plot, found none: the first one comes after summary_freq steps.")
    brains_of = {label: frozenset(curve["brain"]) for label, curve in curves.items() if len(curve)}
    if len(set(brains_of.values())) > 1:
        named = "; ".join(f"{label}: {', '.join(sorted(names))}" for label, names in brains_of.items())
        raise RewardsError(
            f"Expected runs of one environment, found different brains ({named}). Their rewards cannot be compared: "
            "plot them one by one, or choose the rows of one brain that all of them have."
        )
    brains = sorted(next(iter(brains_of.values())))
    lines, left_out = [], []
    for job, (label, curve) in enumerate(curves.items()):
        if not len(curve):
            left_out.append(f"{label}: no summary yet")
            continue
        if y not in curve:
            raise RewardsError(f"Expected a column {y}, found {', '.join(curve)}.")
        for number, brain in enumerate(brains, job * len(brains)):
            rows = curve[(curve["brain"] == brain) & curve[y].notna()]
            name = ", ".join(filter(None, [label, str(brain)])) if len(brains) > 1 else label or str(brain)
            if len(rows):
                lines.append((number, name, rows))
            else:
                left_out.append(f"{name}: {_why(y)}")
    return lines, left_out


def _say_why(axes: Axes, y: str) -> None:
    """Write into empty axes why they are empty."""
    text = NO_EPISODE if y == "mean_reward" else f"No summary has a value of {y.replace('_', ' ')}."
    axes.text(0.5, 0.5, as_label(text), transform=axes.transAxes, ha="center", va="center")


def _why(y: str) -> str:
    return "no episode has ended" if y == "mean_reward" else f"no {y.replace('_', ' ')}"


def _style(number: int) -> dict[str, object]:
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}


def _along(rows: pd.DataFrame, x: str, usd_per_hour: float | None) -> pd.Series:
    column = rows["step"] if x == "step" else rows["elapsed"]
    if column.isna().all():
        raise RewardsError(f"Expected training times to plot against {x}, found none in this curve.")
    return column * AXES[x][1] * (usd_per_hour if x == "cost" and usd_per_hour is not None else 1)


def _mark(
    axes: Axes, rows: pd.DataFrame, along: pd.Series, values: pd.Series, colour: str, marks: dict[str, Line2D]
) -> None:
    """Mark new lessons and interruptions on a line."""
    for column, marker, meaning in (
        ("lesson", "D", "new lesson"),
        ("attempt", "X", "resumed from a checkpoint"),
    ):
        if column not in rows:
            continue
        # The rows of attempt 1 may be lost; a curve that begins with a later attempt was resumed.
        before = rows[column].shift(fill_value=1 if column == "attempt" else rows[column].iloc[0])
        changed = rows[column].notna() & before.notna() & (rows[column] != before)
        if changed.any():
            style = {"marker": marker, "linestyle": "none", "markersize": 8, "markeredgecolor": "white"}
            axes.plot(along[changed], values[changed], **style, color=colour, zorder=3)
            marks[meaning] = Line2D([], [], **style, color="#555555")


def _counts(drawn: Sequence[pd.DataFrame]) -> str:
    """Return which steps curves count. Raise `RewardsError` if they do not count the same."""
    counts = sorted({rows.attrs["counts"] for rows in drawn if "counts" in rows.attrs})
    if len(counts) > 1:
        raise RewardsError(
            f"Expected curves that count the same steps, found some in {' and some in '.join(counts)}. Convert those "
            'of ML-Agents 0.11.0 with rewards.in_agent_steps(curve, agents), or plot with x="time".'
        )
    return counts[0] if counts else AXES["step"][0]


def choose_ticks(most: int) -> Locator:
    """Return a locator that sets at most so many ticks, at numbers that one would choose by hand."""
    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])


def _new_axes() -> Axes:
    figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=DPI, layout="constrained")
    plt.close(figure)  # a notebook would show an open figure a second time
    return axes


def _finish(axes: Axes, x: str, y: str, band: str, drawn: Sequence[pd.DataFrame]) -> None:
    axes.set_ylabel(as_label(LABELS.get(y, y.replace("_", " ")) + band))
    axes.set_xlabel(AXES[x][0])
    if x == "step":
        axes.set_xlabel(_counts(drawn))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_major_locator(choose_ticks(6))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _place_legend(axes: Axes, handles: Mapping[str, Line2D], left_out: Sequence[str]) -> None:
    """Put the legend where it hides no line: above the axes, or beside them if it is long."""
    handles = {**handles, **dict.fromkeys(left_out, NOTHING)}
    figure = axes.figure
    if len(handles) <= MAX_ABOVE:
        columns = len(handles) if sum(map(len, handles)) < MAX_LETTERS else 1
        axes.legend(
            handles.values(),
            map(as_label, handles),
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=columns,
            frameon=False,
        )
    elif len(figure.axes) == 1:
        figure.set_figwidth(figure.get_figwidth() + 0.6 + 0.085 * max(map(len, handles)))
        figure.legend(handles.values(), map(as_label, handles), loc="outside right upper", frameon=False)
    else:  # the figure belongs to the caller
        axes.legend(handles.values(), map(as_label, handles), loc="best", frameon=False)
