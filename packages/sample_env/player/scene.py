"""What every sample scene is made of: groups of agents, one for each brain, with episodes and reset parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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


class Group:
    """A number of agents with one behaviour, acting at the same time; a subclass gives them their world.

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
        refuse_unknown(parameters, self.parameters)
        for name, value in parameters.items():
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
        self.rewards, over = self.act(self.actions)
        self.max_step_reached = ~over & (self.decisions >= self.decisions_per_episode)
        self.done = over | self.max_step_reached
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
        """Carry out a decision; give the rewards, and which agents' episodes it ends by the rules of the scene."""
        raise NotImplementedError

    def observe(self) -> np.ndarray:
        """Give what the agents see now, shape (agents, observations)."""
        raise NotImplementedError

    def heuristic(self) -> np.ndarray:
        """Give the actions of a controller written by hand, shape (agents, action values)."""
        raise NotImplementedError


class Scene:
    """All groups of a scene together.

    Parameters
    ----------
    kinds
        The groups' classes; those of one scene have the same `decision_seconds`.
    agents
        How many in each group.
    seed
        Of all that is drawn; the groups' own seeds follow one another.
    """

    def __init__(self, kinds: Sequence[type[Group]], agents: int, seed: int) -> None:
        self.groups = [kind(agents, seed + number) for number, kind in enumerate(kinds)]
        self.decision_seconds = kinds[0].decision_seconds

    def reset(self, parameters: dict[str, float]) -> None:
        """Begin an episode for every agent; each group takes the reset parameters that are its own.

        Raises
        ------
        ValueError
            As `Group.reset` does.
        """
        refuse_unknown(parameters, self.current)
        for group in self.groups:
            group.reset({name: value for name, value in parameters.items() if name in group.parameters})

    @property
    def current(self) -> dict[str, float]:
        """The reset parameters in force."""
        return {name: value for group in self.groups for name, value in group.current.items()}

    @property
    def episodes(self) -> int:
        """Ended so far, of all agents together."""
        return sum(group.episodes for group in self.groups)


def refuse_unknown(parameters: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError when there is a reset parameter that the scene does not know."""
    known = list(known)
    for name in parameters:
        if name not in known:
            raise ValueError(
                f"Expected reset parameters out of {', '.join(known)}, got {name}. "
                "Take it out of the curriculum or sampler."
            )
