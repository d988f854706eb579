"""Retries: how often a target is asked while something runs there, and which failures are waited out."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from common.aws_session import Connection, explain_silence, has_expired, is_throttled

POLL_SECONDS = 3.0
"""Time between two requests, in seconds."""
FAILURES = 20
"""How many requests in a row may fail before that is an error. The embedded AWS is not waited for."""
LONGEST_PAUSE = 60.0
"""The longest time between two requests after throttling, in seconds."""

Answer = TypeVar("Answer")


class Patience:
    """Waits out a network that is gone for a while, and AWS's throttling, for who asks again and again.

    Parameters
    ----------
    connection : Connection
    poll_seconds : float
        Time between two requests, in seconds.

    Attributes
    ----------
    pause : float
        How long to wait before the next request, in seconds; doubled each time that AWS throttles one.
    """

    def __init__(self, connection: Connection, poll_seconds: float):
        self._connection, self._poll_seconds = connection, poll_seconds
        self._failures = 0
        self.pause = poll_seconds

    @contextlib.contextmanager
    def asking(self, lost: Callable[[str], Exception]) -> Iterator[None]:
        """Ignore a failure of the block that may pass.

        Parameters
        ----------
        lost
            Returns, for the reason, the error to raise where asking again is of no use.
        """
        try:
            yield
            self._failures, self.pause = 0, self._poll_seconds
        except (BotoCoreError, ClientError) as error:
            if not (why := explain_silence(self._connection, error)):
                raise
            if is_throttled(error):
                self.pause = min(2 * self.pause, LONGEST_PAUSE)  # others ask AWS, too
                return
            self._failures += 1
            if self._connection.endpoint or has_expired(error) or self._failures > FAILURES:
                raise lost(why) from error

    def ask(self, question: Callable[[], Answer], lost: Callable[[str], Exception]) -> Answer:
        """Ask until there is an answer, and return it. `lost` is as for `asking`."""
        while True:
            with self.asking(lost):
                return question()
            time.sleep(self.pause)
