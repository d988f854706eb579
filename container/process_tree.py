"""The descendants of this process: listed, reaped and killed reliably."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from typing import Dict, Iterable, List, Optional, Set

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h

_libc = ctypes.CDLL(None)  # loaded at import, because nothing may be loaded between fork and exec


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants (Linux), as process 1 of a container always is."""
    if sys.platform == "linux":
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Make the kernel kill this process when its parent dies (Linux); end now if it has died already."""
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def descendants(above: Optional[int] = None) -> List[int]:
    """Return all running descendants of this process, or of the process `above`; none without /proc (macOS)."""
    children: Dict[int, List[int]] = {}
    for pid, parent, state in _processes():
        if state != "Z":
            children.setdefault(parent, []).append(pid)
    found, open_ends = [], [os.getpid() if above is None else above]
    while open_ends:
        below = children.get(open_ends.pop(), [])
        found += below
        open_ends += below
    return found


def seconds_of(pids: Iterable[int]) -> float:
    """Return the processor time of these processes in seconds; 0 without /proc (macOS)."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError), open("/proc/%d/stat" % pid, "rb") as file:
            ticks += sum(map(int, file.read().rpartition(b")")[2].split()[11:13]))  # of user and system
    return ticks / os.sysconf("SC_CLK_TCK")


def reap(keep: int) -> None:
    """Reap dead children other than `keep`, for which its owner waits. On macOS there are no others."""
    if not hasattr(os, "waitid"):
        return
    with contextlib.suppress(ChildProcessError):
        while True:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is None or dead.si_pid == keep:
                return
            os.waitpid(dead.si_pid, os.WNOHANG)


def kill_all(learner, players: Set[int], spared: Set[int], seconds: float = 10.0) -> List[int]:
    """Kill all descendants of this process except those in `spared`, and wait until they have ended.

    Parameters
    ----------
    learner
        The learner's `Popen`, leader of its own process group.
    players
        Process ids of players, each leader of its own group; needed on macOS.
    spared
        Process ids that existed before the learner, such as the screen's.
    seconds
        Maximum time to try.

    Returns
    -------
    list of int
        The remaining processes: only those that hang in the kernel.
    """
    if not os.path.isdir("/proc/self"):
        for group in {learner.pid} | players:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
    give_up = time.monotonic() + seconds
    while True:
        learner.poll()
        reap(keep=learner.pid)
        remaining = [pid for pid in descendants() if pid not in spared]
        if not remaining or time.monotonic() > give_up:
            return remaining
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _processes():
    """Yield (pid, parent's pid, state letter) of every process, from /proc."""
    if not os.path.isdir("/proc/self"):
        return
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue  # ended meanwhile
            yield int(name), int(parent), state.decode()
