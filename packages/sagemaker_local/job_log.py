"""Follows a job's output: copies it to ``log.txt`` and CloudWatch Logs, and extracts the metrics."""

from __future__ import annotations

import json
import logging
import math
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import regex
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from sagemaker_local.cloudwatch_logs import (
    BATCH_EVENTS,
    EVENTS,
    GROUP,
    STREAMS,
    StoredEvents,
    describe_batch,
    get_group,
    make_stream,
)
from sagemaker_local.record import Record
from sagemaker_local.transfer import open_inside, open_own

FLUSH_SECONDS = 0.5
LEFT_SECONDS = 5
"""How long the output is still read after the program has ended, if another process still writes to it."""
# `re` can't be interrupted and blocks all threads; `regex`, a dependency of moto, has a timeout.
METRIC_SECONDS, METRIC_CHARACTERS = 1.0, 10_000
BATCH_BYTES, EVENT_BYTES = 900_000, 250_000  # CloudWatch: 1,048,576 and 262,144


class JobLog:
    """Follows the output of one run of a job to its end.

    The metrics, ``log.txt``, and CloudWatch Logs each get every line, even if another of them fails. Lines that one of
    them could not take are counted in `lost`, and reported in the server's log, the job's log, and its last status
    message.
    """

    def __init__(self, record: Record, output: BinaryIO, logs: BaseClient):
        self.record, self.output, self.logs = record, output, logs
        definitions = record.request["AlgorithmSpecification"].get("MetricDefinitions", ())
        self.patterns = [(definition["Name"], regex.compile(definition["Regex"])) for definition in definitions]
        self.stream = f"{record.name}/algo-1-{int(record.now())}"
        self.made = False
        self.events: list[dict] = []
        self.size = 0
        self.rest = b""
        self.last = 0
        self.lost: dict[str, int] = {}
        self.lock = threading.RLock()
        self.ending, self.ended = os.pipe()

    def end(self) -> None:
        """Signal that the program has ended, so that other processes with its output open are not waited for."""
        os.close(self.ended)

    def say(self, text: str) -> None:
        """Add a line of the service's own to the log."""
        with self.lock:
            self._attempt("log.txt", 1, self._write, f"{text}\n".encode())
            self.last = max(self.last, int(self.record.now() * 1000))
            self._add(text)
            self.flush()

    def follow(self) -> None:
        """Read until the output ends, passing lines on within `FLUSH_SECONDS`."""
        due, given_up = None, math.inf
        self._attempt("CloudWatch Logs", 0, self._open_stream)
        sources = [self.output, self.ending]
        while time.monotonic() < given_up:
            wait = None if due is None else max(0.0, due - time.monotonic())
            ready = select.select(sources, (), (), wait if self.ending in sources else 0)[0]
            if self.ending in ready:
                sources.remove(self.ending)
                os.close(self.ending)
                given_up = time.monotonic() + LEFT_SECONDS
            elif not ready and self.ending not in sources:
                break  # all output of the program has been read
            if self.output in ready:
                chunk = self.output.raw.read(65_536)
                if not chunk:
                    break
                with self.lock:
                    self._attempt("log.txt", chunk.count(b"\n") or 1, self._write, chunk)
                    self._take(chunk)
                if due is None and self.events:
                    due = time.monotonic() + FLUSH_SECONDS
            if due is not None and time.monotonic() >= due:
                self.flush()
                due = None
        self._finish()

    def _finish(self) -> None:
        with self.lock:
            if self.rest:
                self._line(self.rest)
            self.flush()
        if missing := ", ".join(f"{lines} from {place}" for place, lines in self.lost.items() if lines):
            note = f"Lines of its log are missing: {missing}"
            logging.error("%s: %s", self.record.name, note)
            self.say(note)
            self.record.note(note)
        self._attempt(STREAMS, 0, self._describe)

    def flush(self) -> None:
        """Send the collected events to CloudWatch Logs."""
        with self.lock:
            if not self.events:
                return
            batch = {"logStreamName": self.stream, "logEvents": self.events}
            self.events, self.size = [], 0
            self._attempt(EVENTS, len(batch["logEvents"]), self._keep, batch)
            self._attempt("CloudWatch Logs", len(batch["logEvents"]), self._send, batch)

    def _attempt(self, place: str, lines: int, action: Callable[..., None], *arguments: Any) -> None:
        """Run `action`, which writes `lines` to `place`; if it fails, count them as lost."""
        try:
            action(*arguments)
        except Exception:  # whatever it is: if the output were no longer read, the program would block
            if place not in self.lost:
                logging.exception("%s: lines of its log are missing from %s", self.record.name, place)
            self.lost[place] = self.lost.get(place, 0) + lines

    def _write(self, chunk: bytes) -> None:
        with open(self.record.folder / "log.txt", "ab", buffering=0, opener=open_own) as file:
            if (written := file.write(chunk)) < len(chunk):  # the disk is nearly full
                file.write(chunk[written:])

    def _keep(self, batch: dict[str, Any]) -> None:
        line = {**describe_batch(**batch)._asdict(), "logEvents": batch["logEvents"]}
        del line["place"]
        with open(self.record.folder / EVENTS, "a", opener=open_own) as file:
            file.write(json.dumps(line) + "\n")

    def _send(self, batch: dict[str, Any]) -> None:
        self._open_stream()
        try:
            self.logs.put_log_events(logGroupName=GROUP, **batch)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            self.made = False  # somebody has deleted the stream
            self._open_stream()
            self.logs.put_log_events(logGroupName=GROUP, **batch)

    def _describe(self) -> None:
        streams = get_group(self.record.region).streams
        descriptions = {name: streams[name].to_describe_dict() for name in self.record.streams if name in streams}
        with open(self.record.folder / STREAMS, "w", opener=open_own) as file:
            json.dump(descriptions, file)

    def _open_stream(self) -> None:
        if not self.made:
            (self.record.folder / STREAMS).unlink(missing_ok=True)  # an earlier attempt's file lacks this stream
            make_stream(self.logs, self.stream)
            stream = get_group(self.record.region).streams.get(self.stream)
            if stream and not stream.events:
                stream.events = StoredEvents(self.record.folder, self.stream)
            self.made = True
            with self.record.lock:
                if self.stream not in self.record.streams:
                    self.record.streams.append(self.stream)

    def _take(self, chunk: bytes) -> None:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self.rest) > EVENT_BYTES:
            self._line(self.rest)
            self.rest = b""

    def _line(self, line: bytes) -> None:
        text = line[:EVENT_BYTES].decode("utf-8", "replace").rstrip("\r")
        now = self.record.now()
        self.last = max(self.last, int(now * 1000))
        for name, pattern in list(self.patterns):
            try:
                match = pattern.search(text, 0, METRIC_CHARACTERS, timeout=METRIC_SECONDS, concurrent=True)
            except TimeoutError:
                self.patterns.remove((name, pattern))
                self._drop(name, pattern.pattern)
                continue
            if match:
                try:
                    value = float(match.group(1) if pattern.groups else match.group())
                except (ValueError, TypeError):
                    continue
                self._attempt(f"the metric {name}", 1, self.record.measure, name, value, now)
        if text:  # CloudWatch takes no empty message
            self._add(text)

    def _drop(self, name: str, pattern: str) -> None:
        """Report that a metric is no longer measured."""
        note = f"The metric {name} is not measured from here on: {pattern} took more than {METRIC_SECONDS} s on a line"
        self.record.note(note)
        self.say(note)

    def _add(self, text: str) -> None:
        self.events.append({"timestamp": self.last, "message": text})
        self.size += len(text.encode()) + 26
        if len(self.events) >= BATCH_EVENTS or self.size >= BATCH_BYTES:
            self.flush()


def failure_reason(base: Path, code: int) -> str:
    """Return the FailureReason of a job whose program ended with `code`: the head of ``output/failure``."""
    try:
        with open_inside(base, "output/failure") as file:
            text = file.read(4096).decode("utf-8", "replace")[:1024].strip()
    except OSError:
        text = ""
    head, tail = "AlgorithmError: ", f", exit code: {code}"
    return head + text[: 1024 - len(head) - len(tail)] + tail
