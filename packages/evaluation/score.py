"""Measure how much reward a model earns in its environment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from common import trainer_env
from common.contract import TRAINERS
from common.findings import CheckError, Finding, Report
from evaluation.player import Player, PlayerError, playing
from mlagents_check import unity_build
from mlagents_check.unity_build import UnityBuild
from policy_files import model
from policy_files.inference import Policy, policy_of
from policy_files.model import Model
from policy_files.onnx_model import OnnxModel, OnnxPolicy

AnyModel = Model | OnnxModel
AnyPolicy = Policy | OnnxPolicy
RESAMPLES = 10_000
MAX_AGENTS = 100
IN_UNITY = Finding(
    "note",
    "Watch the model in Unity.",
    "Drag it into your agents' Behavior Parameters there, and press Play.",
)


class EvaluationError(CheckError):
    """The models and the build do not match, or the build does not run."""


@dataclass(frozen=True)
class BrainScore:
    """The rewards of a model.

    Attributes
    ----------
    brain : str
    rewards : ndarray, shape (episodes,)
        The cumulative reward of each episode.
    lengths : ndarray of int, shape (episodes,)
        The decisions of each episode.
    """

    brain: str
    rewards: np.ndarray = field(repr=False)
    lengths: np.ndarray = field(repr=False)

    @property
    def mean(self) -> float:
        """The mean reward of an episode."""
        return float(self.rewards.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean; see `interval`."""
        return interval(self.rewards)

    def __str__(self) -> str:
        if len(self.rewards) == 1:
            return f"reward {self.mean:.3f} in 1 episode of {self.lengths[0]:,} decisions: too few for an interval"
        low, high = self.interval
        return (
            f"mean reward {self.mean:.3f} (95 % interval {low:.3f} to {high:.3f}), standard deviation "
            f"{self.rewards.std():.3f}, {len(self.rewards)} episodes of {self.lengths.mean():,.0f} decisions"
        )


@dataclass(frozen=True)
class Evaluation(Report):
    """The rewards of a build's models. A notebook shows them as a table.

    Attributes
    ----------
    scores : mapping of str to BrainScore
        By brain.
    seed : int
    seconds : float
        Duration.
    """

    error_type: ClassVar[type[CheckError]] = EvaluationError
    ready: ClassVar[str] = "Measured with the model files themselves, in episodes that they were not trained on."

    scores: Mapping[str, BrainScore]
    seed: int
    seconds: float

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """A row for each brain."""
        return tuple((name, str(score)) for name, score in self.scores.items())


def interval(rewards: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean; it is the same for the same rewards.

    Parameters
    ----------
    rewards
        The rewards of episodes.

    Returns
    -------
    low, high : float
        Both NaN for a single episode.
    """
    if len(rewards) < 2:
        return float("nan"), float("nan")
    from scipy.stats import bootstrap  # here, because it takes almost a second

    rewards = np.asarray(rewards, float)
    if np.ptp(rewards) == 0:
        return float(rewards[0]), float(rewards[0])
    rng = np.random.default_rng(0)
    found = bootstrap((rewards,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng).confidence_interval
    return float(found.low), float(found.high)


def read_models(models: str | Path | AnyModel | Iterable[str | Path | AnyModel]) -> list[AnyModel]:
    """Read models: one or several, as files or already read.

    Raises
    ------
    ModelError
        If a file is not a complete model.
    """
    several = [models] if isinstance(models, (str, Path, Model, OnnxModel)) else models
    return [found if isinstance(found, (Model, OnnxModel)) else model.read(found) for found in several]


def evaluate(
    models: str | Path | AnyModel | Iterable[str | Path | AnyModel],
    unity_volume: str | Path,
    *,
    episodes: int = 100,
    seed: int = 0,
    env_args: Sequence[str] = (),
    max_seconds: float = 300,
) -> Evaluation:
    """Let trained models act in their environment, and sum up their rewards.

    The build is started as `mlagents-learn` starts it and driven by ML-Agents' own `UnityEnvironment`. The model files
    decide, as in Unity: `.nn` in a build of 0.11, `.onnx` in one of com.unity.ml-agents. Every agent plays the same
    number of episodes; otherwise short episodes would count more.

    Parameters
    ----------
    models
        One for each brain of the build.
    unity_volume
        The folder of the build.
    episodes
        The minimum for each brain. With 2 or more there is an interval.
    seed
        The same seed gives the same rewards in the sample environment. Unity's physics may not be reproducible.
    env_args
        Arguments for the player. By default the sample gets an agent for each episode, at most 100.
    max_seconds
        The time limit.

    Raises
    ------
    ModelError
        If a file is not a complete model.
    EvaluationError
        If models and build or brains do not match, `episodes` is not a positive number, the player ends, or it takes
        too long.
    """
    start = time.monotonic()
    if not isinstance(episodes, (int, np.integer)) or episodes < 1:
        raise EvaluationError(f"Expected episodes to be a whole number, 1 or more, found {episodes!r}.")
    read = read_models(models)
    report = unity_build.check(unity_volume)
    report.raise_for_errors()
    build: UnityBuild = report.build
    if build.is_sample and not env_args:
        env_args = ("--agents", str(min(episodes, MAX_AGENTS)))
    check_version(read, build)
    policies = {found.brain: policy_of(found, seed) for found in read}
    try:
        with playing(build, trainer_env.find(build.trainer).python, seed=seed, env_args=env_args) as player:
            match(policies, player)
            scores = play(player, policies, episodes, start + max_seconds)
    except PlayerError as error:
        raise EvaluationError(f"{build.name} cannot be evaluated. {error}") from None
    return Evaluation(
        subject=f"{', '.join(scores)} in {build.name}, seed {seed}",
        findings=() if build.is_sample else (IN_UNITY,),
        scores=scores,
        seed=seed,
        seconds=time.monotonic() - start,
    )


def check_version(models: Iterable[AnyModel], build: UnityBuild) -> None:
    """Raise EvaluationError unless the models are of the version of ML-Agents that the build is of."""
    suffix = TRAINERS[build.trainer]["model_suffix"]
    if wrong := [found.path.name for found in models if found.path.suffix != suffix]:
        others = [trainer for trainer, row in TRAINERS.items() if Path(wrong[0]).suffix == row["model_suffix"]]
        raise EvaluationError(
            f"Expected an {suffix} file for {build.name}, which ML-Agents {build.trainer} trains, found {wrong[0]} of "
            f"ML-Agents {' or '.join(others)}. Take the model that was trained in this build, or the build that it was "
            "trained in."
        )


def match(policies: Mapping[str, AnyPolicy], player: Player) -> None:
    """Raise EvaluationError unless each brain has one model, with its kind and number of actions."""
    if set(policies) != set(player.brains):
        raise EvaluationError(
            f"Expected a model for each brain of the build, {', '.join(sorted(player.brains))}; found models for "
            f"{', '.join(sorted(policies)) or 'none'}. Is it the build that was trained?"
        )
    for name, brain in player.brains.items():
        found = policies[name].model
        sizes = tuple(brain["actions"])
        if (found.continuous, sum(found.actions)) != (brain["continuous"], sum(sizes)):
            raise EvaluationError(
                f"Expected a model of {'continuous' if brain['continuous'] else 'discrete'} actions {sizes} for the "
                f"brain {name}, found {'continuous' if found.continuous else 'discrete'} ones {found.actions}. Is it "
                "the build that was trained?"
            )


def play(player: Player, policies: Mapping[str, AnyPolicy], episodes: int, until: float) -> dict[str, BrainScore]:
    """Play until every agent that was there at the start has played its share of the episodes.

    Raises
    ------
    EvaluationError
        If that takes too long.
    """
    books = {name: RewardBook(seen.agents, episodes) for name, seen in player.seen.items() if seen.agents}
    begins: dict[str, np.ndarray | None] = dict.fromkeys(policies)
    while len(books) < len(policies) or not all(book.full for book in books.values()):
        if time.monotonic() > until:
            ended = {name: sum(map(len, book.rewards.values())) for name, book in books.items()}
            raise EvaluationError(
                f"Expected {episodes} episodes of each brain, only these ended in time: {ended or 'none'}. Give it "
                "more time (max_seconds), or ask for fewer episodes."
            )
        player.step(
            {
                name: policy.decide(seen.vector, seen.visual, seen.masks, begins[name])
                for name, policy in policies.items()
                if (seen := player.seen[name]).agents
            }
        )
        for name, seen in player.seen.items():
            begins[name] = seen.done
            if seen.agents:
                books.setdefault(name, RewardBook(seen.agents, episodes)).note(seen.agents, seen.reward, seen.done)
    return {name: book.score(name) for name, book in sorted(books.items())}


class RewardBook:
    """Adds up rewards, in the first episodes of each agent.

    Parameters
    ----------
    agents
        The agents that count.
    episodes
        The minimum of all agents together.
    """

    def __init__(self, agents: Sequence[str], episodes: int) -> None:
        self.share = -(-episodes // max(len(agents), 1))
        self.running = {agent: [0.0, 0] for agent in agents}
        self.rewards: dict[str, list[float]] = {agent: [] for agent in agents}
        self.lengths: dict[str, list[int]] = {agent: [] for agent in agents}

    @property
    def full(self) -> bool:
        """Whether all have played their share."""
        return all(len(rewards) == self.share for rewards in self.rewards.values())

    def note(self, agents: Sequence[str], reward: np.ndarray, done: np.ndarray) -> None:
        """Add the rewards of a decision."""
        for agent, gain, ended in zip(agents, reward.tolist(), done.tolist(), strict=True):
            if agent in self.rewards and len(self.rewards[agent]) < self.share:
                running = self.running[agent]
                running[0] += gain
                running[1] += 1
                if ended:
                    self.rewards[agent].append(running[0])
                    self.lengths[agent].append(running[1])
                    self.running[agent] = [0.0, 0]

    def score(self, brain: str) -> BrainScore:
        """Return the score."""
        return BrainScore(
            brain,
            np.array([reward for rewards in self.rewards.values() for reward in rewards]),
            np.array([length for lengths in self.lengths.values() for length in lengths]),
        )
