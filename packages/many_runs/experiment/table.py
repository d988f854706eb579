"""The table of an experiment's runs."""

from __future__ import annotations

import pandas as pd

from common.aws_session import Connection
from many_runs.experiment.following import find_usd
from many_runs.experiment.runs import Experiment

COLUMNS = ["settings", "seed", "status", "mean_reward", "step", "training_seconds", "billed_seconds", "usd"]


def tabulate(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return a row for each run.

    The mean reward is the last value that SageMaker read from the log, from one summary. ``billed_seconds`` and
    ``usd``, at the on-demand price, include every launch of the run; on the embedded target they are what AWS would
    charge. Unknown values are NaN.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, then ``launched`` (how often), ``job`` (its name) and ``reason`` (why it failed).
    """
    prices: dict[str, float | None] = {}
    rows = []
    for run in experiment.runs:
        job = run.job
        billed = sum(launch.job.billable_seconds for launch in experiment.launches[run.label])
        price = find_usd(connection, job.instance_type, prices)
        rows.append(
            {
                "settings": run.settings,
                "seed": run.seed,
                "status": job.status,
                "mean_reward": job.metrics.get("mean_reward"),
                "step": job.metrics.get("step"),
                "training_seconds": job.seconds(),
                "billed_seconds": billed,
                "usd": None if price is None else billed / 3600 * price,
                "launched": len(experiment.launches[run.label]),
                "job": job.name,
                "reason": job.failure,
            }
        )
    table = pd.DataFrame(rows, columns=[*COLUMNS, "launched", "job", "reason"])
    numbers = dict.fromkeys(("mean_reward", "step", "training_seconds", "usd"), float)
    return table.astype(numbers).astype({"step": "Int64"})
