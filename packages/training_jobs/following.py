"""Follow what runs on the target until it ends, and show it meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import reward_curves as rewards
from common.aws_session import Connection
from training_jobs import cost, live
from training_jobs.job import Job, TrainingError, describe
from training_jobs.log import Log
from training_jobs.patience import POLL_SECONDS, Patience

END = re.compile(r"train: (?:completed|stopped)\. (.+)")


@dataclass(frozen=True)
class Words:
    """What a reader must know of something that goes on without being followed.

    Attributes
    ----------
    goes_on : str
        Such as ``"mlagents-1 goes on"`` or ``"3 runs of x go on"``.
    again, stop : str
        The code that follows it again, and the code that stops it.
    many : bool
        Whether these are several jobs.
    """

    goes_on: str
    again: str
    stop: str
    many: bool = False

    def tell(self, billed: bool, when: str = "", more: str = "") -> str:
        """Say that it goes on, whether it is billed, and how to follow or stop it."""
        is_billed = f", and {'are' if self.many else 'is'} billed{when}" if billed else ""
        them, their = ("them", "their models") if self.many else ("it", "its model")
        return (
            f"{self.goes_on}{is_billed}.{more} To follow {them} again:\n    {self.again}\n"
            f"To stop {them} and keep {their}:\n    {self.stop}"
        )


class Follower:
    """Looks at something again and again; survives a target that is gone for a while, and Ctrl-C.

    Parameters
    ----------
    connection : Connection
    words : callable
        Returns the `Words` of what is followed, as it is now; None while nothing is known of it.
    poll_seconds : float
        Time between two looks, in seconds.
    """

    def __init__(self, connection: Connection, words: Callable[[], Words | None], poll_seconds: float = POLL_SECONDS):
        self._connection, self._words = connection, words
        self._patience = Patience(connection, poll_seconds)
        self.more = ""  # what to say besides where it is left or lost

    @property
    def pause(self) -> float:
        """How long to wait before the next look, in seconds."""
        return self._patience.pause

    def asking(self) -> AbstractContextManager[None]:
        """Ignore that the target does not answer for a while; raise `TrainingError` once that takes too long."""
        return self._patience.asking(self._lost)

    def ask(self, question: Callable[[], object]) -> object:
        """Ask until there is an answer, and return it; raises as `asking`."""
        return self._patience.ask(question, self._lost)

    def until(self, ended: Callable[[], bool], what: str = "No longer following.") -> None:
        """Call `ended`, which looks and shows, until it returns True. Ctrl-C ends this early, and says so."""
        try:
            while True:
                done = False
                with self.asking():
                    done = ended()
                if done:
                    break
                time.sleep(self.pause)
        except KeyboardInterrupt:
            self.leave(what)

    def leave(self, what: str) -> None:
        """Print that this ends while what was followed goes on."""
        print(f"\n{what} {self._words().tell(not self._connection.endpoint, more=self.more)}")

    def _lost(self, why: str) -> TrainingError:
        words = self._words()
        if self._connection.endpoint:  # what ran there ended with it
            return TrainingError(f"{why}{self.more}")
        if words is None:
            return TrainingError(f"{why} What runs goes on, and is billed.")
        return TrainingError(f"{why} {words.tell(True, ' meanwhile', self.more)}")


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
    known = name

    def words() -> Words | None:
        again, stop = (f'training.{verb}(connection, "{known}")' for verb in ("follow", "stop"))
        return Words(f"{known} goes on", again, stop) if known else None

    follower = Follower(connection, words, poll_seconds)
    job = follower.ask(lambda: describe(connection, name))
    known = job.name
    price, _ = follower.ask(lambda: cost.find_price(connection, job.instance_type))
    log, reader = Log(connection, job.name), rewards.LogReader()
    view = live.view(price.usd_per_hour if price else None, "USD on AWS" if connection.endpoint else "USD")

    def look() -> bool:
        nonlocal job
        seen = len(log.lines)
        job = describe(connection, known)
        try:
            log.read()
        finally:  # of a log that was read in part, each line is shown once
            reader.feed(log.lines[seen:])
            view.update(job, log.lines[seen:], reader.table())
        return job.ended

    try:
        follower.until(look)
    finally:
        view.close()
    return replace(job, reason=_reason(log.lines)) if job.ended else job


def _reason(lines: list[str]) -> str:
    """Return the trainer's own reason for an end that is no failure; empty where it gave none."""
    ends = [found[1] for line in lines if (found := END.match(line))]
    return ends[-1] if ends else ""
