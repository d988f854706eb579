"""What every sample scene has in common: a behaviour, agents that act at the same time, episodes, reset parameters."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Behaviour(NamedTuple):
    """What a brain of the scene sees and does, as the trainer is told it."""

    name: str
    observations: int
    actions: tuple[int, ...]
    """Continuous: the number of actions. Discrete: the number of choices in each branch."""
    continuous: bool

    @property
    def action_values(self) -> int:
        """How many numbers make an action of one agent."""
        return self.actions[0] if self.continuous else len(self.actions)


class Scene:
    """A number of agents with one behaviour; a subclass gives them their world.

    Parameters
    ----------
    agents
        How many.
    seed
        Of the starts of all episodes; the same seed and actions give the same run.

    Attributes
    ----------
    current : dict of str to float
        The reset parameters in force.
    actions : ndarray, shape (agents, action values)
        Those of the last decision; zero at first.
    rewards : ndarray, shape (agents,)
        For the last decision.
    done, max_step_reached : ndarray of bool, shape (agents,)
        Whether the episode ended with the last decision, and whether only because it had lasted long enough.
    decisions : ndarray of int, shape (agents,)
        Since the episode began.
    episodes : int
        Ended so far, of all agents together.
    """

    behaviour: Behaviour
    parameters: dict[str, float]
    """The reset parameters' defaults."""
    decision_seconds: float
    """Simulated time from one decision to the next."""
    decisions_per_episode: int

    def __init__(self, agents: int, seed: int) -> None:
        self.agents = agents
        # RandomState's stream is the same in every version of NumPy; it takes no negative seed, the protocol does.
        self.random = np.random.RandomState(seed & 0xFFFFFFFF)
        self.current = dict(self.parameters)
        self.episodes = 0
        self._clear()

    def _clear(self) -> None:
        self.actions = np.zeros((self.agents, self.behaviour.action_values))
        self.rewards = np.zeros(self.agents)
        self.done = np.zeros(self.agents, dtype=bool)
        self.max_step_reached = np.zeros(self.agents, dtype=bool)
        self.decisions = np.zeros(self.agents, dtype=int)

    def reset(self, parameters: dict[str, float]) -> None:
        """Begin an episode for every agent, under reset parameters of which those that are not given stay.

        Raises
        ------
        ValueError
            When a parameter is unknown, not finite, or refused by `check`. Nothing has changed then.
        """
        wanted = {**self.current, **parameters}
        for name, value in parameters.items():
            if name not in self.parameters:
                raise ValueError(
                    f"Expected reset parameters out of {', '.join(self.parameters)}, got {name}. "
                    "Take it out of the curriculum or sampler."
                )
            if not math.isfinite(value):
                raise ValueError(
                    f"Expected a finite reset parameter {name}, got {value}. Correct the curriculum or sampler."
                )
        self.check(wanted)
        self.current = wanted
        self._clear()
        self.start(np.arange(self.agents))

    def step(self, actions: np.ndarray) -> None:
        """Carry out one decision of every agent, and begin the next episode of those whose episode it ends.

        Parameters
        ----------
        actions
            Shape (agents, action values). What is not a number counts as 0.
        """
        self.actions = np.where(np.isnan(actions), 0, actions)
        self.decisions += 1
        self.rewards, failed = self.act(self.actions)
        self.max_step_reached = ~failed & (self.decisions >= self.decisions_per_episode)
        self.done = failed | self.max_step_reached
        if self.done.any():
            ended = np.flatnonzero(self.done)
            self.episodes += len(ended)
            self.decisions[ended] = 0
            self.start(ended)

    def check(self, parameters: dict[str, float]) -> None:
        """Raise ValueError when these reset parameters make no world."""

    def start(self, which: np.ndarray) -> None:
        """Set up an episode for the agents whose indices are given."""
        raise NotImplementedError

    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Carry out a decision; give the rewards and whether each agent has failed, which ends its episode."""
        raise NotImplementedError

    def observe(self) -> np.ndarray:
        """Give what the agents see now, shape (agents, observations)."""
        raise NotImplementedError
