"""Curves from TensorBoard's event files, as ML-Agents 0.11.0 writes them."""

from __future__ import annotations

import glob
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from common.brain_names import brain_of
from reward_curves.table import Curve, RewardsError, make, name_field

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

EPISODE = "Environment/"  # every summary of ML-Agents has a tag that begins so
ATTEMPT = re.compile("attempt ([0-9]{1,9})")
OWN = ("brain", "attempt", "step", "elapsed")  # columns that no tag may fill
FRAME = 16  # bytes of a record's length and its two checksums


def read_events(folder: str | Path, run_id: str) -> pd.DataFrame:
    """Read a curve, with every scalar of it, from the event files below a folder.

    Parameters
    ----------
    folder : str or Path
        A run's `summaries/`, in which each brain has a folder ``<run id>_<brain>``. Plain ML-Agents makes folders in
        it of a brain ``A/Red``, a job here encodes the name.
    run_id : str
        The run's name there.

    Returns
    -------
    pandas.DataFrame
        See `reward_curves.table`; of an event file that breaks off, what is whole.

    Warns
    -----
    UserWarning
        If a file breaks off, and where; if a brain wrote no summary, or none of its episodes ended.

    Raises
    ------
    RewardsError
        If there is no event file, none of them holds a summary, or they are another program's.
    """
    files = sorted(Path(folder).glob(f"{glob.escape(run_id)}_*/**/events.out.tfevents.*"))
    if not files:
        raise RewardsError(
            f"Expected TensorBoard event files in {folder}/{run_id}_<brain>/, found none. Has the run started?"
        )
    curves: dict[str, Curve] = {}
    strange: set[str] = set()
    for file in _in_order(files):
        brain = brain_of(file.parent.relative_to(folder).as_posix().removeprefix(f"{run_id}_"))
        strange |= _read_file(file, curves.setdefault(brain, Curve(brain)))
    if not any(curve.rows for curve in curves.values()):
        if strange:
            raise RewardsError(
                f"Expected summaries of ML-Agents below {folder}, found those of another program: "
                f"{', '.join(sorted(strange)[:5])}."
            )
        raise RewardsError(f"The event files below {folder} hold no summary yet: the first comes after summary_freq.")
    if idle := sorted(brain for brain, curve in curves.items() if not curve.rows):
        warnings.warn(f"No summary of {', '.join(idle)}: never trained, or not for summary_freq steps.", stacklevel=2)
    if endless := sorted(
        curve.brain for curve in curves.values() if curve.rows and not any("mean_reward" in row for row in curve.rows)
    ):
        warnings.warn(
            f"No episode of {', '.join(endless)} ended, so there is no mean reward: train longer, or make episodes "
            "shorter (Max Step of the Agent in Unity).",
            stacklevel=2,
        )
    return make(curves.values())


def _in_order(files: list[Path]) -> list[Path]:
    """Sort event files, an attempt each, as they were written.

    Their names hold the time of day, which a second machine may have otherwise; container/train counts the attempts.
    """
    numbers = {file: _attempt(file) for file in files}
    if None in numbers.values():
        return files  # not all written by container/train: by name
    return sorted(files, key=lambda file: (numbers[file], file))


def _attempt(file: Path) -> int | None:
    """Give the number of an event file's attempt, 0 for the first; None where a run goes on and nothing tells."""
    from tensorboard.compat.proto.event_pb2 import SessionLog

    for event, _ in islice(_events(file), 2):  # the file's version, and its beginning
        if event.session_log.status == SessionLog.START:
            found = ATTEMPT.fullmatch(event.session_log.msg)
            return int(found[1]) if found else None
    return 0


def _read_file(file: Path, curve: Curve) -> set[str]:
    """Add what a file holds to a curve; return the tags of events that are not ML-Agents'."""
    # TensorBoard's modules take half a second to import; whoever only reads a log does without.
    from tensorboard.compat.proto.event_pb2 import SessionLog

    strange: set[str] = set()
    started = None
    whole = step = 0
    for event, size in _events(file):
        whole += size + FRAME
        started = event.wall_time if started is None else started
        if event.session_log.status == SessionLog.START:  # written by container/train where a run goes on
            curve.resume(event.step - 1)
        values = {value.tag: value.simple_value for value in event.summary.value if not value.HasField("tensor")}
        if any(tag.startswith(EPISODE) for tag in values):
            scalars = {name_field(tag): value for tag, value in values.items()}
            scalars = {name: value for name, value in scalars.items() if name not in OWN}
            curve.add(event.step, event.wall_time - started, scalars)
            step = event.step
        else:
            strange |= set(values)
    if whole < (size := file.stat().st_size):
        warnings.warn(
            f"{file.parent.name}/{file.name} breaks off after step {step:,}, at byte {whole:,} of {size:,}. What "
            "follows is not shown: it is spoilt, or still being written.",
            stacklevel=3,
        )
    return strange


def _events(file: Path) -> Iterator[tuple[Event, int]]:
    """Yield the events of a file and the bytes of each, up to the first that is not whole, or no event."""
    from google.protobuf.message import DecodeError
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    # A record's length may be any number, and is asked of the file as it is.
    with suppress(DecodeError, OverflowError, MemoryError):
        for record in RawEventFileLoader(str(file)).Load():
            yield Event.FromString(record), len(record)
