"""Runs the learner and determines how it ended.

ML-Agents' own exit code says little: it may be 0 after half a run, and a learner whose player has died may never end.
So the learner is monitored from inside (`learner_watch`, `player_watch`), and this module decides by their events and
the state of the processes.
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
import failure_causes
import memory
import outputs
import paths
import process_tree
import trainers
from contract import CONTRACT
from job_outcome import HELD_SUMMARIES, Brain, Outcome
from learner_command import LearnerCommand

TICK = 0.5  # seconds
SAVE_SECONDS = 60  # for a learner to save and export after a fault
STOP_SECONDS = 90  # the same when the job is stopped; SageMaker kills after 120
LEAVE_SECONDS = 5  # for the players to end after everything is saved
LAST_SECONDS = 3  # for a learner that hangs
TIMERS_SECONDS = 1  # for the learner to write its timers; a failed player would keep it from ending
START_SECONDS = 120  # until a learner's first event, before which it loads TensorFlow
ALREADY_THERE = (
    "Every brain had reached its max_steps already, in the checkpoints: nothing was trained. Raise max_steps to train "
    "further."
)
UNTRIED = "auto: the training ended before a second player could be tried"
ONE_CORE = "auto: one core is given"
SHARE_SECONDS = 5  # between two checks for new summaries to share
SILENCE = 8  # seconds on top of stall-timeout before a process that sends nothing counts as lost


def say(message: str) -> None:
    """Write a line of this program to the log."""
    with contextlib.suppress(OSError):  # a broken log must not end the training
        sys.stderr.write("train: %s\n" % message)
        sys.stderr.flush()


class StopRequest:
    """A received SIGTERM or SIGINT, to be polled: `signal_name` is empty before."""

    def __init__(self) -> None:
        self.signal_name = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle_signal)

    def _handle_signal(self, number: int, frame: Any) -> None:
        self.signal_name = self.signal_name or signal.Signals(number).name


def train(command: LearnerCommand, options: Dict[str, Any], stop: StopRequest, work: str) -> Outcome:
    """Train until the run is complete, stopped or has failed.

    After a crash or hang of a player, the learner saves and is restarted from there, at most `max-restarts` times
    without a further saved step, and only if a step was ever saved, or another program took a port that was found free.

    Parameters
    ----------
    command
        The learner's command.
    options
        The job's options.
    stop
        The request to stop, if any.
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
    restarts = 0  # since the last further saved step
    while True:
        os.environ[events.SETTINGS] = json.dumps(dict(settings, try_players=command.try_players))
        saved_before = checkpoints.newest_step(run_folder)
        attempt = Attempt(command, options, stop, inbox, outcome)
        attempt.run()
        saved = checkpoints.newest_step(run_folder)
        restarts = 0 if saved > saved_before else restarts
        # A build that never trained a step will not after a restart, except with other ports.
        lost_race = attempt.fault and attempt.fault.kind == "port_taken" and not options["base-port"]
        allowed = options["max-restarts"] if saved or lost_race else 0
        if not attempt.fault or not attempt.fault.worth_a_restart or stop.signal_name or restarts >= allowed:
            break
        restarts += 1
        outcome.restarts.append(attempt.fault.reason(outcome.steps()))
        say("training goes on from step %d" % saved)
        if command.try_players:
            command = replace(command, num_envs=outcome.players, try_players=False)  # the number that is known to work
            if not outcome.players_settled:
                outcome.players_reason += "; a player failed when it was tried"
                settle_players(outcome)
    attempt.conclude()
    inbox.close()
    return outcome


def settle_players(outcome: Outcome) -> None:
    """Fix the number of players, and log it with the reason."""
    outcome.players_settled = True
    players = "%d player%s" % (outcome.players, "s" * (outcome.players > 1))
    say(CONTRACT["log"]["says_players"] % {"players": players, "why": outcome.players_reason})


class Attempt:
    """One run of the learner, from its start until all its processes have ended."""

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
        self.dismissed: Set[str] = set()  # drivers whose players were dismissed
        self.silence: Dict[str, float] = {"the learner": -START_SECONDS}  # process -> seconds since its last event
        self.grace: Optional[float] = None  # seconds until the learner is killed; None while it may continue
        self.interrupt_sent = False  # the learner was signalled to save and end
        self.first_steps: Dict[str, int] = {}  # brain -> step from which it resumed
        self.trained = False  # whether a brain has advanced since
        self.interrupted = False  # the learner reported that it was interrupted
        self.fault: Optional[failure_causes.Fault] = None
        self.goal_reached = False
        self.log_starts = dict(_console_sizes())
        self.memory_kills = memory.kills()
        self.unshared = 0.0  # seconds since summaries were shared

    def run(self) -> None:
        """Run the learner to its end; `fault` is then the failure, if any."""
        others = set(process_tree.descendants())
        self.learner = subprocess.Popen(
            self.command.line(),
            cwd=paths.CHECKPOINTS,
            env=dict(os.environ, **trainers.chosen().environment(self.command.options)),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._follow()
        finally:
            remaining = process_tree.kill_all(self.learner, set(self.players.values()), spared=others)
            if remaining:
                say("processes that could not be ended: %s" % ", ".join(map(str, remaining)))

    def _follow(self) -> None:
        """Handle events until the learner has ended, and determine how it ended."""
        while self.learner.poll() is None:
            before = time.monotonic()
            for event in self.inbox.wait(TICK):
                self._handle_event(event)
            # A pause of the whole job (docker pause, a laptop that sleeps) counts as one tick, not as silence.
            self._check_clock(min(time.monotonic() - before, 2 * TICK))
        for event in self.inbox.wait(0):
            self._handle_event(event)
        if not self._ended_well():
            self._fail({"kind": "learner_exit", "code": self.learner.returncode})

    def conclude(self) -> None:
        """Write the end of the job, from this last attempt, into the outcome."""
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
            outcome.status, outcome.reason = (
                "stopped",
                "Stopped by %s after %s." % (self.stop.signal_name, outcome.steps()),
            )
            outcome.reason += self._compare_model()
        outcome.reason = " ".join([outcome.reason, *outcome.remarks()])

    def _compare_model(self) -> str:
        """Return a remark if the exported model is older than the newest checkpoint, else an empty string."""
        run_folder = os.path.join(paths.CHECKPOINTS, self.command.run_folder)
        saved, exported = checkpoints.newest_step(run_folder), checkpoints.exported(run_folder)
        if saved and not exported:
            return " The checkpoint at step %d is kept, but no model was exported from it." % saved
        if exported and max(exported.values()) < saved:
            return " The model is the one of step %d; the checkpoints are at step %d." % (max(exported.values()), saved)
        return ""

    def _handle_event(self, event: Dict[str, Any]) -> None:
        """Handle an event of the learner or one of its workers."""
        kind, brains = event["event"], self.outcome.brains
        if kind == "alive":
            if event["who"] not in self.dismissed:
                self.silence[event["who"]] = 0.0
        elif kind == "player":
            self.players[event["player"]] = event["player_pid"]
        elif kind == "player_leaves":
            driver = events.driver(event["player"])
            self.dismissed.add(driver)
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
        elif kind == "unrewarded":
            brains.setdefault(event["brain"], Brain()).unrewarded = True
        elif kind == "spoilt":
            brain = brains.setdefault(event["brain"], Brain())
            brain.spoilt = brain.spoilt or "player %(player)d at its step %(step)d" % event
        elif kind == "spoilt_demonstration":
            brain = brains.setdefault(event["brain"], Brain())
            where = "the demonstration %(demonstration)s at its step %(step)d" % event
            brain.spoilt_demonstration = brain.spoilt_demonstration or where
        elif kind == "resumed":
            self.outcome.resumed_from.setdefault(event["brain"], event["step"])
            self.first_steps[event["brain"]] = event["step"]
            say(CONTRACT["log"]["says_resumed"] % event)
        elif kind == "torn":
            self.outcome.torn.append("%(brain)s, step %(step)d: %(message)s" % event)
            say(
                "the checkpoint of brain %(brain)s at step %(step)d cannot be read and is left out: %(message)s" % event
            )
        elif kind == "editor_stopped":  # by its user, so the consequences are no fault
            self.stop.signal_name, self.interrupt_sent = self.stop.signal_name or "the Unity Editor", True
        elif kind == "interrupted":
            self.interrupted = True
        elif kind == "exported":
            self.outcome.exported = True
            self.grace = TIMERS_SECONDS if self.fault else LEAVE_SECONDS
        elif kind == "fault":
            self._fail(event)
        for name, (step, max_steps) in event.get("steps", {}).items():
            brains[name].step = min(step, max_steps)  # ML-Agents ends one step later
            self.trained = self.trained or step > self.first_steps.get(name, 0)
        if self.trained:
            self._check_goal()

    def _judge_goal(self) -> None:
        if self.goal is None or self.grace is not None:
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

    def _check_clock(self, seconds: float) -> None:
        """Check everything that depends on time."""
        process_tree.reap(keep=self.learner.pid)
        self.unshared += seconds
        if self.unshared > SHARE_SECONDS:
            self.unshared = 0.0
            with contextlib.suppress(OSError):  # they are shared again at the end, where an error counts
                outputs.share_summaries()
        if self.grace is not None:
            self.grace -= seconds
            if self.grace < 0:
                self.learner.kill()
        elif self.stop.signal_name:
            say("%s: saving and stopping" % self.stop.signal_name)
            self._interrupt(STOP_SECONDS)
        else:
            for who in self.silence:
                self.silence[who] += seconds
            who, longest = max(self.silence.items(), key=lambda item: item[1])
            if longest > self.longest_silence:
                self._fail({"kind": "silent", "who": who, "seconds": longest})

    def _fail(self, event: Dict[str, Any]) -> None:
        """Record the first fault as the cause, and let the learner save."""
        follows = self.interrupt_sent or self.outcome.exported  # a consequence of the interrupt, or of the end
        if self.fault or (follows and event["kind"] not in ("learner_exit", "trainer_error")):
            return
        self.fault = failure_causes.Fault(self._explain(event))
        say(self.fault.reason(self.outcome.steps()))
        self._interrupt(LAST_SECONDS if event["kind"] in ("learner_stall", "silent") else SAVE_SECONDS)

    def _explain(self, event: Dict[str, Any]) -> Dict[str, Any]:
        """Add to the event of a killed process whether the kernel killed it because memory ran out."""
        if event.get("code") != -signal.SIGKILL or self.memory_kills is None:
            return event
        rose = (memory.kills() or 0) > self.memory_kills
        return dict(event, out_of_memory=rose, memory_limit=memory.limit())

    def _interrupt(self, grace: float) -> None:
        if self.learner.poll() is None:
            self.learner.send_signal(signal.SIGINT)
        self.interrupt_sent, self.grace = True, grace

    def _ended_well(self) -> bool:
        """Return whether an end without a reported fault was regular."""
        if self.stop.signal_name or self.goal_reached:
            return self.outcome.exported or not self.trained
        return self.outcome.exported and not self.interrupted and self.outcome.reached_max_steps()


def _console_sizes():
    for number in os.listdir(paths.PLAYER_LOGS):
        path = os.path.join(paths.PLAYER_LOGS, number, "console.log")
        yield int(number), os.path.getsize(path) if os.path.exists(path) else 0


def _log_tail(player: Optional[int], starts: Dict[int, int], lines: int = 8) -> str:
    """Return the last lines that a player wrote in its last run."""
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
