"""Start a player as mlagents-learn does, and step it. Run by the trainer environment's Python (3.7 and later).

Usage: ``python play.py REQUEST.json``. It reads actions from standard input and writes observations to standard output,
as `frames`. The player is started by `mlagents.envs` of the unmodified wheel.
"""

import json
import os
import sys
from pathlib import Path

import frames
import numpy as np


def end_process(_):
    """End this process, because the player has ended."""
    sys.stderr.flush()
    os._exit(3)


def describe(brain):
    """Describe a brain's actions."""
    return {
        "continuous": brain.vector_action_space_type == "continuous",
        "actions": list(brain.vector_action_space_size),
    }


def send(pipe, infos, **values):
    """Send the observations, rewards and ends of episodes of all agents."""
    arrays = {}
    for name, info in infos.items():
        values.setdefault("agents", {})[name] = list(info.agents)
        arrays[name + "/vector"] = info.vector_observations.astype("<f4")
        arrays[name + "/reward"] = np.array(info.rewards, "<f8")
        arrays[name + "/done"] = np.array(info.local_done, "?")
        if info.action_masks is not None:
            arrays[name + "/masks"] = np.array(info.action_masks, "<f4")
        for number, picture in enumerate(info.visual_observations):
            arrays[f"{name}/visual/{number}"] = np.array(picture, "<f4")
    frames.write(pipe, values, arrays)


def main():
    """Step until the input ends."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # The player must not print into the messages.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path.append(request["driver"])
    from watched_player import WatchedEnvironment

    env = WatchedEnvironment(end_process, request)
    infos = env.reset(train_mode=True)
    send(out, infos, brains={name: describe(env.brains[name]) for name in env.external_brain_names})
    while True:
        try:
            _, actions = frames.read(sys.stdin.buffer)
        except EOFError:
            break
        send(out, env.step(actions))
    sys.stderr.flush()
    os._exit(0)  # the player ends with its trainer; a plain exit may wait for the server's threads


if __name__ == "__main__":
    main()
