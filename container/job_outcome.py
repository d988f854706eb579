"""The state of a job's training: the progress of each brain, and how the job ended."""

from collections import deque
from dataclasses import dataclass, field
from typing import Dict, List, Optional

import trainers

HELD_SUMMARIES = 3  # summaries in a row that stop-at-reward looks at
IDLE = "{} did not imitate: %s had no effect. Look at its strength, how often it is updated and, in %s, its steps."
UNREWARDED = "{} learned from no reward: every strength in reward_signals is 0."
SPOILT = (
    "Observations of {} were not numbers (NaN or infinite), first from %s. ML-Agents trained on others in their place: "
    "fix CollectObservations in the scene%s."
)
ENDLESS = (
    "No episode of {} ended, so that there is no mean reward: let its agents call %s, give them a Max Step, or "
    "train longer."
)


@dataclass
class Brain:
    """The progress of a brain."""

    step: int = 0
    max_steps: Optional[int] = None
    mean_reward: Optional[float] = None  # of the last summary
    trainer: str = "ppo"
    updated: bool = False  # its network was, at least once in this job
    episodes: bool = False  # one ended in this job
    idle: List[str] = field(default_factory=list)  # imitation settings that had no effect
    unrewarded: bool = False  # no reward signal has a strength
    spoilt: Optional[str] = None  # which player first sent observations that are not finite, and when
    spoilt_demonstration: Optional[str] = None  # the first with such observations, and the step
    recent: deque = field(default_factory=lambda: deque(maxlen=HELD_SUMMARIES))  # of the last summaries


@dataclass
class Outcome:
    """How the job ended, or its current state."""

    status: str = "failed"  # completed, stopped or failed
    reason: str = ""
    details: str = ""  # what follows the reason in the failure file
    brains: Dict[str, Brain] = field(default_factory=dict)
    exported: bool = False  # the last attempt wrote its models
    model_steps: Dict[str, int] = field(default_factory=dict)  # brain -> step of the model that the job leaves
    players: Optional[int] = None  # how many train
    players_reason: str = ""
    players_settled: bool = False  # no more are tried
    restarts: List[str] = field(default_factory=list)  # the reason of each
    resumed_from: Dict[str, int] = field(default_factory=dict)  # brain -> step
    torn: List[str] = field(default_factory=list)  # checkpoints that could not be read

    def steps(self) -> str:
        """Return the progress of the brains as text."""
        return ", ".join("step %d of %s" % (b.step, name) for name, b in sorted(self.brains.items())) or "no step"

    def reached_max_steps(self) -> bool:
        """Return whether every brain with a trainer is done."""
        brains = self.brains.values()
        return bool(brains) and all(b.max_steps is not None and b.step >= b.max_steps for b in brains)

    def trained_nothing(self) -> bool:
        """Return whether every brain was done when the job began."""
        begun = self.resumed_from
        return not self.restarts and all(begun.get(n, 0) >= (b.max_steps or 0) for n, b in self.brains.items())

    def remarks(self) -> List[str]:
        """Return remarks on what kept a training from learning; some apply only if it ran to its end."""
        brains_of: Dict[str, List[str]] = {}
        trainer = trainers.chosen()
        for name, brain in [] if self.trained_nothing() else sorted(self.brains.items()):
            for where, todo in ((brain.spoilt, ""), (brain.spoilt_demonstration, ", and record it again")):
                if where:
                    brains_of.setdefault(SPOILT % (where, todo), []).append(name)
            if self.status != "completed":
                continue
            if name in self.untrained():
                brains_of.setdefault(
                    "The network of {} was never updated: " + trainer.NEVER_UPDATED[brain.trainer], []
                ).append(name)
            elif brain.idle:
                brains_of.setdefault(IDLE % (" and ".join(brain.idle), trainer.IMITATION), []).append(name)
            if brain.unrewarded:
                brains_of.setdefault(UNREWARDED, []).append(name)
            if not brain.episodes:
                brains_of.setdefault(ENDLESS % trainer.END_EPISODE, []).append(name)
        return [remark.replace("{}", ", ".join(names)) for remark, names in brains_of.items()]

    def untrained(self) -> List[str]:
        """Return the brains whose network is still in its initial state: neither loaded nor ever updated."""
        return sorted(n for n, b in self.brains.items() if not b.updated and n not in self.resumed_from)

    def holds(self, reward: float, named: Optional[str]) -> bool:
        """Return whether the named brain, or every one, had at least this mean reward in its last summaries."""
        judged = [b for name, b in self.brains.items() if named in (None, name)]
        return bool(judged) and all(len(b.recent) == HELD_SUMMARIES and min(b.recent) >= reward for b in judged)
