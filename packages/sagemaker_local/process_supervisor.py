"""Runs one training program and cleans up after it: ``python -I process_supervisor.py``.

The first line on stdin is JSON: ``base`` (the job's folder), ``program`` (argument list) and ``environment``.
After it come single bytes: ``T`` passes SIGTERM on to the program, ``K`` kills everything. End of input means that
the server has ended, for whatever reason, and kills everything too. As in a container, all processes that the program
started end with it. The exit code is the program's own, or 128 + the signal that ended it.

The supervisor ignores signals of the server's terminal and keeps no state.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import signal
import subprocess
import sys
import threading

import psutil

from common.processes import kill_marked

MARK = "SAGEMAKER_BASE_DIR"
"""The environment variable that marks a job's processes: they inherit it, and no other process has it."""

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of the program's orphaned processes (Linux), so that they can be reaped."""
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
    """Run the program given on stdin; see the module's docstring."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the server's commands come through stdin
    adopt_orphans()
    # Unbuffered, so that a command sent right after the order is not lost in a buffer.
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
            umask=0o022,  # files that a job packs must be readable by others
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
        kill_marked(MARK, base, psutil.Process())

    threading.Thread(target=listen, daemon=True).start()
    code = program.wait()
    kill_marked(MARK, base, psutil.Process())
    reap()
    return code if code >= 0 else 128 - code


def restore_signals() -> None:
    """Restore the default handlers; the program would inherit ignored signals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
