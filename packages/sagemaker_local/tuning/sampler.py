"""Chooses the next hyperparameters of a tuning job, with Optuna.

The trainings themselves are the only state between two choices, so a search continues after a restart.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, BruteForceSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

optuna.logging.set_verbosity(optuna.logging.WARNING)

FIRST_AT_RANDOM = 3
"""Trainings that a Bayesian search draws at random first."""
SPANS = 100.0
"""A range whose ends differ by this factor gets a logarithmic scale if its scale is Auto."""


@dataclass(frozen=True)
class Range:
    """One hyperparameter's range: kind and scale as in a request, and `low` to `high` or `values`."""

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    scale: str = "Auto"
    values: tuple[str, ...] = ()

    @property
    def count(self) -> float:
        """The number of its values; infinite for a continuous range."""
        if self.kind == "Categorical":
            return len(self.values)
        return self.high - self.low + 1 if self.kind == "Integer" else math.inf

    @property
    def used_scale(self) -> str:
        """The scale, with `Auto` resolved: logarithmic if the range spans two powers of ten, else linear."""
        if self.scale != "Auto":
            return self.scale
        if self.low > 0 and self.high / self.low >= SPANS:
            return "Logarithmic"
        reverse = self.kind == "Continuous" and self.low >= 0 and self.high < 1
        return "ReverseLogarithmic" if reverse and (1 - self.low) / (1 - self.high) >= SPANS else "Linear"

    def distribution(self) -> BaseDistribution:
        """Return Optuna's distribution; on the reverse logarithmic scale it is of the distance from 1."""
        if self.kind == "Categorical":
            return CategoricalDistribution(self.values)
        log = self.used_scale != "Linear"
        if self.kind == "Integer":
            return IntDistribution(int(self.low), int(self.high), log=log)
        low, high = self._drawn(self.high), self._drawn(self.low)
        return FloatDistribution(min(low, high), max(low, high), log=log)

    def write(self, drawn: Any) -> str:
        """Convert a drawn value to a hyperparameter."""
        if self.kind == "Categorical":
            return drawn
        if self.kind == "Integer":
            return str(drawn)
        value = 1 - drawn if self.used_scale == "ReverseLogarithmic" else drawn
        return repr(min(max(value, self.low), self.high))

    def read(self, text: str) -> Any:
        """Convert a hyperparameter to the drawn value."""
        if self.kind == "Categorical":
            return text
        if self.kind == "Integer":
            return int(text)
        low, high = sorted((self._drawn(self.low), self._drawn(self.high)))
        return min(max(self._drawn(float(text)), low), high)

    def _drawn(self, value: float) -> float:
        return 1 - value if self.used_scale == "ReverseLogarithmic" else value


@dataclass(frozen=True)
class Tried:
    """A training that was tried: its hyperparameters, and its objective, None while it runs.

    NaN stands for a training that ended without an objective.
    """

    hyperparameters: Mapping[str, str]
    objective: float | None


def read_ranges(request: Mapping[str, Any]) -> list[Range]:
    """Read a request's ParameterRanges. Raise `ValueError` if an end of a range is not a number."""
    ranges = []
    for kind, number in (("Integer", int), ("Continuous", float)):
        for one in request.get(f"{kind}ParameterRanges", ()):
            low, high = number(one["MinValue"]), number(one["MaxValue"])
            ranges.append(Range(one["Name"], kind, low, high, one.get("ScalingType", "Auto")))
    ranges += [
        Range(one["Name"], "Categorical", values=tuple(one["Values"]))
        for one in request.get("CategoricalParameterRanges", ())
    ]
    return ranges


def combinations(ranges: Sequence[Range]) -> float:
    """Return the number of possible trainings; infinite with a continuous range."""
    return math.prod(one.count for one in ranges)


def choose(
    strategy: str, ranges: Sequence[Range], tried: Sequence[Tried], *, seed: int, maximise: bool
) -> dict[str, str]:
    """Choose the next hyperparameters after those `tried`; the same seed and the same `tried` give the same choice."""
    study = optuna.create_study(
        direction="maximize" if maximise else "minimize", sampler=_sampler(strategy, seed + len(tried))
    )
    space = {one.name: one.distribution() for one in ranges}
    study.add_trials([_trial(ranges, space, one) for one in tried])
    drawn = study.ask(space).params
    return {one.name: one.write(drawn[one.name]) for one in ranges}


def _sampler(strategy: str, seed: int) -> BaseSampler:
    if strategy == "Random":
        return RandomSampler(seed)
    with warnings.catch_warnings():  # the lock file holds Optuna at one version
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if strategy == "Grid":
            return BruteForceSampler(seed)
        return TPESampler(n_startup_trials=FIRST_AT_RANDOM, multivariate=True, constant_liar=True, seed=seed)


def _trial(ranges: Sequence[Range], space: dict[str, BaseDistribution], tried: Tried) -> FrozenTrial:
    params = {one.name: one.read(tried.hyperparameters[one.name]) for one in ranges}
    if tried.objective is None:
        return create_trial(state=TrialState.RUNNING, params=params, distributions=space)
    if not math.isfinite(tried.objective):
        return create_trial(state=TrialState.FAIL, params=params, distributions=space)
    return create_trial(params=params, distributions=space, value=tried.objective)
