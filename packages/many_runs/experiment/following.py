"""Show an experiment while its runs train: one bar for all of them."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import AbstractContextManager

from common import bar
from common.aws_session import Connection
from many_runs.experiment.runs import Experiment, find, find_newest
from many_runs.experiment.watch import Watch
from training_jobs import cost
from training_jobs.job import TrainingError
from training_jobs.patience import POLL_SECONDS, Patience

FORMAT = "{percentage:3.0f}% |{bar:20}| {desc}"


def follow_many(connection: Connection, experiment: str = "", *, poll_seconds: float = POLL_SECONDS) -> Experiment:
    """Show an experiment until all of its runs have ended, and return it.

    Interrupting (Ctrl-C, or the stop button) ends the showing alone: the runs go on.

    Parameters
    ----------
    connection : Connection
    experiment : str
        Its name; empty for the newest.
    poll_seconds : float
        Time between two looks, in seconds.

    Raises
    ------
    TrainingError
        If there is no such experiment, or its target stops answering.
    """
    experiment = experiment or find_newest(connection)
    watch = Watch(connection, experiment)
    if not watch.runs:
        return find(connection, experiment)  # which says so
    view = View(connection, watch, poll_seconds)
    try:
        while True:
            pause = view.look()
            view.show(len(watch.experiment.runs))
            if not watch.running:
                break
            time.sleep(pause)
    except KeyboardInterrupt:
        print(interrupted(connection, watch, "No longer following."))
    finally:
        view.close()
    return watch.experiment


def interrupted(connection: Connection, watch: Watch, what: str, more: str = "") -> str:
    """Say what goes on after Ctrl-C, and how to come back to it."""
    billed = "" if connection.endpoint else ", and are billed"
    return (
        f"\n{what} {len(watch.running)} runs of {watch.name} go on{billed}.{more} To follow them again:\n"
        f'    training.follow_many(connection, "{watch.name}")\nTo stop them all, and keep their models:\n'
        f'    training.stop_many(connection, "{watch.name}")'
    )


class View:
    """The bar, and the patience that looking takes."""

    def __init__(self, connection: Connection, watch: Watch, poll_seconds: float):
        self.connection, self.watch = connection, watch
        self._bar = bar.make(total=1, bar_format=FORMAT, leave=True)
        self._patience = Patience(connection, poll_seconds)
        self._prices: dict[str, float | None] = {}
        self.note = ""

    def look(self, more: str = "") -> float:
        """Look once, and return for how long to wait before the next look, in seconds. See `asking`."""
        with self.asking(more):
            self.watch.look()
        return self._patience.pause

    def asking(self, more: str = "") -> AbstractContextManager[None]:
        """Bear with a target that does not answer for a while.

        Parameters
        ----------
        more : str
            What to say besides where that takes too long.

        Raises
        ------
        TrainingError
            If it has not answered for too long.
        """
        return self._patience.asking(lambda why: lost(self.connection, self.watch, why, more))

    def show(self, total: int) -> None:
        """Show how far the experiment is, of so many runs in all."""
        self._bar.total = max(total, 1)
        self._bar.n = min(measure(self.watch), self._bar.total)
        told = describe(self.watch, total)
        usd = self._count_usd()
        if usd is not None:
            told += f" · {usd:.3f} USD{' on AWS' if self.connection.endpoint else ''}"
        self._bar.set_description_str(f"{told}{self.note}", refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """Leave the bar as it stands."""
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
    """Return an instance's price of an hour, asked for once."""
    if instance_type not in known:
        price, _ = cost.find_price(connection, instance_type)
        known[instance_type] = price.usd_per_hour if price else None
    return known[instance_type]


def measure(watch: Watch) -> float:
    """Return how many runs are done, those that train by their share of ``max_steps``."""
    done = 0.0
    for run in watch.experiment.runs:
        steps = number(run.job.hyperparameters.get("max_steps"))
        if run.job.ended:
            done += 1
        elif steps and run.name in watch.progress:
            done += min(1.0, watch.progress[run.name].step / steps)
    return done


def number(text: str | None) -> float:
    """Read a hyperparameter that is a number; 0 if it is none."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def describe(watch: Watch, total: int) -> str:
    """Say in a line how far an experiment is."""
    runs = watch.experiment.runs
    statuses = Counter(run.job.status if run.job.ended else "running" for run in runs)
    ended = len(runs) - statuses["running"]
    told = [f"{ended} of {total} runs ended"]
    told += [f"{statuses[status]} {status.lower()}" for status in ("Failed", "Stopped") if statuses[status]]
    if statuses["running"]:
        told.append(f"{statuses['running']} in progress")
    if total > len(runs):
        told.append(f"{total - len(runs)} waiting")
    living: list[tuple[int, float]] = [
        (watch.progress[run.name].step, watch.progress[run.name].mean_reward)
        for run in runs
        if run.name in watch.progress and not run.job.ended
    ]
    if living:
        low, high = min(step for step, _ in living), max(step for step, _ in living)
        told.append(f"step {low:,}" + (f" to {high:,}" if high > low else ""))
        worst, best = (pick(reward for _, reward in living) for pick in (min, max))
        told.append(f"mean reward {worst:.2f}" + (f" to {best:.2f}" if best > worst else ""))
    return " · ".join(told)


def lost(connection: Connection, watch: Watch, why: str, more: str) -> TrainingError:
    """Return the error that an experiment can't be followed."""
    if connection.endpoint:
        return TrainingError(why + more)
    return TrainingError(
        f"{why} {len(watch.running)} runs of {watch.name} go on, and are billed meanwhile.{more} To follow them again:"
        f'\n    training.follow_many(connection, "{watch.name}")\nTo stop them all, and keep their models:\n'
        f'    training.stop_many(connection, "{watch.name}")'
    )
