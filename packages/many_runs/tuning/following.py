"""Show a tuning job while it runs."""

from collections.abc import Iterable, Mapping
from typing import Any

from common import bar
from common.aws_session import Connection
from many_runs.tuning.job import Tuning, count_seconds, describe, find, list_trainings
from training_jobs import cost
from training_jobs.following import Follower, StatusHint
from training_jobs.live import clock
from training_jobs.polling import POLL_SECONDS

FORMAT = "{percentage:3.0f}% |{bar:20}| {desc}"


def follow(connection: Connection, name: str = "", *, poll_seconds: float = POLL_SECONDS) -> Tuning:
    """Show a tuning job while it runs, and return it when it has ended.

    Interrupting (Ctrl-C, or the stop button) ends only the display: the trainings go on, and a message says how to
    follow or stop them. Each observation is one call for the tuning job and one for each hundred of its trainings.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest tuning job.
    poll_seconds : float
        Time between two observations, in seconds.

    Raises
    ------
    TrainingError
        If there is no such tuning job, or its target stops responding.
    """
    tuning = find(connection, name)
    price, _ = cost.find_price(connection, tuning.instance_type)
    view = bar.make(total=tuning.most_trainings or None, bar_format=FORMAT, dynamic_ncols=True)
    again, stop = (f'tuning.{verb}(connection, "{tuning.name}")' for verb in ("follow", "stop"))
    hint = StatusHint(f"{tuning.name} and its trainings go on", again, stop, many=True)

    def look() -> bool:
        nonlocal tuning
        # The tuning job first: trainings that have ended then have also ended in the list, which is read after it.
        tuning = describe(connection, tuning.name)
        text = summarise(tuning, list_trainings(connection, tuning.name), connection, price)
        view.n = tuning.done
        view.set_description_str(text, refresh=False)
        view.refresh()
        return tuning.ended

    try:
        Follower(connection, lambda: hint, poll_seconds).until(look)
    finally:
        view.close()
    return tuning


def summarise(
    tuning: Tuning, trainings: Iterable[Mapping[str, Any]], connection: Connection, price: cost.Price | None
) -> str:
    """Return the text of the bar: progress, the best value so far, the time of all trainings, and their cost."""
    parts = [tuning.status, f"{tuning.done} of {tuning.most_trainings} trainings"]
    if running := tuning.counts.get("InProgress", 0):
        parts.append(f"{running} running")
    if tuning.failed:
        parts.append(f"{tuning.failed} failed")
    if tuning.best_objective is not None:
        parts.append(f"best {tuning.metric} {tuning.best_objective:.2f}")
    seconds = sum(map(count_seconds, trainings))
    parts.append(clock(seconds))
    if price:
        money = "USD on AWS" if connection.endpoint else "USD"
        parts.append(f"{seconds / 3600 * price.usd_per_hour:.3f} {money}")
    return " · ".join(parts)
