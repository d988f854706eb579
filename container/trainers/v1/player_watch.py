"""Monitors a player from inside the ML-Agents worker process that drives it.

Each worker of ML-Agents starts one player and exchanges messages with it. This module runs the same worker with
monitoring: it reports a player that exits, does not connect, speaks another protocol, does not respond or sends NaN.
"""

import re
import subprocess
import traceback
import types

import editor
import watching
from mlagents.trainers import subprocess_env_manager
from mlagents_envs import env_utils, logging_util, rpc_communicator, rpc_utils
from mlagents_envs.environment import UnityEnvironment
from mlagents_envs.exception import UnityTimeOutException, UnityWorkerInUseException

CONNECT_SECONDS = 60  # ML-Agents' own default
run_worker_of_mlagents = subprocess_env_manager.worker


class _Forever(int):
    """A timeout that never passes: a player that hangs is found by its ticks, which stop while the job is paused.

    ML-Agents looks whether the player still runs after a tenth of it, which is half a second here.
    """

    def __floordiv__(self, other):
        return watching.TICK


FOREVER = _Forever(10**9)  # seconds


def worker(parent_conn, step_queue, pickled_env_factory, worker_id, run_options, log_level=logging_util.INFO) -> None:
    """Run ML-Agents' worker with monitoring; the arguments are those of the original."""
    player = watching.begin_worker(worker_id, parent_conn)
    _watch_launch(player)
    _watch_messages(player)
    _watch_numbers(player)
    watching.listen_on_loopback(player, rpc_communicator)
    try:
        run_worker_of_mlagents(parent_conn, step_queue, pickled_env_factory, worker_id, run_options, log_level)
    except BaseException as error:
        _report(player, error)


def _report(player: watching.Player, error: BaseException) -> None:
    """Report an error of the worker, unless it follows from one that was reported."""
    if isinstance(error, UnityWorkerInUseException):
        player.fault("port_taken", port=watching.first_port() + player.number)
    elif player.process is not None and player.process.poll() is not None:
        player.fault("player_exit", code=player.process.returncode)
    elif not player.reported and not player.closing:
        traceback.print_exc()
        player.fault("worker_error", message="%s: %s" % (type(error).__name__, " ".join(str(error).split())))


def _watch_launch(player: watching.Player) -> None:
    list_arguments, close = UnityEnvironment._executable_args, UnityEnvironment._close

    def with_log(self):
        self._additional_args = [*player.log_options(self._additional_args), *self._additional_args]
        return list_arguments(self)

    def watched_close(self, timeout=None):
        player.closing = True
        close(self, timeout)

    def watched(method):
        def reporting(*args, **kwargs):
            try:
                return method(*args, **kwargs)
            except Exception as error:  # which the worker passes on to the learner
                _report(player, error)
                raise

        return reporting

    UnityEnvironment._executable_args, UnityEnvironment._close = with_log, watched_close
    for name in ("__init__", "reset", "step"):
        setattr(UnityEnvironment, name, watched(getattr(UnityEnvironment, name)))
    env_utils.subprocess = types.SimpleNamespace(Popen=player.start, DEVNULL=subprocess.DEVNULL)


def _watch_messages(player: watching.Player) -> None:
    communicator, servicer = rpc_communicator.RpcCommunicator, rpc_communicator.UnityToExternalServicerImplementation
    initialize, exchange, serve = communicator.initialize, communicator.exchange, servicer.Exchange
    wanted, introduced = UnityEnvironment.API_VERSION, False

    def watched_serve(self, request, context):
        nonlocal introduced
        if not introduced:  # ML-Agents looks at the version only after a second message, which may never come
            introduced, player.waited = True, 0.0
            found = request.unity_output.rl_initialization_output.communication_version
            if not re.match(wanted.split(".")[0] + r"\.\d", found):
                player.fault("wrong_version", found=found, wanted=wanted)
        return serve(self, request, context)

    def watched_initialize(self, inputs, poll_callback=None):
        self.timeout_wait = CONNECT_SECONDS if player.ours else min(player.stall_timeout, editor.PLAY_SECONDS)
        try:
            return initialize(self, inputs, poll_callback)
        except UnityTimeOutException:
            player.fault("no_connection", seconds=self.timeout_wait, port=self.port)
            raise
        finally:
            player.waited, self.timeout_wait = None, FOREVER

    def watched_exchange(self, inputs, poll_callback=None):
        player.waited = 0.0
        try:
            output = exchange(self, inputs, poll_callback)
        finally:
            player.waited = None
        if output is None:
            player.leaves()
        return output

    communicator.initialize, communicator.exchange = watched_initialize, watched_exchange
    servicer.Exchange = watched_serve


def _watch_numbers(player: watching.Player) -> None:
    """Report rewards and observations that are not finite; ML-Agents ends with an error that names no player."""
    check = rpc_utils._raise_on_nan_and_inf

    def watched_check(data, source):
        try:
            return check(data, source)
        except RuntimeError as error:
            player.fault("nan_reward" if "reward" in source else "nan_observation", message=str(error))
            raise

    rpc_utils._raise_on_nan_and_inf = watched_check
