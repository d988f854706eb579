"""What is shown while a job runs: in a notebook a panel and a curve that grow in place, in a terminal a bar."""

import html
import re
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from helpers import rewards
from helpers.bar import in_notebook

if TYPE_CHECKING:
    from helpers.training import Job

TAIL = 6
# The learner logs every brain's settings when it starts, one "name:<tab>value" a line.
MAX_STEPS = re.compile(r"^\s*max_steps:\s+([0-9.eE+]+)\s*$")
# A curve is drawn again when it has grown, but not so often that drawing takes more than this share of a core.
DRAWING = 0.03
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    phase : str
        SageMaker's secondary status, or the status once it has ended.
    step, total : int
        Steps of the brain that is furthest, and how many it is to do; 0 while the log does not say.
    speed : float
        Steps per second over the last summaries; 0 while unknown.
    mean_reward : float or None
        Of the last summary.
    seconds : float
        Training time so far, as it is billed.
    usd_per_hour : float or None
        The instance's price.
    money : str
        What stands behind an amount: ``"USD"``, or ``"USD on AWS"`` where the job costs nothing here.
    """

    phase: str = "Waiting"
    step: int = 0
    total: int = 0
    speed: float = 0.0
    mean_reward: float | None = None
    seconds: float = 0.0
    usd_per_hour: float | None = None
    money: str = "USD"

    @property
    def seconds_to_go(self) -> float | None:
        """Seconds until the last step at the present speed; None while that is unknown."""
        return (self.total - self.step) / self.speed if self.total and self.speed else None

    def __str__(self) -> str:
        told = [self.phase]
        if self.total:
            told.append(f"step {self.step:,} of {self.total:,}")
        if self.speed:
            told.append(f"{self.speed:.0f} steps/s" if self.speed >= 10 else f"{self.speed:.1f} steps/s")
        if self.mean_reward is not None:
            told.append(f"mean reward {self.mean_reward:.2f}")
        left = self.seconds_to_go
        if self.seconds:
            told.append(clock(self.seconds) + (f", {clock(left)} to go" if left else ""))
            if self.usd_per_hour is not None:
                paid = f"{self.seconds / 3600 * self.usd_per_hour:.3f} {self.money}"
                told.append(paid + (f", {left / 3600 * self.usd_per_hour:.3f} to go" if left else ""))
        return " · ".join(told)


def clock(seconds: float) -> str:
    """Write seconds as minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


class View:
    """What both views know: the progress, the curve and the end of the log."""

    def __init__(self, usd_per_hour: float | None = None, money: str = "USD"):
        self.progress = Progress(usd_per_hour=usd_per_hour, money=money)
        self.tail: deque[str] = deque(maxlen=TAIL)

    def update(self, job: "Job", lines: Iterable[str], curve: pd.DataFrame) -> None:
        """Take in the job, the log's new lines and the curve so far."""
        total = self.progress.total
        for line in lines:
            self.tail.append(line)
            if found := MAX_STEPS.match(line):
                total = max(total, int(float(found[1])))
        changes = {"phase": job.status if job.ended else job.phase, "total": total, "seconds": job.seconds()}
        if len(curve):
            furthest = curve[curve["brain"] == curve.loc[curve["step"].idxmax(), "brain"]].tail(10)
            last = furthest.iloc[-1]
            changes |= {"step": int(last["step"]), "mean_reward": last["mean_reward"], "speed": speed_of(furthest)}
        self.progress = replace(self.progress, **changes)


def speed_of(rows: pd.DataFrame) -> float:
    """Return steps per second over some summaries of one brain, of its last attempt alone."""
    rows = rows[rows["attempt"] == rows["attempt"].iloc[-1]]
    steps, seconds = rows["step"].iloc[-1], rows["elapsed"].iloc[-1]
    if len(rows) > 1:
        steps, seconds = steps - rows["step"].iloc[0], seconds - rows["elapsed"].iloc[0]
    elif rows["attempt"].iloc[-1] > 1:
        return 0.0  # where that attempt began is not known
    return float(steps / seconds) if seconds > 0 else 0.0


def sparkline(values: Iterable[float], width: int = 30) -> str:
    """Draw the last values as blocks of eight heights, lowest to highest."""
    shown = [value for value in values if value == value][-width:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((value - low) * scale)] for value in shown)


class Terminal(View):
    """A progress bar with the curve in small, and the log above it."""

    def __init__(self, usd_per_hour: float | None = None, money: str = "USD"):
        super().__init__(usd_per_hour, money)
        self._bar = tqdm(file=sys.stdout, bar_format="{percentage:3.0f}% |{bar:20}| {desc}", dynamic_ncols=True)

    def update(self, job: "Job", lines: Iterable[str], curve: pd.DataFrame) -> None:
        """Show the job, the log's new lines and the steps."""
        lines = list(lines)
        super().update(job, lines, curve)
        if lines:
            self._bar.write("\n".join(lines), file=sys.stdout)
        self._bar.total = self.progress.total or None
        self._bar.n = self.progress.step
        self._bar.set_description_str(f"{self.progress} {sparkline(curve['mean_reward'])}".rstrip(), refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


class Notebook(View):
    """One panel, replaced in place: the bar, the log's last lines, and below them the growing curve."""

    def __init__(self, usd_per_hour: float | None = None, money: str = "USD"):
        from IPython.display import HTML, display

        super().__init__(usd_per_hour, money)
        self._html = HTML
        self._display = display
        self._panel = display(HTML("Waiting for the job …"), display_id=True)
        self._figure = None
        self._drawn = 0.0  # training time of the newest summary in the figure, seconds
        self._next = 0.0  # when it may be drawn again

    def update(self, job: "Job", lines: Iterable[str], curve: pd.DataFrame) -> None:
        """Replace the panel, and the curve if it has grown."""
        super().update(job, lines, curve)
        tail = "\n".join(line[:160] for line in self.tail)
        progress = self.progress
        self._panel.update(
            self._html(
                f'<progress value="{progress.step}" max="{max(progress.total, 1)}" style="width:100%;max-width:40em">'
                f"</progress><br><b>{html.escape(job.name)}</b>: {html.escape(str(progress))}"
                f'<pre style="white-space:pre-wrap;font-size:85%;opacity:.75">{html.escape(tail)}</pre>'
            )
        )
        if len(curve) and curve["elapsed"].max() != self._drawn and (job.ended or time.monotonic() >= self._next):
            self._draw(job, curve)

    def _draw(self, job: "Job", curve: pd.DataFrame) -> None:
        begun = time.monotonic()
        figure = rewards.plot({job.name: curve})
        if self._figure is None:
            self._figure = self._display(figure, display_id=True)
        else:
            self._figure.update(figure)
        self._drawn = curve["elapsed"].max()
        self._next = time.monotonic() + (time.monotonic() - begun) / DRAWING

    def close(self) -> None:
        """Leave the panel as it stands."""


def view(usd_per_hour: float | None = None, money: str = "USD") -> Terminal | Notebook:
    """Return what fits the place this runs in; see `Progress` for the parameters."""
    kind = Notebook if in_notebook() else Terminal
    return kind(usd_per_hour, money)
