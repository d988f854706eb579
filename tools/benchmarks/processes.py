"""Processes that a measurement starts: found by a mark in their environment, so that none is left behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from common.processes import find_marked, kill_marked

MARK = "BENCHMARK_PROCESS"


def new_mark() -> dict[str, str]:
    """Return an environment variable that tells the processes of one measurement from all others."""
    return {MARK: uuid.uuid4().hex}


def find(mark: dict[str, str]) -> list[psutil.Process]:
    """Find the processes that bear a mark. Players are in sessions of their own, so no group has them all."""
    return find_marked(MARK, mark[MARK])


@contextlib.contextmanager
def none_left(mark: dict[str, str]) -> Iterator[None]:
    """End every process that bears the mark, whatever happens in between."""
    try:
        yield
    finally:
        kill_marked(MARK, mark[MARK])


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return the processor time that these have taken so far; what has ended counts as nothing."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory(processes: list[psutil.Process]) -> float:
    """Return the bytes that these hold; what several share counts once, where the system can tell (Linux)."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            told = process.memory_full_info()
            total += getattr(told, "pss", told.rss)
    return total


def command(process: psutil.Process) -> list[str]:
    """Return a process's command line; empty once it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextlib.contextmanager
def served(serve: Callable[..., None], *args: Any) -> Iterator[str]:
    """Run a server in a process of its own; return the address that `serve` sends through its pipe."""
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(tell, *args), daemon=True)
    process.start()
    try:
        yield told.recv()
    finally:
        process.kill()
        process.join()
