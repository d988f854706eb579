"""Run by the trainer environment's Python (3.7 and later): start a player, query its brains, and step it.

Usage: ``python ask_player.py REQUEST.json ANSWER.json``; the answer is written before the player is closed.
"""

import contextlib
import importlib
import json
import os
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np


def write(path, answer):
    """Write the answer atomically; later answers are dropped."""
    part = Path(f"{path}.{threading.get_ident()}")
    part.write_text(json.dumps(answer), encoding="utf-8")
    with contextlib.suppress(FileExistsError):
        os.link(part, path)
    part.unlink()


def rest(brain, agents):
    """Return an action of zeros for each agent."""
    kind, sizes = brain["actions"], brain["action_sizes"]
    numbers = 0 if kind == "discrete" else sizes[0]
    width = numbers + len(sizes) - (kind != "discrete")
    return np.zeros((agents, width), dtype=np.int32 if kind == "discrete" else np.float32)


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
    player = importlib.import_module(request["module"]).Player(write_end(answer_file), request)
    connected, early = time.perf_counter() - start, set(player.brains)
    start, steps = time.perf_counter(), 0
    while player.agents and (not steps or time.perf_counter() - start < request["seconds"]):
        waiting = {name: len(player.agents[name].names) for name in player.brains if name in player.agents}
        player.step({name: rest(player.brains[name], agents) for name, agents in waiting.items()})
        steps += 1
    seconds = time.perf_counter() - start
    brains = [
        {"name": name, "agents": getattr(player.agents.get(name), "count", 0), "late": name not in early, **brain}
        for name, brain in player.brains.items()
    ]
    answer = {
        "academy": player.academy,
        "brains": brains,
        "reset_parameters": player.reset_parameters,
        "steps": steps,
        "steps_per_second": steps / seconds if steps else 0.0,
        "seconds_to_connect": connected,
    }
    write(answer_file, answer)
    player.close()


def main():
    """Run the request; if it fails, write the error as the answer."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        ask(request, sys.argv[2])
    except BaseException as error:
        answer = {"error": type(error).__name__, "message": str(error)}
        ended = re.search(r"return code (-?[0-9]+)", str(error))  # as 1.1.0 says that the player has ended
        if ended:
            answer = {"error": "PlayerEnded", "message": "", "exit_code": int(ended.group(1))}
        write(sys.argv[2], answer)
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # the gRPC server's threads may block a normal exit


if __name__ == "__main__":
    main()
