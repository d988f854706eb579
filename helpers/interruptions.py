"""An interrupted job: the steps from which it resumed, and a figure of its curve and phases."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import reward_curves as rewards
from common.contract import RESUMED
from reward_curves.drawing import DPI
from training_jobs import Job

# Okabe and Ito's, as in reward_curves. All other phases are waiting.
COLOURS = {"Training": "#0072B2", "Downloading": "#56B4E9", "Uploading": "#56B4E9", "Interrupted": "#D55E00"}
WAITING = "#BBBBBB"
MARK = "#D55E00"


def find_steps(lines: Iterable[str]) -> list[int]:
    """Return the steps from which training resumed, in order: each time that of the most advanced brain.

    Parameters
    ----------
    lines : iterable of str
        A job's log. The brains of one start are logged one after another.
    """
    found: list[dict[str, int]] = []
    for line in lines:
        if match := RESUMED.match(line):
            if not found or match["brain"] in found[-1]:
                found.append({})
            found[-1][match["brain"]] = int(match["step"])
    return [max(steps.values()) for steps in found]


def read_steps(folder: str | Path) -> list[int]:
    """Return the same for a job that was fetched to `folder`."""
    return find_steps(Path(folder, "log.txt").read_text(errors="replace").splitlines())


def plot(job: Job, folder: str | Path) -> Figure:
    """Draw the reward curve with the steps from which it resumed, and the job's phases below.

    Parameters
    ----------
    job : Job
        It must have ended.
    folder : str or Path
        The folder into which `training_jobs.fetch` wrote it.
    """
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(6.4, 4.8), dpi=DPI, layout="constrained", gridspec_kw={"height_ratios": [5, 1]}
    )
    plt.close(figure)  # a notebook would show an open figure a second time
    rewards.plot({job.name: rewards.read(folder)}, ax=above)
    steps, legend = read_steps(folder), above.get_legend()
    handles, labels = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
    if steps:
        labels.append(f"goes on from step {', '.join(f'{step:,}' for step in steps)}")
        handles += [above.axvline(step, color=MARK, linestyle=(0, (4, 3)), linewidth=1.2) for step in steps][:1]
    above.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)  # where no line crosses it
    _draw_phases(below, job)
    return figure


def _draw_phases(ax: Axes, job: Job) -> None:
    """Draw the phases as a bar, in seconds."""
    spans = [(phase.name, _seconds(job, phase.start), _seconds(job, phase.end)) for phase in job.phases if phase.end]
    seen: set[str] = set()
    for name, start, end in spans:
        kind = name if name in COLOURS else "Waiting"
        kind = "Downloading, Uploading" if kind in ("Downloading", "Uploading") else kind
        label = None if kind in seen else kind
        seen.add(kind)
        ax.barh(0, end - start, left=start, height=0.6, color=COLOURS.get(name, WAITING), label=label)
    ax.set_yticks([])
    ax.set_xlim(0, max((end for _, _, end in spans), default=1))
    ax.set_xlabel("seconds since the launch")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(seen) or 1, frameon=False)


def _seconds(job: Job, moment: datetime | None) -> float:
    return (moment - job.created).total_seconds() if moment else 0.0
