"""Curves as pictures: one or several jobs, several seeds, and everything that one training tells."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.rewards.table import RewardsError

# Okabe and Ito's colours, told apart by colour-blind readers: https://jfly.uni-koeln.de/color/
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
# Told apart in print, too: the first seven lines are solid, the next dashed.
DASHES = ["solid", (0, (5, 2)), (0, (1, 1.5))]
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
    "step": ("step", 1.0),
    "time": ("training time, minutes", 1 / 60),
    "cost": ("cost, USD", 1 / 3600),  # times the price of an hour
}
RESAMPLES = 2000
MOST_POINTS = 250
"""Of a mean over runs, with its interval."""
AT_A_TIME = 5_000_000
"""Numbers that are held while resampling."""
BAND = {"alpha": 0.18, "linewidth": 0}


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

    A diamond marks the first summary of a new lesson, a cross the first after the run went on from a checkpoint.

    Parameters
    ----------
    curves : mapping of str to pandas.DataFrame
        A label, such as a job's name, to its curve. See `helpers.rewards.table`.
    y : str
        The column to draw.
    x : str
        ``"step"``, ``"time"`` (minutes) or ``"cost"`` (US dollars).
    smooth : int
        With more than 1, the mean of so many summaries is drawn over the raw line.
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
        If there is nothing to draw, or what is to be drawn does not belong into one picture.
    """
    if x not in AXES or (x == "cost" and usd_per_hour is None):
        wanted = f"x to be one of {', '.join(AXES)}" if x not in AXES else 'usd_per_hour with x="cost"'
        raise RewardsError(f"Expected {wanted}, found x={x!r}.")
    if smooth < 1:
        raise RewardsError(f"Expected smooth to be a number of summaries, 1 or more, found {smooth}.")
    lines = _lines(curves, y)
    axes = ax or _new_axes()
    marks: dict[str, Line2D] = {}
    for number, (label, rows) in enumerate(lines):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}
        along, values = _along(rows, x, usd_per_hour), rows[y]
        if smooth > 1:
            axes.plot(along, values, **style, linewidth=0.9, alpha=0.45, label=f"{label}, each summary")
            values = values.rolling(smooth, min_periods=1).mean()
            label = f"{label}, mean of {smooth} summaries"
        elif y == "mean_reward" and rows["std_reward"].notna().any():
            low, high = values - rows["std_reward"], values + rows["std_reward"]
            axes.fill_between(along, low, high, color=style["color"], **BAND)
        dots = {"marker": "o", "markersize": 3} if len(rows) <= 60 and smooth == 1 else {}
        axes.plot(along, values, **style, **dots, linewidth=1.8, label=label)
        _mark(axes, rows, along, values, style["color"], marks)
    _finish(axes, x, y, " ± 1 std" if axes.collections else "")
    if marks:  # what the marks mean stands behind the lines in the legend
        handles, labels = axes.get_legend_handles_labels()
        axes.legend([*handles, *marks.values()], [*labels, *marks], loc="best", frameon=False)
    return axes.figure


def plot_seeds(
    groups: Mapping[str, Sequence[pd.DataFrame]], *, y: str = "mean_reward", ax: Axes | None = None
) -> Figure:
    """Plot runs that differ in their seed alone: each one thin, their mean thick, its 95 % interval as a band.

    The interval is a percentile bootstrap over runs. Where runs wrote summaries at different steps, they are
    interpolated linearly; the mean ends where the shortest run does.

    Parameters
    ----------
    groups : mapping of str to sequence of pandas.DataFrame
        A label, such as the setting that was tried, to the curves of its runs, one brain each.
    y, ax
        As for `plot`.

    Raises
    ------
    RewardsError
        If there is nothing to draw, or the runs are of different environments.
    """
    runs = {f"{label}\n{number}": curve for label, curves in groups.items() for number, curve in enumerate(curves)}
    lines = _lines(runs, y)
    if len(lines) != len(runs):
        raise RewardsError("Expected curves of one brain each, found one of several. Choose rows by their brain.")
    axes = ax or _new_axes()
    for number, (label, curves) in enumerate(groups.items()):
        colour = COLOURS[number % len(COLOURS)]
        kept = [curve[curve[y].notna()] for curve in curves]
        for rows in kept:
            axes.plot(rows["step"], rows[y], color=colour, linewidth=0.7, alpha=0.5)
        steps, low, mean, high = mean_interval([(rows["step"], rows[y]) for rows in kept])
        count = f"{label}, mean of {len(kept)} runs" if len(kept) > 1 else f"{label}, 1 run"
        axes.plot(steps, mean, color=colour, linewidth=2.2, label=count)
        if len(kept) > 1:
            axes.fill_between(steps, low, high, color=colour, **BAND)
    _finish(axes, "step", y, ", 95 % interval" if axes.collections else "")
    return axes.figure


def mean_interval(runs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[np.ndarray, ...]:
    """Return where several runs have values in common, and there the mean with its 95 % bootstrap interval.

    Parameters
    ----------
    runs : sequence of (steps, values)
        Both of one length, steps rising.

    Returns
    -------
    steps, low, mean, high : numpy.ndarray
        All of one length, `MOST_POINTS` at most. With one run the interval is that run.

    Raises
    ------
    RewardsError
        If no step lies in all runs.
    """
    first, last = max(min(steps) for steps, _ in runs), min(max(steps) for steps, _ in runs)
    common = np.unique(np.concatenate([np.asarray(steps) for steps, _ in runs]))
    common = common[(common >= first) & (common <= last)]
    if len(common) > MOST_POINTS:  # more would fall on the same pixels, and take long to resample
        common = common[np.linspace(0, len(common) - 1, MOST_POINTS).round().astype(int)]
    if not len(common):
        raise RewardsError(f"Expected runs that share steps, found that one begins at {first} when another ended.")
    values = np.stack([np.interp(common, steps, of_run) for steps, of_run in runs])
    if len(runs) == 1:
        return common, values[0], values[0], values[0]
    # SciPy's statistics take a second to import; only who has several runs waits for it.
    from scipy.stats import bootstrap

    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, AT_A_TIME // values.size),
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = interval.confidence_interval
    return common, low, values.mean(axis=0), high


def plot_training(curve: pd.DataFrame) -> Figure:
    """Plot all that a training tells, a panel each: reward, episode length, entropy, losses and so on.

    Raises
    ------
    RewardsError
        If there is nothing to draw.
    """
    found = [column for column in LABELS if column in curve and curve[column].notna().any()]
    if not found:
        raise RewardsError("Expected summaries to plot, found none.")
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.6 * rows), dpi=120, layout="constrained")
    plt.close(figure)
    panels = np.ravel(grid)
    for axes, column in zip(panels, found, strict=False):
        plot({"": curve}, y=column, ax=axes)
        axes.xaxis.set_major_locator(plt.MaxNLocator(4))
        if axes is not panels[0] or curve["brain"].nunique() == 1:
            axes.get_legend().remove()
    for axes in panels[len(found) :]:
        axes.remove()
    return figure


def _lines(curves: Mapping[str, pd.DataFrame], y: str) -> list[tuple[str, pd.DataFrame]]:
    """Return label and rows of each line; refuse what would be an empty or a wrong picture."""
    curves = {label: curve for label, curve in curves.items() if len(curve)}
    if not curves:
        raise RewardsError("Expected summaries to plot, found none: the first one comes after summary_freq steps.")
    brains = {label: frozenset(curve["brain"]) for label, curve in curves.items()}
    if not frozenset.intersection(*brains.values()):
        told = "; ".join(
            f"{label.partition(chr(10))[0]}: {', '.join(sorted(names))}" for label, names in brains.items()
        )
        raise RewardsError(
            f"Expected runs of one environment, found different brains ({told}). Their rewards cannot be compared: "
            "plot them one by one."
        )
    several = len(frozenset.union(*brains.values())) > 1
    lines = []
    for label, curve in curves.items():
        if y not in curve:
            raise RewardsError(f"Expected a column {y}, found {', '.join(curve)}.")
        for brain, rows in curve[curve[y].notna()].groupby("brain"):
            name = ", ".join(filter(None, [label, str(brain)])) if several else label
            lines.append((name or str(brain), rows))
    if not lines:
        why = ": no episode has ended yet. Train longer, or make episodes shorter" if y == "mean_reward" else ""
        raise RewardsError(f"Expected summaries with a {y.replace('_', ' ')}, found none{why}.")
    return lines


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
        ("attempt", "X", "went on from a checkpoint"),
    ):
        if column not in rows:
            continue
        changed = rows[column].diff().fillna(0) != 0
        if changed.any():
            style = {"marker": marker, "linestyle": "none", "markersize": 8, "markeredgecolor": "white"}
            axes.plot(along[changed], values[changed], **style, color=colour, zorder=3)
            marks[meaning] = Line2D([], [], **style, color="#555555")


def _new_axes() -> Axes:
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
    plt.close(figure)  # a notebook would show an open figure a second time
    return axes


def _finish(axes: Axes, x: str, y: str, band: str) -> None:
    axes.set_ylabel(LABELS.get(y, y.replace("_", " ")) + band)
    axes.set_xlabel(AXES[x][0])
    if x == "step":
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_major_locator(plt.MaxNLocator(6))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="best", frameon=False)
