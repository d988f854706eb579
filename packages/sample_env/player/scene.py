"""The parts of every sample scene: groups of agents, one for each brain, with episodes and reset parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Dict, NamedTuple, Union  # noqa: UP035

import numpy as np


class Behaviour(NamedTuple):
    """The observations and actions of a brain, as the trainer receives them."""

    name: str
    observations: int
    actions: tuple[int, ...]
    """Continuous: the number of actions. Discrete: the number of choices in each branch."""
    continuous: bool

    @property
    def action_values(self) -> int:
        """The number of values in an action of one agent."""
        return self.actions[0] if self.continuous else len(self.actions)


class Sampler:
    """A distribution that a reset parameter is drawn from, for each agent that begins an episode.

    Parameters
    ----------
    kind
        ``"uniform"``, ``"gaussian"`` or ``"multirange_uniform"``.
    numbers
        Lower and upper limit; mean and standard deviation; the limits of several ranges, which count by their width.
    seed
        Of the draws. They are not those of Unity, whose generator is .NET's.
    """

    def __init__(self, kind: str, numbers: Sequence[float], seed: int) -> None:
        self.kind, self.numbers = kind, [float(number) for number in numbers]
        self.random = np.random.RandomState(seed & 0xFFFFFFFF)

    def __repr__(self) -> str:
        return f"{self.kind}{tuple(self.numbers)}"

    def draw(self, count: int) -> np.ndarray:
        """Draw values, shape (count,)."""
        if self.kind == "gaussian":
            return self.random.normal(*self.numbers, size=count)
        lower, upper = np.reshape(self.numbers, (-1, 2)).T
        ends = np.cumsum(upper - lower)
        at = self.random.uniform(0, ends[-1], size=count)
        which = np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1)
        return upper[which] + at - ends[which]


Parameters = Dict[str, Union[float, Sampler]]  # noqa: UP006, UP007 (Python 3.7)
"""Reset parameters by name."""


class Group:
    """A number of agents with one behaviour, acting at the same time; a subclass gives them their world.

    Parameters
    ----------
    agents
        Their number.
    seed
        The same seed and actions give the same run.

    Attributes
    ----------
    current : dict of str to float or Sampler
        The reset parameters in force.
    actions : ndarray, shape (agents, action values)
        The last actions; zero at first.
    rewards : ndarray, shape (agents,)
        The rewards of the last decision.
    done, max_step_reached : ndarray of bool, shape (agents,)
        Whether the episode ended with the last decision, and whether only because it had lasted long enough.
    decisions : ndarray of int, shape (agents,)
        Decisions since the episode began.
    last_observations : ndarray, shape (agents, observations)
        Where an episode ended with the last decision, what was seen then.
    episodes : int
        Episodes that have ended, of all agents together.
    """

    behaviour: Behaviour
    outcome: str
    """What happened where an episode ends by the rules of the scene."""
    parameters: dict[str, float]
    """The reset parameters' defaults."""
    decision_seconds: float
    """Simulated time from one decision to the next."""
    decisions_per_episode: int

    def __init__(self, agents: int, seed: int) -> None:
        self.agents = agents
        # RandomState draws the same in every version of NumPy. Unlike the protocol it takes no negative seed.
        self.random = np.random.RandomState(seed & 0xFFFFFFFF)
        self.current: Parameters = dict(self.parameters)
        self.episodes = 0
        self._clear()

    def _clear(self) -> None:
        self.actions = np.zeros((self.agents, self.behaviour.action_values))
        self.rewards = np.zeros(self.agents)
        self.done = np.zeros(self.agents, dtype=bool)
        self.last_observations = np.zeros((self.agents, self.behaviour.observations))
        self.max_step_reached = np.zeros(self.agents, dtype=bool)
        self.decisions = np.zeros(self.agents, dtype=int)

    def change(self, parameters: Parameters) -> None:
        """Change reset parameters, for the episodes that begin from now on; the others keep their values.

        Raises
        ------
        ValueError
            If a parameter is unknown, not finite, or refused by `check`. Nothing changes then.
        """
        refuse_unknown(parameters, self.parameters)
        for name, value in parameters.items():
            if not isinstance(value, Sampler):
                self._check(name, value)
        self.current = {**self.current, **parameters}

    def _check(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise ValueError(
                f"Expected a finite reset parameter {name}, got {value}. Correct the curriculum or sampler."
            )
        self.check(name, value)

    def values(self, name: str, count: int) -> np.ndarray:
        """Return a reset parameter for agents that begin an episode, shape (count,).

        Raises
        ------
        ValueError
            If a drawn value is refused by `check`.
        """
        value = self.current[name]
        if not isinstance(value, Sampler):
            return np.full(count, value)
        drawn = value.draw(count)
        for extreme in (drawn.min(), drawn.max()):
            self._check(name, extreme)
        return drawn

    def reset(self, parameters: Parameters) -> None:
        """Begin an episode for every agent. Takes and raises what `change` does."""
        self.change(parameters)
        self._clear()
        self.start(np.arange(self.agents))

    def step(self, actions: np.ndarray) -> None:
        """Carry out one decision of every agent; an agent whose episode ends begins the next one.

        Parameters
        ----------
        actions
            Shape (agents, action values). NaN counts as 0.
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
            self.last_observations = self.observe()
            self.start(ended)

    def check(self, name: str, value: float) -> None:
        """Raise ValueError if this is no value of a reset parameter."""

    def start(self, which: np.ndarray) -> None:
        """Set up an episode for the agents whose indices are given."""
        raise NotImplementedError

    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Carry out a decision; return the rewards, and whose episodes end by the rules of the scene."""
        raise NotImplementedError

    def observe(self) -> np.ndarray:
        """Return the observations, shape (agents, observations)."""
        raise NotImplementedError

    def heuristic(self) -> np.ndarray:
        """Return the actions of a controller written by hand, shape (agents, action values)."""
        raise NotImplementedError


class Scene:
    """All groups of a scene together.

    Parameters
    ----------
    kinds
        The groups' classes; those of one scene have the same `decision_seconds`.
    agents
        Their number in each group.
    seed
        The first group's seed; each further group adds 1.
    """

    def __init__(self, kinds: Sequence[type[Group]], agents: int, seed: int) -> None:
        self.groups = [kind(agents, seed + number) for number, kind in enumerate(kinds)]
        self.decision_seconds = kinds[0].decision_seconds

    def reset(self, parameters: Parameters) -> None:
        """Begin an episode for every agent. Takes and raises what `change` does."""
        self.change(parameters)
        for group in self.groups:
            group.reset({})

    def change(self, parameters: Parameters) -> None:
        """Change reset parameters; each group takes its own.

        Raises
        ------
        ValueError
            As `Group.change` does.
        """
        refuse_unknown(parameters, self.current)
        for group in self.groups:
            group.change({name: value for name, value in parameters.items() if name in group.parameters})

    @property
    def current(self) -> Parameters:
        """The reset parameters in force."""
        return {name: value for group in self.groups for name, value in group.current.items()}

    @property
    def episodes(self) -> int:
        """Episodes that have ended, of all agents together."""
        return sum(group.episodes for group in self.groups)


def refuse_unknown(parameters: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError if a reset parameter is unknown to the scene."""
    known = list(known)
    for name in parameters:
        if name not in known:
            raise ValueError(
                f"Expected reset parameters out of {', '.join(known)}, got {name}. "
                "Take it out of the curriculum or sampler."
            )
