"""Reward curves: read them from a run's TensorBoard events or its log, join them, plot them.

A curve is a pandas table with one row a summary:

============  =========  =====================================================================
column        unit       meaning
============  =========  =====================================================================
brain                    the brain that was trained
step          steps      environment steps done by this brain when the summary was written
mean_reward   reward     mean cumulative reward of the episodes that ended since the last one
std_reward    reward     their standard deviation; NaN where only events were read
elapsed       seconds    since the learner was started; NaN where only events were read
============  =========  =====================================================================

ML-Agents 0.11.0 writes the mean to both places and the deviation only to the log.
"""

import glob
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS = ["brain", "step", "mean_reward", "std_reward", "elapsed"]
REWARD_TAG = "Environment/Cumulative Reward"
NUMBER = r"-?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|nan|inf)"
SUMMARY = re.compile(
    r"INFO:mlagents\.trainers: (?P<run>.+?): (?P<brain>.+): Step: (?P<step>[0-9]+)(?:\.[0-9]*)?\. "
    rf"Time Elapsed: (?P<elapsed>{NUMBER}) s Mean Reward: (?P<mean>{NUMBER})\. Std of Reward: (?P<std>{NUMBER})\."
)
# Okabe and Ito's colours, told apart by colour-blind readers: https://jfly.uni-koeln.de/color/
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


class RewardsError(RuntimeError):
    """There is no curve where one was expected."""


def read_log(lines: Iterable[str]) -> pd.DataFrame:
    """Read a curve from the log of `mlagents-learn` 0.11.0.

    Parameters
    ----------
    lines : iterable of str
        Lines that are no summary are passed over, and so is a summary during which no episode ended.

    Returns
    -------
    pandas.DataFrame
        See the module's table. Empty if there is no summary yet.
    """
    rows = [
        (
            found["brain"],
            int(found["step"]),
            float(found["mean"]),
            float(found["std"]),
            float(found["elapsed"]),
        )
        for line in lines
        if (found := SUMMARY.search(line))
    ]
    return join(pd.DataFrame(rows, columns=COLUMNS))


def read_events(folder: str | Path, run_id: str) -> pd.DataFrame:
    """Read a curve from the TensorBoard events below a folder.

    Parameters
    ----------
    folder : str or Path
        A run's `summaries/`, in which ML-Agents makes one folder ``<run id>_<brain>`` for each brain.
    run_id : str
        The run's name there.

    Returns
    -------
    pandas.DataFrame
        See the module's table; of an event file that breaks off, what is whole.

    Raises
    ------
    RewardsError
        If there is no event file, or none of them holds a reward.
    """
    # TensorBoard takes half a second to import; whoever only reads a log does without.
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    files = sorted(Path(folder).glob(f"{glob.escape(run_id)}_*/events.out.tfevents.*"))
    if not files:
        raise RewardsError(
            f"Expected TensorBoard event files in {folder}/{run_id}_<brain>/, found none. Has the run started?"
        )
    rows = []
    for file in files:
        brain = file.parent.name.removeprefix(f"{run_id}_")
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.tag == REWARD_TAG:
                    reward = value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
                    rows.append((brain, event.step, reward, float("nan"), float("nan")))
    if not rows:
        raise RewardsError(f"The event files below {folder} hold no {REWARD_TAG!r}: no episode has ended yet.")
    return join(pd.DataFrame(rows, columns=COLUMNS))


def read(folder: str | Path) -> pd.DataFrame:
    """Read the curve of a fetched job: means from its events, deviations from its log.

    Parameters
    ----------
    folder : str or Path
        ``results/<job name>``, as `helpers.training.fetch` makes it.

    Raises
    ------
    RewardsError
        As `read_events` does.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / "training.json").read_text())
    except FileNotFoundError:
        raise RewardsError(f"Expected training.json in {folder}, found none: the job ended before it began.") from None
    if record["run_id"] is None:
        raise RewardsError(f"The job of {folder} never began to train: {record['reason']}")
    events = read_events(folder / "summaries", record["run_id"])
    log = folder / "log.txt"
    if not log.is_file():
        return events
    logged = read_log(log.read_text(errors="replace").splitlines())
    joined = events.drop(columns=["std_reward", "elapsed"]).merge(
        logged.drop(columns="mean_reward"), on=["brain", "step"], how="left"
    )
    return joined[COLUMNS]


def join(curve: pd.DataFrame) -> pd.DataFrame:
    """Put a curve in order: by brain and step, and of two rows for one step the later one.

    A resumed run writes some steps twice; the later one is what the model was made of.
    """
    return curve.drop_duplicates(["brain", "step"], keep="last").sort_values(["brain", "step"]).reset_index(drop=True)


def plot(curves: Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Figure:
    """Plot mean reward against steps, with one standard deviation as a band.

    Parameters
    ----------
    curves : mapping of str to pandas.DataFrame
        A label, such as a job's name, to its curve.
    ax : matplotlib.axes.Axes, optional
        Draw here instead of in a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RewardsError
        If there is nothing to draw.
    """
    lines = [
        (label, brain, rows) for label, curve in curves.items() for brain, rows in curve.groupby("brain") if len(rows)
    ]
    if not lines:
        raise RewardsError(f"Expected summaries to plot, found none in {', '.join(curves) or 'no curve'}.")
    if ax is None:
        figure, ax = plt.subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
        plt.close(figure)  # a notebook would show an open figure a second time
    several_brains = len({brain for _, brain, _ in lines}) > 1
    for number, (label, brain, rows) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        name = f"{label}, {brain}" if several_brains else label
        ax.plot(rows["step"], rows["mean_reward"], color=colour, linewidth=1.8, label=name, marker="o", markersize=3)
        if rows["std_reward"].notna().any():
            low, high = rows["mean_reward"] - rows["std_reward"], rows["mean_reward"] + rows["std_reward"]
            ax.fill_between(rows["step"], low, high, color=colour, alpha=0.18, linewidth=0)
    ax.set_xlabel("step")
    ax.set_ylabel("mean cumulative reward ± 1 std")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", frameon=False)
    return ax.figure
