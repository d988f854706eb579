"""Show a tuning job while it runs."""

import functools
import time

from common import bar
from common.aws_session import Connection
from many_runs.tuning.job import Training, Tuning, TuningError, describe, find, find_trainings
from training_jobs import cost
from training_jobs.live import clock
from training_jobs.patience import POLL_SECONDS, Patience

FORMAT = "{percentage:3.0f}% |{bar:20}| {desc}"


def follow(connection: Connection, name: str = "", *, poll_seconds: float = POLL_SECONDS) -> Tuning:
    """Show a tuning job while it runs, and return it when it has ended.

    Interrupting (Ctrl-C, or the stop button) ends the showing alone: the trainings go on, and this says how to follow
    or stop them. Each look is one call for the tuning job and one for each hundred of its trainings.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest tuning job.
    poll_seconds : float
        Time between two looks, in seconds.

    Raises
    ------
    TuningError
        If there is no such tuning job, or its target stops answering.
    """
    tuning = find(connection, name)
    price, _ = cost.find_price(connection, tuning.instance_type)
    view = bar.make(total=tuning.most_trainings or None, bar_format=FORMAT, dynamic_ncols=True)
    patience, gone = Patience(connection, poll_seconds), functools.partial(_lost, connection, tuning)
    try:
        while True:
            with patience.asking(gone):
                # First the tuning job: what has ended by then has ended in the list that is asked for after it, too.
                tuning = describe(connection, tuning.name)
                told = summarise(tuning, find_trainings(connection, tuning.name), connection, price)
                view.n = tuning.done
                view.set_description_str(told, refresh=False)
                view.refresh()
            if tuning.ended:
                break
            time.sleep(patience.pause)
    except KeyboardInterrupt:
        billed = "" if connection.endpoint else ", and are billed"
        print(
            f"\nNo longer following. {tuning.name} and its trainings go on{billed}. To follow it again, set\n"
            f'    tuning_name = "{tuning.name}"\nTo stop it and keep what its trainings learned:\n'
            f'    tuning.stop(connection, "{tuning.name}")'
        )
    finally:
        view.close()
    return tuning


def summarise(tuning: Tuning, trainings: list[Training], connection: Connection, price: cost.Price | None) -> str:
    """Return what stands behind the bar: how far it is, the best so far, the time of all trainings, and its cost."""
    told = [tuning.status, f"{tuning.done} of {tuning.most_trainings} trainings"]
    if running := tuning.counts.get("InProgress", 0):
        told.append(f"{running} running")
    if tuning.failed:
        told.append(f"{tuning.failed} failed")
    if tuning.best_objective is not None:
        told.append(f"best {tuning.metric} {tuning.best_objective:.2f}")
    seconds = sum(training.seconds for training in trainings)
    told.append(clock(seconds))
    if price:
        money = "USD on AWS" if connection.endpoint else "USD"
        told.append(f"{seconds / 3600 * price.usd_per_hour:.3f} {money}")
    return " · ".join(told)


def _lost(connection: Connection, tuning: Tuning, why: str) -> TuningError:
    if connection.endpoint:
        return TuningError(why)
    return TuningError(
        f"{why} {tuning.name} and its trainings go on, and are billed meanwhile. To follow it again, set\n"
        f'    tuning_name = "{tuning.name}"\nTo stop it and keep what its trainings learned:\n'
        f'    tuning.stop(connection, "{tuning.name}")'
    )
