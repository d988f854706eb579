"""The display of a running job: in a notebook a panel and a curve, updated in place; in a terminal a bar."""

import re
import shutil
import sys
import textwrap
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

import reward_curves as rewards
from common.bar import in_notebook
from common.findings import PLAIN, as_html, printable
from reward_curves.log import RESUMED

if TYPE_CHECKING:
    from training_jobs import Job

TAIL = 6
# The learner logs every brain's settings when it starts: a heading, then one "name:<tab>value" a line.
SETTINGS = re.compile(r"Hyperparameters for (?:the \w+ of brain|behavior name) (?P<brain>.+?):\s*$")
MAX_STEPS = re.compile(r"^\s*max_steps:\s+([0-9]{1,15}(?:\.[0-9]*)?(?:[eE]\+?[0-9]{1,2})?)\s*$")
MAX_LINE_LENGTH = 1000  # of lines that are matched with these patterns
MAX_SHOWN_LENGTH = 600  # characters of a line in a notebook
NOISE = re.compile(
    r"\s*$|.*[▀▄█▓]|[\s╓╖╗╜╝╟╣╦╩╪╫╬│┌┐┘╙╘╒╛╚╔]+$"  # ML-Agents' logos, whatever the width
    r"|WARNING:tensorflow:|INFO:tensorflow:|[\d-]{10} [\d:.]+: [IW] tensorflow/"
    r"|The TensorFlow contrib module|For more information, please see:|  \* https://github\.com/tensorflow/"
    r"|If you depend on functionality not listed|Instructions for updating:|(?:Please u|U)se (?:keras|`?tf|`layer)\."
    r"|(?:IGNORED|GLOBALS|IN|OUT): |DONE: wrote |Converting \./|INFO:mlagents\.trainers:(?:\t|List of|Command)"
    r"|.*pkg_resources"
)
"""Lines that say nothing about the training; the log that `training.fetch` brings has them all."""
# A curve is redrawn when it has grown, but drawing may take at most this share of a core.
DRAWING = 0.03


@dataclass(frozen=True)
class Progress:
    """The progress of a job.

    Attributes
    ----------
    phase : str
        SageMaker's secondary status, or the status once it has ended.
    ended : bool
    brain : str
        If several are trained, the one with the most steps left, which determines when the job ends; else empty.
    step, total : int
        Its steps so far and in total; 0 while unknown.
    speed : float
        Its steps per second over the last summaries; 0 while unknown.
    mean_reward : float or None
        Of its last summary.
    seconds : float
        Training time so far.
    usd_per_hour : float or None
        The instance's price.
    money : str
        The unit of amounts: ``"USD"``, or ``"USD on AWS"`` on the embedded AWS, which is free.
    """

    phase: str = "Waiting"
    ended: bool = False
    brain: str = ""
    step: int = 0
    total: int = 0
    speed: float = 0.0
    mean_reward: float | None = None
    seconds: float = 0.0
    usd_per_hour: float | None = None
    money: str = "USD"

    @property
    def seconds_to_go(self) -> float | None:
        """Seconds until the last step at the current speed; None if unknown, or if the job has ended."""
        known = self.total and self.speed and not self.ended
        return max(0, self.total - self.step) / self.speed if known else None

    @property
    def drawn(self) -> tuple[int, int]:
        """The filled part of the bar, and its length. It is full when the job is completed."""
        length = max(self.total, 1)
        return (length if self.phase == "Completed" else min(self.step, length)), length

    def __str__(self) -> str:
        return " · ".join(self.parts)

    @property
    def parts(self) -> list[str]:
        """The parts of the summary line."""
        parts = [self.phase]
        if self.total:
            parts.append(f"{printable(self.brain)} step {self.step:,} of {self.total:,}".lstrip())
        if self.speed:
            parts.append(f"{self.speed:.0f} steps/s" if self.speed >= 10 else f"{self.speed:.1f} steps/s")
        if self.mean_reward is not None and self.mean_reward == self.mean_reward:
            parts.append(f"mean reward {self.mean_reward:.2f}")
        left = self.seconds_to_go
        if self.seconds:
            parts.append(clock(self.seconds) + (f", {clock(left)} to go" if left else ""))
            if self.usd_per_hour is not None:
                paid = f"{self.seconds / 3600 * self.usd_per_hour:.3f} {self.money}"
                parts.append(paid + (f", {left / 3600 * self.usd_per_hour:.3f} to go" if left else ""))
        return parts


def clock(seconds: float) -> str:
    """Format seconds as minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def shorten(line: str) -> str:
    """Cut a line that is too long for the panel, between two words."""
    return line if len(line) <= MAX_SHOWN_LENGTH else f"{line[:MAX_SHOWN_LENGTH].rpartition(' ')[0]} …"


class View:
    """The common part of both displays: the progress and the end of the log without uninformative lines."""

    def __init__(self, usd_per_hour: float | None = None, money: str = "USD"):
        self.progress = Progress(usd_per_hour=usd_per_hour, money=money)
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._heading = ""  # the brain whose settings are in the current lines
        self._totals: dict[str, int] = {}  # brain -> max_steps
        self._first_steps: dict[str, int] = {}  # brain -> the step from which it was resumed

    def update(self, job: "Job", lines: Iterable[str], curve: pd.DataFrame) -> None:
        """Update with the job, the log's new lines and the curve so far."""
        for line in lines:
            if not NOISE.match(line):
                self.tail.append(line)
            self._scan(line)
        last = {brain: rows.iloc[-1] for brain, rows in curve.groupby("brain")}
        steps = {brain: int(row["step"]) for brain, row in last.items()}
        brains = sorted({*self._totals, *last})
        changes = {"phase": job.status if job.ended else job.phase, "ended": job.ended, "seconds": job.seconds()}
        if brains:
            brain = max(
                brains, key=lambda name: self._totals.get(name, 0) - steps.get(name, self._first_steps.get(name, 0))
            )
            changes |= {
                "brain": brain if len(brains) > 1 else "",
                "step": steps.get(brain, self._first_steps.get(brain, 0)),
                "total": self._totals.get(brain, 0),
                "mean_reward": last[brain]["mean_reward"] if brain in last else None,
            }
            recent = curve[curve["brain"] == brain].tail(10)
            changes["speed"] = speed_of(recent, self._first_steps.get(brain, 0))
        self.progress = replace(self.progress, **changes)

    def _scan(self, line: str) -> None:
        """Extract a brain's steps from a line of the log."""
        if len(line) > MAX_LINE_LENGTH:
            return
        if found := SETTINGS.search(line):
            self._heading = found["brain"]
        elif found := MAX_STEPS.match(line):
            self._totals[self._heading] = int(float(found[1]))
        elif found := RESUMED.search(line):
            self._first_steps[found["brain"]] = int(found["step"])


def speed_of(rows: pd.DataFrame, first_step: int = 0) -> float:
    """Return the steps per second over some summaries of one brain, within its last attempt.

    Parameters
    ----------
    rows : pandas.DataFrame
    first_step : int
        The step from which the run was resumed, else 0.
    """
    if not len(rows):
        return 0.0
    rows = rows[rows["attempt"] == rows["attempt"].iloc[-1]]
    steps, seconds = rows["step"].iloc[-1] - first_step, rows["elapsed"].iloc[-1]
    if len(rows) > 1:
        steps, seconds = rows["step"].iloc[-1] - rows["step"].iloc[0], seconds - rows["elapsed"].iloc[0]
    elif rows["attempt"].iloc[-1] > 1:
        return 0.0  # the duration of earlier attempts is unknown
    # A job that was resumed after its last summary has no speed yet.
    return float(steps / seconds) if seconds > 0 and steps > 0 else 0.0


class Terminal(View):
    """A bar with the state below and the log above it; plain lines if the output is a file."""

    def __init__(self, usd_per_hour: float | None = None, money: str = "USD"):
        super().__init__(usd_per_hour, money)
        self._block: list[str] = []  # the lines below the log, which are replaced
        self._printed = ()

    def update(self, job: "Job", lines: Iterable[str], curve: pd.DataFrame) -> None:
        """Show the job, the log's new lines and the steps."""
        lines = list(lines)
        super().update(job, lines, curve)
        lines = [printable(line) for line in lines if not NOISE.match(line)]
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1  # a line that fills the last column may wrap
            wipe = f"\x1b[{len(self._block)}F\x1b[J" if self._block else ""
            self._block = self._draw(width)
            print(wipe + "\n".join([*lines, *self._block]), flush=True)
            return
        news = (self.progress.phase, self.progress.brain, self.progress.step)
        state = [str(self.progress)] if news != self._printed else []
        self._printed = news
        if lines or state:
            print("\n".join([*lines, *state]), flush=True)

    def _draw(self, width: int) -> list[str]:
        """Return the bar, and the state, wrapped to the width."""
        full, length = self.progress.drawn
        bar = f"{100 * full // length:3.0f}% |{'█' * (20 * full // length):20}|"
        # Lines break only between parts.
        state = "\xa0· ".join(part.replace(" ", "\xa0") for part in self.progress.parts)
        wrapped = textwrap.wrap(state, width, break_on_hyphens=False)
        return [line.replace("\xa0", " ") for line in [bar.rstrip()[:width], *wrapped]]

    def close(self) -> None:
        """Do nothing; the bar stays visible."""


class Notebook(View):
    """A panel that is updated in place: the bar and the log's last lines, and below it the curve."""

    def __init__(self, usd_per_hour: float | None = None, money: str = "USD"):
        from IPython.display import HTML, display

        super().__init__(usd_per_hour, money)
        self._html = HTML
        self._display = display
        self._panel = display(HTML("Waiting for the job …"), display_id=True)
        self._figure = None
        self._drawn = 0.0  # training time of the newest summary in the figure, seconds
        self._next = 0.0  # earliest time of the next drawing

    def update(self, job: "Job", lines: Iterable[str], curve: pd.DataFrame) -> None:
        """Replace the panel, and the curve if it has grown."""
        super().update(job, lines, curve)
        tail = "\n".join(map(shorten, self.tail))
        full, length = self.progress.drawn
        self._panel.update(
            self._html(
                f'<div {PLAIN}><progress value="{full}" max="{length}" style="width:100%;max-width:40em">'
                f"</progress><br><b>{as_html(job.name)}</b>: {as_html(self.progress)}"
                f'<pre style="white-space:pre-wrap;font-size:85%;opacity:.75">{as_html(tail)}</pre></div>'
            )
        )
        rewarded = curve[curve["mean_reward"].notna()]  # ML-Agents logs nan for an episode whose reward is
        if len(rewarded) and curve["elapsed"].max() != self._drawn and (job.ended or time.monotonic() >= self._next):
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
        """Do nothing; the panel stays visible."""


def view(usd_per_hour: float | None = None, money: str = "USD") -> Terminal | Notebook:
    """Return the display for a notebook or a terminal; see `Progress` for the parameters."""
    kind = Notebook if in_notebook() else Terminal
    return kind(usd_per_hour, money)
