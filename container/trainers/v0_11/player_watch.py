"""Monitors a player from inside the ML-Agents worker process that drives it.

Each worker of ML-Agents starts one player and exchanges messages with it. This module runs the same worker with
monitoring: it reports a player that exits, does not connect, has another version, does not respond or sends NaN, writes
the player's output to a file, and ends player and worker when the learner has ended.
"""

import functools
import logging
import math
import subprocess
import traceback

import editor
import events
import numpy as np
import watching
from mlagents.envs import rpc_communicator, subprocess_env_manager
from mlagents.envs.brain import BrainInfo
from mlagents.envs.environment import UnityEnvironment
from mlagents.envs.exception import UnityTimeOutException, UnityWorkerInUseException

run_worker_of_mlagents = subprocess_env_manager.worker


def worker(parent_conn, step_queue, pickled_env_factory, worker_id: int) -> None:
    """Run ML-Agents' worker with monitoring; the arguments are those of the original."""
    player = watching.begin_worker(worker_id, parent_conn)
    _watch_launch(player)
    _watch_messages(player)
    watching.listen_on_loopback(player, rpc_communicator)
    logging.getLogger("mlagents.envs").addFilter(functools.partial(_report_nan, player))
    _watch_numbers(player)
    try:
        run_worker_of_mlagents(parent_conn, step_queue, pickled_env_factory, worker_id)
    except UnityWorkerInUseException:
        player.fault("port_taken", port=watching.first_port() + worker_id)
    except BaseException as error:
        traceback.print_exc()
        player.fault("worker_error", message="%s: %s" % (type(error).__name__, " ".join(str(error).split())))


def _watch_launch(player: watching.Player) -> None:
    launch, close = UnityEnvironment.executable_launcher, UnityEnvironment._close

    def watched_launch(self, file_name, docker_training, no_graphics, args):
        subprocess.Popen = player.start  # only the player is started in this process
        launch(self, file_name, docker_training, no_graphics, [*player.log_options(args), *args])

    def watched_close(self):
        player.closing = True
        close(self)

    UnityEnvironment.executable_launcher, UnityEnvironment._close = watched_launch, watched_close


def _watch_messages(player: watching.Player) -> None:
    initialize = rpc_communicator.RpcCommunicator.initialize
    exchange = rpc_communicator.RpcCommunicator.exchange

    def watched_initialize(self, inputs):
        if not player.ours:
            self.timeout_wait = min(player.stall_timeout, editor.PLAY_SECONDS)
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
        if output is None:
            player.leaves()
        return output

    rpc_communicator.RpcCommunicator.initialize = watched_initialize
    rpc_communicator.RpcCommunicator.exchange = watched_exchange


def _report_nan(player: watching.Player, record: logging.LogRecord) -> bool:
    # ML-Agents counts a NaN reward as 0 and continues; this warning is the only sign.
    if "NaN reward" in record.getMessage():
        player.fault("nan_reward", message=record.getMessage())
    return True


def _watch_numbers(player: watching.Player) -> None:
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
