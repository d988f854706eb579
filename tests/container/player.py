#!/usr/bin/env python3
# ruff: noqa: SIM115
"""A player for tests: speaks ML-Agents' protocol, and fails in every way that a Unity player can.

Each agent gets a reward of 0.1 a step in episodes of ten steps. ML-Agents leaves out the step that follows the end of
an episode, so that each adds up to 0.9.
"""

import argparse
import contextlib
import io
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
from google.protobuf.internal.encoder import _VarintBytes
from mlagents.envs.communicator_objects.demonstration_meta_pb2 import DemonstrationMetaProto
from mlagents.envs.communicator_objects.unity_message_pb2 import UnityMessageProto
from mlagents.envs.communicator_objects.unity_to_external_pb2_grpc import UnityToExternalProtoStub
from PIL import Image

EPISODE = 10
RESET, QUIT = 1, 2
SIZE = 24  # pixels of an image, each way


def main():
    options = command_line()
    if options.record:
        return record(options)
    number = Path(options.logFile).parent.name  # the container gives each player its own folder
    log = Path(options.logFile).open("a")
    log.write(f"player {number} with {sys.argv[1:]}\n")
    log.flush()
    fault = Fault(options, number, log)
    fault.before_connecting()
    channel = grpc.insecure_channel(f"localhost:{options.port}")
    grpc.channel_ready_future(channel).result(30)
    exchange = fault.exchange = UnityToExternalProtoStub(channel).Exchange
    rng = np.random.RandomState(0)

    message = UnityMessageProto()
    introduce(message, options)
    message.unity_output.rl_initialization_output.version = fault.version()
    exchange(message)
    wish = exchange(UnityMessageProto())
    step = 0
    while wish.header.status == 200 and wish.unity_input.rl_input.command != QUIT:
        message = UnityMessageProto()
        message.header.status = 200
        if wish.unity_input.rl_input.command == RESET:
            parameters = dict(wish.unity_input.rl_input.environment_parameters.float_parameters)
            log.write(f"reset with {parameters}\n")
            log.flush()
            introduce(message, options)
            first = True
        else:
            step += 1
            first = False
        fault.at_step(step)
        for brain in options.brains:
            agents = message.unity_output.rl_output.agentInfos[brain].value
            for agent in range(options.agents):
                observe(agents.add(), agent, step, first, rng, options, fault)
        wish = exchange(message)
    return fault.at_quit()


def command_line():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("-logFile")
    parser.add_argument("-nographics", action="store_true")
    parser.add_argument("-batchmode", action="store_true")
    parser.add_argument("--brains", type=lambda names: names.split(","), default=["Test"])
    parser.add_argument("--observations", type=int, default=4)
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--actions", type=int, default=2)
    parser.add_argument("--discrete", action="store_true")
    parser.add_argument("--agents", type=int, default=2)
    parser.add_argument("--fault", default="")
    parser.add_argument("--at", type=int, default=0, help="step")
    parser.add_argument("--delay", type=float, default=0, help="seconds after that step")
    parser.add_argument("--player", help="number of the only player with the fault")
    parser.add_argument("--times", type=int, default=1000, help="players that have the fault, counted in --counter")
    parser.add_argument("--then", type=int, help="step in the lives after the first, counted in --counter")
    parser.add_argument("--counter", help="file")
    parser.add_argument("--pause", type=float, default=0, help="seconds a step")
    parser.add_argument("--crowd", help="file that counts players: two are slower together than one")
    parser.add_argument("--record", help="write a demonstration into this file and play nothing")
    return parser.parse_args()


class Fault:
    """What goes wrong, and when."""

    begun = False

    def __init__(self, options, number, log):
        self.kind, self.at, self.pause = options.fault, options.at, options.pause
        self.options, self.log = options, log
        if options.crowd:
            with Path(options.crowd).open("a") as crowd:
                crowd.write("x")
        if options.player not in (None, number) or not self._counted():
            self.kind = ""

    def _counted(self):
        if self.options.counter is None:
            return True
        with Path(self.options.counter).open("a+") as counter:
            counter.write("x")
            counter.flush()
            counter.seek(0)
            lives = len(counter.read())
        if lives > 1 and self.options.then is not None:
            self.at = self.options.then
        return lives <= self.options.times

    def _say(self):
        self.log.write(f"about to {self.kind} at {time.time():.2f}\n")
        self.log.flush()

    def before_connecting(self):
        if self.kind == "refuse-graphics" and self.options.nographics:
            self._say()
            sys.exit("cannot run with -nographics")
        if self.kind == "exit-early":
            self._say()
            sys.exit(3)
        if self.kind == "never-connect":
            self._say()
            time.sleep(1000)

    def version(self):
        if self.kind == "wrong-version":
            self._say()
            return "API-10"
        return "API-11"

    def at_step(self, step):
        crowd = Path(self.options.crowd).stat().st_size if self.options.crowd else 1
        time.sleep(self.pause * crowd**2)
        if self.kind and step == self.at and not self.begun:
            self.begun = True
            if self.options.delay:
                threading.Timer(self.options.delay, self.strike).start()
            else:
                self.strike()

    def strike(self):
        self._say()
        if self.kind == "memory":
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, resource.RLIM_INFINITY))
            with contextlib.suppress(MemoryError):
                assert not [bytearray(2**24) for _ in range(100)]
            os.abort()  # as Unity does
        if self.kind == "hog":  # more and more, until the kernel ends it before the learner
            Path("/proc/self/oom_score_adj").write_text("1000")
            hoard = []
            while True:
                hoard.append(b"x" * 2**24)
        if self.kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "exit":
            os._exit(0)
        if self.kind == "say-goodbye":  # as the Unity Editor does when it is stopped
            goodbye = UnityMessageProto()
            goodbye.header.status = 400
            self.exchange(goodbye, timeout=30)
            os._exit(0)
        if self.kind == "hang":
            if os.fork() == 0:  # a child of its own, which must go as well
                os.setsid()
                time.sleep(1000)
            os.kill(os.getpid(), signal.SIGSTOP)

    def reward(self, step):
        return float("nan") if self.kind == "nan-reward" and step >= self.at else 0.1

    def observation(self, step, values):
        # Large beyond any normalisation: the losses overflow.
        return [3e38] * len(values) if self.kind == "infinite" and step >= self.at else values

    def at_quit(self):
        if self.kind == "stay":
            self._say()
            time.sleep(1000)


def introduce(message, options):
    hello = message.unity_output.rl_initialization_output
    hello.name = "TestAcademy"
    hello.version = "API-11"
    hello.environment_parameters.float_parameters["size"] = 1.0
    for brain in options.brains:
        hello.brain_parameters.add(
            brain_name=brain,
            vector_observation_size=options.observations,
            num_stacked_vector_observations=1,
            vector_action_size=[options.actions],
            vector_action_space_type=0 if options.discrete else 1,
        )


def observe(info, agent, step, first, rng, options, fault):
    info.id = agent
    info.stacked_vector_observation.extend(fault.observation(step, rng.uniform(-1, 1, options.observations).tolist()))
    info.stored_vector_actions.extend([0.0] * (1 if options.discrete else options.actions))
    info.reward = 0.0 if first else fault.reward(step)
    info.done = not first and step % EPISODE == 0
    for _ in range(options.images):
        pixels = io.BytesIO()
        Image.fromarray(rng.randint(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)).save(pixels, "PNG")
        info.compressed_observations.add(data=pixels.getvalue(), shape=[SIZE, SIZE, 3], compression_type=1)


def record(options, steps=50):
    """Write a demonstration as Unity's recorder does: meta data in the first 33 bytes, then the brain, then each step."""
    message = UnityMessageProto()
    introduce(message, options)
    rng = np.random.RandomState(1)
    infos = message.unity_output.rl_output.agentInfos["demo"].value
    for step in range(steps):
        observe(infos.add(), 0, step, step == 0, rng, options, Fault(options, "0", sys.stderr))
    meta = delimited(DemonstrationMetaProto(number_steps=steps)).ljust(33, b"\0")
    brain = message.unity_output.rl_initialization_output.brain_parameters[0]
    Path(options.record).write_bytes(meta + delimited(brain) + b"".join(map(delimited, infos)))


def delimited(message):
    return _VarintBytes(message.ByteSize()) + message.SerializeToString()


if __name__ == "__main__":
    main()
