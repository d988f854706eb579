"""The curve of a job whose results were fetched."""

import json
from pathlib import Path

import pandas as pd

from common.contract import DEFAULT_TRAINER
from reward_curves.events import read_events
from reward_curves.log import read_log
from reward_curves.table import COLUMNS, RewardsError


def read(folder: str | Path) -> pd.DataFrame:
    """Read the curve of a fetched job: its events, and the standard deviations and times of its log.

    ML-Agents logs the time since the trainer's start and opens the event file a moment later, so the log's time is used
    if there is one.

    Parameters
    ----------
    folder : str or Path
        ``results/<job name>``, as `training_jobs.fetch` makes it.

    Warns
    -----
    UserWarning
        As `read_events` does.

    Raises
    ------
    RewardsError
        As `read_events` does; if the job never began to train, or if `training.json` is damaged.
    """
    folder = Path(folder)
    path = folder / "training.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        run_id, reason = record["run_id"], record.get("reason", "")
        if not isinstance(run_id, (str, type(None))):
            raise TypeError("run_id is not text")
        if run_id is not None and ("/" in run_id or not run_id.isprintable()):
            raise ValueError("run_id is not the name of a folder")
    except FileNotFoundError:
        raise RewardsError(f"Expected training.json in {folder}, found none: the job ended before it began.") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RewardsError(
            f"Expected the record of a training in {path}, but it cannot be read ({type(error).__name__}: {error})."
        ) from None
    if run_id is None:
        raise RewardsError(f"The job of {folder} never began to train: {reason}")
    events = read_events(folder / "summaries", run_id, str(record.get("mlagents", DEFAULT_TRAINER)))
    log = folder / "log.txt"
    if not log.is_file():
        return events
    return _join(events, read_log(log.read_text(errors="replace").splitlines()))


def _join(events: pd.DataFrame, logged: pd.DataFrame) -> pd.DataFrame:
    """Add the values that only the log has: standard deviations, and the time since the trainer's start."""
    logged = logged[["brain", "step", "std_reward", "elapsed", "attempt"]]
    logged = logged.rename(columns={"elapsed": "logged", "attempt": "logged_attempt"})
    joined = events.drop(columns="std_reward").merge(logged, on=["brain", "step"], how="left")
    for _, rows in joined.groupby("brain"):
        known = rows[rows["logged"].notna()].head(1)
        # The log begins with its job, the events with the job that it continues.
        began = known[known["attempt"] > known["logged_attempt"]]
        times = rows["logged"] + (began["elapsed"] - began["logged"]).sum()
        # A summary that is not in the log, because no episode ended, is shifted like its neighbours.
        late = (times - rows["elapsed"]).groupby(rows["attempt"]).transform(lambda own: own.ffill().bfill())
        joined.loc[rows.index, "elapsed"] = times.fillna(rows["elapsed"] + late.fillna(0))
    joined = joined.drop(columns=["logged", "logged_attempt"])
    joined = joined[COLUMNS + [column for column in joined if column not in COLUMNS]]
    joined.attrs.update(events.attrs)
    return joined
