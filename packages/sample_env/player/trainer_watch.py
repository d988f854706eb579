"""End the player when the trainer's process is gone.

The connection may outlive a trainer that is killed: ML-Agents serves each player from a worker process, which then
waits for the trainer for ever, and so would its player.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

INTERVAL = 1.0
"""Seconds between two checks."""

log = logging.getLogger("player")


def start() -> None:
    """Watch the processes that the player depends on, in the background."""
    threading.Thread(target=_watch, args=(os.getppid(), trainer_of(os.getppid())), daemon=True).start()


def _watch(worker: int, trainer: int | None) -> None:
    while os.getppid() == worker and trainer_of(worker) == trainer:
        time.sleep(INTERVAL)
    log.error("Ends: the trainer's process is gone")
    os._exit(1)


def trainer_of(worker: int) -> int | None:
    """Return the process id of the trainer from which this worker process was forked; None if it was not forked.

    A forked process has the same command line as its parent. On macOS, which has no /proc, workers are not forked and
    notice the trainer's end themselves.
    """
    try:
        parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        forked = Path(f"/proc/{worker}/cmdline").read_bytes() == Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:
        return None
    return parent if forked else None
