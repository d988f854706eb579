"""Polling: the time between requests, and retries after failures that may pass."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from common.aws_session import Connection, explain_silence, has_expired, is_throttled

POLL_SECONDS = 3.0
"""Time between two requests, in seconds."""
FAILURES = 20
"""Consecutive failures that are tolerated on AWS; on the embedded AWS the first one is an error."""
MAX_PAUSE = 60.0
"""The longest time between two requests after throttling, in seconds."""

Answer = TypeVar("Answer")


class Poller:
    """Repeats requests, and tolerates temporary network failures and throttling.

    Parameters
    ----------
    connection : Connection
    poll_seconds : float
        Time between two requests, in seconds.

    Attributes
    ----------
    pause : float
        Time to wait before the next request, in seconds; doubled each time that AWS throttles one.
    """

    def __init__(self, connection: Connection, poll_seconds: float):
        self._connection, self._poll_seconds = connection, poll_seconds
        self._failures = 0
        self.pause = poll_seconds

    @contextlib.contextmanager
    def attempt(self, lost: Callable[[str], Exception]) -> Iterator[None]:
        """Ignore a temporary failure of the block.

        Parameters
        ----------
        lost
            Returns the error to raise, for a reason, if retrying is useless.
        """
        try:
            yield
            self._failures, self.pause = 0, self._poll_seconds
        except (BotoCoreError, ClientError) as error:
            if not (why := explain_silence(self._connection, error)):
                raise
            if is_throttled(error):
                self.pause = min(2 * self.pause, MAX_PAUSE)  # waiting longer reduces the account's load
                return
            self._failures += 1
            if self._connection.endpoint or has_expired(error) or self._failures > FAILURES:
                raise lost(why) from error

    def call(self, request: Callable[[], Answer], lost: Callable[[str], Exception]) -> Answer:
        """Repeat a request until it succeeds, and return its result. `lost` is as for `attempt`."""
        while True:
            with self.attempt(lost):
                return request()
            time.sleep(self.pause)
