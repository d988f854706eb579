"""Training from the Unity Editor: without a build, the scene that is open in the Editor plays.

ML-Agents then starts no player and waits until the Editor, outside the container, connects to the published port.
"""

import os
from typing import Any, Dict

import paths
import player_build
from refusal import RefusalError

PORT = 5004  # the Editor's port, fixed in ML-Agents' Unity package
PLAY_SECONDS = 300  # to press Play; ML-Agents' own 30 are too few for an Editor that compiles first
ROUTES = "/proc/net/route"
# An Editor may be paused for long, and a user who stops it does not want a restart.
DEFAULTS = {"stall-timeout": "3600", "max-restarts": "0"}


def plays(values: Dict[str, Any]) -> bool:
    """Return whether the Editor plays: no build is named or present, and an Editor can reach this job.

    A channel with another name is a misspelling, not a request for the Editor. SageMaker's jobs, which have
    TRAINING_JOB_NAME, and containers without a network have no Editor.
    """
    if "env" in values or "TRAINING_JOB_NAME" in os.environ:
        return False
    found = player_build.traces(paths.CHANNEL) if os.path.isdir(paths.CHANNEL) else paths.channels()
    return not found and _has_network()


def check(options: Dict[str, Any]) -> None:
    """Refuse options that do not apply to an Editor.

    Raises
    ------
    RefusalError
        More than one player is requested, or arguments for it.
    """
    if options["num-envs"] not in (None, 1) or options["env-args"]:
        raise RefusalError(
            "Without a build the Unity Editor plays, which is one player and takes no arguments. Leave out num-envs "
            "and env-args, or put the build into the channel unity-volume (%s)." % paths.CHANNEL
        )


def describe(port: int) -> str:
    """Return a message about what the job waits for, and why."""
    return (
        "no hyperparameter env and no build in %s: the Unity Editor plays. It connects to port %d; press Play within "
        "%d s once ML-Agents asks for it" % (paths.CHANNEL, port, PLAY_SECONDS)
    )


def _has_network() -> bool:
    """Return whether there is a network besides loopback; outside a container the Editor uses loopback."""
    if paths.BASE != "/opt/ml":
        return True
    with open(ROUTES, encoding="ascii") as file:
        return len(file.readlines()) > 1  # the first is the header
