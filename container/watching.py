"""What monitors the learner's processes from inside, whatever the trainer version: interrupts, workers, progress.

The modules `learner_watch` and `player_watch` of each version wrap ML-Agents' own classes with it.
"""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from multiprocessing import connection

import events
import paths
import process_tree
import speedups
from refusal import RefusalError
from run_state import Run

TICK = 0.5  # seconds
Popen = subprocess.Popen  # which is replaced while a player is started


class NotFiniteError(Exception):
    """A loss is NaN or infinite, so a further save would overwrite a good checkpoint."""


class SaveError(Exception):
    """A checkpoint could not be written."""


def begin() -> Run:
    """Connect this process, the learner's, to the supervisor, and return the state of its run."""
    settings = events.settings()
    events.connect(settings["events"])
    speedups.apply(settings["speedups"])  # first, so that the monitoring wraps them
    os.environ[events.SETTINGS] = json.dumps(dict(settings, learner=os.getpid()))  # for the workers
    run = Run(settings)
    signal.signal(signal.SIGINT, functools.partial(_interrupt, run))
    return run


def begin_ticking(run: Run) -> None:
    """Begin to report progress."""
    threading.Thread(target=_tick, args=(run, events.settings()["supervisor"]), daemon=True).start()


def report(error: BaseException) -> None:
    """Report to the supervisor why the learner failed."""
    kinds = {RefusalError: "refused", NotFiniteError: "not_finite", SaveError: "not_saved"}
    cause = error
    while cause is not None and type(cause) not in kinds:  # what fails while ML-Agents ends is a consequence
        cause = cause.__context__
    error = cause or error
    kind = kinds.get(type(error), "trainer_error")
    text = " ".join(str(error).split())
    events.send("fault", kind=kind, error=type(error).__name__, message=text)


def _interrupt(run: Run, signum, frame) -> None:
    """Stop learning once, and only where it can't damage anything.

    An exception may be swallowed or replaced. So it is raised immediately while waiting for the players, otherwise
    before the next computation; saving and exporting are not interrupted.
    """
    run.ending = run.interrupted = True
    if run.waiting:
        stop_if_interrupted(run)


def stop_if_interrupted(run: Run) -> None:
    """Raise a KeyboardInterrupt if the learner was interrupted and still learns."""
    if run.interrupted and not run.leaving:
        raise KeyboardInterrupt


def while_waiting(run: Run, method):
    """Wrap a method that waits for the players, so that an interrupt ends it at once."""

    @functools.wraps(method)
    def wait_for_players(*args, **kwargs):
        run.waiting = True
        try:
            stop_if_interrupted(run)
            return method(*args, **kwargs)
        finally:
            run.waiting = False
            run.marks += 1

    return wait_for_players


def await_end(run: Run, worker_id: int, process) -> None:
    """Report a worker that ends while it is needed, from a thread."""

    def wait():
        connection.wait([process.sentinel])
        process.join(2)  # the sentinel is closed a moment before the exit code is available
        if not run.ending and worker_id not in run.dismissed:
            events.send("fault", kind="worker_exit", player=worker_id, code=process.exitcode)

    threading.Thread(target=wait, daemon=True).start()


def _tick(run: Run, supervisor: int) -> None:
    """Report progress to the supervisor twice a second, and detect a stall.

    A policy update may take any time while it computes. Time is counted in ticks, as for the players.
    """
    marks, quiet, busy = 0, 0.0, time.process_time()
    while True:
        time.sleep(TICK)
        if os.getppid() != supervisor:
            os._exit(1)
        events.send("alive", who="the learner", steps=run.steps())
        if run.marks != marks or not run.marks:  # while the players connect, they are monitored themselves
            marks, quiet, busy = run.marks, 0.0, time.process_time()
            continue
        quiet += TICK
        # While waiting it polls continuously, which does not count as work. Players and their drivers are monitored
        # themselves, and are reported before the learner that waits for them.
        computing = 0.0 if run.waiting else time.process_time() - busy
        if quiet >= run.stall_timeout + (10 if run.waiting else 8) and computing < quiet / 10:
            events.send("fault", kind="learner_stall", seconds=quiet)
            marks = -1


class Player:
    """The state of this worker's player."""

    process = None
    closing = False
    waited = None  # seconds without a response, or None
    reported = False

    def __init__(self, number: int, settings):
        self.number, self.stall_timeout, self.learner = number, settings["stall_timeout"], settings["learner"]
        self.ours = not settings["from_editor"]  # started by this worker
        self.logs = os.path.join(settings["player_logs"], str(number))

    def fault(self, kind: str, **fields) -> None:
        """Report a fault; only the first one is reported, because others are its consequences."""
        if not self.reported and not self.closing:
            self.reported = True
            events.send("fault", kind=kind, player=self.number, editor=not self.ours, **fields)

    def start(self, *args, **kwargs):
        """Start the player's process, with its output in a file, and report its end. Replaces `subprocess.Popen`."""
        with open(os.path.join(self.logs, "console.log"), "ab") as console:
            die = functools.partial(process_tree.die_with, os.getpid())
            kwargs.update(stdout=console, stderr=subprocess.STDOUT, preexec_fn=die)
            self.process = Popen(*args, **kwargs)
        events.send("player", player=self.number, player_pid=self.process.pid)
        threading.Thread(target=lambda: self.fault("player_exit", code=self.process.wait()), daemon=True).start()
        return self.process

    def log_options(self, arguments):
        """Return the arguments that let the player write a log file, unless it has such already."""
        named = any(word.lower() == "-logfile" for word in arguments)
        return [] if named else ["-logFile", os.path.join(self.logs, "Player.log")]

    def leaves(self) -> None:
        """Report a player that ended the connection."""
        if not self.ours:
            events.send("editor_stopped")
            return
        try:  # its exit code has more information, if it is available soon
            self.fault("player_exit", code=self.process.wait(2))
        except subprocess.TimeoutExpired:
            self.fault("player_quit")


def begin_worker(worker_id: int, parent_conn) -> Player:
    """Connect this process, a worker's, to the supervisor, and return the state of its player."""
    settings = events.settings()
    process_tree.die_with(settings["learner"])
    events.connect(settings["events"])
    speedups.apply(settings["speedups"])  # already applied if the worker was forked
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the learner ends its workers by message
    if settings["try_players"] and worker_id:
        parent_conn.poll(None)  # a player without a message is never started
    player = Player(worker_id, settings)
    os.makedirs(player.logs, exist_ok=True)
    threading.Thread(target=_tick_player, args=(player,), daemon=True).start()
    return player


def listen_on_loopback(player: Player, rpc_communicator) -> None:
    """Accept players only from this machine; ML-Agents itself listens on every interface.

    An Editor reaches a container's published port from outside.
    """
    import grpc

    if not player.ours and paths.BASE == "/opt/ml":
        return

    def make_server(*args, **kwargs):
        server = grpc.server(*args, **kwargs)
        listen = server.add_insecure_port
        server.add_insecure_port = lambda address: listen(address.replace("[::]", "localhost"))
        return server

    rpc_communicator.grpc = types.SimpleNamespace(server=make_server)


def first_port() -> int:
    """Return the first port of this training, from the learner's command line."""
    return int(sys.argv[sys.argv.index("--base-port") + 1])


def _tick_player(player: Player) -> None:
    """Check the player twice a second.

    Time is counted in ticks of this process, not by the clock, so that a machine that slept, or a paused job, does not
    count as a hang.
    """
    while True:
        time.sleep(TICK)
        if os.getppid() != player.learner:
            if player.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(player.process.pid, signal.SIGKILL)  # ML-Agents makes it leader of its own group
            os._exit(1)
        events.send("alive", who=events.driver(player.number))
        if player.waited is not None:
            player.waited += TICK
            if player.waited >= player.stall_timeout:
                player.fault("player_hang", seconds=player.waited)
