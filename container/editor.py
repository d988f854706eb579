"""Training from the Unity Editor: where there is no build, the scene that is open in the Editor plays.

ML-Agents then starts no player and waits until the Editor, outside the container, connects to the published port.
"""

import os
from typing import Any, Dict

import paths
import player_build
from refusal import RefusalError

PORT = 5004  # where the Editor connects; fixed in ML-Agents' Unity package
PLAY_SECONDS = 300  # for somebody to press Play; ML-Agents' own 30 are few for an Editor that compiles first
ROUTES = "/proc/net/route"
# An Editor may be paused for as long as its user thinks; and who stops it does not want it to go on.
DEFAULTS = {"stall-timeout": "3600", "max-restarts": "0"}


def plays(given: Dict[str, Any]) -> bool:
    """Whether the Editor is to play: no build is named, nothing of one is there, and an Editor can reach this job.

    A channel of another name is a mistake in the name, not a wish for the Editor. SageMaker's jobs, which have
    TRAINING_JOB_NAME, and containers without a network have no Editor.
    """
    if "env" in given or "TRAINING_JOB_NAME" in os.environ:
        return False
    there = player_build.traces(paths.CHANNEL) if os.path.isdir(paths.CHANNEL) else paths.channels()
    return not there and _has_network()


def check(options: Dict[str, Any]) -> None:
    """Refuse options that mean nothing to an Editor.

    Raises
    ------
    RefusalError
        More than one player is asked for, or arguments for it.
    """
    if options["num-envs"] not in (None, 1) or options["env-args"]:
        raise RefusalError(
            "Without a build the Unity Editor plays, which is one player and takes no arguments. Leave out num-envs "
            "and env-args, or put the build into the channel unity-volume (%s)." % paths.CHANNEL
        )


def describe(port: int) -> str:
    """Return a sentence about what the job waits for, and why."""
    return (
        "no hyperparameter env and no build in %s: the Unity Editor plays. It connects to port %d; press Play within "
        "%d s once ML-Agents asks for it" % (paths.CHANNEL, port, PLAY_SECONDS)
    )


def _has_network() -> bool:
    """Whether there is more than loopback; outside a container the Editor comes by loopback."""
    if paths.BASE != "/opt/ml":
        return True
    with open(ROUTES, encoding="ascii") as file:
        return len(file.readlines()) > 1  # the first has the names of the columns
