"""Start a player of com.unity.ml-agents and step it, as `play` does. Run by the Python of ML-Agents 1.1.0."""

import json
import os
import sys
from pathlib import Path

import frames
import numpy as np


def send(pipe, player, **values):
    """Send the observations, rewards and ends of episodes of all agents."""
    arrays = {}
    for name, agents in player.agents.items():
        values.setdefault("agents", {})[name] = agents.names
        arrays[name + "/vector"] = agents.vector.astype("<f4")
        arrays[name + "/reward"] = agents.rewards.astype("<f8")
        arrays[name + "/done"] = agents.done
        if agents.masks is not None:
            arrays[name + "/masks"] = agents.masks.astype("<f4")
        for number, picture in enumerate(agents.pictures):
            arrays[f"{name}/visual/{number}"] = picture.astype("<f4")
    frames.write(pipe, values, arrays)


def main():
    """Step until the input ends."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # The player must not print into the messages.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path.append(request["driver"])
    from stepped_player import SteppedPlayer

    player = SteppedPlayer(request)
    brains = {}
    for name, spec in player.specs.items():
        actions = spec.action_spec
        numbers = [actions.continuous_size] if actions.continuous_size else []
        sizes = numbers + [int(size) for size in actions.discrete_branches]
        brains[name] = {"continuous": not actions.discrete_size, "actions": sizes}
    send(out, player, brains=brains)
    while True:
        try:
            _, actions = frames.read(sys.stdin.buffer)
        except EOFError:
            break
        player.step({name: np.asarray(values) for name, values in actions.items()})
        send(out, player)
    sys.stderr.flush()
    os._exit(0)  # the player ends with its trainer; a plain exit may wait for the server's threads


if __name__ == "__main__":
    main()
