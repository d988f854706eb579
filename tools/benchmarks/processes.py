"""Processes of a measurement: identified by a mark in their environment, so that none is left behind."""

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
    """Return an environment variable that distinguishes the processes of one measurement from all others."""
    return {MARK: uuid.uuid4().hex}


def find(mark: dict[str, str]) -> list[psutil.Process]:
    """Find the processes with a mark. Players have their own sessions, so no process group contains them all."""
    return find_marked(MARK, mark[MARK])


@contextlib.contextmanager
def none_left(mark: dict[str, str]) -> Iterator[None]:
    """End every process with the mark on exit."""
    try:
        yield
    finally:
        kill_marked(MARK, mark[MARK])


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return the processor time that these have used so far; ended processes are left out."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory(processes: list[psutil.Process]) -> float:
    """Return the memory of these in bytes; on Linux, shared memory counts once."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            info = process.memory_full_info()
            total += getattr(info, "pss", info.rss)
    return total


def command(process: psutil.Process) -> list[str]:
    """Return the command line of a process; empty if it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextlib.contextmanager
def served(serve: Callable[..., None], *args: Any) -> Iterator[str]:
    """Run a server in a separate process; return the URL that `serve` sends through its pipe."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(sender, *args), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.kill()
        process.join()
