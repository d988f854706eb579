"""Runs the learner and judges how it ended.

ML-Agents' own exit code says little: it is 0 after half a run, and a learner whose player has died may never end at
all. So the learner is watched from inside (`learner_watch`, `player_watch`), and this module decides on what they
tell and on what the kernel says of the processes.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any, Dict, Optional, Set

import checkpoints
import events
import faults
import memory
import outputs
import paths
import process_tree
from contract import CONTRACT
from job_outcome import HELD_SUMMARIES, Brain, Outcome
from learner_command import LearnerCommand

TICK = 0.5  # seconds
SAVE_SECONDS = 60  # for a learner to save and export after a fault
STOP_SECONDS = 90  # the same when the job is stopped; SageMaker kills after 120
LEAVE_SECONDS = 5  # for the players to leave once all is saved
LAST_SECONDS = 3  # for a learner that does not move
TIMERS_SECONDS = 1  # for the learner to write its timers, where a player that failed would keep it from ending
START_SECONDS = 120  # for a learner to give its first sign of life: it loads TensorFlow before
ALREADY_THERE = (
    "Every brain had reached its max_steps already, in the checkpoints: nothing was trained. Raise max_steps to train "
    "further."
)
UNTRIED = "auto: the training ended before a second player could be tried"
ONE_CORE = "auto: one core is given"
SHARE_SECONDS = 5  # between two looks at whether there are summaries to share
SILENCE = 8  # seconds on top of stall-timeout before a process that sends nothing counts as lost


def say(message: str) -> None:
    """Write one line of our own to the log."""
    with contextlib.suppress(OSError):  # a log that nobody takes is no reason to end a training
        sys.stderr.write("train: %s\n" % message)
        sys.stderr.flush()


class StopRequest:
    """SIGTERM or SIGINT, as something to look at rather than something that happens."""

    def __init__(self) -> None:
        self.asked = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = self.asked or signal.Signals(number).name


def train(command: LearnerCommand, options: Dict[str, Any], stop: StopRequest, work: str) -> Outcome:
    """Train until the run is complete, stopped or beyond help.

    After a crash or hang of a player the learner saves what it has and is started again from there, unless it never
    got anywhere: at most `max-restarts` times without a step saved between.

    Parameters
    ----------
    command
        How the learner is started.
    options
        The job's options.
    stop
        Whether somebody asked to stop.
    work
        A folder for the pipe.
    """
    outcome = Outcome(players=1 if command.try_players else command.num_envs)
    if options["num-envs"] is None:
        outcome.players_reason = UNTRIED if command.try_players else ONE_CORE
        if not command.try_players:
            settle_players(outcome)
    pipe = os.path.join(work, "events")
    inbox = events.Inbox(pipe)
    settings = {
        "events": pipe,
        "supervisor": os.getpid(),
        "stall_timeout": options["stall-timeout"],
        "player_logs": paths.PLAYER_LOGS,
        "run_folder": command.run_folder,
        "environment": command.environment,
        "from_editor": command.executable is None,
        "speedups": options["speedups"],
    }
    run_folder = os.path.join(paths.CHECKPOINTS, command.run_folder)
    restarts = 0  # since a further step was saved
    while True:
        os.environ[events.SETTINGS] = json.dumps(dict(settings, try_players=command.try_players))
        saved_before = checkpoints.newest_step(run_folder)
        attempt = Attempt(command, options, stop, inbox, outcome)
        attempt.run()
        saved = checkpoints.newest_step(run_folder)
        restarts = 0 if saved > saved_before else restarts
        most = options["max-restarts"] if saved else 0  # a build that never trained a step never will
        if not attempt.fault or not attempt.fault.worth_a_restart or stop.asked or restarts >= most:
            break
        restarts += 1
        outcome.restarts.append(attempt.fault.reason(outcome.steps()))
        say("training goes on from step %d" % saved)
        if command.try_players:
            command = replace(command, num_envs=outcome.players, try_players=False)  # what is known to run
            if not outcome.players_settled:
                outcome.players_reason += "; a player failed when it was tried"
                settle_players(outcome)
    attempt.conclude()
    inbox.close()
    return outcome


def settle_players(outcome: Outcome) -> None:
    """Try no more players than there are, and say in the log how many those are, and why."""
    outcome.players_settled = True
    players = "%d player%s" % (outcome.players, "s" * (outcome.players > 1))
    say("training with %s: %s" % (players, outcome.players_reason))


class Attempt:
    """One life of the learner, from its start until its whole process tree is gone."""

    def __init__(
        self, command: LearnerCommand, options: Dict[str, Any], stop: StopRequest, inbox: events.Inbox, outcome: Outcome
    ):
        self.command = command
        self.goal = options["stop-at-reward"]
        self.longest_silence = options["stall-timeout"] + SILENCE
        self.stop = stop
        self.inbox = inbox
        self.outcome = outcome
        self.outcome.exported = False
        self.learner: Any = None
        self.players: Dict[int, int] = {}  # number -> process id
        self.left: Set[str] = set()  # drivers whose players were let go
        self.silence: Dict[str, float] = {"the learner": -START_SECONDS}  # who -> seconds since the last sign
        self.patience: Optional[float] = None  # seconds left to the learner; None while it may go on
        self.asked = False  # the learner was asked to save and end
        self.begun: Dict[str, int] = {}  # brain -> step that it was taken up at
        self.trained = False  # a brain is further than that
        self.interrupted = False  # the learner says that its learning was interrupted
        self.fault: Optional[faults.Fault] = None
        self.goal_reached = False
        self.log_starts = dict(_console_sizes())
        self.memory_kills = memory.kills()
        self.unshared = 0.0  # seconds since summaries were shared

    def run(self) -> None:
        """Run the learner to its end; afterwards `fault` is what went wrong, if anything did."""
        others = set(process_tree.descendants())
        self.learner = subprocess.Popen(
            self.command.line(), cwd=paths.CHECKPOINTS, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            self._follow()
        finally:
            left = process_tree.kill_all(self.learner, set(self.players.values()), spared=others)
            if left:
                say("processes that could not be ended: %s" % ", ".join(map(str, left)))

    def _follow(self) -> None:
        """Take in events until the learner has ended, and judge its end."""
        while self.learner.poll() is None:
            before = time.monotonic()
            for event in self.inbox.wait(TICK):
                self._take(event)
            # A pause of the whole job (docker pause, a laptop that sleeps) counts as one tick, not as silence.
            self._tick(min(time.monotonic() - before, 2 * TICK))
        for event in self.inbox.wait(0):
            self._take(event)
        if not self._ended_well():
            self._fail({"kind": "learner_exit", "code": self.learner.returncode})

    def conclude(self) -> None:
        """Write into the outcome how this attempt, being the last one, ended the job."""
        outcome = self.outcome
        if self.fault:
            outcome.status, outcome.reason = "failed", self.fault.reason(outcome.steps())
            outcome.details = _log_tail(self.fault.player, self.log_starts)
        elif self.goal_reached:
            outcome.status = "completed"
            outcome.reason = "The mean reward held %g over %d summaries." % (self.goal[1], HELD_SUMMARIES)
        elif outcome.reached_max_steps():
            outcome.status = "completed"
            outcome.reason = ALREADY_THERE if outcome.trained_nothing() else "Every brain reached its max_steps."
        else:
            outcome.status, outcome.reason = "stopped", "Stopped by %s after %s." % (self.stop.asked, outcome.steps())
            outcome.reason += self._compare_model()
        outcome.reason = " ".join([outcome.reason, *outcome.remarks()])

    def _compare_model(self) -> str:
        """Return whether the model that is left behind is older than the newest checkpoint."""
        run_folder = os.path.join(paths.CHECKPOINTS, self.command.run_folder)
        saved, exported = checkpoints.newest_step(run_folder), checkpoints.exported(run_folder)
        if saved and not exported:
            return " The checkpoint at step %d is kept, but no model was exported from it." % saved
        if exported and max(exported.values()) < saved:
            return " The model is the one of step %d; the checkpoints are at step %d." % (max(exported.values()), saved)
        return ""

    def _take(self, event: Dict[str, Any]) -> None:
        """Take in what the learner or one of its workers told."""
        kind, brains = event["event"], self.outcome.brains
        if kind == "alive":
            if event["who"] not in self.left:
                self.silence[event["who"]] = 0.0
        elif kind == "player":
            self.players[event["player"]] = event["player_pid"]
        elif kind == "player_leaves":
            driver = events.driver(event["player"])
            self.left.add(driver)
            self.silence.pop(driver, None)
        elif kind == "players":
            self.outcome.players, self.outcome.players_reason = event["count"], event["reason"]
            if event["settled"]:
                settle_players(self.outcome)
        elif kind == "brain":
            brain = brains.setdefault(event["brain"], Brain())
            brain.max_steps, brain.trainer = event["max_steps"], event["trainer"]
        elif kind == "summary":
            brain = brains.setdefault(event["brain"], Brain())
            brain.mean_reward = event["mean_reward"]
            brain.recent.append(event["mean_reward"])
            self._judge_goal()
        elif kind == "updated":
            brains.setdefault(event["brain"], Brain()).updated = True
        elif kind == "episode":
            brains.setdefault(event["brain"], Brain()).episodes = True
        elif kind == "idle":
            brains.setdefault(event["brain"], Brain()).idle = event["settings"]
        elif kind == "spoilt":
            brain = brains.setdefault(event["brain"], Brain())
            brain.spoilt = brain.spoilt or "player %(player)d at its step %(step)d" % event
        elif kind == "resumed":
            self.outcome.resumed_from.setdefault(event["brain"], event["step"])
            self.begun[event["brain"]] = event["step"]
            say(CONTRACT["log"]["says_resumed"] % event)
        elif kind == "torn":
            self.outcome.torn.append("%(brain)s, step %(step)d: %(message)s" % event)
            say(
                "the checkpoint of brain %(brain)s at step %(step)d cannot be read and is left out: %(message)s" % event
            )
        elif kind == "editor_stopped":  # by who sits before it; what follows from that is no fault
            self.stop.asked, self.asked = self.stop.asked or "the Unity Editor", True
        elif kind == "interrupted":
            self.interrupted = True
        elif kind == "exported":
            self.outcome.exported = True
            self.patience = TIMERS_SECONDS if self.fault else LEAVE_SECONDS
        elif kind == "fault":
            self._fail(event)
        for name, (step, max_steps) in event.get("steps", {}).items():
            brains[name].step = min(step, max_steps)  # ML-Agents ends one step later
            self.trained = self.trained or step > self.begun.get(name, 0)
        if self.trained:
            self._check_goal()

    def _judge_goal(self) -> None:
        if self.goal is None or self.patience is not None:
            return
        named, reward = self.goal
        if self.outcome.holds(reward, named):
            self.goal_reached = True
            say("the mean reward held %g over %d summaries" % (reward, HELD_SUMMARIES))
            self._interrupt(SAVE_SECONDS)

    def _check_goal(self) -> None:
        named = self.goal and self.goal[0]
        if named and named not in self.outcome.brains and not self.fault:
            known = ", ".join(sorted(self.outcome.brains))
            message = "Hyperparameter stop-at-reward names the brain %s, but the build has %s." % (named, known)
            self._fail({"kind": "refused", "message": message})

    def _tick(self, seconds: float) -> None:
        """Check what only the clock shows."""
        process_tree.reap(keep=self.learner.pid)
        self.unshared += seconds
        if self.unshared > SHARE_SECONDS:
            self.unshared = 0.0
            with contextlib.suppress(OSError):  # at the end they are shared once more, and then it counts
                outputs.share_summaries()
        if self.patience is not None:
            self.patience -= seconds
            if self.patience < 0:
                self.learner.kill()
        elif self.stop.asked:
            say("%s: saving and stopping" % self.stop.asked)
            self._interrupt(STOP_SECONDS)
        else:
            for who in self.silence:
                self.silence[who] += seconds
            who, longest = max(self.silence.items(), key=lambda item: item[1])
            if longest > self.longest_silence:
                self._fail({"kind": "silent", "who": who, "seconds": longest})

    def _fail(self, event: Dict[str, Any]) -> None:
        """Take the first fault as the cause, and let the learner save what it has."""
        follows = self.asked or self.outcome.exported  # from what was asked for, or from the end
        if self.fault or (follows and event["kind"] not in ("learner_exit", "trainer_error")):
            return
        self.fault = faults.Fault(self._explain(event))
        say(self.fault.reason(self.outcome.steps()))
        self._interrupt(LAST_SECONDS if event["kind"] in ("learner_stall", "silent") else SAVE_SECONDS)

    def _explain(self, event: Dict[str, Any]) -> Dict[str, Any]:
        """Add to an event of a process that was killed whether the kernel did it because memory ran out."""
        if event.get("code") != -signal.SIGKILL or self.memory_kills is None:
            return event
        rose = (memory.kills() or 0) > self.memory_kills
        return dict(event, out_of_memory=rose, memory_limit=memory.limit())

    def _interrupt(self, patience: float) -> None:
        if self.learner.poll() is None:
            self.learner.send_signal(signal.SIGINT)
        self.asked, self.patience = True, patience

    def _ended_well(self) -> bool:
        """Judge an end that nobody complained about."""
        if self.stop.asked or self.goal_reached:
            return self.outcome.exported or not self.trained
        return self.outcome.exported and not self.interrupted and self.outcome.reached_max_steps()


def _console_sizes():
    for number in os.listdir(paths.PLAYER_LOGS):
        path = os.path.join(paths.PLAYER_LOGS, number, "console.log")
        yield int(number), os.path.getsize(path) if os.path.exists(path) else 0


def _log_tail(player: Optional[int], starts: Dict[int, int], lines: int = 8) -> str:
    """Return the last lines that a player wrote in its last life."""
    if player is None:
        return ""
    written = ""
    for name, start in (("Player.log", 0), ("console.log", starts.get(player, 0))):
        path = os.path.join(paths.PLAYER_LOGS, str(player), name)
        if os.path.exists(path):
            with open(path, "rb") as file:
                file.seek(start)
                written += file.read()[-20000:].decode("utf-8", "replace") + "\n"
    last = [line for line in written.splitlines() if line.strip()][-lines:]
    return "\n".join(["The last lines of its log:", *last]) if last else ""
