"""What is shown while a job runs: in a notebook a panel that grows in place, in a terminal a progress bar."""

import html
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from helpers import rewards

if TYPE_CHECKING:
    from helpers.training import Job

TAIL = 6
# The learner logs every brain's settings when it starts, one "name:<tab>value" a line.
MAX_STEPS = re.compile(r"^\s*max_steps:\s+([0-9.eE+]+)\s*$")


def count_steps(lines: Sequence[str]) -> int:
    """Return how many steps the brain that trains longest is to do; 0 while the log does not say."""
    return max((int(float(found[1])) for line in lines if (found := MAX_STEPS.match(line))), default=0)


def tell(job: "Job", curve: pd.DataFrame, total: int) -> str:
    """Put a job's state into one line."""
    told = job.phase if job.status == "InProgress" else job.status
    if len(curve):
        last = curve.sort_values("step").iloc[-1]
        told += f" · step {last['step']:,} of {total:,} · mean reward {last['mean_reward']:.2f}"
        if last["elapsed"] > 0:
            told += f" · {last['step'] / last['elapsed']:.0f} steps/s"
    return told


class Terminal:
    """A progress bar, with the log above it."""

    def __init__(self):
        self._bar = tqdm(unit="step", file=sys.stdout, dynamic_ncols=True)
        self._shown = 0

    def update(self, job: "Job", lines: Sequence[str], curve: pd.DataFrame) -> None:
        """Show the job, the log's new lines and the steps."""
        for line in lines[self._shown :]:
            self._bar.write(line, file=sys.stdout)
        self._shown = len(lines)
        self._bar.total = count_steps(lines) or None
        if len(curve):
            self._bar.n = int(curve["step"].max())
            self._bar.set_postfix_str(f"mean reward {curve['mean_reward'].iloc[-1]:.2f}", refresh=False)
        self._bar.set_description_str(job.phase, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


class Notebook:
    """One panel, replaced in place: the bar, the log's last lines, and below them the growing curve."""

    def __init__(self):
        from IPython.display import HTML, display

        self._html = HTML
        self._display = display
        self._panel = display(HTML("Waiting for the job …"), display_id=True)
        self._figure = None
        self._drawn = 0

    def update(self, job: "Job", lines: Sequence[str], curve: pd.DataFrame) -> None:
        """Replace the panel, and the curve if it has grown."""
        total = count_steps(lines)
        done = int(curve["step"].max()) if len(curve) else 0
        tail = "\n".join(line[:160] for line in lines[-TAIL:])
        self._panel.update(
            self._html(
                f'<progress value="{done}" max="{max(total, 1)}" style="width:100%;max-width:40em"></progress><br>'
                f"<b>{html.escape(job.name)}</b>: {html.escape(tell(job, curve, total))}"
                f'<pre style="white-space:pre-wrap;font-size:85%;opacity:.75">{html.escape(tail)}</pre>'
            )
        )
        if len(curve) > self._drawn:
            figure = rewards.plot({job.name: curve})
            if self._figure is None:
                self._figure = self._display(figure, display_id=True)
            else:
                self._figure.update(figure)
            self._drawn = len(curve)

    def close(self) -> None:
        """Leave the panel as it stands."""


def view() -> Terminal | Notebook:
    """Return what fits the place this runs in."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return Notebook() if shell is not None and hasattr(shell, "kernel") else Terminal()
