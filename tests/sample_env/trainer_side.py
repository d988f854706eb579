"""The trainer's side of the protocol, run in the trainer's environment: one scene for each start, a report as JSON."""

import json
import os
import queue
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Process
from pathlib import Path

import grpc
import numpy as np
from mlagents.envs.communicator_objects.unity_message_pb2 import UnityMessageProto
from mlagents.envs.communicator_objects.unity_to_external_pb2_grpc import (
    UnityToExternalProtoServicer,
    add_UnityToExternalProtoServicer_to_server,
)
from mlagents.envs.environment import UnityEnvironment
from mlagents.envs.exception import UnityWorkerInUseException

BRAIN = "3DBall"
STEP, RESET, QUIT = 0, 1, 2


def stock_environment(build, args, **options):
    """Start a player as ML-Agents does, on some free port."""
    while True:
        port = int(np.random.RandomState().randint(20000, 30000))
        try:
            return UnityEnvironment(build, base_port=port, no_graphics=True, args=list(args), **options)
        except UnityWorkerInUseException:
            continue


def step(environment, actions):
    agents = len(actions)
    return environment.step(
        {BRAIN: np.array(actions)},
        {BRAIN: np.zeros(0)},
        {BRAIN: [""] * agents},
        {BRAIN: np.zeros(agents)},
        {BRAIN: [None] * agents},
    )[BRAIN]


def as_lists(info):
    return {
        "observations": info.vector_observations.tolist(),
        "rewards": info.rewards,
        "done": info.local_done,
        "max_reached": info.max_reached,
        "agents": info.agents,
        "previous_actions": info.previous_vector_actions.tolist(),
    }


def stock_run(build, args, seed, actions, parameters):
    """Reset, one step for each of the actions, reset with parameters, close."""
    environment = stock_environment(build, args, seed=seed)
    brain = environment.external_brains
    seen = [as_lists(environment.reset()[BRAIN])]
    described = environment.external_brains[BRAIN]
    seen += [as_lists(step(environment, action)) for action in actions]
    seen.append(as_lists(environment.reset(config=parameters)[BRAIN]))
    player = environment.proc1
    environment.close()
    return {
        "brains_before_reset": len(brain),
        "brain": dict(vars(described)),
        "reset_parameters": environment.reset_parameters,
        "log_path": environment.logfile_path,
        "seen": seen,
        "exit_code": player.returncode,
    }


def stock_real_time(build, args, decisions):
    """Make some decisions with `train_mode` off."""
    environment = stock_environment(build, args)
    environment.reset(train_mode=False)
    started = time.monotonic()
    for _ in range(decisions):
        step(environment, [[0.0, 0.0]])
    seconds = time.monotonic() - started
    environment.close()
    return {"seconds": seconds}


def trainer_killed(build, args):
    """Kill a trainer whose player is served by a forked worker, as mlagents-learn's are."""
    read, write = os.pipe()

    def worker():
        environment = stock_environment(build, args)
        environment.reset()
        os.write(write, json.dumps([os.getpid(), environment.proc1.pid]).encode())
        time.sleep(60)

    trainer = Process(target=lambda: run_in_fork(worker))
    trainer.start()
    worker_pid, player_pid = json.loads(os.read(read, 100).decode())
    trainer.kill()
    trainer.join()
    gone = wait_for_end(player_pid)
    os.kill(worker_pid, 9)
    return {"player_gone": gone}


def run_in_fork(function):
    process = Process(target=function)
    process.start()
    process.join()


def wait_for_end(pid):
    for _ in range(300):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


class Script(UnityToExternalProtoServicer):
    """Answers a player out of a list, and keeps what it said."""

    def __init__(self, answers):
        self.answers = answers
        self.said = queue.Queue()

    def Exchange(self, request, context):
        self.said.put(request)
        return self.answers.pop(0) if self.answers else message(status=400)


def message(status=200, command=None, actions=None, parameters=None):
    result = UnityMessageProto()
    result.header.status = status
    if command is not None:
        result.unity_input.rl_input.command = command
        result.unity_input.rl_input.is_training = True
    for action in actions or []:
        result.unity_input.rl_input.agent_actions[BRAIN].value.add(vector_actions=action)
    for name, value in (parameters or {}).items():
        result.unity_input.rl_input.environment_parameters.float_parameters[name] = value
    return result


def scripted(build, args, answers):
    """Answer a player with these messages, then with a status of 400; give what it said and how it ended."""
    script = Script([message(), *[message(**response) for response in answers]])
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    add_UnityToExternalProtoServicer_to_server(script, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    player = subprocess.Popen([build + ".x86_64", "-nographics", "-batchmode", "--port", str(port), *args])
    exit_code = player.wait(100)
    server.stop(None)
    messages = []
    while not script.said.empty():
        request = script.said.get()
        infos = request.unity_output.rl_output.agentInfos
        messages.append(
            {
                "status": request.header.status,
                "message": request.header.message,
                "actions": [list(info.stored_vector_actions) for info in infos[BRAIN].value]
                if BRAIN in infos
                else None,
            }
        )
    return {"said": messages, "exit_code": exit_code}


def server_vanishes(build, args):
    """Stop serving in the middle of a run."""
    script = Script([message(), message(command=RESET), *[message(command=STEP) for _ in range(10000)]])
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    add_UnityToExternalProtoServicer_to_server(script, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    player = subprocess.Popen([build + ".x86_64", "--port", str(port), *args])
    for _ in range(5):
        script.said.get(timeout=100)
    server.stop(None)
    return {"exit_code": player.wait(100)}


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    report = globals()[wanted.pop("scene")](**wanted)
    print(json.dumps(report))
