"""Follow running jobs until they end, and show their progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import reward_curves as rewards
from common.aws_session import Connection
from common.contract import ENDED
from training_jobs import cost, live
from training_jobs.job import Job, TrainingError, describe
from training_jobs.log import Log
from training_jobs.polling import POLL_SECONDS, Poller


@dataclass(frozen=True)
class StatusHint:
    """What a user needs to know about something that keeps running unobserved.

    Attributes
    ----------
    goes_on : str
        Such as ``"mlagents-1 goes on"`` or ``"3 runs of x go on"``.
    again, stop : str
        The code to follow it again, and the code to stop it.
    many : bool
        Whether these are several jobs.
    """

    goes_on: str
    again: str
    stop: str
    many: bool = False

    def text(self, billed: bool, when: str = "", more: str = "") -> str:
        """Return a text: it goes on, whether it is billed, and how to follow or stop it."""
        is_billed = f", and {'are' if self.many else 'is'} billed{when}" if billed else ""
        them, their = ("them", "their models") if self.many else ("it", "its model")
        return (
            f"{self.goes_on}{is_billed}.{more} To follow {them} again:\n    {self.again}\n"
            f"To stop {them} and keep {their}:\n    {self.stop}"
        )


class Follower:
    """Observes something repeatedly; tolerates a target that does not respond for a while, and Ctrl-C.

    Parameters
    ----------
    connection : Connection
    hint : callable
        Returns the current `StatusHint` of what is followed; None while it is unknown.
    poll_seconds : float
        Time between two observations, in seconds.
    """

    def __init__(
        self, connection: Connection, hint: Callable[[], StatusHint | None], poll_seconds: float = POLL_SECONDS
    ):
        self._connection, self._hint = connection, hint
        self._poller = Poller(connection, poll_seconds)
        self.more = ""  # added to the text when following ends early

    @property
    def pause(self) -> float:
        """The time to wait before the next observation, in seconds."""
        return self._poller.pause

    def attempt(self) -> AbstractContextManager[None]:
        """Ignore failures while the target does not respond; raise `TrainingError` when that takes too long."""
        return self._poller.attempt(self._lost)

    def call(self, request: Callable[[], object]) -> object:
        """Repeat a request until it succeeds, and return its result; raises as `attempt`."""
        return self._poller.call(request, self._lost)

    def until(self, ended: Callable[[], bool], message: str = "No longer following.") -> None:
        """Call `ended`, which observes and shows, until it returns True. Ctrl-C ends this early, with a message."""
        try:
            while True:
                done = False
                with self.attempt():
                    done = ended()
                if done:
                    break
                time.sleep(self.pause)
        except KeyboardInterrupt:
            self.leave(message)

    def leave(self, message: str) -> None:
        """Print that following ends although the jobs go on."""
        print(f"\n{message} {self._hint().text(not self._connection.endpoint, more=self.more)}")

    def _lost(self, why: str) -> TrainingError:
        hint = self._hint()
        if self._connection.endpoint:  # jobs of the embedded AWS end with it
            return TrainingError(f"{why}{self.more}")
        if hint is None:
            return TrainingError(f"{why} What runs goes on, and is billed.")
        return TrainingError(f"{why} {hint.text(True, ' meanwhile', self.more)}")


def follow(connection: Connection, name: str = "", *, poll_seconds: float = POLL_SECONDS) -> Job:
    """Show a job while it runs, and return it when it has ended.

    Interrupting (Ctrl-C, or the stop button) ends only the display: the job goes on, and a message says how to follow
    or stop it.

    Parameters
    ----------
    connection : Connection
    name : str
        Empty for the newest job.
    poll_seconds : float
        Time between two observations, in seconds.

    Raises
    ------
    TrainingError
        If there is no such job, or its target stops responding.
    """
    known = name

    def hint() -> StatusHint | None:
        again, stop = (f'training.{verb}(connection, "{known}")' for verb in ("follow", "stop"))
        return StatusHint(f"{known} goes on", again, stop) if known else None

    follower = Follower(connection, hint, poll_seconds)
    job = follower.call(lambda: describe(connection, name))
    known = job.name
    price, _ = follower.call(lambda: cost.find_price(connection, job.instance_type))
    log, reader = Log(connection, job.name), rewards.LogReader()
    view = live.view(price.usd_per_hour if price else None, "USD on AWS" if connection.endpoint else "USD")

    def look() -> bool:
        nonlocal job
        seen = len(log.lines)
        job = describe(connection, known)
        try:
            log.read()
        finally:  # even if the log was read only in part, each line is shown once
            reader.feed(log.lines[seen:])
            view.update(job, log.lines[seen:], reader.table())
        return job.ended

    try:
        follower.until(look)
    finally:
        view.close()
    return replace(job, reason=_reason(log.lines)) if job.ended else job


def _reason(lines: list[str]) -> str:
    """Return the trainer's own reason for an end without failure; empty if the log has none."""
    ends = [found["reason"] for line in lines if (found := ENDED.match(line))]
    return ends[-1] if ends else ""
