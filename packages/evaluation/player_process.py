"""Start a player as mlagents-learn does, and step it. Run by the trainer environment's Python (3.7 and later).

Usage: ``python player_process.py REQUEST.json``. It reads actions from standard input and writes observations to
standard output, as `pipe_messages`. The player is started by the unmodified wheel of the build's version.
"""

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pipe_messages


def end_process(_):
    """End this process, because the player has ended."""
    sys.stderr.flush()
    os._exit(3)


def send(pipe, player, **values):
    """Send the observations, rewards and ends of episodes of all agents."""
    arrays = {}
    for name, agents in player.agents.items():
        values.setdefault("agents", {})[name] = agents.names
        arrays[name + "/vector"] = agents.vector.astype("<f4")
        arrays[name + "/reward"] = np.array(agents.rewards, "<f8")
        arrays[name + "/done"] = agents.done
        if agents.masks is not None:
            arrays[name + "/masks"] = np.array(agents.masks, "<f4")
        for number, picture in enumerate(agents.pictures):
            arrays[f"{name}/visual/{number}"] = np.array(picture, "<f4")
    pipe_messages.write(pipe, values, arrays)


def main():
    """Step until the input ends."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # The player must not print into the messages.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path.append(request["driver"])
    player = importlib.import_module(request["module"]).Player(end_process, request)
    brains = {
        name: {"continuous": brain["actions"] == "continuous", "actions": brain["action_sizes"]}
        for name, brain in player.brains.items()
    }
    send(out, player, brains=brains)
    while True:
        try:
            _, actions = pipe_messages.read(sys.stdin.buffer)
        except EOFError:
            break
        player.step(actions)
        send(out, player)
    sys.stderr.flush()
    os._exit(0)  # the player ends with its trainer; a plain exit may wait for the server's threads


if __name__ == "__main__":
    main()
