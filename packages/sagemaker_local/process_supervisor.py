"""Runs one training program and leaves nothing of it behind: ``python -I process_supervisor.py``.

The first line on stdin is JSON: ``base`` (the job's folder), ``program`` (argument list) and ``environment``.
After it come single bytes: ``T`` passes SIGTERM on to the program, ``K`` kills everything. End of input means that
the server has gone, however it went, and kills everything too. As in a container, the end of the program is the
end of all that it started. The exit code is the program's own, or 128 + the signal that ended it.

The supervisor takes part in no signal of the server's terminal, holds no state, and needs psutil only.
"""

from __future__ import annotations

import ctypes
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

MARK = "SAGEMAKER_BASE_DIR"
"""The environment variable by which a process belongs to a job: it is inherited and never given to anything else."""

PR_SET_CHILD_SUBREAPER = 36
END_SECONDS = 10


def processes_of(base: Path | str) -> list[psutil.Process]:
    """Find the living processes of the job whose folder is `base`, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(base) and is_alive(process):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
    return found


def end_all(base: Path | str, family: psutil.Process | None = None) -> int:
    """Kill every process of a job and wait until they are gone, for at most `END_SECONDS`.

    What can't be killed, because it is another user's or hangs in the kernel, is named in the log and left.

    Parameters
    ----------
    base
        The job's folder.
    family
        A process whose descendants belong to the job too, whatever their environment says: the supervisor itself.

    Returns
    -------
    int
        How many processes there were.
    """
    ended: set[int] = set()
    given_up = time.monotonic() + END_SECONDS
    while left := processes_of(base) + descendants(family):  # again, for one may have forked while it was killed
        for process in left:
            ended.add(process.pid)
            try:
                process.kill()
            except (psutil.Error, OSError):
                continue  # gone meanwhile, or not to be killed
        if time.monotonic() >= given_up:
            names = ", ".join(str(process.pid) for process in left)
            logging.error("Expected the processes of %s to end when killed, but they live: %s. End them.", base, names)
            break
        time.sleep(0.01)  # to wait for a child here would take its exit code away from `main`
    return len(ended)


def descendants(process: psutil.Process | None) -> list[psutil.Process]:
    """Give the living descendants of a process; none of None."""
    found = process.children(recursive=True) if process else []
    return [child for child in found if is_alive(child)]


def is_alive(process: psutil.Process) -> bool:
    """Say whether a process still runs; one that has ended and only waits to be collected does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def adopt_orphans() -> None:
    """Become the parent of the program's orphans (Linux), so that they can be reaped."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> None:
    """Collect the orphans that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def main() -> int:
    """Run the program given on stdin; see the module's own text."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the server's word comes through stdin
    adopt_orphans()
    # Unbuffered: a command that comes right behind the order must not vanish in a buffer.
    order = json.loads(io.FileIO(0, closefd=False).readline())
    base = order["base"]
    try:
        program = subprocess.Popen(
            order["program"],
            env={**order["environment"], MARK: base},
            cwd=base,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            restore_signals=True,
            umask=0o022,  # what a job packs is for others to read
            preexec_fn=restore_signals,
        )
    except OSError as error:
        print(f"Could not start {order['program'][0]}: {error}", flush=True)
        return 127

    def listen() -> None:
        while command := os.read(0, 1):
            if command == b"T":
                program.send_signal(signal.SIGTERM)
            elif command == b"K":
                break
        end_all(base, psutil.Process())

    threading.Thread(target=listen, daemon=True).start()
    code = program.wait()
    end_all(base, psutil.Process())
    reap()
    return code if code >= 0 else 128 - code


def restore_signals() -> None:
    """Give the program the usual handlers, which are inherited when ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
