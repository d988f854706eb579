"""How often a target is asked while something runs there, and what is borne with."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from common.aws_session import Connection, explain_silence, has_expired, is_throttled

POLL_SECONDS = 3.0
"""Time between two askings."""
FAILURES = 20
"""How many askings in a row may reach nobody, before it is said. The embedded AWS is not waited for."""
LONGEST_PAUSE = 60.0
"""The longest time between two askings that this leads to, in seconds."""

Answer = TypeVar("Answer")


class Patience:
    """What one who asks again and again bears with: a network that is gone for a while, and AWS asking for less.

    Parameters
    ----------
    connection : Connection
    poll_seconds : float
        Time between two askings, in seconds.

    Attributes
    ----------
    pause : float
        For how long to wait before the next asking, in seconds: longer each time that AWS said it was too often.
    """

    def __init__(self, connection: Connection, poll_seconds: float):
        self._connection, self._poll_seconds = connection, poll_seconds
        self._failures = 0
        self.pause = poll_seconds

    @contextlib.contextmanager
    def asking(self, lost: Callable[[str], Exception]) -> Iterator[None]:
        """Bear with what goes wrong in the block.

        Parameters
        ----------
        lost
            Makes of the reason what is raised where it is no use to ask again.
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
