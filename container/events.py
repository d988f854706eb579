"""Events from the learner's processes to the supervisor: JSON lines through a named pipe.

The pipe is named rather than inherited, because the workers may be forked or spawned. One line is one atomic
write (at most PIPE_BUF bytes), so that lines of several processes never mix.
"""

import contextlib
import json
import os
import select
from typing import Any, Dict, List

SETTINGS = "TRAIN_WATCH"  # environment variable that carries the settings below to the learner's processes

_sender = None


class Inbox:
    """The supervisor's end."""

    def __init__(self, path: str):
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # RDWR: never at end of file, even without writers
        self._rest = b""

    def wait(self, seconds: float) -> List[Dict[str, Any]]:
        """Return the events that have arrived; wait for at most `seconds`."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return []
        *lines, self._rest = (self._rest + os.read(self._fd, 1 << 20)).split(b"\n")
        return [json.loads(line.decode()) for line in lines]

    def close(self) -> None:
        """Close the pipe; processes that still send are not affected."""
        os.close(self._fd)


def settings() -> Dict[str, Any]:
    """Return the settings that the supervisor passes to the learner's processes.

    `events`: path of the pipe; `supervisor` and, for the workers, `learner`: process ids; `stall_timeout`: seconds;
    `player_logs`: folder; `run_folder`: folder of the run's models; `environment`: name of the build;
    `from_editor`: whether the Unity Editor plays; `speedups`: names; `try_players`: whether to determine how many
    players are fastest.
    """
    return json.loads(os.environ[SETTINGS])


def driver(player: int) -> str:
    """Return the name of the process that drives a player."""
    return "the driver of player %d" % player


def connect(path: str) -> None:
    """Let this process, and those it forks, send to the inbox at `path`."""
    global _sender
    _sender = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(_sender, True)


def send(event: str, **fields: Any) -> None:
    """Send an event to the supervisor. If it has ended, nothing is sent; its processes then end themselves."""
    message = fields.get("message", "")
    while True:
        line = json.dumps(dict(fields, event=event, pid=os.getpid())).encode() + b"\n"
        if len(line) <= select.PIPE_BUF or not message:
            break
        message = fields["message"] = message[: len(message) // 2]
    with contextlib.suppress(OSError):
        os.write(_sender, line)
