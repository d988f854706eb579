"""Show the progress of an experiment: one bar for all runs."""

from __future__ import annotations

from collections import Counter

from common import bar
from common.aws_session import Connection
from many_runs.experiment.runs import Experiment, find, find_newest
from many_runs.experiment.watch import Watch
from training_jobs import cost
from training_jobs.following import Follower, StatusHint
from training_jobs.polling import POLL_SECONDS

FORMAT = "{percentage:3.0f}% |{bar:20}| {desc}"


def follow_many(connection: Connection, experiment: str = "", *, poll_seconds: float = POLL_SECONDS) -> Experiment:
    """Show an experiment until all of its runs have ended, and return it.

    Interrupting (Ctrl-C, or the stop button) ends only the display: the runs go on.

    Parameters
    ----------
    connection : Connection
    experiment : str
        Its name; empty for the newest.
    poll_seconds : float
        Time between two observations, in seconds.

    Raises
    ------
    TrainingError
        If there is no such experiment, or its target stops responding.
    """
    experiment = experiment or find_newest(connection)
    watch = Watch(connection, experiment)
    if not watch.runs:
        return find(connection, experiment)  # raises the error
    view = View(connection, watch, poll_seconds)

    def look() -> bool:
        watch.look()
        view.show(len(watch.experiment.runs))
        return not watch.running

    try:
        view.follower.until(look)
    finally:
        view.close()
    return watch.experiment


class View:
    """The bar of an experiment, and the follower that updates it."""

    def __init__(self, connection: Connection, watch: Watch, poll_seconds: float):
        self.connection, self.watch = connection, watch
        self.follower = Follower(connection, self._hint, poll_seconds)
        self.note = ""
        self._bar = bar.make(total=1, bar_format=FORMAT, leave=True)
        self._prices: dict[str, float | None] = {}

    def _hint(self) -> StatusHint:
        again, stop = (f'training.{verb}_many(connection, "{self.watch.name}")' for verb in ("follow", "stop"))
        return StatusHint(f"{len(self.watch.running)} runs of {self.watch.name} go on", again, stop, many=True)

    def show(self, total: int) -> None:
        """Show the progress of the experiment, which has `total` runs."""
        self._bar.total = max(total, 1)
        self._bar.n = min(measure(self.watch), self._bar.total)
        text = describe(self.watch, total)
        usd = self._count_usd()
        if usd is not None:
            text += f" · {usd:.3f} USD{' on AWS' if self.connection.endpoint else ''}"
        self._bar.set_description_str(f"{text}{self.note}", refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Close the bar, which stays visible."""
        self._bar.close()

    def _count_usd(self) -> float | None:
        total = 0.0
        for run in self.watch.runs.values():
            price = find_usd(self.connection, run.job.instance_type, self._prices)
            if price is None:
                return None
            total += (run.job.billable_seconds if run.job.ended else run.job.seconds()) / 3600 * price
        return total


def find_usd(connection: Connection, instance_type: str, known: dict[str, float | None]) -> float | None:
    """Return an instance's price per hour, cached in `known`."""
    if instance_type not in known:
        price, _ = cost.find_price(connection, instance_type)
        known[instance_type] = price.usd_per_hour if price else None
    return known[instance_type]


def measure(watch: Watch) -> float:
    """Return the number of finished runs, counting running ones by their share of ``max_steps``."""
    done = 0.0
    for run in watch.experiment.runs:
        steps = number(run.job.hyperparameters.get("max_steps"))
        if run.job.ended:
            done += 1
        elif steps and run.name in watch.progress:
            done += min(1.0, watch.progress[run.name].step / steps)
    return done


def number(text: str | None) -> float:
    """Convert a hyperparameter to a number; 0 if it is not one."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def describe(watch: Watch, total: int) -> str:
    """Return a line on the progress of an experiment."""
    runs = watch.experiment.runs
    statuses = Counter(run.job.status if run.job.ended else "running" for run in runs)
    ended = len(runs) - statuses["running"]
    parts = [f"{ended} of {total} runs ended"]
    parts += [f"{statuses[status]} {status.lower()}" for status in ("Failed", "Stopped") if statuses[status]]
    if statuses["running"]:
        parts.append(f"{statuses['running']} in progress")
    if total > len(runs):
        parts.append(f"{total - len(runs)} waiting")
    training: list[tuple[int, float]] = [
        (watch.progress[run.name].step, watch.progress[run.name].mean_reward)
        for run in runs
        if run.name in watch.progress and not run.job.ended
    ]
    if training:
        low, high = min(step for step, _ in training), max(step for step, _ in training)
        parts.append(f"step {low:,}" + (f" to {high:,}" if high > low else ""))
        worst, best = (pick(reward for _, reward in training) for pick in (min, max))
        parts.append(f"mean reward {worst:.2f}" + (f" to {best:.2f}" if best > worst else ""))
    return " · ".join(parts)
