"""Ends the player when the trainer's process is gone.

A trainer that is killed does not always take its connection along: ML-Agents serves each player from a worker process,
which lives on when the trainer proper dies, waiting for it for ever, and its player with it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

INTERVAL = 1.0
"""Seconds between two looks."""

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
    """Give the process id of the trainer that this worker process was forked from, None when it was not.

    A forked process shows the same command line as its parent. Without /proc (macOS) nothing is known; there workers
    are not forked and notice themselves when the trainer has died.
    """
    try:
        parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        forked = Path(f"/proc/{worker}/cmdline").read_bytes() == Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:
        return None
    return parent if forked else None
