"""Run by the trainer environment's Python (3.7 and later): start a player, query its brains, and step it.

Usage: ``python ask_player.py REQUEST.json ANSWER.json``; the answer is written before the player is closed.
"""

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from watched_player import WatchedEnvironment


def write(path, answer):
    """Write the answer atomically; later answers are dropped."""
    part = Path(f"{path}.{threading.get_ident()}")
    part.write_text(json.dumps(answer), encoding="utf-8")
    with contextlib.suppress(FileExistsError):
        os.link(part, path)
    part.unlink()


def describe(brain, agents, late):
    """Convert a brain's parameters to plain values."""
    return {
        "name": brain.brain_name,
        "observations": brain.vector_observation_space_size,
        "stacked": brain.num_stacked_vector_observations,
        "cameras": [list(camera) for camera in brain.camera_resolutions],
        "actions": brain.vector_action_space_type,
        "action_sizes": list(brain.vector_action_space_size),
        "agents": agents,
        "late": late,
    }


def rest(brain, agents):
    """Return an action of zeros for each agent."""
    continuous = brain.vector_action_space_type == "continuous"
    width = brain.vector_action_space_size[0] if continuous else len(brain.vector_action_space_size)
    return np.zeros((agents, width), dtype=np.float32 if continuous else np.int32)


def write_end(answer_file):
    """Return a callback for the player's end, which writes the answer and ends this process."""

    def ended(code):
        if code is None:
            write(answer_file, {"error": "UnityTimeOutException", "message": ""})
        else:
            time.sleep(0.5)  # its last message may still arrive, and its answer takes precedence
            write(answer_file, {"error": "PlayerEnded", "message": "", "exit_code": code})
        os._exit(1)

    return ended


def ask(request, answer_file):
    """Start the player, step it for the requested time, and describe it."""
    start = time.perf_counter()
    env = WatchedEnvironment(write_end(answer_file), request)
    connected = time.perf_counter() - start
    info = env.reset(train_mode=True)
    early = set(env.external_brain_names)
    start, steps = time.perf_counter(), 0
    while info and (not steps or time.perf_counter() - start < request["seconds"]):
        info = env.step({name: rest(env.brains[name], len(info[name].agents)) for name in env.external_brain_names})
        steps += 1
    seconds = time.perf_counter() - start
    brains = [
        describe(env.brains[name], len(info[name].agents) if name in info else 0, name not in early)
        for name in env.external_brain_names
    ]
    answer = {
        "academy": env.academy_name,
        "brains": brains,
        "reset_parameters": env.reset_parameters,
        "steps": steps,
        "steps_per_second": steps / seconds if steps else 0.0,
        "seconds_to_connect": connected,
    }
    write(answer_file, answer)
    env.close()


def main():
    """Run the request; if it fails, write the error as the answer."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        ask(request, sys.argv[2])
    except BaseException as error:
        write(sys.argv[2], {"error": type(error).__name__, "message": str(error)})
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # the gRPC server's threads may block a normal exit


if __name__ == "__main__":
    main()
