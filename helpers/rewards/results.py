"""The curve of a job whose results were fetched."""

import json
from pathlib import Path

import pandas as pd

from helpers.rewards.events import read_events
from helpers.rewards.log import read_log
from helpers.rewards.table import COLUMNS, RewardsError


def read(folder: str | Path) -> pd.DataFrame:
    """Read the curve of a fetched job: its events, and the deviations of its log.

    Parameters
    ----------
    folder : str or Path
        ``results/<job name>``, as `helpers.results.fetch` makes it.

    Raises
    ------
    RewardsError
        As `read_events` does, or if the job never began to train.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / "training.json").read_text())
    except FileNotFoundError:
        raise RewardsError(f"Expected training.json in {folder}, found none: the job ended before it began.") from None
    if record["run_id"] is None:
        raise RewardsError(f"The job of {folder} never began to train: {record['reason']}")
    events = read_events(folder / "summaries", record["run_id"])
    log = folder / "log.txt"
    if not log.is_file():
        return events
    logged = read_log(log.read_text(errors="replace").splitlines())
    joined = events.drop(columns="std_reward").merge(
        logged[["brain", "step", "std_reward"]], on=["brain", "step"], how="left"
    )
    return joined[COLUMNS + [column for column in joined if column not in COLUMNS]]
