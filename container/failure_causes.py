"""The causes of failed trainings, and their messages."""

import signal
from typing import Any, Dict, Optional

import trainers

# Other faults would recur.
WORTH_A_RESTART = ("player_exit", "player_quit", "player_hang", "worker_exit", "port_taken")


class Fault:
    """A cause for a training to end.

    Parameters
    ----------
    event
        The reported event: `kind` and its fields.
    """

    def __init__(self, event: Dict[str, Any]):
        self.event = event
        self.kind: str = event["kind"]
        self.player: Optional[int] = event.get("player")

    @property
    def worth_a_restart(self) -> bool:
        """Whether a restart may succeed."""
        return self.kind in WORTH_A_RESTART

    def reason(self, steps: str) -> str:
        """Return a message with what happened, and the training's progress."""
        return _describe(self.event, steps)


def _describe(event: Dict[str, Any], steps: str) -> str:
    kind, text, after = event["kind"], event.get("message", ""), "after %s" % steps
    player = "The Unity Editor" if event.get("editor") else "Player %s" % event.get("player")
    if kind == "player_exit":
        return "%s %s %s." % (player, _describe_end(event), after)
    if kind == "player_quit":
        return "%s ended the connection %s." % (player, after)
    if kind == "player_hang":
        return "%s hangs: no answer for %.0f s, %s." % (player, event["seconds"], after)
    if kind == "no_connection" and event["editor"]:
        return (
            "The Unity Editor did not connect to port %d within %.0f s. Run this once more and press Play when "
            "ML-Agents asks for it; docker run must publish the port. To train a build, put it into the channel "
            "unity-volume." % (event["port"], event["seconds"])
        )
    if kind == "no_connection":
        return (
            "%s started but did not connect within %.0f s. Was it built with %s, and can it start without a display?"
            % (player, event["seconds"], trainers.chosen().ROW["builds"])
        )
    if kind == "wrong_version":
        return "%s speaks protocol version %r, this trainer %r. Build it with %s." % (
            player,
            event["found"],
            event["wanted"],
            trainers.chosen().ROW["builds"],
        )
    if kind == "nan_reward":
        return "%s sent a reward that is not a number %s (%s)." % (player, after, text.rstrip("."))
    if kind == "nan_observation":
        return "%s sent an observation that is not a number %s (%s). Fix CollectObservations in the scene." % (
            player,
            after,
            text.rstrip("."),
        )
    if kind == "port_taken":
        return (
            "%s could not be given port %d: another program on this machine uses it. Leave base-port out, and free "
            "ports are found." % (player, event["port"])
        )
    if kind == "no_summary":
        return (
            "The reward curve could not be added to in %s. What was saved is whole: make room there, or make it "
            "writable, and train on." % text
        )
    if kind == "worker_error":
        return "%s could not be driven %s: %s" % (player, after, text)
    if kind == "worker_exit":
        return "The process that drives player %s %s %s." % (event["player"], _describe_end(event), after)
    if kind == "refused":
        return text
    if kind == "not_finite":
        return "%s. The network is lost from there on; the last checkpoint is not." % text
    if kind == "not_saved":
        return (
            "The checkpoint could not be saved in %s. What was saved before is whole: make room, or keep fewer "
            "checkpoints (keep-checkpoints), and train on from there." % text
        )
    if kind == "trainer_error":
        advice = ". The disk is full: ask for a larger volume" if "No space left on device" in text else ""
        return "The trainer failed %s with %s: %s%s" % (after, event["error"], text, advice)
    if kind == "learner_stall":
        return "The learner stands still: nothing done for %.0f s, %s." % (event["seconds"], after)
    if kind == "silent":
        return "No sign of life from %s for %.0f s, %s." % (event["who"], event["seconds"], after)
    # learner_exit
    advice = trainers.chosen().advice(event["code"])
    return "The learner %s %s, before it reached max_steps.%s" % (_describe_end(event), after, advice)


def _describe_end(event: Dict[str, Any]) -> str:
    if event.get("out_of_memory"):
        limit = event.get("memory_limit")
        limit_text = "" if limit is None else ": all processes of this job may have %.0f MB" % (limit / 1e6)
        return "was killed because memory ran out (SIGKILL%s)" % limit_text
    return ending(event["code"])


def ending(code: Optional[int]) -> str:
    """Describe how a process ended, from its return code (negative: the signal)."""
    if code is None:
        return "ended"
    if code >= 0:
        return "exited (code %d)" % code
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "signal %d" % -code
    memory = ", as Linux does when memory runs out" if -code == signal.SIGKILL else ""
    return "was killed (%s%s)" % (name, memory)
