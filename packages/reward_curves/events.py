"""Curves from TensorBoard's event files, as ML-Agents writes them."""

from __future__ import annotations

import glob
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from common.brain_names import brain_of
from common.contract import DEFAULT_TRAINER, TRAINERS
from reward_curves.table import Curve, RewardsError, make, name_field

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

EPISODE = "Environment/"  # every summary of ML-Agents has a tag with this prefix
LESSON = "Environment/Lesson Number/"  # followed by a parameter; 0.11.0 has one lesson for all of them
ATTEMPT = re.compile("attempt ([0-9]{1,9})")
OWN = ("brain", "attempt", "step", "elapsed")  # columns that no tag may fill
FRAME = 16  # bytes of a record's length and its two checksums


def read_events(folder: str | Path, run_id: str, trainer: str = DEFAULT_TRAINER) -> pd.DataFrame:
    """Read a curve, with all its scalars, from the event files below a folder.

    Parameters
    ----------
    folder : str or Path
        A run's `summaries/`, in which each brain has a folder ``<run id>_<brain>``. For a brain ``A/Red`` plain
        ML-Agents makes nested folders, a job of this project encodes the name.
    run_id : str
        The run's name there.
    trainer : str
        The version of ML-Agents that wrote them, which decides what a step is; an unknown one counts as the default.

    Returns
    -------
    pandas.DataFrame
        See `reward_curves.table`; of a truncated event file, the complete part.

    Warns
    -----
    UserWarning
        If a file is truncated, and where; if a brain wrote no summary, or none of its episodes ended.

    Raises
    ------
    RewardsError
        If there is no event file, none holds a summary, or they are another program's.
    """
    files = sorted(Path(folder).glob(f"{glob.escape(run_id)}_*/**/events.out.tfevents.*"))
    if not files:
        raise RewardsError(
            f"Expected TensorBoard event files in {folder}/{run_id}_<brain>/, found none. Has the run started?"
        )
    curves: dict[str, Curve] = {}
    foreign: set[str] = set()
    for file in _in_order(files):
        brain = brain_of(file.parent.relative_to(folder).as_posix().removeprefix(f"{run_id}_"))
        foreign |= _read_file(file, curves.setdefault(brain, Curve(brain)))
    if not any(curve.rows for curve in curves.values()):
        if foreign:
            raise RewardsError(
                f"Expected summaries of ML-Agents below {folder}, found those of another program: "
                f"{', '.join(sorted(foreign)[:5])}."
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
    return make(curves.values(), trainer if trainer in TRAINERS else DEFAULT_TRAINER)


def _in_order(files: list[Path]) -> list[Path]:
    """Sort event files, one for each attempt, in the order in which they were written.

    Their names hold the time, but clocks of two machines may differ; container/train counts the attempts.
    """
    numbers = {file: _attempt(file) for file in files}
    if None in numbers.values():
        return files  # not all written by container/train: by name
    return sorted(files, key=lambda file: (numbers[file], file))


def _attempt(file: Path) -> int | None:
    """Return the number of an event file's attempt, 0 for the first; None if the run was resumed without a number."""
    from tensorboard.compat.proto.event_pb2 import SessionLog

    for event, _ in islice(_events(file), 2):  # the file's version, and its beginning
        if event.session_log.status == SessionLog.START:
            found = ATTEMPT.fullmatch(event.session_log.msg)
            return int(found[1]) if found else None
    return 0


def _read_file(file: Path, curve: Curve) -> set[str]:
    """Add a file's summaries to a curve; return the tags that are not from ML-Agents."""
    # TensorBoard's modules take half a second to import, and reading a log does not need them.
    from tensorboard.compat.proto.event_pb2 import SessionLog

    foreign: set[str] = set()
    started = None
    complete = step = 0
    for events in _summaries(file):
        event = events[0][0]
        complete += sum(size + FRAME for _, size in events)
        started = event.wall_time if started is None else started
        if event.session_log.status == SessionLog.START:  # container/train writes it where a run is resumed
            curve.resume(event.step - 1)
        values = {
            value.tag: value.simple_value
            for event, _ in events
            for value in event.summary.value
            if value.WhichOneof("value") == "simple_value"
        }
        if any(tag.startswith(EPISODE) for tag in values):
            scalars = {name: value for name, value in _name_fields(values).items() if name not in OWN}
            curve.add(event.step, event.wall_time - started, scalars)
            step = event.step
        else:
            foreign |= set(values)
    if complete < (size := file.stat().st_size):
        warnings.warn(
            f"{file.parent.name}/{file.name} ends after step {step:,}, at byte {complete:,} of {size:,}. The rest "
            "is not shown: it is damaged, or still being written.",
            stacklevel=3,
        )
    return foreign


def _name_fields(values: Mapping[str, float]) -> dict[str, float]:
    """Return the scalars of a summary by column."""
    lessons = {tag.removeprefix(LESSON): value for tag, value in values.items() if tag.startswith(LESSON)}
    fields = {name_field(tag): value for tag, value in values.items() if not tag.startswith(LESSON)}
    if len(lessons) > 1:
        fields |= {name_field(f"lesson {parameter}"): value for parameter, value in lessons.items()}
    return fields | ({"lesson": sum(lessons.values())} if lessons else {})


def _summaries(file: Path) -> Iterator[list[tuple[Event, int]]]:
    """Yield the events of a file as `_events` does, but those of one summary together.

    ML-Agents 0.11.0 writes one event with all scalars, 1.1.0 an event for each scalar.
    """
    alone = count(-1, -1)

    def summary(item: tuple[Event, int]) -> int:
        return item[0].step if len(item[0].summary.value) == 1 else next(alone)

    for _, events in groupby(_events(file), summary):
        yield list(events)


def _events(file: Path) -> Iterator[tuple[Event, int]]:
    """Yield the events of a file and the size of each in bytes, up to the first that is incomplete or damaged."""
    from google.protobuf.message import DecodeError
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    # The length of a damaged record may be any number.
    with suppress(DecodeError, OverflowError, MemoryError):
        for record in RawEventFileLoader(str(file)).Load():
            yield Event.FromString(record), len(record)
