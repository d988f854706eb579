"""What is known of a job's training: how far each brain is, and how the job ended."""

from collections import deque
from dataclasses import dataclass, field
from typing import Dict, List, Optional

HELD_SUMMARIES = 3  # summaries in a row that stop-at-reward looks at


@dataclass
class Brain:
    """How far one brain is."""

    step: int = 0
    max_steps: Optional[int] = None
    mean_reward: Optional[float] = None  # of the last summary
    updated: bool = False  # its network was, at least once in this job
    recent: deque = field(default_factory=lambda: deque(maxlen=HELD_SUMMARIES))  # of the last summaries


@dataclass
class Outcome:
    """How the job ended, or stands."""

    status: str = "failed"  # completed, stopped or failed
    reason: str = ""
    details: str = ""  # what follows the reason in the failure file
    brains: Dict[str, Brain] = field(default_factory=dict)
    exported: bool = False  # the last attempt wrote its .nn files
    model_steps: Dict[str, int] = field(default_factory=dict)  # brain -> step of the .nn that the job leaves
    players: Optional[int] = None  # how many train
    players_reason: str = ""
    players_settled: bool = False  # no more are tried
    restarts: List[str] = field(default_factory=list)  # the reason of each
    resumed_from: Dict[str, int] = field(default_factory=dict)  # brain -> step
    torn: List[str] = field(default_factory=list)  # checkpoints that could not be read

    def steps(self) -> str:
        """Say how far the brains are."""
        return ", ".join("step %d of %s" % (b.step, name) for name, b in sorted(self.brains.items())) or "no step"

    def reached_max_steps(self) -> bool:
        """Whether every brain with a trainer is done."""
        brains = self.brains.values()
        return bool(brains) and all(b.max_steps is not None and b.step >= b.max_steps for b in brains)

    def trained_nothing(self) -> bool:
        """Whether every brain was done when the job began."""
        begun = self.resumed_from
        return not self.restarts and all(begun.get(n, 0) >= (b.max_steps or 0) for n, b in self.brains.items())

    def untrained(self) -> List[str]:
        """Name the brains whose network is still as it was made: neither loaded nor ever updated."""
        return sorted(n for n, b in self.brains.items() if not b.updated and n not in self.resumed_from)

    def holds(self, reward: float, named: Optional[str]) -> bool:
        """Whether the named brain, or every one, had at least this mean reward in its last summaries."""
        judged = [b for name, b in self.brains.items() if named in (None, name)]
        return bool(judged) and all(len(b.recent) == HELD_SUMMARIES and min(b.recent) >= reward for b in judged)
