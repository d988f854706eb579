"""Show a job while it runs."""

import functools
import re
import time
from dataclasses import replace

import reward_curves as rewards
from common.aws_session import Connection
from training_jobs import cost, live
from training_jobs.job import Job, TrainingError, describe
from training_jobs.log import Log
from training_jobs.patience import POLL_SECONDS, Patience

END = re.compile(r"train: (?:completed|stopped)\. (.+)")


def follow(connection: Connection, name: str = "", *, poll_seconds: float = POLL_SECONDS) -> Job:
    """Show a job while it runs, and return it when it has ended.

    Interrupting (Ctrl-C, or the stop button) ends the showing alone: the job goes on, and this says how to follow or
    stop it.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest job.
    poll_seconds : float
        Time between two looks, in seconds.

    Raises
    ------
    TrainingError
        If there is no such job, or its target stops answering.
    """
    patience = Patience(connection, poll_seconds)
    job = patience.ask(lambda: describe(connection, name), lambda why: lost(connection, name, why))
    gone = functools.partial(lost, connection, job.name)
    price, _ = patience.ask(lambda: cost.find_price(connection, job.instance_type), gone)
    log, reader = Log(connection, job.name), rewards.LogReader()
    view = live.view(price.usd_per_hour if price else None, "USD on AWS" if connection.endpoint else "USD")
    try:
        while True:
            seen = len(log.lines)
            with patience.asking(gone):
                job = describe(connection, job.name)
                log.read()
            reader.feed(log.lines[seen:])
            view.update(job, log.lines[seen:], reader.table())
            if job.ended:
                job = replace(job, reason=_reason(log.lines))
                break
            time.sleep(patience.pause)
    except KeyboardInterrupt:
        billed = "" if connection.endpoint else ", and is billed"
        print(
            f"\nNo longer following. {job.name} goes on running{billed}. To follow it again, set\n"
            f'    job_name = "{job.name}"\nTo stop it and keep its model:\n'
            f'    training.stop(connection, "{job.name}")'
        )
    finally:
        view.close()
    return job


def _reason(lines: list[str]) -> str:
    """Return what `train` said last of an end that is no failure; empty where it said nothing."""
    ends = [found[1] for line in lines if (found := END.match(line))]
    return ends[-1] if ends else ""


def lost(connection: Connection, name: str, why: str) -> TrainingError:
    """Return the error that a job can't be followed; `name` is empty where the newest was asked for."""
    if connection.endpoint:
        return TrainingError(why)
    if not name:
        return TrainingError(f"{why} A job that runs goes on, and is billed.")
    return TrainingError(
        f'{why} {name} goes on, and is billed meanwhile. To follow it again, set\n    job_name = "{name}"\n'
        f'To stop it and keep its model:\n    training.stop(connection, "{name}")'
    )
