"""Run by the Python of ML-Agents 1.1.0: start a player, query its behaviors, and step it, as `ask_player` does.

Usage: ``python ask_later_player.py REQUEST.json ANSWER.json``.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
from stepped_player import SteppedPlayer


def write(path, answer):
    """Write the answer atomically."""
    part = Path(str(path) + ".part")
    part.write_text(json.dumps(answer), encoding="utf-8")
    part.replace(path)


def describe(name, spec, agents, late):
    """Convert a behavior's description to plain values; pictures have channels first."""
    actions = spec.action_spec
    kind = "continuous" if not actions.discrete_size else "hybrid" if actions.continuous_size else "discrete"
    numbers = (actions.continuous_size,) if actions.continuous_size else ()
    return {
        "name": name,
        "observations": int(agents.vector.shape[1]),
        "stacked": 1,
        "sensors": [list(one.shape) for one in spec.observation_specs],
        "cameras": [[one.shape[2], one.shape[3], one.shape[1]] for one in agents.pictures],
        "actions": kind,
        "action_sizes": [*numbers, *actions.discrete_branches],
        "agents": len(agents.known),
        "late": late,
    }


def ask(request, answer_file):
    """Start the player, step it for the requested time, and describe it."""
    start = time.perf_counter()
    player = SteppedPlayer(request)
    connected, early = time.perf_counter() - start, set(player.specs)
    start, steps = time.perf_counter(), 0
    while player.specs and (not steps or time.perf_counter() - start < request["seconds"]):
        actions = {name: spec.action_spec for name, spec in player.specs.items()}
        widths = {name: one.continuous_size + one.discrete_size for name, one in actions.items()}
        player.step({name: np.zeros((len(player.agents[name].names), width)) for name, width in widths.items()})
        steps += 1
    seconds = time.perf_counter() - start
    found = [describe(name, spec, player.agents[name], name not in early) for name, spec in player.specs.items()]
    answer = {"academy": "Academy", "brains": found, "reset_parameters": None, "steps": steps}
    write(answer_file, {**answer, "steps_per_second": steps / seconds, "seconds_to_connect": connected})
    player.env.close()


def main():
    """Run the request; if it fails, write the error as the answer."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        ask(request, sys.argv[2])
    except BaseException as error:
        answer = {"error": type(error).__name__, "message": str(error)}
        if ended := re.search(r"return code (-?[0-9]+)", str(error)):
            answer = {"error": "PlayerEnded", "message": "", "exit_code": int(ended[1])}
        if not Path(sys.argv[2]).exists():
            write(sys.argv[2], answer)
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # the gRPC server's threads may block a normal exit


if __name__ == "__main__":
    main()
