"""CloudWatch Logs of jobs, in moto: log streams that are read from the jobs' folders, and fast pagination."""

from __future__ import annotations

import contextlib
import ctypes
import json
import re
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogEvent, LogGroup, LogStream, logs_backends
from moto.logs.utils import EventMessageFilter

from sagemaker_local.record import Record
from sagemaker_local.transfer import open_inside

GROUP = "/aws/sagemaker/TrainingJobs"
SCANNED = 50_000
"""Events that one page of FilterLogEvents scans."""
HELD = 20_000
"""Events of a log stream that are held in memory."""
BATCH_EVENTS = 5_000  # CloudWatch takes 10,000
EVENTS, STREAMS = "events.jsonl", "streams.json"
"""Files in a job's folder, for the next server: the events that were sent, and the description of the streams."""

_making = threading.Lock()


def make_stream(logs: BaseClient, stream: str, group: str = GROUP) -> None:
    """Create a log stream, and the log group if it does not exist.

    The lock protects moto, which loses streams when two threads create the group at the same time.
    """
    with _making:
        _ignore("ResourceAlreadyExistsException", logs.create_log_group, logGroupName=group)
    _ignore("ResourceAlreadyExistsException", logs.create_log_stream, logGroupName=group, logStreamName=stream)


def _ignore(code: str, call: Callable[..., Any], **request: str) -> None:
    """Make a call, and ignore an error with `code`.

    The code is compared, not the class: botocore creates a client's `exceptions` on first use and without a lock, so
    the class that one thread catches may differ from the one that another raises.
    """
    try:
        call(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise


class Batch(NamedTuple):
    """What a line of `EVENTS` says before its events, and the line's offset in the file."""

    logStreamName: str  # noqa: N815  as in a request
    count: int
    first: int
    last: int
    characters: int
    place: int = 0


class StoredEvents(Sequence):
    """The events of one log stream: the newest in memory, the others read from the job's folder in batches.

    An event that can no longer be read has an empty message; no other event has one.
    """

    def __init__(self, folder: Path, stream: str):
        self.folder, self.stream = folder, stream
        self.lock = threading.Lock()
        self.found, self.scanned = [], 0
        # Batches on disk, the index of each one's first event (and of the end), events in memory: replaced together.
        self.state: tuple[list[Batch], list[int], list[LogEvent]] = [], [0], []

    def __len__(self) -> int:
        _, starts, held = self.state
        return starts[-1] + len(held)

    def __iadd__(self, events: list[LogEvent]) -> StoredEvents:
        self.state[2].extend(events)
        if len(self.state[2]) > HELD:
            self.release()
        return self

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return self[(place := range(len(self))[index]) : place + 1][0]
        batches, starts, held = self.state
        begin, end, _ = index.indices(starts[-1] + len(held))
        found: list[LogEvent] = []
        while begin < min(end, starts[-1]):
            number = bisect_right(starts, begin) - 1
            found += _read(self, batches[number])[begin - starts[number] : end - starts[number]]
            begin = starts[number + 1]
        return found + held[max(0, begin - starts[-1]) : max(0, end - starts[-1])]

    def release(self) -> None:
        """Drop all events from memory, unless some could not be written to disk."""
        with self.lock:
            found, self.scanned = _find_batches(self.folder, self.scanned)
            self.found = [*self.found, *found.get(self.stream, ())]
            starts = list(accumulate((batch.count for batch in self.found), initial=0))
            if starts[-1] >= len(self):
                self.state = self.found, starts, []


@lru_cache(maxsize=4)
def _read(events: StoredEvents, batch: Batch) -> list[LogEvent]:
    found = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError), open_inside(events.folder, EVENTS) as file:
        file.seek(batch.place)
        found = [
            LogEvent(batch.last, {"timestamp": int(event["timestamp"]), "message": str(event["message"])})
            for event in json.loads(file.readline())["logEvents"]
        ]
    missing = LogEvent(batch.last, {"timestamp": batch.last, "message": ""})
    return found[: batch.count] + [missing] * (batch.count - len(found))


class EndedStream(LogStream):
    """A log stream of a job that has ended, possibly under an earlier server; description and events are on disk."""

    def __init__(self, group: LogGroup, name: str, description: dict[str, Any], folder: Path):
        super().__init__(group, name)
        self.description, self.folder = {"arn": self.arn, **description}, folder
        self.stored_bytes = description["storedBytes"]
        del self.events

    @cached_property
    def events(self) -> StoredEvents:
        """Its events, found on first access."""
        events = StoredEvents(self.folder, self.log_stream_name)
        events.release()
        return events

    def to_describe_dict(self) -> dict[str, Any]:
        """Return its entry in DescribeLogStreams."""
        return dict(self.description)


# moto keeps every object that was ever created, for its own dashboard.
LogEvent.instances_tracked = LogStream.instances_tracked = EndedStream.instances_tracked = deque(maxlen=0)


def show(job: Record) -> None:
    """Add the log streams of a job that an earlier server ran to CloudWatch Logs."""
    group = get_group(job.region)
    for name, description in _describe_streams(job).items():
        if name not in group.streams:
            group.streams[name] = EndedStream(group, name, description, job.folder)


def release(job: Record) -> None:
    """Drop the log of a job that has ended from memory."""
    for name in job.streams:
        if (stream := get_group(job.region).streams.get(name)) and isinstance(stream.events, StoredEvents):
            stream.events.release()
    with contextlib.suppress(AttributeError, OSError):  # only glibc keeps freed memory
        ctypes.CDLL(None).malloc_trim(0)


def filter_log_events(
    group: LogGroup,
    log_group_name: str,
    log_stream_names: list[str],
    start_time: int,
    end_time: int,
    limit: int | None,
    next_token: str | None,
    filter_pattern: str,
    interleaved: bool,
) -> tuple[list[dict[str, Any]], str | None, list[dict[str, Any]]]:
    """Implement FilterLogEvents; moto's own version scans every event of the group for every page.

    As on AWS, a page scans at most `SCANNED` events, so it may be empty although another follows. Streams are sorted
    by name; `start_time` is found by bisection, because events are written in the order of time.
    """
    chosen, matches = set(log_stream_names or ()), EventMessageFilter(filter_pattern).matches
    first, _, place = (next_token or "").partition("@")
    names = sorted(name for name in list(group.streams) if (not chosen or name in chosen) and name >= first)
    page: list[dict[str, Any]] = []
    left, token = SCANNED, None
    for name in names:
        if not (stream := group.streams.get(name)):
            continue  # deleted just now
        events, begin, end = _find_events(stream, start_time, end_time)
        begin = max(begin, int(place)) if name == first and place.isdigit() else begin
        for index, event in _walk(events, begin, end):
            if not left or len(page) == (limit or 10_000):
                token = f"{name}@{index}"
                break
            left -= 1
            if event.message and matches(event.message):
                identity = {"eventId": f"{crc32(name.encode()):010d}{index:046d}", "logStreamName": name}
                page.append({**event.to_filter_dict(), **identity})
        if token:
            break
    if interleaved:
        page.sort(key=lambda event: event["timestamp"])
    return page, token, [{"logStreamName": name, "searchedCompletely": token is None} for name in names]


def get_log_events(
    stream: LogStream, start_time: int, end_time: int, limit: int | None, next_token: str | None, start_from_head: bool
) -> tuple[list[dict[str, Any]], str, str]:
    """Implement GetLogEvents; moto's own version sorts all events of the stream for every page."""
    events, first, after = _find_events(stream, start_time, end_time)
    limit = limit or 10_000
    if next_token and not re.fullmatch(r"[fb]/-?\d{1,60}", next_token):
        raise InvalidParameterException("The specified nextToken is invalid.")
    if (next_token or "b")[0] == "f" or (not next_token and start_from_head):
        begin = min(max(first, int(next_token[2:]) + 1 if next_token else first), after)
        end = min(begin + limit, after)
    else:
        end = max(first, min(after, int(next_token[2:]) if next_token else after))
        begin = max(first, end - limit)
    page = [event.to_response_dict() for event in events[begin:end] if event.message]
    return page, f"b/{begin:056d}", f"f/{end - 1:056d}"


def update(stream: LogStream) -> None:
    """Set a stream's first and last time; moto's own version scans all events whenever the stream is described."""
    if stream.events:
        events, _, _ = _find_events(stream, None, None)
        stream.first_event_timestamp, stream.last_event_timestamp = events[0].timestamp, events[-1].timestamp


def _find_events(stream: LogStream, start: int | None, end: int | None) -> tuple[Sequence[LogEvent], int, int]:
    """Return a stream's events in the order of time, and the first and last index for `start` to `end`."""
    events = stream.events
    if stream.log_group.name != GROUP:  # events of other groups may be out of order
        events = sorted(events, key=_get_time)
    last = bisect_right(events, end, key=_get_time) if end else len(events)
    return events, bisect_left(events, start or 0, hi=last, key=_get_time) if start else 0, last


def _walk(events: Sequence[LogEvent], begin: int, end: int) -> Iterator[tuple[int, LogEvent]]:
    for place in range(begin, end, 1_000):
        yield from enumerate(events[place : min(end, place + 1_000)], place)


def _get_time(event: LogEvent) -> int:
    return event.timestamp


LogGroup.filter_log_events, LogStream.get_log_events, LogStream._update = filter_log_events, get_log_events, update


def remove(names: Iterable[str], region: str) -> None:
    """Remove log streams from CloudWatch Logs."""
    for name in names:
        get_group(region).streams.pop(name, None)


def get_group(region: str) -> LogGroup:
    """Return moto's log group of jobs, created if it is missing."""
    backend = logs_backends[DEFAULT_ACCOUNT_ID][region]
    return backend.groups.get(GROUP) or backend.create_log_group(GROUP, {})


def _describe_streams(job: Record) -> dict[str, dict[str, Any]]:
    """Return a job's entries in DescribeLogStreams, derived from the events if the job's server was killed."""
    with contextlib.suppress(OSError, ValueError, AttributeError), open_inside(job.folder, STREAMS) as file:
        return {name: description for name, description in json.load(file).items() if _is_own(job, name, description)}
    return {
        name: {
            "logStreamName": name,
            "creationTime": batches[0].first,
            "firstEventTimestamp": batches[0].first,
            "lastEventTimestamp": batches[-1].last,
            "lastIngestionTime": batches[-1].last,
            "storedBytes": sum(batch.characters for batch in batches),
            "uploadSequenceToken": str(len(batches)),
        }
        for name, batches in _find_batches(job.folder)[0].items()
        if name.startswith(f"{job.name}/")
    }


def _is_own(job: Record, name: str, description: dict[str, Any]) -> bool:
    """Return whether a description can be of this job; its program may have changed the file."""
    numbers = (
        (description["storedBytes"], description.get("lastEventTimestamp", 0))
        if "storedBytes" in description
        else (None,)
    )
    return name.startswith(f"{job.name}/") and all(isinstance(number, int) for number in numbers)


def describe_batch(logStreamName: str, logEvents: list[dict[str, Any]]) -> Batch:  # noqa: N803  as in a request
    """Describe the events of a request, as a line of `EVENTS` begins."""
    characters = sum(len(event["message"]) for event in logEvents)
    return Batch(logStreamName, len(logEvents), logEvents[0]["timestamp"], logEvents[-1]["timestamp"], characters)


def _find_batches(folder: Path, place: int = 0) -> tuple[dict[str, list[Batch]], int]:
    """Return the batches in a job's `EVENTS` from an offset on, by stream, and the offset of the end."""
    found: dict[str, list[Batch]] = {}
    with contextlib.suppress(OSError), open_inside(folder, EVENTS) as file:
        file.seek(place)
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):  # truncated by the server's end
                head, _, _ = line.partition(b', "logEvents": ')
                fields = list(json.loads(head + b"}").values())
                batch = Batch(fields[0], *map(int, fields[1:])) if fields[1:] else describe_batch(**json.loads(line))
                if line.endswith(b"\n") and 0 < batch.count <= BATCH_EVENTS:
                    found.setdefault(batch.logStreamName, []).append(batch._replace(place=place))
            place += len(line)
    return found, place


def find_streams(region: str, group: str, prefix: str) -> list[str]:
    """Return the names of a group's log streams that begin with `prefix`; none if there is no such group."""
    found = logs_backends[DEFAULT_ACCOUNT_ID][region].groups.get(group)
    return [name for name in list(found.streams) if name.startswith(prefix)] if found else []


def set_creation(group: str, region: str, when: float) -> None:
    """Set the creation time of a log group, for which the API has no call."""
    created = datetime.fromtimestamp(when, timezone.utc).replace(tzinfo=None)  # moto's times are naive UTC
    logs_backends[DEFAULT_ACCOUNT_ID][region].groups[group].creation_time = created
