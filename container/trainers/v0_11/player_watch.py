"""Monitors a player from inside the ML-Agents worker process that drives it.

Each worker of ML-Agents starts one player and exchanges messages with it. This module runs the same worker with
monitoring: it reports a player that exits, does not connect, has another version, does not respond or sends NaN, writes
the player's output to a file, and ends player and worker when the learner has ended.
"""

import contextlib
import functools
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import types

import editor
import events
import grpc
import numpy as np
import paths
import process_tree
import speedups
from mlagents.envs import rpc_communicator, subprocess_env_manager
from mlagents.envs.brain import BrainInfo
from mlagents.envs.environment import UnityEnvironment
from mlagents.envs.exception import UnityTimeOutException, UnityWorkerInUseException

TICK = 0.5  # seconds

run_worker_of_mlagents = subprocess_env_manager.worker


class Player:
    """The state of this worker's player."""

    process = None
    closing = False
    waited = None  # seconds without a response, or None
    reported = False

    def __init__(self, number: int, from_editor: bool):
        self.number = number
        self.ours = not from_editor  # started by this worker

    def fault(self, kind: str, **fields) -> None:
        """Report a fault; only the first one is reported, because others are its consequences."""
        if not self.reported and not self.closing:
            self.reported = True
            events.send("fault", kind=kind, player=self.number, editor=not self.ours, **fields)


def worker(parent_conn, step_queue, pickled_env_factory, worker_id: int) -> None:
    """Run ML-Agents' worker with monitoring; the arguments are those of the original."""
    settings = events.settings()
    process_tree.die_with(settings["learner"])
    events.connect(settings["events"])
    speedups.apply(settings["speedups"])  # already applied if the worker was forked
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the learner ends its workers by message
    if settings["try_players"] and worker_id:
        parent_conn.poll(None)  # a player without a message is never started
    player = Player(worker_id, settings["from_editor"])
    logs = os.path.join(settings["player_logs"], str(worker_id))
    os.makedirs(logs, exist_ok=True)
    _watch_launch(player, logs)
    _watch_messages(player, settings["stall_timeout"])
    if player.ours or paths.BASE != "/opt/ml":  # an Editor reaches a container's published port from outside
        _listen_on_loopback()
    logging.getLogger("mlagents.envs").addFilter(functools.partial(_report_nan, player))
    _watch_numbers(player)
    threading.Thread(target=_tick, args=(player, settings["learner"], settings["stall_timeout"]), daemon=True).start()
    try:
        run_worker_of_mlagents(parent_conn, step_queue, pickled_env_factory, worker_id)
    except UnityWorkerInUseException:
        player.fault("port_taken", port=first_port() + worker_id)
    except BaseException as error:
        traceback.print_exc()
        player.fault("worker_error", message="%s: %s" % (type(error).__name__, " ".join(str(error).split())))


def first_port() -> int:
    """Return the first port of this training, from the learner's command line."""
    return int(sys.argv[sys.argv.index("--base-port") + 1])


def _watch_launch(player: Player, logs: str) -> None:
    launch, close = UnityEnvironment.executable_launcher, UnityEnvironment._close

    def watched_launch(self, file_name, docker_training, no_graphics, args):
        if not any(word.lower() == "-logfile" for word in args):
            args = ["-logFile", os.path.join(logs, "Player.log"), *args]
        with open(os.path.join(logs, "console.log"), "ab") as console:
            # Only the player is started in this process.
            subprocess.Popen = functools.partial(
                subprocess.Popen,
                stdout=console,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(process_tree.die_with, os.getpid()),
            )
            launch(self, file_name, docker_training, no_graphics, args)
        player.process = self.proc1
        events.send("player", player=player.number, player_pid=self.proc1.pid)
        threading.Thread(target=wait, daemon=True).start()

    def wait():
        code = player.process.wait()
        player.fault("player_exit", code=code)

    def watched_close(self):
        player.closing = True
        close(self)

    UnityEnvironment.executable_launcher, UnityEnvironment._close = watched_launch, watched_close


def _listen_on_loopback() -> None:
    """Accept players only from this machine; ML-Agents itself listens on every interface."""

    def make_server(*args, **kwargs):
        server = grpc.server(*args, **kwargs)
        listen = server.add_insecure_port
        server.add_insecure_port = lambda address: listen(address.replace("[::]", "localhost"))
        return server

    rpc_communicator.grpc = types.SimpleNamespace(server=make_server)


def _watch_messages(player: Player, stall_timeout: float) -> None:
    initialize = rpc_communicator.RpcCommunicator.initialize
    exchange = rpc_communicator.RpcCommunicator.exchange

    def watched_initialize(self, inputs):
        if not player.ours:
            self.timeout_wait = min(stall_timeout, editor.PLAY_SECONDS)
        try:
            output = initialize(self, inputs)
        except UnityTimeOutException:
            player.fault("no_connection", seconds=self.timeout_wait, port=self.port)
            raise
        version = output.rl_initialization_output.version
        if version != UnityEnvironment.API_VERSION:
            player.fault("wrong_version", found=version, wanted=UnityEnvironment.API_VERSION)
        return output

    def watched_exchange(self, inputs):
        player.waited = 0.0
        try:
            output = exchange(self, inputs)
        finally:
            player.waited = None
        if output is None and not player.ours:
            events.send("editor_stopped")
        elif output is None:  # the player has quit; its exit code has more information, if it is available soon
            try:
                player.fault("player_exit", code=player.process.wait(2))
            except subprocess.TimeoutExpired:
                player.fault("player_quit")
        return output

    rpc_communicator.RpcCommunicator.initialize = watched_initialize
    rpc_communicator.RpcCommunicator.exchange = watched_exchange


def _report_nan(player: Player, record: logging.LogRecord) -> bool:
    # ML-Agents counts a NaN reward as 0 and continues; this warning is the only sign.
    if "NaN reward" in record.getMessage():
        player.fault("nan_reward", message=record.getMessage())
    return True


def _watch_numbers(player: Player) -> None:
    """Report the first observations of a brain that are not finite, and any reward that is infinite.

    ML-Agents replaces them with `nan_to_num`, which it calls only for this, so that finite observations cost no check.
    """
    read, mend = BrainInfo.from_agent_proto, np.nan_to_num
    steps, spoilt = {}, set()  # brain -> how often it was read
    reading = ""

    def watched_read(worker_id, agent_infos, brain):
        nonlocal reading
        reading = brain.brain_name
        steps[reading] = steps.get(reading, -1) + 1
        info = read(worker_id, agent_infos, brain)
        if not math.isfinite(sum(info.rewards)):
            player.fault("nan_reward", message="An agent had an infinite reward for brain %s" % reading)
        return info

    def watched_mend(values, *args, **kwargs):
        if reading not in spoilt and not np.isfinite(values).all():
            spoilt.add(reading)
            events.send("spoilt", brain=reading, player=player.number, step=steps[reading])
        return mend(values, *args, **kwargs)

    BrainInfo.from_agent_proto, np.nan_to_num = staticmethod(watched_read), watched_mend


def _tick(player: Player, learner: int, stall_timeout: float) -> None:
    """Check the player twice a second.

    Time is counted in ticks of this process, not by the clock, so that a machine that slept, or a paused job, does not
    count as a hang.
    """
    while True:
        time.sleep(TICK)
        if os.getppid() != learner:
            _kill(player)
            os._exit(1)
        events.send("alive", who=events.driver(player.number))
        if player.waited is not None:
            player.waited += TICK
            if player.waited >= stall_timeout:
                player.fault("player_hang", seconds=player.waited)


def _kill(player: Player) -> None:
    if player.process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(player.process.pid, signal.SIGKILL)  # ML-Agents makes it leader of its own group
